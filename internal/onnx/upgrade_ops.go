package onnx

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// maxRank is more dimensions than any real tensor has.
const maxRank = 64

// alignAt gives b the rank at which its dimensions, counted from axis of a, line up with
// those of a under today's broadcasting, which aligns at the end.
func (u *upgrader) alignAt(a, b *graph.Value, axis int64) (*graph.Value, error) {
	ra, okA := rank(a)
	rb, okB := rank(b)
	if okB && (okA || axis < 0) {
		switch {
		case axis < -maxRank:
			return nil, fmt.Errorf("axis %d is out of range", axis)
		case !okA:
			axis, ra = 0, int(-axis)
		case axis < 0:
			axis += int64(ra)
		}
		trailing := int64(ra) - axis - int64(rb)
		if trailing < 0 || axis < 0 || ra > maxRank {
			return nil, fmt.Errorf("%v does not fit %v at axis %d", b, a, axis)
		}
		if trailing == 0 {
			return b, nil
		}
		axes := make([]int64, trailing)
		for i := range axes {
			axes[i] = int64(rb + i)
		}
		return u.add("Unsqueeze", "_aligned", nil, b, u.ints("_axes", axes...)), nil
	}
	// Ranks are known at run time only: append as many ones to the shape of b.
	shape := u.add("Shape", "_shape", nil, b)
	var from *graph.Value
	if axis < 0 {
		from = u.ints("_from", -axis)
	} else {
		rankA := u.add("Shape", "_rank", nil, u.add("Shape", "_shape", nil, a))
		from = u.add("Sub", "_from", nil, rankA, u.ints("_axis", axis))
	}
	count := u.add("Sub", "_trailing", nil, from, u.add("Shape", "_rank", nil, shape))
	ones := u.add("ConstantOfShape", "_ones", graph.Attrs{"value": tensor.Of([]int64{1}, 1)}, count)
	return u.add("Reshape", "_aligned", nil, b, u.add("Concat", "_shape", graph.Attrs{"axis": int64(0)}, shape, ones)), nil
}

// alignedOperand handles the axis and broadcast attributes of binary operators.
func alignedOperand(u *upgrader) error {
	axis, ok := u.n.Attrs["axis"].(int64)
	delete(u.n.Attrs, "axis")
	delete(u.n.Attrs, "broadcast")
	if !ok || len(u.n.Inputs) < 2 {
		return nil
	}
	b, err := u.alignAt(u.n.Inputs[0], u.n.Inputs[1], axis)
	if err == nil {
		u.n.Inputs[1] = b
	}
	return err
}

// channelSlope: a slope per channel had no spatial dimensions.
func channelSlope(u *upgrader) error {
	slope, err := u.need(1)
	if err != nil {
		return err
	}
	if r, ok := rank(slope); ok && r != 1 || slope.Const != nil && slope.Const.Len() == 1 {
		return nil
	}
	u.n.Inputs[1], err = u.alignAt(u.n.Inputs[0], slope, 1)
	return err
}

// perActivation handles BatchNormalization with statistics for every activation.
func perActivation(u *upgrader) error {
	spatial := u.n.Attrs.Int("spatial", 1)
	delete(u.n.Attrs, "spatial")
	delete(u.n.Attrs, "is_test")
	if spatial != 0 {
		return nil
	}
	if len(u.n.Inputs) != 5 || len(u.n.Outputs) != 1 {
		return errors.New("spatial=0 is supported for inference only")
	}
	in := u.n.Inputs
	eps := u.scalar("_epsilon", u.n.Attrs.Float("epsilon", 1e-5), in[0])
	std := u.add("Sqrt", "_std", nil, u.add("Add", "_var", nil, in[4], eps))
	norm := u.add("Div", "_norm", nil, u.add("Sub", "_centred", nil, in[0], in[3]), std)
	return u.replace("Add", nil, u.add("Mul", "_scaled", nil, norm, in[1]), in[2])
}

