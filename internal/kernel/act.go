package kernel

import (
	"errors"
	"fmt"
	"math"
)

// ActKind names an activation, an elementwise function of one value.
type ActKind uint8

const (
	ActNone        ActKind = iota // x
	ActClamp                      // min(max(x, Lo), Hi): Relu, Relu6 and Clip
	ActLeakyRelu                  // x < 0 ? Alpha·x : x
	ActPRelu                      // x < 0 ? Slope[channel]·x : x
	ActSigmoid                    // 1/(1+e^-x)
	ActTanh                       // tanh x
	ActHardSigmoid                // min(max(Alpha·x+Beta, 0), 1)
	ActHardSwish                  // x·min(max(x/6+1/2, 0), 1)
	ActSiLU                       // x/(1+e^-x)
	ActGelu                       // x/2·(1+erf(x/√2))
	ActGeluTanh                   // x/2·(1+tanh(√(2/π)·(x+0.044715·x³)))
	ActElu                        // x < 0 ? Alpha·(e^x-1) : x
	ActSoftplus                   // ln(1+e^x)
	ActMish                       // x·tanh(ln(1+e^x))
	ActExp                        // e^x
	ActLog                        // ln x
	ActErf                        // 2/√π·∫e^-t² from 0 to x
	ActSqrt                       // √x
	ActAbs                        // |x|
	ActRound                      // to the nearest whole number, halves to even
	ActFloor                      // to the next lower whole number
	ActCeil                       // to the next higher whole number
	actKinds
)

var actNames = [actKinds]string{"none", "clamp", "leakyrelu", "prelu", "sigmoid", "tanh", "hardsigmoid", "hardswish",
	"silu", "gelu", "gelutanh", "elu", "softplus", "mish", "exp", "log", "erf", "sqrt", "abs", "round", "floor", "ceil"}

func (k ActKind) String() string {
	if k < actKinds {
		return actNames[k]
	}
	return fmt.Sprintf("act(%d)", uint8(k))
}

// An Act is an activation with its parameters, applied to the result of an
// operator while it is still in cache. The zero Act changes nothing.
type Act struct {
	Kind        ActKind
	Lo, Hi      float32   // ActClamp
	Alpha, Beta float32   // ActLeakyRelu, ActElu: Alpha; ActHardSigmoid: both
	Slope       []float32 // ActPRelu: one value a channel, the last dimension
}

// Validate reports whether the activation is one of those known. A clamp with
// Lo above Hi is allowed and yields Hi, as ONNX Clip does.
func (a Act) Validate() error {
	if a.Kind >= actKinds {
		return fmt.Errorf("unknown activation %v", a.Kind)
	}
	if a.Kind == ActClamp && (a.Lo != a.Lo || a.Hi != a.Hi) {
		return fmt.Errorf("activation clamp has bounds %v..%v", a.Lo, a.Hi)
	}
	if a.Kind == ActPRelu && len(a.Slope) == 0 {
		return errors.New("activation prelu has no slopes")
	}
	return nil
}

// clamp returns the bounds that a micro-kernel applies itself, and whether
// another function remains to be applied to what it stored.
func (a Act) clamp() (lo, hi float32, more bool) {
	switch a.Kind {
	case ActNone:
		return float32(math.Inf(-1)), float32(math.Inf(1)), false
	case ActClamp:
		return a.Lo, a.Hi, false
	}
	return float32(math.Inf(-1)), float32(math.Inf(1)), true
}
