package onnx

import (
	"errors"
	"fmt"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// upsampleAttributes: the first form scaled height and width only.
func upsampleAttributes(u *upgrader) error {
	a := u.n.Attrs
	if !a.Has("scales") {
		a["scales"] = []float32{1, 1, a.Float("height_scale", 1), a.Float("width_scale", 1)}
	}
	delete(a, "height_scale")
	delete(a, "width_scale")
	return nil
}

func upsampleScales(u *upgrader) error {
	scales := u.n.Attrs.Floats("scales")
	if scales == nil {
		return errors.New("attribute scales is missing")
	}
	delete(u.n.Attrs, "scales")
	u.setInput(1, u.g.Constant(u.base()+"_scales", tensor.Of(scales, len(scales))))
	return nil
}

// upsample: Resize took over in opset 10 with the same meaning.
func upsample(u *upgrader) error {
	if u.n.Attrs.String("mode", "") == "bilinear" {
		u.n.Attrs["mode"] = "linear"
	}
	u.n.Op = "Resize"
	u.version = 10
	return nil
}

// resizeAsymmetric: output pixel i read from i/scale, rounded down.
func resizeAsymmetric(u *upgrader) error {
	scales, err := u.need(1)
	if err != nil {
		return err
	}
	u.n.Inputs = []*graph.Value{u.n.Inputs[0], nil, scales}
	u.n.Attrs["coordinate_transformation_mode"] = "asymmetric"
	u.n.Attrs["nearest_mode"] = "floor"
	return nil
}

// resizeTFHalfPixel: the mode read from (i+0.5)/scale, which is half a pixel more than
// half_pixel reads from; rounding down there is rounding to nearest, halves up, here.
func resizeTFHalfPixel(u *upgrader) error {
	a := u.n.Attrs
	if a.String("coordinate_transformation_mode", "") != "tf_half_pixel_for_nn" {
		return nil
	}
	if a.String("mode", "nearest") != "nearest" || a.String("nearest_mode", "") != "floor" {
		return fmt.Errorf("tf_half_pixel_for_nn has an equivalent with mode=nearest and nearest_mode=floor only")
	}
	a["coordinate_transformation_mode"] = "half_pixel"
	a["nearest_mode"] = "round_prefer_ceil"
	return nil
}

// resizeEmptyInputs: an optional input could be left out by giving it no elements.
func resizeEmptyInputs(u *upgrader) error {
	for i, v := range u.n.Inputs {
		if i > 0 && v != nil && v.Const != nil && v.Const.Len() == 0 {
			u.n.Inputs[i] = nil
		}
	}
	u.n.Inputs = trimAbsent(u.n.Inputs)
	return nil
}
