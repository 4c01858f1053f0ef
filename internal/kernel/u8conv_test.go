package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/edgewise-ml/edgewise/internal/cpu"
)

// naiveAccumulators computes a quantized convolution from its definition, in
// int64, as [pixel][OutC].
func naiveAccumulators(s ConvShape, w []int8, q QuantConv, inZero uint8, src []uint8) []int64 {
	var acc []int64
	cg, ng := s.InC/s.Groups, s.OutC/s.Groups
	for b := range s.Batch {
		for y := range s.OutH {
			for x := range s.OutW {
				for n := range s.OutC {
					sum := int64(channel(q.Bias, n))
					for kh := range s.KernelH {
						for kw := range s.KernelW {
							iy, ix := y*s.StrideH-s.PadTop+kh*s.DilationH, x*s.StrideW-s.PadLeft+kw*s.DilationW
							if iy < 0 || iy >= s.InH || ix < 0 || ix >= s.InW {
								continue
							}
							for c := range cg {
								v := int64(src[((b*s.InH+iy)*s.InW+ix)*s.InStride+n/ng*cg+c]) - int64(inZero)
								sum += v * (int64(w[((n*s.KernelH+kh)*s.KernelW+kw)*cg+c]) - int64(channel(q.WeightZero, n)))
							}
						}
					}
					acc = append(acc, sum)
				}
			}
		}
	}
	return acc
}

// naiveRequant is the rule of requant.go in float64 where that is exact.
func naiveRequant(acc int64, mult float32, zero, lo, hi uint8) uint8 {
	v := float32(acc) * mult
	r := math.RoundToEven(float64(v)) + float64(zero)
	return uint8(min(max(r, float64(lo)), float64(hi)))
}

func naiveAdd(q QuantAdd, a, b uint8) uint8 {
	// Converted, so that no compiler may fuse a product into the sum.
	x, y := float32(float32(int(a)-int(q.AZero))*q.AMult), float32(float32(int(b)-int(q.BZero))*q.BMult)
	s := x + y
	r := math.RoundToEven(float64(s)) + float64(q.OutZero)
	return uint8(min(max(r, float64(q.Lo)), float64(q.Hi)))
}

type convCase struct {
	name    string
	s       ConvShape
	extreme bool
	wz      int // 0 none, 1 one, 2 per channel
	res     bool
	perChan bool
}

func conv(batch, h, w, inC, outC, kh, kw, stride, dil, pad, groups int) ConvShape {
	s := ConvShape{Batch: batch, InH: h, InW: w, InC: inC, OutC: outC, KernelH: kh, KernelW: kw, StrideH: stride, StrideW: stride,
		DilationH: dil, DilationW: dil, PadTop: pad, PadLeft: pad, Groups: groups, InStride: inC, OutStride: outC, ResStride: outC}
	s.OutH = (h+2*pad-dil*(kh-1)-1)/stride + 1
	s.OutW = (w+2*pad-dil*(kw-1)-1)/stride + 1
	return s
}

