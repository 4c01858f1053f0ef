package op

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"testing"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

func TestNonMaxSuppression(t *testing.T) {
	// Boxes 0 and 1 overlap by more than half, box 2 stands apart; corners in any order.
	boxes := tensor.Of([]float32{0, 0, 1, 1, 1, 1.1, 0, 0.1, 0, 10, 1, 11}, 1, 3, 4)
	scores := tensor.Of([]float32{0.8, 0.9, 0.1}, 1, 1, 3)
	nms := func(limit int64, least float32) *tensor.Tensor {
		return one(t, "NonMaxSuppression", nil, boxes, scores, ints(limit), tensor.Of([]float32{0.5}, 1), tensor.Of([]float32{least}, 1))
	}
	want(t, nms(9, 0), []int{2, 3}, 0, 0, 1, 0, 0, 2)
	want(t, nms(1, 0), []int{1, 3}, 0, 0, 1)
	want(t, nms(9, 0.2), []int{1, 3}, 0, 0, 1)
	want(t, nms(9, 2), []int{0, 3})
}

func TestImageDecoder(t *testing.T) {
	img := image.NewNRGBA(image.Rect(0, 0, 2, 1))
	img.Set(0, 0, color.NRGBA{1, 2, 3, 255})
	img.Set(1, 0, color.NRGBA{255, 255, 255, 255})
	var buf bytes.Buffer
	if err := png.Encode(&buf, img); err != nil {
		t.Fatal(err)
	}
	decode := func(format string, data []byte) (*tensor.Tensor, error) {
		out, err := run(t, "", "ImageDecoder", graph.Attrs{"pixel_format": format}, 1, tensor.Of(data, len(data)))
		if err != nil {
			return nil, err
		}
		return out[0].(*tensor.Tensor), nil
	}
	for _, c := range []struct {
		format string
		data   []byte
		shape  []int
		want   []int64
	}{
		{"RGB", buf.Bytes(), []int{1, 2, 3}, []int64{1, 2, 3, 255, 255, 255}},
		{"BGR", buf.Bytes(), []int{1, 2, 3}, []int64{3, 2, 1, 255, 255, 255}},
		{"Grayscale", buf.Bytes(), []int{1, 2, 1}, []int64{2, 255}},
		{"RGB", []byte("P1 # bits\n2 1\n10"), []int{1, 2, 3}, []int64{0, 0, 0, 255, 255, 255}},
		{"Grayscale", []byte("P5 2 1 15\n\x00\x0f"), []int{1, 2, 1}, []int64{0, 255}},
		{"RGB", []byte("P6 999999999 999999999 255\n"), []int{0, 0, 3}, nil},
		{"RGB", []byte("no image"), []int{0, 0, 3}, nil},
	} {
		got, err := decode(c.format, c.data)
		if err != nil {
			t.Fatal(err)
		}
		want(t, got, c.shape, c.want...)
	}
	if _, err := decode("RGB", jpeg2000); err == nil {
		t.Error("JPEG 2000 is not refused by name")
	}
}
