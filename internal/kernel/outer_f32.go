package kernel

import (
	"unsafe"

	"github.com/edgewise-ml/edgewise/internal/cpu"
)

// outerRows is the height of what an outerF32 adds to.
const outerRows = 16

// outerF32 adds sums of outer products to a matrix of outerRows rows and 16 or more columns,
// a multiple of 16:
//
//	c[r][j] += Σ a[k][r]·b[k][j]
//
// Steps and ldc are bytes from row to row of a, b and c. Assembly reads the fields by their
// offsets.
type outerF32 struct {
	a, b         unsafe.Pointer
	aStep, bStep int
	k            int // rows of a and b, at least 1
	c            unsafe.Pointer
	ldc, cols    int
}

// goOuterF32 is the portable twin. The rows of b pass four times, each with four rows of c.
func goOuterF32(o *outerF32) {
	row := func(p unsafe.Pointer, at int) []float32 { return unsafe.Slice((*float32)(unsafe.Add(p, at)), o.cols) }
	for r := 0; r < outerRows; r += 4 {
		c0, c1, c2, c3 := row(o.c, r*o.ldc), row(o.c, (r+1)*o.ldc), row(o.c, (r+2)*o.ldc), row(o.c, (r+3)*o.ldc)
		for k := range o.k {
			a := (*[4]float32)(unsafe.Add(o.a, k*o.aStep+4*r))
			x0, x1, x2, x3 := a[0], a[1], a[2], a[3]
			for j, v := range row(o.b, k*o.bStep) {
				c0[j] += x0 * v
				c1[j] += x1 * v
				c2[j] += x2 * v
				c3[j] += x3 * v
			}
		}
	}
}

func init() { later(func() { registerOuter(cpu.Generic, "f32_outer_16x16_go") }) }

// registerOuter lists the kernel of a level.
func registerOuter(l cpu.Level, name string) {
	const k, cols = 128, 32
	register(Entry{Name: name, Level: l, DType: "f32", Op: "outer", MR: outerRows, NR: 16,
		Trial: func() (func(), float64) {
			a, b, c := alignedF32(k*outerRows), alignedF32(k*cols), alignedF32(outerRows*cols)
			o := &outerF32{a: unsafe.Pointer(&a[0]), b: unsafe.Pointer(&b[0]), c: unsafe.Pointer(&c[0]),
				aStep: 4 * outerRows, bStep: 4 * cols, k: k, ldc: 4 * cols, cols: cols}
			return func() { o.run(l) }, 2 * outerRows * cols * k
		}})
}