func convCases() []convCase {
	var cs []convCase
	add := func(name string, s ConvShape, f ...func(*convCase)) {
		c := convCase{name: name, s: s, perChan: true}
		for _, g := range f {
			g(&c)
		}
		cs = append(cs, c)
	}
	extreme := func(c *convCase) { c.extreme = true }
	res := func(c *convCase) { c.res = true }
	wz1 := func(c *convCase) { c.wz = 1 }
	wzN := func(c *convCase) { c.wz = 2 }
	one := func(c *convCase) { c.perChan = false }
	views := func(c *convCase) { c.s.InStride += 5; c.s.OutStride += 3; c.s.ResStride += 7 }
	add("pointwise", conv(1, 7, 7, 32, 48, 1, 1, 1, 1, 0, 1))
	add("pointwise residual", conv(1, 7, 9, 24, 24, 1, 1, 1, 1, 0, 1), res)
	add("pointwise odd", conv(2, 5, 3, 13, 37, 1, 1, 1, 1, 0, 1), res, views)
	add("pointwise one channel", conv(1, 30, 30, 1, 3, 1, 1, 1, 1, 0, 1), one)
	add("pointwise all heights", conv(1, 1, 14*3+7+4+2+1, 24, 40, 1, 1, 1, 1, 0, 1), wzN)
	add("pointwise stride", conv(1, 15, 15, 16, 70, 1, 1, 2, 1, 0, 1))
	add("pointwise padded", conv(1, 6, 6, 8, 9, 1, 1, 1, 1, 1, 1))
	add("gemv", conv(1, 1, 1, 300, 101, 1, 1, 1, 1, 0, 1))
	add("extreme", conv(1, 3, 5, 2048, 40, 1, 1, 1, 1, 0, 1), extreme)
	add("extreme 3x3", conv(1, 6, 6, 64, 33, 3, 3, 1, 1, 1, 1), extreme)
	add("extreme depthwise", conv(1, 9, 9, 80, 80, 3, 3, 1, 1, 1, 80), extreme)
	add("asymmetric", conv(1, 4, 5, 21, 35, 1, 1, 1, 1, 0, 1), wz1)
	add("asymmetric channels 3x3", conv(1, 6, 5, 10, 20, 3, 3, 1, 1, 1, 1), wzN)
	add("asymmetric depthwise", conv(1, 9, 8, 33, 33, 3, 3, 1, 1, 1, 33), wz1, extreme)
	add("first conv", conv(1, 41, 43, 3, 32, 3, 3, 2, 1, 1, 1))
	add("first conv stride 1", conv(1, 20, 40, 3, 16, 3, 3, 1, 1, 1, 1))
	add("3x3 narrow", conv(1, 19, 23, 4, 12, 3, 3, 1, 1, 0, 1))
	add("3x3", conv(2, 8, 8, 16, 24, 3, 3, 1, 1, 1, 1), res)
	add("5x5 dilated", conv(1, 12, 11, 6, 10, 5, 5, 1, 2, 4, 1), views)
	add("3x1", func() ConvShape { s := conv(1, 9, 40, 5, 8, 3, 1, 1, 1, 0, 1); return s }())
	add("grouped", conv(1, 6, 7, 12, 18, 3, 3, 1, 1, 1, 3), res)
	add("grouped pointwise", conv(1, 6, 7, 16, 80, 1, 1, 1, 1, 0, 2))
	for _, c := range []int{2, 16, 24, 32, 64, 96, 144, 200} {
		for _, stride := range []int{1, 2} {
			add(fmt.Sprint("depthwise 3x3 ", c, " stride ", stride), conv(1, 9, 10, c, c, 3, 3, stride, 1, 1, c))
		}
	}
	add("depthwise 3x3 views", conv(2, 5, 6, 70, 70, 3, 3, 1, 1, 1, 70), views, res)
	add("depthwise 3x3 wide border", conv(1, 3, 2, 20, 20, 3, 3, 1, 1, 3, 20))
	add("depthwise 3x3 stride 3", conv(1, 11, 10, 20, 20, 3, 3, 3, 1, 1, 20))
	add("depthwise 5x5", conv(1, 9, 10, 72, 72, 5, 5, 1, 1, 2, 72))
	add("depthwise 5x5 stride 2", conv(1, 9, 10, 40, 40, 5, 5, 2, 1, 2, 40))
	add("depthwise dilated", conv(1, 9, 10, 17, 17, 3, 3, 1, 2, 2, 17))
	add("depthwise multiplier", conv(1, 7, 6, 9, 27, 3, 3, 1, 1, 1, 9), views)
	add("depthwise 9x9", conv(1, 12, 11, 18, 18, 9, 9, 1, 1, 4, 18))
	add("depthwise 7x7", conv(1, 12, 11, 41, 41, 7, 7, 1, 1, 3, 41))
	add("depthwise asymmetric wide weights", conv(1, 9, 8, 20, 20, 5, 5, 1, 1, 2, 20), wzN)
	add("depthwise 10x4", func() ConvShape {
		s := conv(1, 49, 10, 1, 64, 10, 4, 2, 1, 1, 1)
		return s
	}())
	return cs
}

