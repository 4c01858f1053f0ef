package onnx

import (
	"errors"
	"fmt"
	"slices"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/op"
	"github.com/edgewise-ml/edgewise/tensor"
)

// MinOpset is the oldest operator set that is written.
const MinOpset = 13

// introduced lists operators of the default domain that came after MinOpset.
var introduced = map[string]int64{
	"HardSwish": 14, "Trilu": 14, "CumProd": 26, "BitCast": 26,
	"Bernoulli": 15, "CastLike": 15, "Optional": 15, "OptionalGetElement": 15, "OptionalHasElement": 15,
	"GridSample": 16, "BlackmanWindow": 17, "DFT": 17, "HammingWindow": 17, "HannWindow": 17,
	"LayerNormalization": 17, "MelWeightMatrix": 17, "STFT": 17, "SequenceMap": 17,
	"BitwiseAnd": 18, "BitwiseNot": 18, "BitwiseOr": 18, "BitwiseXor": 18, "CenterCropPad": 18,
	"Col2Im": 18, "GroupNormalization": 21, "Mish": 18, "DeformConv": 19, "AffineGrid": 20, "Gelu": 20,
	"ImageDecoder": 20, "RegexFullMatch": 20, "StringConcat": 20, "StringSplit": 20,
	"Attention": 23, "RMSNormalization": 23, "RotaryEmbedding": 23, "Swish": 24, "TensorScatter": 24,
	"BitCount": graph.Opset, "CausalConvWithState": graph.Opset, "LinearAttention": graph.Opset, "SwiGLU": graph.Opset,
}

// downgrades lists, per operator, the versions below which the canonical form must be
// changed, and how. A change that would alter the meaning is an error, which makes the
// version the least that can express the node.
var downgrades map[string][]downgrade

type downgrade struct {
	below int64
	apply func(*graph.Node) error
}

func init() {
	axes := []downgrade{{18, inputToAttr("axes", 1)}}
	layout := []downgrade{{14, dropDefault("layout", 0)}}
	downgrades = map[string][]downgrade{
		"Attention":          {{24, noInput(6)}},
		"AveragePool":        {{19, dropOnes("dilations")}},
		"BatchNormalization": {{14, dropDefault("training_mode", 0)}},
		"Cast":               {{24, dropString("round_mode", "up")}, {19, dropDefault("saturate", 1)}},
		"CastLike":           {{24, dropString("round_mode", "up")}, {19, dropDefault("saturate", 1)}},
		"DFT":                {{20, inputToAxis(2)}},
		"DequantizeLinear":   {{23, dropOutputType(1)}, {21, dropDefault("block_size", 0)}},
		"GRU":                layout,
		"GridSample":         {{20, gridSampleOldMode}},
		"LSTM":               layout,
		"LpPool":             {{18, dropOnes("dilations")}, {18, dropDefault("ceil_mode", 0)}},
		"OptionalHasElement": {{18, wantInput(0)}},
		"Pad":                {{19, notString("mode", "wrap")}, {18, noInput(3)}},
		"QuantizeLinear":     {{23, dropDefault("precision", 0)}, {21, dropOutputType(2)}, {21, dropDefault("block_size", 0)}, {19, dropDefault("saturate", 1)}},
		"RNN":                layout,
		"ReduceL1":           axes,
		"ReduceL2":           axes,
		"ReduceLogSum":       axes,
		"ReduceLogSumExp":    axes,
		"ReduceMax":          axes,
		"ReduceMean":         axes,
		"ReduceMin":          axes,
		"ReduceProd":         axes,
		"ReduceSumSquare":    axes,
		"Reshape":            {{14, dropDefault("allowzero", 0)}},
		"Resize": {{19, notString("coordinate_transformation_mode", "half_pixel_symmetric")}, {18, dropDefault("antialias", 0)},
			{18, noAttr("axes")}, {18, dropString("keep_aspect_ratio_policy", "stretch")}},
		"RoiAlign":        {{16, roiAlignOldMode}},
		"ScatterElements": {{18, reduction("none", "add", "mul")}, {16, dropString("reduction", "none")}},
		"ScatterND":       {{18, reduction("none", "add", "mul")}, {16, dropString("reduction", "none")}},
		"Shape":           {{15, dropDefault("start", 0)}, {15, noAttr("end")}},
		"Split":           {{18, splitEqually}},
	}
}

