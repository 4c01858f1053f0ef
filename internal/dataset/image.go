package dataset

import (
	"errors"
	"fmt"
	"image"

	"golang.org/x/image/draw"
)

// maxPixels bounds an image that is scaled.
const maxPixels = 100 << 20

// fitted brings img to w×h pixels as p says: Resize first scales the shorter side,
// Crop cuts the centre, Stretch ignores the aspect, Letterbox pads at the right and bottom
// with the fill value. Scaling is by a triangle filter whose support grows when shrinking
// (golang.org/x/image/draw BiLinear), as PIL's bilinear resize does.
func fitted(img image.Image, p *Preprocess) (*image.RGBA, error) {
	b := img.Bounds()
	w, h := p.Width, p.Height
	if w <= 0 || h <= 0 || w > maxPixels/h {
		return nil, fmt.Errorf("cannot fit an image to %dx%d pixels", w, h)
	}
	dst := image.NewRGBA(image.Rect(0, 0, w, h))
	if b.Dx() == w && b.Dy() == h {
		draw.Draw(dst, dst.Rect, img, b.Min, draw.Src)
		return dst, nil
	}
	switch p.Fit {
	case Stretch:
		draw.BiLinear.Scale(dst, dst.Rect, img, b, draw.Src, nil)
	case Letterbox:
		for i := range dst.Pix {
			dst.Pix[i] = p.Fill
			if i%4 == 3 {
				dst.Pix[i] = 255
			}
		}
		sw, sh := w, b.Dy()*w/b.Dx()
		if sh > h {
			sw, sh = b.Dx()*h/b.Dy(), h
		}
		draw.BiLinear.Scale(dst, image.Rect(0, 0, max(1, sw), max(1, sh)), img, b, draw.Src, nil)
	case Crop:
		scaled := img
		short := min(b.Dx(), b.Dy())
		if want := max(p.Resize, max(w, h)); p.Resize > 0 && short != p.Resize || b.Dx() < w || b.Dy() < h {
			sw, sh := max(w, b.Dx()*want/short), max(h, b.Dy()*want/short)
			if sw > maxPixels/sh {
				return nil, errors.New("image is too elongated to be scaled")
			}
			s := image.NewRGBA(image.Rect(0, 0, sw, sh))
			draw.BiLinear.Scale(s, s.Rect, img, b, draw.Src, nil)
			scaled = s
		}
		sb := scaled.Bounds()
		at := image.Pt(sb.Min.X+(sb.Dx()-w)/2, sb.Min.Y+(sb.Dy()-h)/2)
		draw.Draw(dst, dst.Rect, scaled, at, draw.Src)
	}
	return dst, nil
}
