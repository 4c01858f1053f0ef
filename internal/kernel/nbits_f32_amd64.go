package kernel

import (
	"unsafe"

	"github.com/edgewise-ml/edgewise/internal/cpu"
)

// unpackF32 is the expansion of blocks of few bits, see NBitsF32. Assembly reads the
// fields by their offsets.
type unpackF32 struct {
	dst, src unsafe.Pointer
	step     int // bytes from row to row of dst
	blocks   int
	block    int // values of a column, a multiple of 4
	bits     int // 4 or 8
}

//go:noescape
func unpackF32AVX2(args *unpackF32)

//go:noescape
func unpackF32AVX512(args *unpackF32)

// nbitsGroup returns how many columns of few bits lie side by side for a tile.
func nbitsGroup(t *gemmTileF32) int {
	if t.call == gemmAVX2 {
		return 8
	}
	return 16
}

func (p *NBitsF32) expandArch(dst []float32, from []byte, blocks int) bool {
	if p.tile.call != gemmAVX2 && p.tile.call != gemmAVX512 {
		return false
	}
	u := unpackF32{dst: unsafe.Pointer(&dst[0]), src: unsafe.Pointer(&from[0]), step: 4 * p.tile.nr, blocks: blocks, block: p.block, bits: p.bits}
	u.call(p.tile.call == gemmAVX512)
	return true
}

//go:noinline
func (u *unpackF32) call(wide bool) {
	if wide {
		unpackF32AVX512(u)
	} else {
		unpackF32AVX2(u)
	}
}

func init() { later(registerNBits) }

func registerNBits() {
	for _, level := range []struct {
		l     cpu.Level
		lanes int
		tag   string
	}{{cpu.AVX2, 8, "_8_avx2"}, {cpu.AVX512, 16, "_16_avx512"}} {
		for _, bits := range []int{4, 8} {
			dtype := map[int]string{4: "u4f32", 8: "u8f32"}[bits]
			register(Entry{Name: dtype + "_unpack" + level.tag, Level: level.l, DType: dtype, Op: "unpack", NR: level.lanes, Bytes: true,
				Trial: func() (func(), float64) {
					const k = 256
					src, dst := alignedF32(k*level.lanes), alignedF32(k*level.lanes)
					u := &unpackF32{dst: unsafe.Pointer(&dst[0]), src: unsafe.Pointer(&src[0]), step: 4 * level.lanes, blocks: k / 32, block: 32, bits: bits}
					return func() { u.call(level.l == cpu.AVX512) }, float64(4 * k * level.lanes)
				}})
		}
	}
}
