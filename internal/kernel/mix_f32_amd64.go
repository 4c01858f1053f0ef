package kernel

import (
	"unsafe"

	"github.com/edgewise-ml/edgewise/internal/cpu"
)

//go:noescape
func mixF32AVX2(args *mixF32)

//go:noescape
func mixF32AVX512(args *mixF32)

//go:noescape
func sumRowsF32AVX2(args *sumRowsF32)

//go:noescape
func sumRowsF32AVX512(args *sumRowsF32)

//go:noescape
func interleave3F32AVX2(args *planesF32)

//go:noescape
func interleave3F32AVX512(args *planesF32)

//go:noescape
func transposeF32AVX2(args *tileF32)

//go:noinline
func (m *mixF32) run(l cpu.Level) {
	switch {
	case l.Includes(cpu.AVX512):
		mixF32AVX512(m)
	case l.Includes(cpu.AVX2):
		mixF32AVX2(m)
	default:
		m.goRun()
	}
}

//go:noinline
func (s *sumRowsF32) run(l cpu.Level) {
	switch {
	case l.Includes(cpu.AVX512):
		sumRowsF32AVX512(s)
	case l.Includes(cpu.AVX2):
		sumRowsF32AVX2(s)
	default:
		s.goRun()
	}
}

// planesF32 is n pixels, whole vectors of them, made of three planes that are plane bytes
// apart.
type planesF32 struct {
	dst, src unsafe.Pointer
	plane    int
	n        int
}

// tileF32 is a column of tiles of 8×8 values; ldd and lds are the bytes from one row of the
// destination and one column of the source to the next.
type tileF32 struct {
	dst, src unsafe.Pointer
	ldd, lds int
	tiles    int
}

// planeArch moves what assembly can of a plane of rows×cols values of 32 bits and returns
// how many rows and columns that is.
func planeArch(l cpu.Level, dst, src unsafe.Pointer, rows, cols, ldd, lds int) (r, c int) {
	switch {
	case !l.Includes(cpu.AVX2):
		return 0, 0
	case cols == 3 && ldd == 3:
		lanes := 8
		if l.Includes(cpu.AVX512) {
			lanes = 16
		}
		r = rows / lanes * lanes
		for at := 0; at < r; at += callValues {
			(&planesF32{unsafe.Add(dst, 12*at), unsafe.Add(src, 4*at), 4 * lds, min(callValues, r-at)}).run(lanes)
		}
		return r, 3
	case cols < 8 || rows < 8:
		return 0, 0
	}
	r, c = rows/8*8, cols/8*8
	// Few rows at a time, so that their lines stay in cache until all of them is used.
	for y := 0; y < r; y += tileRows {
		for x := 0; x < c; x += 8 {
			(&tileF32{unsafe.Add(dst, 4*(y*ldd+x)), unsafe.Add(src, 4*(x*lds+y)), 4 * ldd, 4 * lds, min(tileRows, r-y) / 8}).run()
		}
	}
	return r, c
}

//go:noinline
func (p *planesF32) run(lanes int) {
	if lanes == 16 {
		interleave3F32AVX512(p)
	} else {
		interleave3F32AVX2(p)
	}
}

//go:noinline
func (t *tileF32) run() { transposeF32AVX2(t) }

// rowsLevels are the levels of the kernels in this file.
var rowsLevels = []struct {
	level cpu.Level
	lanes int
	tag   string
}{{cpu.AVX2, 8, "_8_avx2"}, {cpu.AVX512, 16, "_16_avx512"}}

func init() {
	for _, v := range rowsLevels {
		registerRowsF32(v.level, v.lanes, v.tag)
		register(Entry{Name: "x32_interleave3" + v.tag, Level: v.level, DType: "x32", Op: "interleave3", NR: v.lanes, Bytes: true, Trial: planeTrial(v.level, 1024, 3, 3)})
	}
	register(Entry{Name: "x32_transpose_8x8_avx2", Level: cpu.AVX2, DType: "x32", Op: "transpose", MR: 8, NR: 8, Bytes: true, Trial: planeTrial(cpu.AVX2, 64, 64, 64)})
}

func planeTrial(l cpu.Level, rows, cols, ldd int) func() (func(), float64) {
	return func() (func(), float64) {
		src, dst := alignedF32(rows*cols), alignedF32(rows*ldd)
		return func() {
			planeArch(l, unsafe.Pointer(&dst[0]), unsafe.Pointer(&src[0]), rows, cols, ldd, rows)
		}, float64(8 * rows * cols)
	}
}
