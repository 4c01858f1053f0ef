package kernel

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/edgewise-ml/edgewise/internal/cpu"
)

// packedConvs prepares a dense, a strided, a grouped, a depthwise and a pointwise convolution.
// Without weights only those of a Packing that adopts can be prepared.
func packedConvs(t *testing.T, l cpu.Level, p *Packing, weights bool) []*ConvF32 {
	t.Helper()
	r := rand.New(rand.NewPCG(7, 7))
	shape := func(c, m, k, groups int) ConvShape {
		return ConvShape{Batch: 1, InH: 9, InW: 11, InC: c, OutH: 9, OutW: 11, OutC: m, KernelH: k, KernelW: k, PadTop: k / 2, PadLeft: k / 2,
			StrideH: 1, StrideW: 1, DilationH: 1, DilationW: 1, Groups: groups, InStride: c, OutStride: m}
	}
	var out []*ConvF32
	for _, s := range []ConvShape{shape(5, 37, 3, 1), shape(8, 12, 3, 2), shape(19, 19, 3, 19), shape(24, 33, 1, 1)} {
		w, b := randomF32(r, s.weightLen()), randomF32(r, s.OutC)
		if !weights {
			w = nil
		}
		c, err := NewConvF32(l, s, w, b, Act{}, false, PackInto(p, nil))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, c)
	}
	return out
}

func randomF32(r *rand.Rand, n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = r.Float32()*2 - 1
	}
	return v
}

func TestPackedWeightsOfEarlierPreparationsServe(t *testing.T) {
	for _, l := range cpu.Levels() {
		run := func(convs []*ConvF32) (all []float32) {
			for _, c := range convs {
				src := randomF32(rand.New(rand.NewPCG(1, 2)), c.shape.inLen())
				dst := make([]float32, c.shape.outLen())
				c.Run(dst, src, nil, make([]byte, c.ScratchBytes()), 0, c.Units())
				all = append(all, dst...)
			}
			return all
		}
		want := run(packedConvs(t, l, nil, true))
		first := &Packing{}
		convs := packedConvs(t, l, first, true)
		mark := first.Mark()
		packedConvs(t, l, first, true) // tried, and not used
		first.Reset(mark)
		if err := first.Finish(3); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(run(convs), want) {
			t.Errorf("%v: weights packed together give other results than packed alone", l)
		}
		second := Adopt(first.Blobs())
		convs = packedConvs(t, l, second, false)
		if err := second.Finish(1); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(run(convs), want) {
			t.Errorf("%v: adopted weights give other results than packed ones", l)
		}
	}
}

func TestPackedWeightsThatDoNotFitAreRefused(t *testing.T) {
	good := &Packing{}
	packedConvs(t, cpu.Generic, good, true)
	if err := good.Finish(1); err != nil {
		t.Fatal(err)
	}
	blobs := good.Blobs()
	short := slices.Clone(blobs)
	short[2] = short[2][:len(short[2])-4]
	shifted := slices.Clone(blobs)
	shifted[0] = append(make([]byte, 4), blobs[0]...)[4:]
	for name, b := range map[string][][]byte{"none": nil, "too few": blobs[:3], "too many": append(slices.Clone(blobs), blobs[0]), "short": short, "unaligned": shifted} {
		p := Adopt(b)
		packedConvs(t, cpu.Generic, p, false)
		if p.Finish(1) == nil {
			t.Errorf("%s: packed weights that do not fit are taken", name)
		}
	}
}

func TestWeightsInTheOrderOfFiles(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, l := range cpu.Levels() {
		s := ConvShape{Batch: 1, InH: 6, InW: 7, InC: 6, OutH: 6, OutW: 7, OutC: 70, KernelH: 3, KernelW: 3, PadTop: 1, PadLeft: 1,
			StrideH: 1, StrideW: 1, DilationH: 1, DilationW: 1, Groups: 2, InStride: 6, OutStride: 70}
		w, bias, src := randomF32(r, s.weightLen()), randomF32(r, s.OutC), randomF32(r, s.inLen())
		first := make([]float32, len(w)) // [OutC][C][taps]
		for o := range s.OutC {
			Transpose(first[o*27:(o+1)*27], w[o*27:(o+1)*27], 9, 3)
		}
		compare(t, l, s, src, w, first, bias, ChannelsFirst())
		s = ConvShape{Batch: 1, InH: 1, InW: 5, InC: 21, OutH: 1, OutW: 5, OutC: 45, KernelH: 1, KernelW: 1,
			StrideH: 1, StrideW: 1, DilationH: 1, DilationW: 1, Groups: 1, InStride: 21, OutStride: 45}
		w, src = randomF32(r, s.weightLen()), randomF32(r, s.inLen())
		columns := make([]float32, len(w))
		Transpose(columns, w, 45, 21)
		compare(t, l, s, src, w, columns, bias[:45], Columns())
	}
}

// compare runs a convolution with the same weights in two orders.
func compare(t *testing.T, l cpu.Level, s ConvShape, src, w, other, bias []float32, o Option) {
	t.Helper()
	var got [2][]float32
	for i, weights := range [][]float32{w, other} {
		var opts []Option
		if i == 1 {
			opts = append(opts, o)
		}
		c, err := NewConvF32(l, s, weights, bias, Act{}, false, opts...)
		if err != nil {
			t.Fatal(err)
		}
		got[i] = make([]float32, s.outLen())
		c.Run(got[i], src, nil, make([]byte, c.ScratchBytes()), 0, c.Units())
	}
	if !slices.Equal(got[0], got[1]) {
		t.Errorf("%v: the order of the weights changes the result", l)
	}
}
