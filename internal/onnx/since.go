package onnx

import (
	"fmt"
	"slices"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// typeSince returns the opset from which values of type d may flow at all.
func typeSince(d tensor.DType) int64 {
	switch d {
	case tensor.Float8E4M3FN, tensor.Float8E4M3FNUZ, tensor.Float8E5M2, tensor.Float8E5M2FNUZ:
		return 19
	case tensor.Int4, tensor.Uint4:
		return 21
	case tensor.Float4E2M1:
		return 23
	case tensor.Float8E8M0:
		return 24
	case tensor.Int2, tensor.Uint2:
		return 25
	}
	return MinOpset
}

// typeRule says that an operator takes some types only from an opset on.
type typeRule struct {
	since int64
	holds func(graph.Type) bool
}

// typeRules lists operators whose types were widened after MinOpset.
var typeRules = map[string][]typeRule{
	"Add":                {{14, of(tensor.Int8, tensor.Uint8, tensor.Int16, tensor.Uint16)}},
	"BatchNormalization": {{14, of(tensor.BFloat16)}},
	"CumSum":             {{14, of(tensor.Float16, tensor.BFloat16)}},
	"DequantizeLinear":   {{19, of(tensor.Float16, tensor.BFloat16)}, {21, of(tensor.Int16, tensor.Uint16)}},
	"Div":                {{14, of(tensor.Int8, tensor.Uint8, tensor.Int16, tensor.Uint16)}},
	"Equal":              {{19, of(tensor.String)}},
	"GreaterOrEqual":     {{16, of(tensor.BFloat16)}},
	"Identity":           {{14, kind(graph.KindSequence)}, {16, kind(graph.KindOptional)}},
	"If":                 {{16, kind(graph.KindOptional)}},
	"IsInf":              {{20, of(tensor.Float16, tensor.BFloat16)}},
	"IsNaN":              {{20, of(tensor.Float8E4M3FN, tensor.Float8E4M3FNUZ, tensor.Float8E5M2, tensor.Float8E5M2FNUZ)}},
	"LeakyRelu":          {{16, of(tensor.BFloat16)}},
	"LessOrEqual":        {{16, of(tensor.BFloat16)}},
	"Loop":               {{16, kind(graph.KindOptional)}},
	"Mul":                {{14, of(tensor.Int8, tensor.Uint8, tensor.Int16, tensor.Uint16)}},
	"OptionalGetElement": {{18, plainInput}},
	"OptionalHasElement": {{18, plainInput}},
	"PRelu":              {{16, of(tensor.BFloat16)}},
	"QLinearMatMul":      {{21, of(tensor.Float16, tensor.BFloat16)}},
	"QuantizeLinear":     {{19, of(tensor.Float16, tensor.BFloat16)}, {21, of(tensor.Int16, tensor.Uint16)}},
	"Range":              {{27, of(tensor.Float16, tensor.BFloat16)}},
	"ReduceMax":          {{20, of(tensor.Bool)}},
	"ReduceMin":          {{20, of(tensor.Bool)}},
	"Relu":               {{14, of(tensor.Int8, tensor.Int16, tensor.Int32, tensor.Int64)}},
	"SplitToSequence":    {{24, of(tensor.BFloat16)}},
	"Sub":                {{14, of(tensor.Int8, tensor.Uint8, tensor.Int16, tensor.Uint16)}},
	"TopK":               {{24, of(tensor.BFloat16)}},
	"Where":              {{16, of(tensor.BFloat16)}},
}

func init() {
	// Opset 22 gave bfloat16 to everything that had been left out until then.
	for _, name := range []string{
		"Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "AveragePool", "Bernoulli", "Conv", "ConvTranspose", "Cos",
		"Cosh", "DeformConv", "Det", "Dropout", "Elu", "EyeLike", "GRU", "GlobalAveragePool", "GlobalLpPool",
		"GlobalMaxPool", "GridSample", "HardSigmoid", "HardSwish", "InstanceNormalization", "LSTM", "LpNormalization",
		"LpPool", "MaxPool", "MaxRoiPool", "MaxUnpool", "Mish", "Multinomial", "NegativeLogLikelihoodLoss", "RNN",
		"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "RoiAlign", "Round", "Selu", "Sin",
		"Sinh", "Softplus", "Softsign", "Tan", "ThresholdedRelu",
	} {
		typeRules[name] = append(typeRules[name], typeRule{22, of(tensor.BFloat16)})
	}
}

func of(types ...tensor.DType) func(graph.Type) bool {
	return func(t graph.Type) bool { return t.Kind == graph.KindTensor && slices.Contains(types, t.DType) }
}

func kind(k graph.Kind) func(graph.Type) bool {
	return func(t graph.Type) bool { return t.Kind == k }
}

// plainInput: what is not an optional could not be asked for its element.
func plainInput(t graph.Type) bool { return t.Kind != graph.KindOptional }

// since returns the least opset that can express n, and what makes it that.
func since(n *graph.Node) (int64, error) {
	if n.Domain != "" {
		return MinOpset, nil
	}
	v := max(introduced[n.Op], MinOpset)
	why := fmt.Errorf("the operator is not older")
	raise := func(to int64, err error) {
		if to > v {
			v, why = to, err
		}
	}
	for _, x := range slices.Concat(n.Inputs, n.Outputs) {
		if x == nil {
			continue
		}
		raise(typeSince(x.Type.DType), fmt.Errorf("%v", x))
		for _, r := range typeRules[n.Op] {
			// The outputs of operators on optionals are plain in any case.
			if r.holds(x.Type) && !(r.since == 18 && x.Def == n) {
				raise(r.since, fmt.Errorf("%v", x))
			}
		}
	}
	for _, d := range downgrades[n.Op] {
		if d.below > v {
			trial := *n
			trial.Attrs, trial.Inputs = n.Attrs.Clone(), slices.Clone(n.Inputs)
			if err := d.apply(&trial); err != nil {
				raise(d.below, err)
			}
		}
	}
	return v, why
}
