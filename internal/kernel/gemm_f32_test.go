package kernel

import (
	"math"
	"math/rand/v2"
	"testing"
	"unsafe"

	"github.com/edgewise-ml/edgewise/internal/cpu"
)

// Every body of every tile, that is each number of rows and of columns up to two
// panels, with depths around the unrolled step, against the portable twin.
func TestGemmTilesF32(t *testing.T) {
	r := rand.New(rand.NewPCG(101, 102))
	for i := range gemmTilesF32 {
		tile := &gemmTilesF32[i]
		if !cpu.Runs(tile.level) {
			continue
		}
		for rows := 1; rows <= tile.mr; rows++ {
			for cols := 1; cols <= 2*tile.nr; cols++ {
				const segs = 2
				segK := 1 + r.IntN(13)
				k := segs * segK
				// Rows of a overlap, as the windows of a convolution do.
				lda := segK + r.IntN(3)
				a, off := normals(r, (rows-1)*lda+k+5), []int{0, 4 * (segK + 5)}
				packed := alignedF32(tile.panels(cols) * tile.panelLen(k))
				tile.pack(packed, normals(r, cols*k), normals(r, cols), cols, k, k, 1)
				ldc := cols + r.IntN(3)
				got, want, res := normals(r, rows*ldc), make([]float32, rows*ldc), normals(r, rows*ldc)
				copy(want, got)
				g := &gemmF32{a: unsafe.Pointer(&a[0]), lda: 4 * lda, off: &off[0], segs: segs, segK: segK,
					b: unsafe.Pointer(&packed[0]), panel: 4 * tile.panelLen(k), c: unsafe.Pointer(&want[0]), ldc: 4 * ldc,
					rows: rows, cols: cols, lo: -2, hi: 3}
				if cols%2 == 0 {
					g.res, g.ldres = unsafe.Pointer(&res[0]), 4*ldc
				}
				goGemmF32(g, tile.nr)
				g.c = unsafe.Pointer(&got[0])
				g.run(tile)
				for i := range want {
					if i%ldc >= cols && got[i] != want[i] {
						t.Fatalf("%s: %d rows, %d columns: wrote beyond the columns", tile.name, rows, cols)
					}
					if d := math.Abs(float64(got[i] - want[i])); !(d <= 1e-5) {
						t.Fatalf("%s: %d rows, %d columns, depth %d×%d: value %d,%d is %g, want %g",
							tile.name, rows, cols, segs, segK, i/ldc, i%ldc, got[i], want[i])
					}
				}
			}
		}
	}
}
