// Package picture decodes image files into pixels, bounded against hostile headers.
package picture

import (
	"bytes"
	"fmt"
	"image"
	"image/color"

	// The formats beside Netpbm.
	_ "image/gif"
	_ "image/jpeg"
	_ "image/png"

	_ "golang.org/x/image/bmp"
	_ "golang.org/x/image/tiff"
	_ "golang.org/x/image/webp"
)

// maxPixels bounds a decoded image: a few bytes can announce any size.
const maxPixels = 64 << 20

// Decode reads a JPEG, PNG, GIF, BMP, TIFF, WebP or Netpbm image into opaque 8-bit RGB;
// transparency is ignored and orientation tags are not applied, as in most training
// pipelines. Chroma of JPEG files is interpolated as libjpeg does, so that small images
// come out as they were when a model was trained.
func Decode(data []byte) (*image.RGBA, error) {
	img, kind, err := decode(data)
	if err != nil {
		return nil, err
	}
	size := img.Bounds().Size()
	out := image.NewRGBA(image.Rectangle{Max: size})
	pixel := pixelReader(img, kind)
	for y := range size.Y {
		row := out.Pix[y*out.Stride:]
		for x := range size.X {
			p := row[4*x : 4*x+4]
			p[0], p[1], p[2] = pixel(x, y)
			p[3] = 255
		}
	}
	return out, nil
}

func decode(data []byte) (image.Image, string, error) {
	if img, err := decodePNM(data); err == nil {
		return img, "pnm", nil
	}
	c, kind, err := image.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		return nil, "", err
	}
	if c.Width < 1 || c.Height < 1 || c.Height > maxPixels/c.Width {
		return nil, "", fmt.Errorf("an image of %d by %d pixels is over the limit", c.Width, c.Height)
	}
	img, _, err := image.Decode(bytes.NewReader(data))
	return img, kind, err
}

// pixelReader returns a function that gives the color at an offset from the corner of
// img; transparency is ignored.
func pixelReader(img image.Image, kind string) func(x, y int) (r, g, b uint8) {
	corner := img.Bounds().Min
	switch m := img.(type) {
	case *image.YCbCr:
		return yccReader(m, kind == "webp")
	case *image.NYCbCrA:
		return yccReader(&m.YCbCr, kind == "webp")
	}
	return func(x, y int) (r, g, b uint8) {
		switch c := img.At(corner.X+x, corner.Y+y).(type) {
		case color.NRGBA:
			return c.R, c.G, c.B
		case color.NRGBA64:
			return uint8(c.R >> 8), uint8(c.G >> 8), uint8(c.B >> 8)
		case color.Color:
			r, g, b, _ := c.RGBA()
			return uint8(r >> 8), uint8(g >> 8), uint8(b >> 8)
		}
		return 0, 0, 0
	}
}

// yccReader converts luma and chroma. Chroma of half resolution is interpolated between
// its sample centres with weights 3:1 along each axis, rounding half down and up in turn
// for JPEG ("fancy upsampling"). WebP has the video range of BT.601, JPEG the full one.
func yccReader(m *image.YCbCr, video bool) func(x, y int) (r, g, b uint8) {
	size := m.Bounds().Size()
	sx, sy := 1, 1
	switch m.SubsampleRatio {
	case image.YCbCrSubsampleRatio422:
		sx = 2
	case image.YCbCrSubsampleRatio420:
		sx, sy = 2, 2
	case image.YCbCrSubsampleRatio440:
		sy = 2
	case image.YCbCrSubsampleRatio411:
		sx = 4
	case image.YCbCrSubsampleRatio410:
		sx, sy = 4, 2
	}
	cw, ch := (size.X+sx-1)/sx, (size.Y+sy-1)/sy
	// near returns a sample's index and its neighbour's on the side of pixel i.
	near := func(i, scale, n int) (int, int) {
		k := i / scale
		if scale != 2 {
			return k, k
		}
		return k, min(max(k-1+2*(i%2), 0), n-1)
	}
	chroma := func(plane []uint8, x, y int) int {
		x0, x1 := near(x, sx, cw)
		y0, y1 := near(y, sy, ch)
		at := func(x, y int) int { return int(plane[y*m.CStride+x]) }
		switch {
		case sx == 2 && sy == 2:
			round := 8
			if x%2 == 1 && !video {
				round = 7
			}
			return (9*at(x0, y0) + 3*at(x1, y0) + 3*at(x0, y1) + at(x1, y1) + round) >> 4
		case sx == 2:
			return (3*at(x0, y0) + at(x1, y0) + 1 + x%2) >> 2
		case sy == 2:
			return (3*at(x0, y0) + at(x0, y1) + 1 + y%2) >> 2
		}
		return at(x0, y0)
	}
	clip := func(v int) uint8 { return uint8(min(max(v, 0), 255)) }
	return func(x, y int) (r, g, b uint8) {
		l, cb, cr := int(m.Y[y*m.YStride+x]), chroma(m.Cb, x, y), chroma(m.Cr, x, y)
		if video { // 1.164·(Y-16) and so on, in the 14-bit fixed point of the VP8 reference
			l = l * 19077 >> 8
			return clip((l + cr*26149>>8 - 14234) >> 6), clip((l - cb*6419>>8 - cr*13320>>8 + 8708) >> 6), clip((l + cb*33050>>8 - 17685) >> 6)
		}
		cb, cr = cb-128, cr-128 // JFIF 1.02, page 3, in 16-bit fixed point
		return clip(l + (91881*cr+1<<15)>>16), clip(l + (-22554*cb-46802*cr+1<<15)>>16), clip(l + (116130*cb+1<<15)>>16)
	}
}