// LeastOpset returns the least operator set, from MinOpset on, that can express g.
func LeastOpset(g *graph.Graph) int64 {
	least := int64(MinOpset)
	g.Walk(func(_ *graph.Graph, n *graph.Node) {
		if v, _ := since(n); v > least {
			least = v
		}
	})
	return least
}

// toOpset rewrites g, which the caller owns, to the form of an opset.
func toOpset(g *graph.Graph, opset int64) error {
	var errs []error
	g.Walk(func(_ *graph.Graph, n *graph.Node) {
		if v, why := since(n); v > opset {
			if len(errs) < 8 {
				errs = append(errs, fmt.Errorf("%v needs opset %d: %w", n, v, errors.Join(why)))
			}
			return
		}
		if n.Domain != "" {
			return
		}
		for _, d := range downgrades[n.Op] {
			if d.below > opset {
				if err := d.apply(n); err != nil {
					errs = append(errs, fmt.Errorf("%v: %w", n, err))
				}
			}
		}
		n.Inputs = trimAbsent(n.Inputs)
	})
	if len(errs) > 0 {
		return fmt.Errorf("the model cannot be written with opset %d: %w", opset, errors.Join(errs...))
	}
	return nil
}

// domainVersion returns the version of its domain that n needs.
func domainVersion(n *graph.Node) int64 {
	if n.Domain != graph.DomainML {
		return 1
	}
	switch n.Op {
	case "TreeEnsemble":
		return 5
	case "LabelEncoder":
		return 4
	}
	return 3
}

// constInts returns the contents of a constant list of integers.
func constInts(v *graph.Value) ([]int64, bool) {
	if v == nil || v.Const == nil || !v.Const.DType().IsInt() {
		return nil, false
	}
	return v.Const.Ints(), true
}

// inputToAttr turns a constant input into an attribute. Reductions over axes that are
// given but empty mean something else when noop_with_empty_axes is set.
func inputToAttr(name string, i int) func(*graph.Node) error {
	return func(n *graph.Node) error {
		noop := n.Attrs.Bool("noop_with_empty_axes", false)
		v := n.In(i)
		list, ok := constInts(v)
		switch {
		case v != nil && !ok:
			return fmt.Errorf("input %s is not constant", name)
		case noop && len(list) == 0:
			return errors.New("noop_with_empty_axes is set")
		}
		if n.Attrs == nil {
			n.Attrs = graph.Attrs{}
		}
		delete(n.Attrs, "noop_with_empty_axes")
		if v != nil {
			n.Inputs = n.Inputs[:i]
		}
		if len(list) > 0 {
			n.Attrs[name] = list
		}
		return nil
	}
}

func inputToAxis(i int) func(*graph.Node) error {
	return func(n *graph.Node) error {
		axis := int64(-2)
		if v := n.In(i); v != nil {
			list, ok := constInts(v)
			if !ok || len(list) != 1 {
				return errors.New("input axis is not constant")
			}
			axis = list[0]
			n.Inputs = n.Inputs[:i]
		}
		if axis < 0 {
			s := n.In(0).Type.Shape
			if s == nil {
				return errors.New("axis is negative and the rank is not known")
			}
			axis += int64(len(s))
		}
		if n.Attrs == nil {
			n.Attrs = graph.Attrs{}
		}
		n.Attrs["axis"] = axis
		return nil
	}
}

