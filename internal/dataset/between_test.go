package dataset

import (
	"math"
	"testing"

	"github.com/edgewise-ml/edgewise/tensor"
)

// TestBetween applies two preprocessings to the same values and holds that the line between
// them leads from one to the other.
func TestBetween(t *testing.T) {
	image := func(p Preprocess) Preprocess {
		p.Layout, p.Channels = "NCHW", 3
		return p
	}
	ways := []Preprocess{
		image(Preprocess{Divide: 255, Mean: []float32{0.485, 0.456, 0.406}, Std: []float32{0.229, 0.224, 0.225}}),
		image(Preprocess{Divide: 127.5, Mean: []float32{1}}), image(Preprocess{Divide: 1}), image(Preprocess{Divide: 1, BGR: true, Mean: []float32{104, 117, 124}}),
		{Divide: 1, Scale: 0.5, Zero: 83}, {Divide: 1, Stored: true, QScale: 0.5, QZero: 83}, {Divide: 2},
	}
	for _, p := range ways {
		for _, q := range ways {
			if p.Layout != q.Layout {
				continue
			}
			scale, shift, reversed := p.Between(q)
			if reversed != (p.BGR != q.BGR) {
				t.Errorf("%+v to %+v: reversed is %v", p, q, reversed)
			}
			for c := range max(p.Channels, 1) {
				to := c
				if reversed {
					to = 2 - c
				}
				for _, v := range []float32{0, 17, 255} {
					y := at(scale, c, 1)*made(p, c, v) + at(shift, c, 0)
					if want := made(q, to, v); math.Abs(y-want) > 1e-4*(1+math.Abs(want)) {
						t.Errorf("%+v to %+v: channel %d, value %v: %v, want %v", p, q, c, v, y, want)
					}
				}
			}
		}
	}
	if scale, shift, _ := ways[0].Between(ways[0]); scale != nil || shift != nil {
		t.Errorf("from a way to itself: %v, %v", scale, shift)
	}
}

// made is what a preprocessing makes of a stored value.
func made(p Preprocess, c int, v float32) float64 {
	if p.Stored {
		return float64(p.QScale) * (float64(v) - float64(p.QZero))
	}
	x := tensor.New(tensor.Float32, 1)
	p.store(x, 0, c, v)
	return x.Float(0)
}

func at(v []float32, c int, none float64) float64 {
	if v == nil {
		return none
	}
	return float64(v[c%len(v)])
}
