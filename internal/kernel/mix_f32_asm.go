//go:build amd64 || arm64

package kernel

import (
	"fmt"
	"unsafe"

	"github.com/edgewise-ml/edgewise/internal/cpu"
)

// planesF32 is n pixels, whole vectors of them, made of three planes that are plane bytes
// apart.
type planesF32 struct {
	dst, src unsafe.Pointer
	plane    int
	n        int
}

// tileF32 is a column of tiles of tileSide×tileSide values; ldd and lds are the bytes from one row of the
// destination and one column of the source to the next.
type tileF32 struct {
	dst, src unsafe.Pointer
	ldd, lds int
	tiles    int
}

// planeArch moves what assembly can of a plane of rows×cols values of 32 bits and returns
// how many rows and columns that is.
func planeArch(l cpu.Level, dst, src unsafe.Pointer, rows, cols, ldd, lds int) (r, c int) {
	lanes := 0
	for _, m := range rowsLevels {
		if l.Includes(m.level) {
			lanes = m.lanes
		}
	}
	switch {
	case lanes == 0:
		return 0, 0
	case cols == 3 && ldd == 3:
		r = rows / lanes * lanes
		for at := 0; at < r; at += callValues {
			(&planesF32{unsafe.Add(dst, 12*at), unsafe.Add(src, 4*at), 4 * lds, min(callValues, r-at)}).run(lanes)
		}
		return r, 3
	case cols < tileSide || rows < tileSide:
		return 0, 0
	}
	r, c = rows/tileSide*tileSide, cols/tileSide*tileSide
	// Few rows at a time, so that their lines stay in cache until all of them is used.
	for y := 0; y < r; y += tileRows {
		for x := 0; x < c; x += tileSide {
			(&tileF32{unsafe.Add(dst, 4*(y*ldd+x)), unsafe.Add(src, 4*(x*lds+y)), 4 * ldd, 4 * lds, min(tileRows, r-y) / tileSide}).run()
		}
	}
	return r, c
}

func init() { later(registerPlanes) }

func registerPlanes() {
	for _, m := range rowsLevels {
		registerRowsF32(m.level, m.lanes, m.tag())
		register(Entry{Name: "x32_interleave3" + m.tag(), Level: m.level, DType: "x32", Op: "interleave3", NR: m.lanes, Bytes: true, Trial: planeTrial(m.level, 1024, 3, 3)})
	}
	least := rowsLevels[0].level
	register(Entry{Name: fmt.Sprintf("x32_transpose_%dx%[1]d_%v", tileSide, least), Level: least, DType: "x32", Op: "transpose", MR: tileSide, NR: tileSide, Bytes: true,
		Trial: planeTrial(least, 64, 64, 64)})
}

func planeTrial(l cpu.Level, rows, cols, ldd int) func() (func(), float64) {
	return func() (func(), float64) {
		src, dst := alignedF32(rows*cols), alignedF32(rows*ldd)
		return func() {
			planeArch(l, unsafe.Pointer(&dst[0]), unsafe.Pointer(&src[0]), rows, cols, ldd, rows)
		}, float64(8 * rows * cols)
	}
}
