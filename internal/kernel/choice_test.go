package kernel

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/edgewise-ml/edgewise/internal/cpu"
)

// What a name may not ask for is refused: kernels of other operators, of levels above the
// one given, Winograd's form where it is not allowed or not possible.
func TestChoicesAreRefused(t *testing.T) {
	dense := ConvShape{Batch: 1, InH: 8, InW: 8, InC: 32, OutH: 8, OutW: 8, OutC: 32, KernelH: 3, KernelW: 3, StrideH: 1, StrideW: 1,
		DilationH: 1, DilationW: 1, PadTop: 1, PadLeft: 1, Groups: 1, InStride: 32, OutStride: 32}
	deep := dense
	deep.Groups = 32
	strided := dense
	strided.StrideH, strided.StrideW, strided.OutH, strided.OutW = 2, 2, 4, 4
	for _, l := range cpu.Levels() {
		for _, c := range []struct {
			shape  ConvShape
			choice string
			opts   []Option
		}{
			{dense, "f32_gemm_99x99_avx512", nil},
			{dense, "f32_dw_16c_go", nil},
			{dense, winogradKernel(l, 4).name, nil},
			{strided, winogradKernel(l, 4).name, []Option{Winograd()}},
			{deep, gemmTile(l).name, nil},
			{dense, "gemm", nil},
		} {
			_, err := NewConvF32(l, c.shape, make([]float32, c.shape.weightLen()), nil, Act{}, false, append(c.opts, Choice(c.choice))...)
			if !errors.Is(err, ErrChoice) || !strings.Contains(err.Error(), c.choice) {
				t.Errorf("%v: %s for %+v: got %v", l, c.choice, c.shape, err)
			}
		}
		q := QuantConv{Mult: []float32{1}, Hi: 255}
		for _, s := range []ConvShape{dense, deep} {
			if _, err := NewConvU8(l, s, make([]int8, s.weightLen()), q, Choice("u8s8_gemm_1x1_avx2")); !errors.Is(err, ErrChoice) {
				t.Errorf("%v: got %v", l, err)
			}
		}
	}
	for _, k := range gemmTilesF32 {
		if k.level == cpu.Generic {
			continue
		}
		if _, err := NewConvF32(cpu.Generic, dense, make([]float32, dense.weightLen()), nil, Act{}, false, Choice(k.name)); !errors.Is(err, ErrChoice) {
			t.Errorf("%s at the generic level: got %v", k.name, err)
		}
	}
}

// The first candidate is what is taken without a choice, and no name stands twice.
func TestCandidates(t *testing.T) {
	s := ConvShape{Batch: 1, InH: 56, InW: 56, InC: 64, OutH: 56, OutW: 56, OutC: 72, KernelH: 3, KernelW: 3, StrideH: 1, StrideW: 1,
		DilationH: 1, DilationW: 1, PadTop: 1, PadLeft: 1, Groups: 1, InStride: 64, OutStride: 72}
	for _, l := range cpu.Levels() {
		f, err := NewConvF32(l, s, make([]float32, s.weightLen()), nil, Act{}, false, Winograd())
		if err != nil {
			t.Fatal(err)
		}
		q, err := NewConvU8(l, s, make([]int8, s.weightLen()), QuantConv{Mult: []float32{1}, Hi: 255})
		if err != nil {
			t.Fatal(err)
		}
		for _, op := range []interface {
			Name() string
			Candidates() []string
			Why() string
		}{f, q} {
			names := op.Candidates()
			if !strings.Contains(op.Name(), names[0]) {
				t.Errorf("%v: %s takes %s first", l, op.Name(), names[0])
			}
			if (len(names) == 1) != (op.Why() == whyOnly) {
				t.Errorf("%v: %s of %v: %s", l, op.Name(), names, op.Why())
			}
			if slices.Sort(names); len(slices.Compact(names)) < len(names) {
				t.Errorf("%v: %v", l, names)
			}
		}
		if m := s.winogradTile(); m > 0 && f.UsesWinograd() && !strings.HasPrefix(f.Why(), "cost model: winograd") {
			t.Errorf("%v: %s by %s", l, f.Name(), f.Why())
		}
	}
}