// trainingOutputs: before training_mode existed, asking for the statistics meant
// training. Exporters listed them all the same for inference; then nobody reads them.
func trainingOutputs(u *upgrader) error {
	if !u.n.Is("BatchNormalization") || len(u.n.Outputs) == 1 {
		return nil
	}
	read := func(i int) bool { return u.n.Out(i) != nil && u.im.used[u.outputs[i]] }
	if read(3) || read(4) {
		return errors.New("the outputs saved_mean and saved_var have no equivalent")
	}
	if read(1) || read(2) {
		u.n.Attrs["training_mode"] = int64(1)
		u.n.Outputs = u.n.Outputs[:min(3, len(u.n.Outputs))]
		return nil
	}
	u.n.Outputs = u.n.Outputs[:1]
	return nil
}

func castByName(u *upgrader) error {
	name, ok := u.n.Attrs["to"].(string)
	if !ok {
		return nil
	}
	switch name {
	case "FLOAT":
		name = "FLOAT32"
	case "DOUBLE":
		name = "FLOAT64"
	}
	d, err := tensor.ParseDType(strings.ToLower(name))
	u.n.Attrs["to"] = int64(d)
	return err
}

func clipBounds(u *upgrader) error {
	for i, name := range []string{"min", "max"} {
		v, ok := u.n.Attrs[name].(float32)
		delete(u.n.Attrs, name)
		if ok && math.Abs(float64(v)) < math.MaxFloat32 {
			u.setInput(i+1, u.scalar("_"+name, v, u.n.In(0)))
		}
	}
	return nil
}

func constantFill(u *upgrader) error {
	a := u.n.Attrs
	d := tensor.DType(a.Int("dtype", 1))
	if !d.Valid() || d == tensor.String || d.IsComplex() {
		return fmt.Errorf("cannot fill with element type %v", d)
	}
	value := tensor.New(d, 1)
	value.SetFloat(0, float64(a.Float("value", 0)))
	var shape *graph.Value
	switch in := u.n.In(0); {
	case in == nil:
		shape = u.ints("_shape", append(slices.Clone(a.Ints("shape")), a.Ints("extra_shape")...)...)
		return u.replace("ConstantOfShape", graph.Attrs{"value": value}, shape)
	case a.Bool("input_as_shape", false):
		shape = u.add("Cast", "_shape", graph.Attrs{"to": int64(tensor.Int64)}, in)
	default:
		shape = u.add("Shape", "_shape", nil, in)
	}
	if extra := a.Ints("extra_shape"); len(extra) > 0 {
		shape = u.add("Concat", "_shape", graph.Attrs{"axis": int64(0)}, shape, u.ints("_extra", extra...))
	}
	return u.replace("ConstantOfShape", graph.Attrs{"value": value}, shape)
}

func dftAxis(u *upgrader) error {
	axis := u.n.Attrs.Int("axis", 1)
	delete(u.n.Attrs, "axis")
	u.setInput(2, u.g.Constant(u.base()+"_axis", tensor.Scalar(axis)))
	return nil
}

// dropout: ratio was an attribute and there was no training_mode. Whoever reads a model
// to run it wants inference.
func dropout(u *upgrader) error {
	delete(u.n.Attrs, "ratio")
	delete(u.n.Attrs, "is_test")
	if u.n.Out(1) == nil {
		return nil
	}
	if !u.im.used[u.outputs[1]] {
		u.n.Outputs = u.n.Outputs[:1]
	} else if u.version < 10 { // the mask had the type of the data
		u.wrapOutput(1, "CastLike", nil, u.n.In(0))
	}
	return nil
}

func gridSampleMode(u *upgrader) error {
	if m, ok := u.n.Attrs["mode"].(string); ok {
		switch m {
		case "bilinear":
			u.n.Attrs["mode"] = "linear"
		case "bicubic":
			u.n.Attrs["mode"] = "cubic"
		}
	}
	return nil
}

// groupParameters: scale and bias were per group, now they are per channel.
func groupParameters(u *upgrader) error {
	groups := u.n.Attrs.Int("num_groups", 0)
	x, err := u.need(0)
	if err != nil || groups < 1 {
		return errors.Join(err, fmt.Errorf("num_groups=%d", groups))
	}
	channels := u.add("Shape", "_channels", graph.Attrs{"start": int64(1), "end": int64(2)}, x)
	per := u.add("Div", "_per_group", nil, channels, u.ints("_groups", groups))
	grid := u.add("Concat", "_grid", graph.Attrs{"axis": int64(0)}, u.ints("_groups", groups), per)
	for i, name := range []string{1: "_scale", 2: "_bias"} {
		if v := u.n.In(i); i > 0 && v != nil {
			column := u.add("Reshape", name, nil, v, u.ints(name+"_column", -1, 1))
			u.n.Inputs[i] = u.add("Reshape", name, nil, u.add("Expand", name, nil, column, grid), u.ints(name+"_flat", -1))
		}
	}
	return nil
}

