package kernel

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/edgewise-ml/edgewise/internal/cpu"
)

// BenchmarkMobileNetV2U8 times the quantized convolutions of MobileNetV2 layer
// by layer on one thread, at every level of this machine.
func BenchmarkMobileNetV2U8(b *testing.B) {
	shapes, times, _ := mobileNetV2()
	for _, l := range cpu.Levels() {
		if l == cpu.Generic {
			continue
		}
		for i, s := range shapes {
			r := rand.New(rand.NewPCG(1, 2))
			w := make([]int8, s.weightLen())
			for j := range w {
				w[j] = int8(r.IntN(256) - 128)
			}
			src, dst := alignedBytes(s.inLen()), alignedBytes(s.outLen())
			for j := range src {
				src[j] = uint8(r.IntN(256))
			}
			op, err := NewConvU8(l, s, w, QuantConv{InZero: 3, Mult: []float32{1e-4}, OutZero: 4, Hi: 255})
			if err != nil {
				b.Fatal(err)
			}
			scratch := alignedBytes(op.ScratchBytes())
			name := fmt.Sprintf("%v/%dx conv%d %d-%d g%d s%d @%d", l, times[i], s.KernelH, s.InC, s.OutC, s.Groups, s.StrideH, s.InH)
			b.Run(name, func(b *testing.B) {
				for b.Loop() {
					op.Run(dst, src, nil, scratch, 0, op.Units())
				}
				macs := float64(s.weightLen()) * float64(s.Batch*s.OutH*s.OutW)
				b.ReportMetric(2*macs*float64(b.N)/b.Elapsed().Seconds()/1e9, "Gop/s")
				b.ReportMetric(float64(times[i])*b.Elapsed().Seconds()/float64(b.N)*1e6, "µs/net")
			})
		}
	}
}

// BenchmarkRowSumsU8 times a pointwise convolution with and without a zero point
// of the weights.
func BenchmarkRowSumsU8(b *testing.B) {
	s := conv(1, 14, 14, 96, 576, 1, 1, 1, 1, 0, 1)
	for _, zero := range [][]int32{nil, {9}} {
		op, err := NewConvU8(cpu.Best(), s, make([]int8, s.weightLen()), QuantConv{Mult: []float32{1e-4}, Hi: 255, WeightZero: zero})
		if err != nil {
			b.Fatal(err)
		}
		src, dst, scratch := alignedBytes(s.inLen()), alignedBytes(s.outLen()), alignedBytes(op.ScratchBytes())
		b.Run(fmt.Sprint(len(zero)), func(b *testing.B) {
			for b.Loop() {
				op.Run(dst, src, nil, scratch, 0, op.Units())
			}
		})
	}
}
