package kernel

import (
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"

	"github.com/edgewise-ml/edgewise/internal/cpu"
)

// twinOf returns the portable code for a kernel's own layout.
func twinOf[K u8Gemm | u8Depthwise](k *K) *K {
	t := *k
	switch t := any(&t).(type) {
	case *u8Gemm:
		t.asm = -1
	case *u8Depthwise:
		t.asm = -1
	}
	return &t
}

// Each tile against its twin, over every height, several segments, tails of
// columns, and both kinds of output.
func TestGemmU8Twins(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 9))
	for _, k := range u8GemmKernels {
		if !cpu.Runs(k.level) {
			continue
		}
		for i, h := range k.rows {
			for range 40 {
				segN, groups, tiles := 1+r.IntN(3), 1+r.IntN(11), 1+r.IntN(3)
				cols := 1 + r.IntN(k.nr)
				if k.whole {
					cols = k.nr
				}
				rows := h * tiles
				row := groups*k.groupBytes() + 8*r.IntN(3)
				src := randomBytes(r, segN*rows*row+64)
				if k.wide {
					for j := 1; j < len(src); j += 2 {
						src[j] = 0
					}
				}
				var segs []u8Segment
				for s := range segN {
					segs = append(segs, u8Segment{s * rows * row, 1 + r.IntN(groups)})
				}
				b := randomBytes(r, segN*groups*k.nr*k.groupBytes())
				if k.wide { // 16-bit weights hold 8 bits
					for j := 1; j < len(b); j += 2 {
						b[j] = uint8(int8(b[j-1]) >> 7)
					}
				}
				if !k.wide && r.IntN(4) == 0 { // the greatest products of signed kernels
					fill(src, 0)
					fill(b, 0x80)
				}
				for j, v := range b {
					if k.tame && v == 0x80 {
						b[j] = 0x81
					}
				}
				start, colZero, rowSum := randomInts(r, k.nr), randomInts(r, k.nr), randomInts(r, rows)
				mult := make([]float32, k.nr)
				for j := range mult {
					mult[j] = r.Float32() / 500
				}
				raw, sums := r.IntN(3) == 0, r.IntN(2) == 0
				var out [2][]byte
				for v, kern := range []*u8Gemm{k, twinOf(k)} {
					out[v] = alignedBytes(rows*k.nr*4 + 64)
					a := u8GemmArgs{a: unsafe.Pointer(&src[0]), aStride: row, segs: unsafe.Pointer(&segs[0]), segN: segN,
						b: unsafe.Pointer(&b[0]), start: unsafe.Pointer(&start[0]), colZero: unsafe.Pointer(&colZero[0]),
						dst: unsafe.Pointer(&out[v][0]), dstRow: k.nr, tiles: tiles, mask: 1<<cols - 1, cols: cols}
					a.setOutput(9, 3, 250)
					if sums {
						a.rowSum = unsafe.Pointer(&rowSum[0])
					}
					if raw {
						a.dstRow = 4 * k.nr
						if sums {
							a.floatMult, a.floatBias = unsafe.Pointer(&mult[0]), unsafe.Pointer(&mult[0])
						}
					} else {
						a.mult = unsafe.Pointer(&mult[0])
					}
					kern.run(i, &a)
				}
				if !slices.Equal(out[0], out[1]) {
					t.Fatalf("%s: height %d, %d tiles, segments %v, %d columns, raw %v: differs from its twin", k.name, h, tiles, segs, cols, raw)
				}
			}
		}
	}
}

func randomInts(r *rand.Rand, n int) []int32 {
	v := make([]int32, n)
	for i := range v {
		v[i] = int32(r.IntN(1<<14) - 1<<13)
	}
	return v
}

// Each depthwise kernel against its twin.
func TestDepthwiseU8Twins(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 9))
	for _, k := range u8DepthwiseKernels {
		if !cpu.Runs(k.level) {
			continue
		}
		n := k.block()
		for range 60 {
			cols := 1 + r.IntN(n)
			if k.whole {
				cols = n
			}
			groups, pixels := 1+r.IntN(5), 1+r.IntN(9)
			taps := groups * k.group()
			src, w := randomBytes(r, (taps+pixels)*n), randomBytes(r, max(groups, 9)*n*k.groupBytes())
			if k.wide {
				for j := 1; j < len(w); j += 2 {
					w[j] = uint8(int8(w[j-1]) >> 7)
				}
			}
			var at [u8MaxTaps]unsafe.Pointer
			for i := range taps {
				at[i] = unsafe.Pointer(&src[r.IntN(taps)*n])
			}
			start, mult := randomInts(r, n), make([]float32, n)
			for j := range mult {
				mult[j] = r.Float32() / 100
			}
			raw := r.IntN(3) == 0
			var out [2][]byte
			for v, kern := range []*u8Depthwise{k, twinOf(k)} {
				out[v] = alignedBytes(pixels * n * 4)
				a := u8TapArgs{taps: at, groups: groups, pixels: pixels, srcStep: n,
					w: unsafe.Pointer(&w[0]), start: unsafe.Pointer(&start[0]), dst: unsafe.Pointer(&out[v][0]), dstStep: n,
					mask: 1<<cols - 1, zero: 7 * 0x10001, lo: 3 * 0x01010101, hi: 251 * 0x01010101, cols: cols}
				if raw {
					a.dstStep = 4 * n
				} else {
					a.mult = unsafe.Pointer(&mult[0])
				}
				kern.runTaps(&a)
				if raw { // channels that are not wanted are left undefined
					for p := range pixels {
						clear(out[v][4*(p*n+cols) : 4*(p+1)*n])
					}
				}
			}
			if !slices.Equal(out[0], out[1]) {
				t.Fatalf("%s: %d groups, %d pixels, %d channels, raw %v: differs from its twin", k.name, groups, pixels, cols, raw)
			}
			if k.sweep {
				testSweep(t, r, k, cols, w, start, mult)
			}
		}
	}
}

func testSweep(t *testing.T, r *rand.Rand, k *u8Depthwise, cols int, w []uint8, start []int32, mult []float32) {
	n, width := k.block(), 1+r.IntN(12)
	stride, col := 1+r.IntN(2), -r.IntN(4)
	pixels, twice := 1+r.IntN(14), !k.wide && r.IntN(2) == 0
	img := randomBytes(r, 3*width*n)
	for j := 3; j < len(w); j += 4 {
		w[j] = 0 // the fourth tap of a column
	}
	var out [2][]byte
	for v, kern := range []*u8Depthwise{k, twinOf(k)} {
		out[v] = alignedBytes(pixels * n)
		a := u8SweepArgs{colStride: n, col: col, width: width, pixels: pixels, w: unsafe.Pointer(&w[0]), start: unsafe.Pointer(&start[0]),
			mult: unsafe.Pointer(&mult[0]), dst: unsafe.Pointer(&out[v][0]), dstStep: n, mask: 1<<cols - 1,
			zero: 7 * 0x10001, lo: 3 * 0x01010101, hi: 251 * 0x01010101, inZero: 99 * 0x01010101, stride: stride}
		for i := range a.rows {
			a.rows[i] = unsafe.Pointer(&img[i*width*n])
		}
		if twice {
			a.w2 = unsafe.Pointer(&w[12*n])
		}
		kern.runSweep(&a)
	}
	if !slices.Equal(out[0], out[1]) {
		t.Fatalf("%s sweep: width %d, column %d, stride %d, %d pixels, %d channels, two weights %v: differs from its twin", k.name, width, col, stride, pixels, cols, twice)
	}
}
