package kernel

import (
	"unsafe"

	"github.com/edgewise-ml/edgewise/internal/cpu"
)

// A gemmF32 is one f32 matrix product of a tile's rows with packed columns:
//
//	c[r][j] = clamp(bias[j] + Σ a[r][k]·b[k][j] + res[r][j])
//
// for rows r < rows ≤ MR and columns j < cols. A row of a is not contiguous: it
// is segs segments of segK values, segment i starting off[i] bytes after the
// row, so one kernel serves matrices and k×k convolutions read in place.
//
// b is panels of NR columns, each NR bias values and then K rows of NR values.
// bSkip bytes of a panel's rows are left out, for segments outside the image.
// Assembly reads the fields by their offsets.
type gemmF32 struct {
	a     unsafe.Pointer // first row
	lda   int            // bytes from row to row
	off   *int           // segs byte offsets
	segs  int
	segK  int            // ≥ 1
	b     unsafe.Pointer // first panel
	bSkip int
	panel int // bytes from panel to panel
	c     unsafe.Pointer
	ldc   int            // bytes from row to row
	res   unsafe.Pointer // nil: nothing added
	ldres int
	rows  int
	cols  int
	lo    float32
	hi    float32
	ahead uintptr // from here a share of a panel is fetched for each panel; a mere hint
}

// fetches returns in how many calls as high as this one a block of panels as
// large as its own is fetched ahead.
func (g *gemmF32) fetches() int {
	switch {
	case g.rows <= 3:
		return 1
	case g.rows <= 8:
		return 2
	}
	return 4
}

// gemmTileF32 is a micro-kernel for gemmF32, of any number of rows up to mr.
type gemmTileF32 struct {
	name   string
	level  cpu.Level
	mr, nr int
	call   gemmCall
}

// gemmCall selects the routine in (*gemmF32).run. Calls are direct, not
// through function values, so that arguments stay on the stack.
type gemmCall uint8

const (
	gemmGo gemmCall = iota
	gemmAVX2
	gemmAVX512
	gemmNEON
	gemmInOrder
)

var gemmTilesF32 = append([]gemmTileF32{{"f32_gemm_4x16_go", cpu.Generic, 4, 16, gemmGo}}, gemmTilesF32Arch...)

// gemmTile returns the tile for a level.
func gemmTile(l cpu.Level) *gemmTileF32 {
	i := pick(l, len(gemmTilesF32), func(i int) cpu.Level {
		if t := &gemmTilesF32[i]; t.call != gemmInOrder || cpu.InOrder() {
			return t.level
		}
		return cpu.Generic // never before the portable one
	})
	return &gemmTilesF32[i]
}

// panels returns the number of panels that hold n columns.
func (t *gemmTileF32) panels(n int) int { return (n + t.nr - 1) / t.nr }

// panelLen returns the number of values in a panel of depth k.
func (t *gemmTileF32) panelLen(k int) int { return (k + 1) * t.nr }

// pack writes columns as panels into dst, whose length is panels(n)·panelLen(k).
// Column j, row i of the matrix is w[j*col+i*row]; bias may be nil. The columns
// that fill the last panel are zero.
func (t *gemmTileF32) pack(dst, w, bias []float32, n, k, col, row int) {
	for j0 := 0; j0 < n; j0 += t.nr {
		cols := min(t.nr, n-j0)
		p := dst[:t.panelLen(k)]
		dst = dst[t.panelLen(k):]
		clear(p[:t.nr])
		if bias != nil {
			copy(p, bias[j0:j0+cols])
		}
		if row == 1 && k > 0 {
			if cols < t.nr {
				clear(p[t.nr:])
			}
			column := func(j int) []float32 { return w[(j0+j)*col:][:k] }
			j := 0
			for ; j+4 <= cols; j += 4 {
				move4(p[t.nr+j:], column(j), column(j+1), column(j+2), column(j+3), t.nr)
			}
			for ; j < cols; j++ {
				move1(p[t.nr+j:], column(j), t.nr)
			}
			continue
		}
		for i := range k {
			to := p[(i+1)*t.nr : (i+2)*t.nr]
			if col == 1 {
				clear(to[copy(to, w[i*row+j0:][:cols]):])
				continue
			}
			for j := range cols {
				to[j] = w[(j0+j)*col+i*row]
			}
			clear(to[cols:])
		}
	}
}

