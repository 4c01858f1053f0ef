package kernel

import (
	"math"
	"math/rand/v2"
	"testing"
	"unsafe"

	"github.com/edgewise-ml/edgewise/internal/cpu"
)

// Every pair of transforms agrees with its portable twin and stays inside what it
// may touch.
func TestWinogradKernels(t *testing.T) {
	r := rand.New(rand.NewPCG(55, 56))
	for i := range winogradKernelsF32 {
		k := &winogradKernelsF32[i]
		if !cpu.Best().Includes(k.level) {
			continue
		}
		n := k.m + 2
		for channels := 1; channels < 40; channels++ {
			pitch := roundUp(channels, winogradLanes)
			pixels, mats := guardedF32(t, normals(r, n*n*channels)), guardedF32(t, make([]float32, n*n*pitch))
			twin, buffer := make([]float32, n*n*pitch), guardedF32(t, make([]float32, n*n*winogradLanes))
			in := winogradTileF32{tiles: 1, src: unsafe.Pointer(&pixels[0]), srcRow: n * channels * 4, srcCol: channels * 4,
				dst: unsafe.Pointer(&mats[0]), dstRow: pitch * 4, buffer: unsafe.Pointer(&buffer[0]), channels: channels}
			in.run(k, transformInput)
			in.dst = unsafe.Pointer(&twin[0])
			goWinogradF32(&in, k.m, transformInput)
			for j := range twin {
				if j%pitch < channels && math.Abs(float64(mats[j]-twin[j])) > 2e-5 {
					t.Fatalf("%s: matrix %d channel %d of %d is %g, want %g", k.name, j/pitch, j%pitch, channels, mats[j], twin[j])
				}
			}
			rows, cols := 1+r.IntN(k.m), 1+r.IntN(k.m)
			outLen := (rows*cols-1)*channels + channels
			dst, want := guardedF32(t, make([]float32, outLen)), make([]float32, outLen)
			res, bias := guardedF32(t, normals(r, outLen)), guardedF32(t, normals(r, pitch))
			lo, hi := float32(-3), float32(4)
			out := winogradTileF32{tiles: 1, src: unsafe.Pointer(&mats[0]), srcRow: n * pitch * 4, srcCol: pitch * 4,
				dst: unsafe.Pointer(&dst[0]), dstRow: cols * channels * 4, dstCol: channels * 4,
				res: unsafe.Pointer(&res[0]), resRow: cols * channels * 4, resCol: channels * 4,
				bias: unsafe.Pointer(&bias[0]), buffer: unsafe.Pointer(&buffer[0]), rows: rows, cols: cols, channels: channels, lo: lo, hi: hi}
			out.run(k, transformOutput)
			out.dst = unsafe.Pointer(&want[0])
			goWinogradF32(&out, k.m, transformOutput)
			for j := range want {
				if math.Abs(float64(dst[j]-want[j])) > 1e-4 {
					t.Fatalf("%s: output %d of %d channels is %g, want %g", k.name, j, channels, dst[j], want[j])
				}
			}
		}
	}
}