func (c convCase) build(r *rand.Rand) (w []int8, q QuantConv, src, residual []uint8) {
	s := c.s
	w = make([]int8, s.weightLen())
	src, residual = make([]uint8, s.inLen()), make([]uint8, s.resLen())
	for i := range w {
		w[i] = int8(r.IntN(256) - 128)
		if c.extreme {
			w[i] = int8(-128 + 255*(i/(len(w)/s.OutC)%2))
		}
	}
	for i := range src {
		src[i] = uint8(r.IntN(256))
		if c.extreme {
			src[i] = 255
		}
	}
	for i := range residual {
		residual[i] = uint8(r.IntN(256))
	}
	q = QuantConv{InZero: uint8(r.IntN(256)), OutZero: uint8(r.IntN(256)), Hi: 255}
	if c.extreme {
		q.InZero = 0
	}
	if r.IntN(2) == 0 {
		q.Lo, q.Hi = 20, 230
	}
	n := s.OutC
	if !c.perChan {
		n = 1
	}
	k := float64(s.weightLen() / s.OutC)
	for range n {
		q.Mult = append(q.Mult, float32((0.2+r.Float64())/(math.Sqrt(k)*80)))
	}
	for range s.OutC {
		q.Bias = append(q.Bias, int32(r.IntN(20000)-10000))
	}
	switch c.wz {
	case 1:
		q.WeightZero = []int32{int32(r.IntN(255) - 127)}
	case 2:
		for range s.OutC {
			q.WeightZero = append(q.WeightZero, int32(r.IntN(255)-127))
		}
	}
	if c.res {
		q.Residual = &QuantAdd{AZero: q.OutZero, BZero: 77, AMult: 0.7, BMult: 0.9, OutZero: 120, Lo: 3, Hi: 250}
	}
	return w, q, src, residual
}

// runUnits runs an op in several calls, last units first, with dirty scratch.
func runUnits(op Op, f func(scratch []byte, lo, hi int)) {
	scratch := alignedBytes(op.ScratchBytes())
	for i := range scratch {
		scratch[i] = 0xA5
	}
	for hi := op.Units(); hi > 0; {
		lo := max(0, hi-3)
		f(scratch, lo, hi)
		hi = lo
	}
}

func TestConvU8(t *testing.T) {
	for _, c := range convCases() {
		t.Run(c.name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, uint64(len(c.name))))
			for range 3 {
				c.check(t, r)
			}
		})
	}
}

// Shapes drawn at random, each checked at every level.
func TestConvU8Shapes(t *testing.T) {
	n := 150
	if testing.Short() {
		n = 30
	}
	r := rand.New(rand.NewPCG(17, 4))
	for range n {
		groups, cg, ng := 1, 1+r.IntN(40), 1+r.IntN(70)
		switch r.IntN(4) {
		case 0:
			groups, cg, ng = 1+r.IntN(90), 1, 1
		case 1:
			groups, cg, ng = 1+r.IntN(5), 1+r.IntN(9), 1+r.IntN(20)
		}
		kh, kw, dil := 1+r.IntN(5), 1+r.IntN(5), 1+r.IntN(2)
		h, w := dil*(kh-1)+1+r.IntN(9), dil*(kw-1)+1+r.IntN(30)
		s := conv(1+r.IntN(2), h, w, groups*cg, groups*ng, kh, kw, 1+r.IntN(3), dil, 0, groups)
		s.StrideH = 1 + r.IntN(2)
		s.PadTop, s.PadLeft = r.IntN(kh*dil), r.IntN(kw*dil)
		s.OutH = 1 + (h+s.PadTop+r.IntN(kh*dil)-dil*(kh-1)-1)/s.StrideH
		s.OutW = 1 + (w+s.PadLeft+r.IntN(kw*dil)-dil*(kw-1)-1)/s.StrideW
		if r.IntN(2) == 0 {
			s.InStride += r.IntN(9)
			s.OutStride += r.IntN(9)
			s.ResStride += r.IntN(9)
		}
		c := convCase{s: s, wz: max(0, r.IntN(5)-2), res: r.IntN(3) == 0, perChan: r.IntN(2) == 0, extreme: r.IntN(5) == 0}
		if c.check(t, r); t.Failed() {
			t.Fatalf("shape %+v", s)
		}
	}
}

