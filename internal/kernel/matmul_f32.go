package kernel

import (
	"errors"
	"fmt"
	"unsafe"

	"github.com/edgewise-ml/edgewise/internal/cpu"
)

// GemmShape is the geometry of dst[M][N] = scale·a[M][K]·b[K][N] + addend[M][N] where b
// is known only when the product runs. TransB says that b lies as [N][K]. The leading
// dimensions are in elements from row to row of the matrices as they lie; LDAddend may
// be 0, for one row that is added to all.
type GemmShape struct {
	M, N, K       int
	LDA, LDB, LDC int
	TransB        bool
	LDAddend      int
}

// Validate reports whether the shape describes a product that can run.
func (s GemmShape) Validate() error {
	rows, width := s.K, s.N
	if s.TransB {
		rows, width = s.N, s.K
	}
	switch {
	case s.M < 1 || s.N < 1 || s.K < 1:
		return fmt.Errorf("gemm shape: M=%d N=%d K=%d, want positive", s.M, s.N, s.K)
	case s.LDA < s.K || s.LDB < width || s.LDC < s.N || s.LDAddend != 0 && s.LDAddend < s.N:
		return fmt.Errorf("gemm shape: leading dimensions %d, %d, %d, %d are below the rows' %d, %d, %d", s.LDA, s.LDB, s.LDC, s.LDAddend, s.K, width, s.N)
	case !productWithin(maxElements, s.M, s.LDA) || !productWithin(maxElements, rows, s.LDB) || !productWithin(maxElements, s.M, s.LDC) || !productWithin(maxElements, s.M, s.LDAddend+1):
		return errors.New("gemm shape: a matrix has too many elements")
	}
	return nil
}

// A GemmF32 is a prepared product of two matrices neither of which is constant.
// A unit is a block of columns. Where K is deep it is cut: for each cut the unit
// packs its part of b into the worker's scratch and then all rows of a pass over
// it, adding to what the cuts before left in dst.
type GemmF32 struct {
	shape GemmShape
	scale float32
	tile  *gemmTileF32
	block int // columns of a unit
	depth int // of a cut
	name  string
}

// A cut of about cutDepth keeps the rows of a tile in the first cache, if K is so much
// deeper that the passes over dst cost less than that saves. packedBytes is how much
// of b a unit packs at a time: a part of a common second cache.
const (
	cutDepth    = 384
	packedBytes = 512 << 10
	sharedMACs  = 4 << 20 // from here on a product is worth sharing
)

// NewGemmF32 prepares a product for the kernels of a level. The scale multiplies b as it
// is packed.
func NewGemmF32(l cpu.Level, s GemmShape, scale float32) (*GemmF32, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	g := &GemmF32{shape: s, scale: scale, tile: gemmTile(l)}
	g.name = "matmul " + g.tile.name
	cuts := max(1, (s.K+cutDepth/2)/cutDepth)
	g.depth = (s.K + cuts - 1) / cuts
	if !productWithin(maxScratch/4, g.depth+1, g.tile.nr) {
		return nil, fmt.Errorf("gemm f32: depth %d is too large", s.K)
	}
	panels := g.tile.panels(s.N)
	if productAbove(sharedMACs, s.M, s.N, s.K) {
		panels = (panels + 3) / 4
	}
	g.block = g.tile.nr * max(1, min(panels, packedBytes/(4*g.tile.panelLen(g.depth))))
	return g, nil
}

// productAbove reports whether a product of positive factors exceeds a limit.
func productAbove(limit int, factors ...int) bool { return !productWithin(limit, factors...) }

// Name names the operator and its micro-kernel.
func (g *GemmF32) Name() string { return g.name }

// Units returns the number of independent units of work.
func (g *GemmF32) Units() int { return (g.shape.N + g.block - 1) / g.block }

// ScratchBytes returns the scratch that each worker needs.
func (g *GemmF32) ScratchBytes() int {
	return 4 * g.tile.panels(g.block) * g.tile.panelLen(g.depth)
}

