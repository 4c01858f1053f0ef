package kernel

import (
	"errors"
	"fmt"
	"unsafe"

	"github.com/edgewise-ml/edgewise/internal/cpu"
)

// GemmShape is the geometry of dst[M][N] = a[M][K] · b[K][N] where b is known
// only when the product runs. TransB says that b lies as [N][K]. The leading
// dimensions are in elements from row to row of the matrices as they lie.
type GemmShape struct {
	M, N, K       int
	LDA, LDB, LDC int
	TransB        bool
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
	case s.LDA < s.K || s.LDB < width || s.LDC < s.N:
		return fmt.Errorf("gemm shape: leading dimensions %d, %d, %d are below the rows' %d, %d, %d", s.LDA, s.LDB, s.LDC, s.K, width, s.N)
	case !productWithin(maxElements, s.M, s.LDA) || !productWithin(maxElements, rows, s.LDB) || !productWithin(maxElements, s.M, s.LDC):
		return errors.New("gemm shape: a matrix has too many elements")
	}
	return nil
}

// A GemmF32 is a prepared product of two matrices neither of which is constant.
// A unit is a block of columns: its part of b is packed into the worker's
// scratch, then all rows of a pass over it.
type GemmF32 struct {
	shape  GemmShape
	tile   *gemmTileF32
	block  int // columns of a unit
	lo, hi float32
}

// packedBytes is how much of b a unit packs: a part of a common second cache.
const packedBytes = 256 << 10

// NewGemmF32 prepares a product for the kernels of a level.
func NewGemmF32(l cpu.Level, s GemmShape) (*GemmF32, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	g := &GemmF32{shape: s, tile: gemmTile(l)}
	g.lo, g.hi, _ = Act{}.clamp()
	if !productWithin(maxScratch/4, s.K+1, g.tile.nr) {
		return nil, fmt.Errorf("gemm f32: depth %d is too large", s.K)
	}
	g.block = g.tile.nr * max(1, min(g.tile.panels(s.N), packedBytes/(4*g.tile.panelLen(s.K))))
	return g, nil
}

// Name names the operator and its micro-kernel.
func (g *GemmF32) Name() string { return "matmul " + g.tile.name }

// Units returns the number of independent units of work.
func (g *GemmF32) Units() int { return (g.shape.N + g.block - 1) / g.block }

// ScratchBytes returns the scratch that each worker needs.
func (g *GemmF32) ScratchBytes() int {
	return 4 * g.tile.panels(g.block) * g.tile.panelLen(g.shape.K)
}

// Run computes units lo ≤ u < hi. dst may not overlap a or b. A slice too short
// for the shape is a broken invariant.
func (g *GemmF32) Run(dst, a, b []float32, scratch []byte, lo, hi int) {
	s, t := &g.shape, g.tile
	rows, width, col, row := s.K, s.N, 1, s.LDB
	if s.TransB {
		rows, width, col, row = s.N, s.K, s.LDB, 1
	}
	_, _, _ = dst[(s.M-1)*s.LDC+s.N-1], a[(s.M-1)*s.LDA+s.K-1], b[(rows-1)*s.LDB+width-1]
	if lo < 0 || hi > g.Units() {
		panic("kernel: " + g.Name() + ": units out of range")
	}
	packed := floatScratch(scratch, g.ScratchBytes()/4)
	off := 0
	args := gemmF32{lda: s.LDA * 4, off: &off, segs: 1, segK: s.K, b: unsafe.Pointer(&packed[0]), panel: t.panelLen(s.K) * 4,
		ldc: s.LDC * 4, lo: g.lo, hi: g.hi}
	tiles := (s.M + t.mr - 1) / t.mr
	for u := lo; u < hi; u++ {
		j0 := u * g.block
		args.cols = min(g.block, s.N-j0)
		t.pack(packed[:t.panels(args.cols)*t.panelLen(s.K)], b[j0*col:], nil, args.cols, s.K, col, row)
		for i := range tiles {
			r0, r1 := i*s.M/tiles, (i+1)*s.M/tiles
			args.rows = r1 - r0
			args.a, args.c = unsafe.Pointer(&a[r0*s.LDA]), unsafe.Pointer(&dst[r0*s.LDC+j0])
			args.run(t)
		}
	}
}