// flattened: Softmax and its kin worked on a matrix: the dimensions before axis, and all
// the others from axis on.
func flattened(u *upgrader) error {
	axis := u.n.Attrs.Int("axis", 1)
	x, err := u.need(0)
	if err != nil {
		return err
	}
	if r, ok := rank(x); axis == -1 || ok && axis == int64(r-1) {
		u.n.Attrs["axis"] = int64(-1)
		return nil
	}
	u.n.Inputs[0] = u.add("Flatten", "_matrix", graph.Attrs{"axis": axis}, x)
	u.n.Attrs["axis"] = int64(-1)
	u.wrapOutput(0, "Reshape", graph.Attrs{"allowzero": int64(1)}, u.add("Shape", "_shape", nil, x))
	return nil
}

func acrossChannels(u *upgrader) error {
	across := u.n.Attrs.Bool("across_channels", false)
	if !u.n.Attrs.Bool("normalize_variance", true) {
		return errors.New("normalize_variance=0 has no equivalent")
	}
	axes := []int64{0, 2, 3}
	if across {
		axes = []int64{0, 1, 2, 3}
	}
	u.n.Attrs = graph.Attrs{"axes": axes}
	return nil
}

func padInputs(u *upgrader) error {
	value := u.n.Attrs.Float("value", 0)
	delete(u.n.Attrs, "value")
	if err := intsInput("pads", 1)(u); err != nil {
		return err
	}
	if value != 0 {
		u.setInput(2, u.scalar("_value", value, u.n.In(0)))
	}
	return nil
}

func sliceInputs(u *upgrader) error {
	for i, name := range []string{"starts", "ends", "axes"} {
		if err := intsInput(name, i+1)(u); err != nil {
			return err
		}
	}
	return nil
}

func splitSizes(u *upgrader) error {
	if u.version < 2 && u.n.In(1) != nil { // the sizes had the type of the data
		u.n.Inputs[1] = u.add("Cast", "_split", graph.Attrs{"to": int64(tensor.Int64)}, u.n.Inputs[1])
		return nil
	}
	return intsInput("split", 1)(u)
}

func splitCount(u *upgrader) error {
	if u.n.In(1) == nil {
		u.n.Attrs["num_outputs"] = int64(len(u.outputs))
	}
	return nil
}

func seluConstants(u *upgrader) error {
	for name, v := range map[string]float32{"alpha": 1.6732, "gamma": 1.0507} {
		if !u.n.Attrs.Has(name) {
			u.n.Attrs[name] = v
		}
	}
	return nil
}

// tileRepeats: Tile repeated one axis a number of times.
func tileRepeats(u *upgrader) error {
	if len(u.n.Inputs) != 3 {
		return nil
	}
	x, tiles, axis := u.n.Inputs[0], u.n.Inputs[1], u.n.Inputs[2]
	r, ok := rank(x)
	if !ok || axis == nil || axis.Const == nil || axis.Const.Len() != 1 || axis.Const.DType() == tensor.String {
		return errors.New("the rank of the input or the axis is not known")
	}
	k := int(axis.Const.Float(0))
	if k < 0 || k >= r {
		return fmt.Errorf("axis %d is out of range for rank %d", k, r)
	}
	count := u.add("Reshape", "_tiles", nil, u.add("Cast", "_tiles", graph.Attrs{"to": int64(tensor.Int64)}, tiles), u.ints("_one", 1))
	var parts []*graph.Value
	for i := range r {
		if i == k {
			parts = append(parts, count)
		} else {
			parts = append(parts, u.ints("_once", 1))
		}
	}
	u.n.Inputs = []*graph.Value{x, u.add("Concat", "_repeats", graph.Attrs{"axis": int64(0)}, parts...)}
	return nil
}

func topK(u *upgrader) error {
	k, ok := u.n.Attrs["k"].(int64)
	if !ok {
		return errors.New("attribute k is missing")
	}
	delete(u.n.Attrs, "k")
	u.setInput(1, u.ints("_k", k))
	return nil
}
