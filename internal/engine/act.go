package engine

import (
	"math"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/kernel"
	"github.com/edgewise-ml/edgewise/tensor"
)

// plainActs are the functions without attributes.
var plainActs = map[string]kernel.ActKind{"Exp": kernel.ActExp, "Log": kernel.ActLog, "Erf": kernel.ActErf, "Sqrt": kernel.ActSqrt,
	"Abs": kernel.ActAbs, "Round": kernel.ActRound, "Floor": kernel.ActFloor, "Ceil": kernel.ActCeil}

// activation returns the kernel's form of a float32 activation node.
func activation(n *graph.Node) (a kernel.Act, ok bool) {
	if x := n.In(0); x == nil || x.Type.DType != tensor.Float32 {
		return a, false
	}
	attrs := n.Attrs
	if n.Domain == graph.DomainMicrosoft {
		switch n.Op {
		case "Gelu":
			return kernel.Act{Kind: kernel.ActGelu}, true
		case "FastGelu":
			return kernel.Act{Kind: kernel.ActGeluTanh}, n.In(1) == nil
		}
		return a, false
	}
	if n.Domain != "" {
		return a, false
	}
	switch n.Op {
	case "Relu":
		return kernel.Act{Kind: kernel.ActClamp, Lo: 0, Hi: float32(math.Inf(1))}, true
	case "Clip":
		lo, okLo := clipBound(n.In(1), float32(math.Inf(-1)))
		hi, okHi := clipBound(n.In(2), float32(math.Inf(1)))
		return kernel.Act{Kind: kernel.ActClamp, Lo: lo, Hi: hi}, okLo && okHi
	case "LeakyRelu":
		return kernel.Act{Kind: kernel.ActLeakyRelu, Alpha: attrs.Float("alpha", 0.01)}, true
	case "Sigmoid":
		return kernel.Act{Kind: kernel.ActSigmoid}, true
	case "Tanh":
		return kernel.Act{Kind: kernel.ActTanh}, true
	case "HardSigmoid":
		return kernel.Act{Kind: kernel.ActHardSigmoid, Alpha: attrs.Float("alpha", 0.2), Beta: attrs.Float("beta", 0.5)}, true
	case "HardSwish":
		return kernel.Act{Kind: kernel.ActHardSwish}, true
	case "Swish":
		return kernel.Act{Kind: kernel.ActSiLU}, attrs.Float("alpha", 1) == 1
	case "Gelu":
		if attrs.String("approximate", "none") == "tanh" {
			return kernel.Act{Kind: kernel.ActGeluTanh}, true
		}
		return kernel.Act{Kind: kernel.ActGelu}, true
	case "Elu":
		return kernel.Act{Kind: kernel.ActElu, Alpha: attrs.Float("alpha", 1)}, true
	case "Softplus":
		return kernel.Act{Kind: kernel.ActSoftplus}, true
	case "Mish":
		return kernel.Act{Kind: kernel.ActMish}, true
	}
	if kind, ok := plainActs[n.Op]; ok {
		return kernel.Act{Kind: kind}, true
	}
	return a, false
}

func clipBound(v *graph.Value, def float32) (float32, bool) {
	switch {
	case v == nil:
		return def, true
	case v.Const == nil || v.Const.DType() != tensor.Float32 || v.Const.Len() != 1:
		return 0, false
	}
	b := v.Const.F32()[0]
	return b, b == b
}