// Run computes units lo ≤ u < hi. dst may not overlap a or b; the addend may be nil. A
// slice too short for the shape is a broken invariant.
func (g *GemmF32) Run(dst, a, b, addend []float32, scratch []byte, lo, hi int) {
	s, t := &g.shape, g.tile
	rows, width, col, row := s.K, s.N, 1, s.LDB
	if s.TransB {
		rows, width, col, row = s.N, s.K, s.LDB, 1
	}
	_, _, _ = dst[(s.M-1)*s.LDC+s.N-1], a[(s.M-1)*s.LDA+s.K-1], b[(rows-1)*s.LDB+width-1]
	if addend != nil {
		_ = addend[(s.M-1)*s.LDAddend+s.N-1]
	}
	if lo < 0 || hi > g.Units() {
		panic("kernel: " + g.Name() + ": units out of range")
	}
	packed := floatScratch(scratch, g.ScratchBytes()/4)
	off := 0
	args := gemmF32{lda: s.LDA * 4, off: &off, segs: 1, b: unsafe.Pointer(&packed[0]), ldc: s.LDC * 4}
	args.lo, args.hi, _ = Act{}.clamp()
	tiles := (s.M + t.mr - 1) / t.mr
	for u := lo; u < hi; u++ {
		j0 := u * g.block
		args.cols = min(g.block, s.N-j0)
		for k0 := 0; k0 < s.K; k0 += g.depth {
			args.segK = min(g.depth, s.K-k0)
			args.panel = 4 * t.panelLen(args.segK)
			t.packScaled(packed, b[j0*col+k0*row:], args.cols, args.segK, s.LDB, s.TransB, g.scale)
			for i := range tiles {
				r0, r1 := i*s.M/tiles, (i+1)*s.M/tiles
				args.rows = r1 - r0
				args.a, args.c = unsafe.Pointer(&a[r0*s.LDA+k0]), unsafe.Pointer(&dst[r0*s.LDC+j0])
				switch {
				case k0 > 0:
					args.res, args.ldres = args.c, args.ldc
				case addend != nil:
					args.res, args.ldres = unsafe.Pointer(&addend[r0*s.LDAddend+j0]), 4*s.LDAddend
				default:
					args.res = nil
				}
				args.run(t)
			}
		}
	}
}

// packScaled is pack without a bias and times a factor. Row i of the matrix, of which the
// first n columns are taken, is b[i*ld:]; with trans that is column i.
func (t *gemmTileF32) packScaled(dst, b []float32, n, k, ld int, trans bool, scale float32) {
	for j0 := 0; j0 < n; j0 += t.nr {
		cols := min(t.nr, n-j0)
		panel := dst[:t.panelLen(k)]
		dst = dst[len(panel):]
		clear(panel[:t.nr])
		from := b[j0:]
		if trans {
			from = b[j0*ld:]
		}
		t.packPanel(panel[t.nr:], from, cols, k, ld, trans, scale)
	}
}

// packPanel packs k rows of up to nr columns, without a bias, into a part of a panel.
func (t *gemmTileF32) packPanel(to, from []float32, cols, k, ld int, trans bool, scale float32) {
	row := ld
	if trans {
		row = 1
	}
	most := callValues / t.nr
	for ; k > most; k -= most {
		t.packPart(to, from, cols, most, ld, trans, scale)
		to, from = to[most*t.nr:], from[most*row:]
	}
	t.packPart(to, from, cols, k, ld, trans, scale)
}

// packPart is packPanel for as many rows as one call of assembly may take.
func (t *gemmTileF32) packPart(to, from []float32, cols, k, ld int, trans bool, scale float32) {
	if t.packArch(to, from, cols, k, ld, trans, scale) {
		return
	}
	col, row := 1, ld
	if trans {
		col, row = ld, 1
	}
	for i := range k {
		line := to[i*t.nr : (i+1)*t.nr]
		for j := range cols {
			line[j] = from[j*col+i*row] * scale
		}
		clear(line[cols:])
	}
}
