package op

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/picture"
	"github.com/edgewise-ml/edgewise/tensor"
)

// imageOps decode image files.
func imageOps() []Def {
	return []Def{
		{Name: "ImageDecoder", In: "encoded_stream", Out: "image", Attrs: "pixel_format:string", Infer: inferImageDecoder, Eval: evalImageDecoder},
	}
}

func imageChannels(format string) (int, error) {
	switch format {
	case "RGB", "BGR":
		return 3, nil
	case "Grayscale":
		return 1, nil
	}
	return 0, fmt.Errorf("pixel_format %q is not one of RGB, BGR, Grayscale", format)
}

func inferImageDecoder(c *Infer) error {
	n, err := imageChannels(c.Attrs().String("pixel_format", "RGB"))
	if err != nil {
		return err
	}
	c.SetTensor(0, tensor.Uint8, graph.Shape{graph.Unknown, graph.Unknown, graph.Dim{Size: n}})
	return nil
}

var jpeg2000 = []byte("\x00\x00\x00\x0cjP  \r\n\x87\n")

// evalImageDecoder gives [height,width,channels] in 8 bits. A stream that cannot be
// decoded gives an empty image, as the standard wants; a format that is known but not
// read here is an error.
func evalImageDecoder(e *Eval) error {
	x := e.T(0)
	if x.DType() != tensor.Uint8 || x.Rank() != 1 {
		return fmt.Errorf("encoded_stream must be a vector of uint8, it is %v", x)
	}
	format := e.Attrs().String("pixel_format", "RGB")
	channels, err := imageChannels(format)
	if err != nil {
		return err
	}
	data := x.Bytes()
	if bytes.HasPrefix(data, jpeg2000) || bytes.HasPrefix(data, []byte("\xff\x4f\xff\x51")) {
		return errors.New("images in JPEG 2000 format are not supported; re-encode them as PNG")
	}
	img, err := picture.Decode(data)
	if err != nil {
		e.Result(0, tensor.Uint8, 0, 0, channels)
		return nil
	}
	size := img.Rect.Size()
	out := e.Result(0, tensor.Uint8, size.Y, size.X, channels).Bytes()
	for y := range size.Y {
		for x := range size.X {
			px := img.Pix[y*img.Stride+4*x:]
			r, g, b := px[0], px[1], px[2]
			p := out[(y*size.X+x)*channels:]
			switch format {
			case "RGB":
				p[0], p[1], p[2] = r, g, b
			case "BGR":
				p[0], p[1], p[2] = b, g, r
			default: // ITU-R BT.601 luma in 16-bit fixed point
				p[0] = uint8((19595*int(r) + 38470*int(g) + 7471*int(b) + 1<<15) >> 16)
			}
		}
	}
	return nil
}