// goGemmF32 is the portable twin of every gemm tile with panels of nr columns,
// nr a multiple of 4. It computes 4 rows by 4 columns at a time.
func goGemmF32(g *gemmF32, nr int) {
	off := unsafe.Slice(g.off, g.segs)
	for j0 := 0; j0 < g.cols; j0 += 4 {
		panel := unsafe.Add(g.b, j0/nr*g.panel+j0%nr*4)
		b := unsafe.Add(panel, nr*4+g.bSkip)
		bias := (*[4]float32)(panel)
		cols := min(4, g.cols-j0)
		for r := 0; r < g.rows; r += 4 {
			rows := min(4, g.rows-r)
			var acc [4][4]float32
			a0 := unsafe.Add(g.a, r*g.lda)
			if rows == 4 {
				acc = gemm4x4(a0, g.lda, off, g.segK, b, nr*4)
			} else {
				for i := range rows {
					acc[i] = gemm1x4(unsafe.Add(a0, i*g.lda), off, g.segK, b, nr*4)
				}
			}
			for i := range rows {
				c := unsafe.Slice((*float32)(unsafe.Add(g.c, (r+i)*g.ldc+j0*4)), cols)
				for j := range c {
					v := acc[i][j] + bias[j]
					if g.res != nil {
						v += *(*float32)(unsafe.Add(g.res, (r+i)*g.ldres+(j0+j)*4))
					}
					c[j] = clampF32(v, g.lo, g.hi)
				}
			}
		}
	}
}

// gemm4x4 returns the products of four rows with four columns. The loops are
// written out so that the sixteen sums stay in registers.
func gemm4x4(a unsafe.Pointer, lda int, off []int, segK int, b unsafe.Pointer, ldb int) [4][4]float32 {
	var c00, c01, c02, c03, c10, c11, c12, c13, c20, c21, c22, c23, c30, c31, c32, c33 float32
	// No pointer is ever formed beyond the panel, not even one unused.
	n := 0
	for _, o := range off {
		a0 := unsafe.Slice((*float32)(unsafe.Add(a, o)), segK)
		a1 := unsafe.Slice((*float32)(unsafe.Add(a, o+lda)), segK)[:len(a0)]
		a2 := unsafe.Slice((*float32)(unsafe.Add(a, o+2*lda)), segK)[:len(a0)]
		a3 := unsafe.Slice((*float32)(unsafe.Add(a, o+3*lda)), segK)[:len(a0)]
		for k, x := range a0 {
			v := (*[4]float32)(unsafe.Add(b, n))
			n += ldb
			b0, b1, b2, b3 := v[0], v[1], v[2], v[3]
			c00 += x * b0
			c01 += x * b1
			c02 += x * b2
			c03 += x * b3
			x = a1[k]
			c10 += x * b0
			c11 += x * b1
			c12 += x * b2
			c13 += x * b3
			x = a2[k]
			c20 += x * b0
			c21 += x * b1
			c22 += x * b2
			c23 += x * b3
			x = a3[k]
			c30 += x * b0
			c31 += x * b1
			c32 += x * b2
			c33 += x * b3
		}
	}
	return [4][4]float32{{c00, c01, c02, c03}, {c10, c11, c12, c13}, {c20, c21, c22, c23}, {c30, c31, c32, c33}}
}

func gemm1x4(a unsafe.Pointer, off []int, segK int, b unsafe.Pointer, ldb int) [4]float32 {
	var c0, c1, c2, c3 float32
	n := 0
	for _, o := range off {
		for _, x := range unsafe.Slice((*float32)(unsafe.Add(a, o)), segK) {
			v := (*[4]float32)(unsafe.Add(b, n))
			n += ldb
			c0 += x * v[0]
			c1 += x * v[1]
			c2 += x * v[2]
			c3 += x * v[3]
		}
	}
	return [4]float32{c0, c1, c2, c3}
}

// clampF32 bounds v; a NaN stays, and Hi wins where the bounds cross.
func clampF32(v, lo, hi float32) float32 {
	if v < lo {
		v = lo
	}
	if v > hi {
		v = hi
	}
	return v
}

func init() { later(registerGemm) }

func registerGemm() {
	for i := range gemmTilesF32 {
		t := &gemmTilesF32[i]
		register(Entry{Name: t.name, Level: t.level, DType: "f32", Op: "gemm", MR: t.mr, NR: t.nr, Trial: t.trial})
	}
}

// trial multiplies a full tile of rows by four panels of depth 128.
func (t *gemmTileF32) trial() (func(), float64) {
	const k, panels = 128, 4
	a, b, c, off := alignedF32(t.mr*k), alignedF32(panels*t.panelLen(k)), alignedF32(t.mr*panels*t.nr), []int{0}
	lo, hi, _ := Act{}.clamp()
	g := &gemmF32{a: unsafe.Pointer(&a[0]), lda: 4 * k, off: &off[0], segs: 1, segK: k, b: unsafe.Pointer(&b[0]), panel: 4 * t.panelLen(k),
		c: unsafe.Pointer(&c[0]), ldc: 4 * panels * t.nr, rows: t.mr, cols: panels * t.nr, lo: lo, hi: hi}
	return func() { g.run(t) }, float64(2 * t.mr * panels * t.nr * k)
}