func dropDefault(name string, def int64) func(*graph.Node) error {
	return func(n *graph.Node) error {
		if v := n.Attrs.Int(name, def); v != def {
			return fmt.Errorf("%s=%d", name, v)
		}
		delete(n.Attrs, name)
		return nil
	}
}

func dropString(name, def string) func(*graph.Node) error {
	return func(n *graph.Node) error {
		if v := n.Attrs.String(name, def); v != def {
			return fmt.Errorf("%s=%s", name, v)
		}
		delete(n.Attrs, name)
		return nil
	}
}

func notString(name, bad string) func(*graph.Node) error {
	return func(n *graph.Node) error {
		if n.Attrs.String(name, "") == bad {
			return fmt.Errorf("%s=%s", name, bad)
		}
		return nil
	}
}

func reduction(allowed ...string) func(*graph.Node) error {
	return func(n *graph.Node) error {
		if v := n.Attrs.String("reduction", "none"); !slices.Contains(allowed, v) {
			return fmt.Errorf("reduction=%s", v)
		}
		return nil
	}
}

func dropOnes(name string) func(*graph.Node) error {
	return func(n *graph.Node) error {
		for _, v := range n.Attrs.Ints(name) {
			if v != 1 {
				return fmt.Errorf("%s=%v", name, n.Attrs.Ints(name))
			}
		}
		delete(n.Attrs, name)
		return nil
	}
}

func noAttr(name string) func(*graph.Node) error {
	return func(n *graph.Node) error {
		if n.Attrs.Has(name) {
			return fmt.Errorf("attribute %s", name)
		}
		return nil
	}
}

func noInput(i int) func(*graph.Node) error {
	return func(n *graph.Node) error {
		if n.In(i) != nil {
			return fmt.Errorf("input %s", op.Of(n).InputName(i))
		}
		return nil
	}
}

func wantInput(i int) func(*graph.Node) error {
	return func(n *graph.Node) error {
		if n.In(i) == nil {
			return fmt.Errorf("an absent input %s", op.Of(n).InputName(i))
		}
		return nil
	}
}

// dropOutputType removes output_dtype where an input says the same.
func dropOutputType(i int) func(*graph.Node) error {
	return func(n *graph.Node) error {
		d := tensor.DType(n.Attrs.Int("output_dtype", 0))
		if d == tensor.Invalid || n.In(i) != nil && n.In(i).Type.DType == d || n.In(i) == nil && d == tensor.Uint8 && i == 2 {
			delete(n.Attrs, "output_dtype")
			return nil
		}
		return fmt.Errorf("output_dtype=%v", d)
	}
}

func gridSampleOldMode(n *graph.Node) error {
	if s := n.In(0).Type.Shape; len(s) != 4 {
		return errors.New("an input that is not 4-D")
	}
	switch n.Attrs.String("mode", "linear") {
	case "linear":
		n.Attrs["mode"] = "bilinear"
	case "cubic":
		n.Attrs["mode"] = "bicubic"
	}
	return nil
}

func roiAlignOldMode(n *graph.Node) error {
	if n.Attrs.String("coordinate_transformation_mode", "half_pixel") != "output_half_pixel" {
		return errors.New("coordinate_transformation_mode=half_pixel")
	}
	delete(n.Attrs, "coordinate_transformation_mode")
	return nil
}

// splitEqually: a split without sizes had to be even.
func splitEqually(n *graph.Node) error {
	count := int(n.Attrs.Int("num_outputs", 0))
	if n.In(1) != nil {
		delete(n.Attrs, "num_outputs")
		return nil
	}
	shape := n.In(0).Type.Shape
	axis, err := op.ResolveAxis(n.Attrs.Int("axis", 0), len(shape))
	if err != nil || !shape[axis].Known() || count < 1 {
		return errors.New("num_outputs with a size that is not known")
	}
	size := shape[axis].Size
	if size%count != 0 {
		return fmt.Errorf("an uneven split of %d into %d", size, count)
	}
	delete(n.Attrs, "num_outputs")
	return nil
}