// Few channels and short output rows: windows gathered from copied lines, over
// several units and images, with kernels and strides that differ by axis.
func TestConvU8Windows(t *testing.T) {
	n := 80
	if testing.Short() {
		n = 20
	}
	r := rand.New(rand.NewPCG(3, 8))
	for range n {
		s := conv(1+r.IntN(3), 1, 1, 1+r.IntN(3), 1+r.IntN(70), 1+r.IntN(11), 2+r.IntN(10), 1, 1, 0, 1)
		s.StrideH, s.StrideW, s.DilationH = 1+r.IntN(3), 1+r.IntN(3), 1+r.IntN(2)
		s.OutH, s.OutW = 1+r.IntN(40), 1+r.IntN(6)
		s.PadTop, s.PadLeft = r.IntN(s.KernelH), r.IntN(s.KernelW)
		s.InH = max((s.OutH-1)*s.StrideH+(s.KernelH-1)*s.DilationH+1-s.PadTop-r.IntN(s.KernelH), 1)
		s.InW = max((s.OutW-1)*s.StrideW+s.KernelW-s.PadLeft-r.IntN(s.KernelW), 1)
		s.InStride += r.IntN(2) * r.IntN(9)
		s.OutStride += r.IntN(2) * r.IntN(9)
		s.ResStride = s.OutStride
		c := convCase{s: s, wz: max(0, r.IntN(5)-2), res: r.IntN(3) == 0, perChan: r.IntN(2) == 0, extreme: r.IntN(5) == 0}
		op, err := NewConvU8(cpu.Generic, s, make([]int8, s.weightLen()), QuantConv{})
		if err != nil {
			t.Fatal(err)
		}
		if op.gemm.source != u8Windows {
			continue
		}
		if c.check(t, r); t.Failed() {
			t.Fatalf("shape %+v", s)
		}
	}
}

func TestFill(t *testing.T) {
	for n := range 600 {
		b := slices.Repeat([]uint8{0xEE}, n+8)
		fill(b[:n], 7)
		for i, v := range b {
			if want := uint8(7); i < n && v != want || i >= n && v != 0xEE {
				t.Fatalf("%d bytes: byte %d is %d", n, i, v)
			}
		}
	}
}

// check compares every form of output at every level with the definition.
func (c convCase) check(t *testing.T, r *rand.Rand) {
	t.Helper()
	w, q, src, residual := c.build(r)
	s := c.s
	acc := naiveAccumulators(s, w, q, q.InZero, src)
	dynZero := uint8(r.IntN(256))
	dyn := naiveAccumulators(s, w, q, dynZero, src)
	floatBias := []float32(nil)
	if len(q.Mult) > 1 {
		floatBias = q.Mult
	}
	for _, l := range cpu.Levels() {
		op, err := NewConvU8(l, s, w, q)
		if err == nil && r.IntN(2) == 0 {
			names := op.Candidates()
			op, err = NewConvU8(l, s, w, q, Choice(names[r.IntN(len(names))]))
		}
		if err != nil {
			t.Errorf("%v: %v", l, err)
			return
		}
		dst, i32, f32 := make([]uint8, s.outLen()), make([]int32, s.outLen()), make([]float32, s.outLen())
		fill(dst, 0xEE)
		runUnits(op, func(b []byte, lo, hi int) { op.Run(dst, src, residual, b, lo, hi) })
		runUnits(op, func(b []byte, lo, hi int) { op.RunI32(i32, src, dynZero, b, lo, hi) })
		runUnits(op, func(b []byte, lo, hi int) { op.RunF32(f32, src, q.InZero, q.Mult, floatBias, b, lo, hi) })
		for at := range dst {
			p, n := at/s.OutStride, at%s.OutStride
			if n >= s.OutC {
				if dst[at] != 0xEE || i32[at] != 0 || f32[at] != 0 {
					t.Errorf("%v %s: pixel %d writes beyond its channels", l, op.Name(), p)
					return
				}
				continue
			}
			a, m := acc[p*s.OutC+n], channel(q.Mult, n)
			want := naiveRequant(a, m, q.OutZero, q.Lo, q.Hi)
			if q.Residual != nil {
				want = naiveAdd(*q.Residual, want, residual[p*s.ResStride+n])
			}
			wantF := float32(float32(a) * m)
			if floatBias != nil {
				wantF += floatBias[n]
			}
			if dst[at] != want || int64(i32[at]) != dyn[p*s.OutC+n] || f32[at] != wantF {
				t.Errorf("%v %s: pixel %d channel %d: byte %d want %d, accumulator %d want %d, float %v want %v",
					l, op.Name(), p, n, dst[at], want, i32[at], dyn[p*s.OutC+n], f32[at], wantF)
				return
			}
		}
	}
}

