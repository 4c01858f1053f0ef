package kernel

import (
	"math/rand/v2"
	"testing"
	"unsafe"

	"github.com/edgewise-ml/edgewise/internal/cpu"
)

func TestChannelsF32StayInsideSlices(t *testing.T) {
	r := rand.New(rand.NewPCG(61, 62))
	for n := 1; n < 150; n++ {
		rows, wide := 1+r.IntN(7), n+r.IntN(3)
		size := (rows-1)*wide + n
		at := func(v []float32) unsafe.Pointer { return unsafe.Pointer(&guardedF32(t, v)[0]) }
		c := channelsF32{a: at(normals(r, size)), b: at(normals(r, size)), m: at(normals(r, n)), u: at(normals(r, n)), t: at(normals(r, n)),
			rows: rows, n: n, aStep: 4 * wide, bStep: 4 * wide}
		sums, out := at(make([]float32, n)), at(make([]float32, size))
		three := channelsF32{acc: at(make([]float32, 3*n)), a: at(normals(r, (rows+1)*wide+n)), b: c.b, rows: rows, n: n, aStep: 4 * wide, bStep: 4 * wide, tapStep: 4 * wide, accTap: 4 * n}
		x, y, gated := guardedF32(t, normals(r, n)), guardedF32(t, normals(r, n)), guardedF32(t, make([]float32, n))
		for _, l := range cpu.Levels() {
			dot, triple, affine := c, three, c
			dot.acc, affine.acc, affine.accStep = sums, out, 4*wide
			dot.dot(l)
			triple.dot3(l)
			dot.sum(l)
			affine.affine(l)
			GateF32(l, gated, x, y, -1, 1)
		}
	}
}

func TestGradientsF32StayInsideSlices(t *testing.T) {
	r := rand.New(rand.NewPCG(63, 64))
	for i := range 60 {
		s := randomShape(r)
		if i%3 == 0 {
			s.OutC, s.Groups = s.InC, s.InC
			s.OutStride, s.ResStride = s.OutC+r.IntN(2), 0
		}
		if i%6 == 1 {
			s = winogradShape(r, 2+i%12/3)
		}
		x, dy, w := guardedF32(t, normals(r, s.inLen())), guardedF32(t, normals(r, s.outLen())), guardedF32(t, normals(r, s.weightLen()))
		dx, y, dw := guardedF32(t, make([]float32, s.inLen())), guardedF32(t, make([]float32, s.outLen())), guardedF32(t, make([]float32, s.weightLen()))
		for _, l := range cpu.Levels() {
			g, err := NewConvWeightsF32(l, s, Winograd())
			if err != nil {
				t.Fatal(err)
			}
			parts := guardedF32(t, make([]float32, g.PartsLen()))
			scratch := guarded(t, g.ScratchBytes())
			g.Run(parts, x, dy, scratch, 0, g.Units())
			g.Finish(dw, parts, scratch, 0, g.FinishUnits())

			v, err := NewVariableConvF32(l, s, false, Winograd())
			if err != nil {
				t.Fatal(err)
			}
			packed := guardedF32(t, make([]float32, v.PackedLen()))
			v.Pack(packed, w, nil)
			v.Run(y, x, packed, guarded(t, v.ScratchBytes()+4)[4:], 0, v.Units())
			if !s.depthwise() {
				continue
			}
			d, err := NewDepthwiseBackF32(l, s)
			if err != nil {
				t.Fatal(err)
			}
			turned := guardedF32(t, make([]float32, d.WeightsLen()))
			d.Turn(turned, w)
			d.Run(dx, dy, turned, 0, d.Units())
		}
	}
}

func TestNBitsF32StaysInsideSlices(t *testing.T) {
	r := rand.New(rand.NewPCG(65, 66))
	for range 60 {
		w := NBitsWeights{K: 1 + r.IntN(400), N: 1 + r.IntN(80), Bits: 2 << r.IntN(3), Block: 8 << r.IntN(6), Zero: func(int, int) float32 { return 1 }}
		w.Q, w.Scale = make([]byte, w.N*w.blocks()*w.Block*w.Bits/8), normals(r, w.N*w.blocks())
		m := 1 + r.IntN(5)
		a, dst := guardedF32(t, normals(r, m*w.K)), guardedF32(t, make([]float32, m*w.N))
		for _, l := range cpu.Levels() {
			p, err := NewNBitsF32(l, m, w.K, w.N, w, nil)
			if err != nil {
				t.Fatal(err)
			}
			packed := guarded(t, len(p.packed))
			copy(packed, p.packed)
			p.packed = packed
			p.Run(dst, a, guarded(t, p.ScratchBytes()+4)[4:], 0, p.Units())
		}
	}
}

func TestBatchNormF32StaysInsideSlices(t *testing.T) {
	r := rand.New(rand.NewPCG(67, 68))
	for i := range 80 {
		n, pixels := 1+r.IntN(150), 1+r.IntN(30)
		wide := n + i%2
		size := (pixels-1)*wide + n
		x, dy, v := guardedF32(t, normals(r, size)), guardedF32(t, normals(r, size)), guardedF32(t, normals(r, n))
		out, mean := guardedF32(t, make([]float32, size)), guardedF32(t, make([]float32, n))
		for _, l := range cpu.Levels() {
			b, err := NewBatchNormF32(l, pixels, n, Act{Kind: ActClamp, Hi: 6})
			if err != nil {
				t.Fatal(err)
			}
			parts, scratch := guardedF32(t, make([]float32, b.PartsLen())), guarded(t, b.ScratchBytes())
			b.Statistics(parts, x, wide, scratch, 0, b.Units())
			b.FinishStatistics(mean, mean, parts)
			b.Apply(out, x, v, v, wide, wide, scratch, 0, b.Units())
			b.Sums(parts, x, dy, v, v, v, wide, wide, scratch, 0, b.Units())
			b.Gradient(out, x, dy, v, v, v, v, v, wide, wide, wide, scratch, 0, b.Units())
		}
	}
}
