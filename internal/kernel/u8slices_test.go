package kernel

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/edgewise-ml/edgewise/internal/cpu"
)

func randomBytes(r *rand.Rand, n int) []uint8 {
	b := make([]uint8, n)
	for i := range b {
		b[i] = uint8(r.IntN(256))
	}
	return b
}

func addU8(t *testing.T, l cpu.Level, q QuantAdd) *BinaryU8 {
	t.Helper()
	k, err := NewAddU8(l, q)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func mulU8(t *testing.T, l cpu.Level, q QuantMul) *BinaryU8 {
	t.Helper()
	k, err := NewMulU8(l, q)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestAddMulU8(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, l := range cpu.Levels() {
		for _, n := range []int{0, 1, 15, 16, 17, 63, 64, 65, 200, 1000, 70000} {
			for _, nb := range []int{n, 1, 5, 40, 600} {
				if nb > n || nb == 0 || n%nb != 0 {
					continue
				}
				a, b, dst := randomBytes(r, n), randomBytes(r, nb), make([]uint8, n)
				add := QuantAdd{AZero: uint8(r.IntN(256)), BZero: uint8(r.IntN(256)), AMult: r.Float32(), BMult: r.Float32()*4 - 2, OutZero: uint8(r.IntN(256)), Lo: 10, Hi: 240}
				addU8(t, l, add).Run(dst, a, b)
				for i := range dst {
					if want := naiveAdd(add, a[i], b[i%nb]); dst[i] != want {
						t.Fatalf("%v add of %d and %d: element %d is %d, want %d", l, n, nb, i, dst[i], want)
					}
				}
				mul := QuantMul{AZero: add.AZero, BZero: add.BZero, Mult: r.Float32() / 50, OutZero: add.OutZero, Lo: 10, Hi: 240}
				mulU8(t, l, mul).Run(dst, a, b)
				for i := range dst {
					p := (int64(a[i]) - int64(mul.AZero)) * (int64(b[i%nb]) - int64(mul.BZero))
					if want := naiveRequant(p, mul.Mult, mul.OutZero, mul.Lo, mul.Hi); dst[i] != want {
						t.Fatalf("%v mul of %d and %d: element %d is %d, want %d", l, n, nb, i, dst[i], want)
					}
				}
				addU8(t, l, add).Run(dst, a, b)
				if addU8(t, l, add).Run(a, a, b); !slices.Equal(a, dst) {
					t.Fatalf("%v add of %d and %d in place of an operand differs", l, n, nb)
				}
			}
		}
	}
}

// Every pair of bytes, with multipliers that put many sums on a tie.
func TestAddU8Ties(t *testing.T) {
	var a, b []uint8
	for i := range 1 << 16 {
		a, b = append(a, uint8(i)), append(b, uint8(i>>8))
	}
	dst := make([]uint8, len(a))
	for _, l := range cpu.Levels() {
		for _, q := range []QuantAdd{
			{AMult: 0.5, BMult: 0.25, AZero: 128, BZero: 128, OutZero: 128, Hi: 255},
			{AMult: 1e9, BMult: -1e9, AZero: 3, BZero: 5, OutZero: 7, Lo: 1, Hi: 200},
		} {
			addU8(t, l, q).Run(dst, a, b)
			for i := range dst {
				if want := naiveAdd(q, a[i], b[i]); dst[i] != want {
					t.Fatalf("%v %+v: %d and %d give %d, want %d", l, q, a[i], b[i], dst[i], want)
				}
			}
		}
	}
}

func TestQuantizeU8(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for _, l := range cpu.Levels() {
		for _, scale := range []float32{0.25, 0.1, 0.0235294122, 1. / 3, 7, 0x1.fffffep-5, 0x1p-99, 1e-36, 0x1p110} {
			for _, n := range []int{0, 1, 17, 63, 64, 65, 129, 20000} {
				src := make([]float32, n)
				for i := range src {
					src[i] = float32(r.NormFloat64()*80) * scale
					switch r.IntN(12) {
					case 0:
						src[i] = nan
					case 1:
						src[i] = inf
					case 2:
						src[i] = -inf
					case 3:
						src[i] = 1e30
					case 4:
						src[i] = -math.MaxFloat32
					case 5, 6, 7: // at a tie or next to one
						tie := (float32(r.IntN(300)-120) + 0.5) * scale
						src[i] = math.Float32frombits(math.Float32bits(tie) + uint32(r.IntN(7)) - 3)
					}
				}
				const zero, lo, hi = 77, 5, 250
				dst := make([]uint8, n)
				QuantizeU8(l, dst, src, scale, zero, lo, hi)
				for i, x := range src {
					want := uint8(zero)
					if x == x {
						want = uint8(min(max(math.RoundToEven(float64(x/scale))+zero, lo), hi))
					}
					if dst[i] != want {
						t.Fatalf("%v: %v by %v quantizes to %d, want %d", l, x, scale, dst[i], want)
					}
				}
			}
		}
	}
}

func TestByteSlices(t *testing.T) {
	for _, l := range cpu.Levels() {
		testByteSlices(t, l)
	}
}

func testByteSlices(t *testing.T, l cpu.Level) {
	r := rand.New(rand.NewPCG(5, 6))
	for _, n := range []int{0, 1, 7, 8, 9, 63, 64, 65, 100, 2000, 70001} {
		src, dst := randomBytes(r, n), make([]uint8, n)
		OffsetU8(dst, src)
		for i := range src {
			if want := uint8(int(int8(src[i])) + 128); dst[i] != want {
				t.Fatalf("offset of %d is %d, want %d", int8(src[i]), dst[i], want)
			}
		}
		f := make([]float32, n)
		DequantizeU8(l, f, src, 0.3, 9)
		for i := range src {
			if want := float32(int(src[i])-9) * 0.3; f[i] != want {
				t.Fatalf("%d dequantizes to %v, want %v", src[i], f[i], want)
			}
		}
		x := make([]float32, n)
		for i := range x {
			x[i] = float32(r.NormFloat64())
			if r.IntN(20) == 0 {
				x[i] = float32(math.NaN())
			}
		}
		var lo, hi float32
		for i, first := 0, true; i < n; i++ {
			switch v := x[i]; {
			case v != v:
			case first:
				lo, hi, first = v, v, false
			default:
				lo, hi = min(lo, v), max(hi, v)
			}
		}
		if a, b := RangeF32(l, x); a != lo || b != hi {
			t.Fatalf("%v: range of %d values is %v..%v, want %v..%v", l, n, a, b, lo, hi)
		}
		q := Requant{Mult: 0.7, Zero: 20, Lo: 1, Hi: 200}
		LookupU8(l, dst, src, RequantTable(9, q))
		for i := range src {
			if want := naiveRequant(int64(src[i])-9, q.Mult, q.Zero, q.Lo, q.Hi); dst[i] != want {
				t.Fatalf("%d requantizes to %d, want %d", src[i], dst[i], want)
			}
		}
	}
}

func TestDynamicScale(t *testing.T) {
	for _, c := range []struct {
		x     []float32
		scale float32
		zero  uint8
	}{
		{[]float32{0, 2, -3, -2.5, 1.34, 0.5}, 0.019607844, 153}, // the example of ONNX DynamicQuantizeLinear
		{[]float32{1, 2.1, 1.3, 2.5, 3.34, 4}, 0.015686275, 0},
		{nil, 1, 0},
	} {
		scale, zero := DynamicScaleU8(RangeF32(cpu.Best(), c.x))
		if scale != c.scale || zero != c.zero {
			t.Errorf("%v: scale %v and zero %d, want %v and %d", c.x, scale, zero, c.scale, c.zero)
		}
	}
}

func TestPoolU8(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for _, s := range []ConvShape{
		conv(1, 7, 7, 40, 40, 7, 7, 1, 1, 0, 1), conv(2, 9, 8, 70, 70, 3, 3, 2, 1, 1, 1), conv(1, 6, 6, 3, 3, 2, 2, 2, 1, 0, 1),
		conv(1, 9, 9, 17, 17, 3, 3, 1, 2, 2, 1),
	} {
		for _, max := range []bool{true, false} {
			for _, include := range []bool{true, false} {
				s.InStride += 2
				s.OutStride += 1
				q := QuantPool{Max: max, CountInclude: include, InZero: 30, InScale: 0.04, OutScale: 0.05, OutZero: 40, Lo: 2, Hi: 200}
				src := randomBytes(r, s.inLen())
				for _, l := range cpu.Levels() {
					op, err := NewPoolU8(l, s, q)
					if err != nil {
						t.Fatal(err)
					}
					dst := make([]uint8, s.outLen())
					runUnits(op, func(b []byte, lo, hi int) { op.Run(dst, src, b, lo, hi) })
					comparePool(t, l, s, q, dst, src)
				}
			}
		}
	}
}

func comparePool(t *testing.T, l cpu.Level, s ConvShape, q QuantPool, dst, src []uint8) {
	t.Helper()
	for p := range s.Batch * s.OutH * s.OutW {
		b, y, x := p/(s.OutH*s.OutW), p/s.OutW%s.OutH, p%s.OutW
		for c := range s.OutC {
			n, sum, top := 0, int64(0), uint8(0)
			for kh := range s.KernelH {
				for kw := range s.KernelW {
					iy, ix := y*s.StrideH-s.PadTop+kh*s.DilationH, x*s.StrideW-s.PadLeft+kw*s.DilationW
					if iy >= 0 && iy < s.InH && ix >= 0 && ix < s.InW {
						v := src[((b*s.InH+iy)*s.InW+ix)*s.InStride+c]
						n, sum, top = n+1, sum+int64(v)-int64(q.InZero), max(top, v)
					}
				}
			}
			if q.CountInclude {
				n = s.KernelH * s.KernelW
			}
			want := naiveRequant(sum, float32(q.InScale/(q.OutScale*float64(n))), q.OutZero, q.Lo, q.Hi)
			if q.Max {
				want = naiveRequant(int64(top)-int64(q.InZero), float32(q.InScale/q.OutScale), q.OutZero, q.Lo, q.Hi)
			}
			if got := dst[p*s.OutStride+c]; got != want {
				t.Fatalf("%v %+v: pixel %d channel %d is %d, want %d", l, q, p, c, got, want)
			}
		}
	}
}