// Multipliers so large that vector conversions would overflow must take the
// portable way and still clamp to the right side.
func TestConvU8HugeMultiplier(t *testing.T) {
	s := conv(1, 1, 3, 4, 2, 1, 1, 1, 1, 0, 1)
	w := []int8{127, 127, 127, 127, -128, -128, -128, -128}
	src := slices.Repeat([]uint8{200}, 12)
	for _, l := range cpu.Levels() {
		op, err := NewConvU8(l, s, w, QuantConv{Mult: []float32{1e30}, OutZero: 3, Lo: 1, Hi: 254})
		if err != nil {
			t.Fatal(err)
		}
		dst := make([]uint8, s.outLen())
		runUnits(op, func(b []byte, lo, hi int) { op.Run(dst, src, nil, b, lo, hi) })
		if want := []uint8{254, 1, 254, 1, 254, 1}; !slices.Equal(dst, want) {
			t.Errorf("%v: got %v, want %v", l, dst, want)
		}
	}
}

func TestConvU8Refuses(t *testing.T) {
	s := conv(1, 1, 1, 70000, 1, 1, 1, 1, 1, 0, 1)
	w := make([]int8, s.weightLen())
	for i := range w {
		w[i] = -128
	}
	ok := QuantConv{Mult: []float32{1}, Hi: 255}
	if _, err := NewConvU8(cpu.Generic, s, w, ok); err == nil {
		t.Error("70,000 weights of -128 were accepted: the accumulator can overflow")
	}
	clear(w)
	for name, q := range map[string]QuantConv{
		"nan":         {Mult: []float32{float32(math.NaN())}, Hi: 255},
		"bounds":      {Mult: []float32{1}, Lo: 9, Hi: 3},
		"bias":        {Mult: []float32{1}, Hi: 255, Bias: []int32{1, 2}},
		"multipliers": {Mult: []float32{1, 2}, Hi: 255},
		"weight zero": {Mult: []float32{1}, Hi: 255, WeightZero: []int32{1000}},
		"residual":    {Mult: []float32{1}, Hi: 255, Residual: &QuantAdd{AMult: float32(math.Inf(1)), Hi: 255}},
	} {
		if _, err := NewConvU8(cpu.Generic, s, w, q); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := NewConvU8(cpu.Generic, s, w, ok); err != nil {
		t.Error(err)
	}
}

func TestConvU8Allocates(t *testing.T) {
	for _, c := range convCases()[:3] {
		w, q, src, residual := c.build(rand.New(rand.NewPCG(1, 1)))
		op, err := NewConvU8(cpu.Best(), c.s, w, q)
		if err != nil {
			t.Fatal(err)
		}
		dst, scratch := make([]uint8, c.s.outLen()), alignedBytes(op.ScratchBytes())
		if n := testing.AllocsPerRun(10, func() { op.Run(dst, src, residual, scratch, 0, op.Units()) }); n != 0 {
			t.Errorf("%s: %v allocations in a run", c.name, n)
		}
	}
}
