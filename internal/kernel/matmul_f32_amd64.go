package kernel

import (
	"unsafe"

	"github.com/edgewise-ml/edgewise/internal/cpu"
)

// packF32 is the copy of part of a matrix into a panel. Assembly reads the fields by
// their offsets.
type packF32 struct {
	dst, src unsafe.Pointer
	step     int // bytes from row to row of src
	k        int // rows of the panel
	n        int // columns taken
	scale    float32
	scales   [16]float32
}

//go:noescape
func packRowsF32AVX2(args *packF32)

//go:noescape
func packRowsF32AVX512(args *packF32)

//go:noescape
func packColumnsF32AVX2(args *packF32)

//go:noescape
func packColumnsF32AVX512(args *packF32)

// packArch packs the columns of one panel in assembly where the tile has such, see
// (*gemmTileF32).packScaled.
func (t *gemmTileF32) packArch(panel, b []float32, n, k, ld int, trans bool, scale float32) bool {
	if t.call != gemmAVX2 && t.call != gemmAVX512 {
		return false
	}
	a := packF32{dst: unsafe.Pointer(&panel[0]), src: unsafe.Pointer(&b[0]), step: 4 * ld, k: k, n: n, scale: scale}
	if !trans {
		a.call(t.call, false)
		return true
	}
	for i := range a.scales {
		a.scales[i] = scale
	}
	half := t.nr / 2
	for j := 0; j < n; j += half {
		a.dst, a.src, a.n = unsafe.Pointer(&panel[j]), unsafe.Pointer(&b[j*ld]), min(half, n-j)
		a.call(t.call, true)
	}
	if n <= half {
		for i := range k {
			clear(panel[i*t.nr+half : (i+1)*t.nr])
		}
	}
	return true
}

//go:noinline
func (a *packF32) call(tile gemmCall, columns bool) {
	switch {
	case tile == gemmAVX512 && columns:
		packColumnsF32AVX512(a)
	case tile == gemmAVX512:
		packRowsF32AVX512(a)
	case columns:
		packColumnsF32AVX2(a)
	default:
		packRowsF32AVX2(a)
	}
}

func init() { later(registerMatMul) }

func registerMatMul() {
	for i := range gemmTilesF32 {
		t := &gemmTilesF32[i]
		if t.call != gemmAVX2 && t.call != gemmAVX512 {
			continue
		}
		tag := map[cpu.Level]string{cpu.AVX2: "_16_avx2", cpu.AVX512: "_32_avx512"}[t.level]
		for _, trans := range []bool{false, true} {
			op := map[bool]string{false: "packrows", true: "packcolumns"}[trans]
			register(Entry{Name: "f32_" + op + tag, Level: t.level, DType: "f32", Op: op, NR: t.nr, Bytes: true,
				Trial: func() (func(), float64) {
					const k = 64
					src, dst := alignedF32(k*t.nr), alignedF32(k*t.nr)
					ld := t.nr
					if trans {
						ld = k
					}
					return func() { t.packArch(dst, src, t.nr, k, ld, trans, 1) }, float64(8 * k * t.nr)
				}})
		}
	}
}
