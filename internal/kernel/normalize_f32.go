package kernel

import (
	"math"

	"github.com/edgewise-ml/edgewise/internal/cpu"
)

// Softmax writes e^((x-m)·scale)/Σ, m the maximum, of each row of n values of src to dst,
// which may be src. The scale is positive: that of the logits, as attention has it, or 1.
// A row of -∞ alone becomes NaN.
func Softmax(l cpu.Level, dst, src []float32, n int, scale float32) {
	checkRows("softmax", dst, src, n)
	if len(src) == 0 || softmaxArch(l, dst, src, n, scale) {
		return
	}
	for i := 0; i < len(src); i += n {
		d, x := dst[i:i+n], src[i:i+n]
		Sub.Apply(l, d, x, []float32{maximum(l, x)})
		if scale != 1 {
			Mul.Apply(l, d, d, []float32{scale})
		}
		Act{Kind: ActExp}.Apply(l, d, d)
		Mul.Apply(l, d, d, []float32{1 / sum(l, d)})
	}
}

// LogSoftmax writes x-m-ln Σe^(x-m), m the maximum, of each row of n values of
// src to dst, which may be src.
func LogSoftmax(l cpu.Level, dst, src []float32, n int) {
	checkRows("logsoftmax", dst, src, n)
	for i := 0; i < len(src); i += n {
		d, x := dst[i:i+n], src[i:i+n]
		m := maximum(l, x)
		s := 0.0
		for _, v := range x {
			s += float64(expF32(v - m))
		}
		Sub.Apply(l, d, x, []float32{m})
		Sub.Apply(l, d, d, []float32{float32(math.Log(s))})
	}
}

// LayerNorm writes (x-mean)/√(variance+eps)·scale+shift of each row of
// len(scale) values of src to dst, which may be src. shift may be nil.
func LayerNorm(l cpu.Level, dst, src, scale, shift []float32, eps float32) {
	normRows(l, dst, src, scale, shift, eps, true)
}

// RMSNorm writes x/√(mean x²+eps)·scale of each row of len(scale) values of src to dst,
// which may be src.
func RMSNorm(l cpu.Level, dst, src, scale []float32, eps float32) {
	normRows(l, dst, src, scale, nil, eps, false)
}

func normRows(l cpu.Level, dst, src, scale, shift []float32, eps float32, centre bool) {
	n := len(scale)
	checkRows("layernorm", dst, src, n)
	if shift != nil && len(shift) != n {
		panic("kernel: layernorm with scale and shift of different lengths")
	}
	if len(src) == 0 || layerNormArch(l, dst, src, scale, shift, eps, centre) {
		return
	}
	for i := 0; i < len(src); i += n {
		d, x := dst[i:i+n], src[i:i+n]
		if centre {
			Sub.Apply(l, d, x, []float32{sum(l, x) / float32(n)})
			x = d
		}
		variance := sumSquares(l, x) / float32(n)
		Mul.Apply(l, d, x, []float32{float32(1 / math.Sqrt(float64(variance)+float64(eps)))})
		Mul.Apply(l, d, d, scale)
		if shift != nil {
			Add.Apply(l, d, d, shift)
		}
	}
}

func checkRows(what string, dst, src []float32, n int) {
	if len(dst) != len(src) || n < 1 || len(src)%n != 0 {
		panic("kernel: " + what + " of slices that are no equal number of rows")
	}
}

// GroupNorm writes (x-mean)/√(variance+eps) of src to dst, which may be src, and then
// scales and shifts each of the len(scale) equal parts, the channels of a group.
func GroupNorm(l cpu.Level, dst, src, scale, shift []float32, eps float32) {
	channels := len(scale)
	if len(dst) != len(src) || len(shift) != channels || channels == 0 || len(src)%channels != 0 {
		panic("kernel: groupnorm of slices that do not fit")
	}
	Sub.Apply(l, dst, src, []float32{sum(l, src) / float32(len(src))})
	variance := sumSquares(l, dst) / float32(len(src))
	inverse := float32(1 / math.Sqrt(float64(variance)+float64(eps)))
	plane := len(src) / channels
	for c := range channels {
		d := dst[c*plane : (c+1)*plane]
		Mul.Apply(l, d, d, []float32{scale[c] * inverse})
		Add.Apply(l, d, d, shift[c:c+1])
	}
}
