package kernel

import (
	"fmt"
	"math"
	"unsafe"

	"github.com/edgewise-ml/edgewise/internal/cpu"
)

// A winogradTileF32 is a transform of a run of tiles for F(m×m, 3×3): m×m pixels of
// output from n×n of input, n = m+2, by n² products of which each is a matrix
// product over all tiles (Lavin, Gray: Fast Algorithms for Convolutional Neural
// Networks, 2015). What is transformed, and how, is a winogradPass.
//
// All but the output lead from a square of pixels at src to matrices: dst is the tile's
// row in the first of them, dstRow bytes from one to the next. Output: src is the tile's
// row in the first of n² matrices, of which srcRow and srcCol lead to the one below and
// beside, dst the first of rows×cols ≤ m×m pixels, which get bias and residual and are
// bounded. Steps lead from tile to tile. Matrices and bias are read and written in whole
// vectors of 16 channels, pixels only where they have channels. Assembly reads the fields
// by their offsets.
type winogradTileF32 struct {
	src                     unsafe.Pointer
	srcRow, srcCol, srcStep int
	dst                     unsafe.Pointer
	dstRow, dstCol, dstStep int
	res                     unsafe.Pointer // nil: nothing added
	resRow, resCol, resStep int
	bias                    unsafe.Pointer
	buffer                  unsafe.Pointer // n² vectors
	rows, cols              int
	channels, tiles         int
	lo, hi                  float32

	srcAt, dstAt, resAt, left int // of the assembly: where the tile at hand begins, tiles left
}

// winogradPass is what is transformed: input and output of a convolution and its weights;
// for the gradient by these, the gradients of the output by the transpose of the output's
// transform, and the products by that of the weights'.
type winogradPass uint8

const (
	transformInput winogradPass = iota
	transformOutput
	transformWeights
	transformGradient // from here on for m = 4 alone
	transformTaps
	winogradPasses
)

// winogradLanes is the multiple of channels that matrices are padded to.
const winogradLanes = 16

// winogradKernelF32 is the pair of transforms of one m.
type winogradKernelF32 struct {
	name  string
	level cpu.Level
	m     int
	call  winogradCall
}

// winogradCall selects the routine in (*winogradTileF32).run.
type winogradCall uint8

const (
	winogradGo winogradCall = iota
	winogradAVX2
	winogradAVX512
)

var winogradKernelsF32 = append([]winogradKernelF32{
	{"f32_winograd2x2_16c_go", cpu.Generic, 2, winogradGo},
	{"f32_winograd4x4_16c_go", cpu.Generic, 4, winogradGo},
}, winogradKernelsF32Arch...)

// winogradKernel returns the transforms of a level.
func winogradKernel(l cpu.Level, m int) *winogradKernelF32 {
	var fit []*winogradKernelF32
	for i := range winogradKernelsF32 {
		if k := &winogradKernelsF32[i]; k.m == m {
			fit = append(fit, k)
		}
	}
	return fit[pick(l, len(fit), func(i int) cpu.Level { return fit[i].level })]
}

// winogradForms are the matrices of each pass for m = 2 and 4, made once.
var winogradForms = [...][winogradPasses][][]float64{2: winogradForm(2), 4: winogradForm(4)}

func winogradForm(m int) [winogradPasses][][]float64 {
	mat := winogradTransforms(m)
	return [...][][]float64{transformInput: mat.input, transformOutput: mat.output, transformWeights: mat.weights,
		transformGradient: turned(mat.output), transformTaps: turned(mat.weights)}
}

func turned(m [][]float64) [][]float64 {
	out := make([][]float64, len(m[0]))
	for i := range out {
		for _, row := range m {
			out[i] = append(out[i], row[i])
		}
	}
	return out
}

// A winogradMatrices holds the transforms of one dimension: of the input n×n, of
// the weights n×3 and of the output m×n.
type winogradMatrices struct{ input, weights, output [][]float64 }

// winogradTransforms returns the matrices of F(m, 3). The points are 0, ±1 and
// infinity for m = 2 and 0, ±√½, ±√2 and infinity for m = 4, which round less than
// the usual 0, ±1, ±2.
func winogradTransforms(m int) winogradMatrices {
	if m == 2 {
		return winogradMatrices{
			input:   [][]float64{{1, 0, -1, 0}, {0, 1, 1, 0}, {0, -1, 1, 0}, {0, 1, 0, -1}},
			weights: [][]float64{{1, 0, 0}, {0.5, 0.5, 0.5}, {0.5, -0.5, 0.5}, {0, 0, 1}},
			output:  [][]float64{{1, 1, 1, 0}, {0, 1, -1, -1}},
		}
	}
	const a, b, s, d = math.Sqrt2 / 2, math.Sqrt2, 0.5, 2.0 // points and their squares
	row := func(x, f float64) []float64 { return []float64{f, f * x, f * x * x} }
	e, g := 1/(2*s*(s-d)), 1/(2*d*(d-s))
	return winogradMatrices{
		input: [][]float64{{s * d, 0, -s - d, 0, 1, 0}, {0, -a * d, -d, a, 1, 0}, {0, a * d, -d, -a, 1, 0},
			{0, -b * s, -s, b, 1, 0}, {0, b * s, -s, -b, 1, 0}, {0, s * d, 0, -s - d, 0, 1}},
		weights: [][]float64{{1 / (s * d), 0, 0}, row(a, e), row(-a, e), row(b, g), row(-b, g), {0, 0, 1}},
		output:  [][]float64{{1, 1, 1, 1, 1, 0}, {0, a, -a, b, -b, 0}, {0, s, s, d, d, 0}, {0, a * s, -a * s, b * d, -b * d, 1}},
	}
}

// goWinogradF32 is the portable twin of the transforms.
func goWinogradF32(t *winogradTileF32, m int, pass winogradPass) {
	mat := winogradForms[m][pass]
	from, to := len(mat[0]), len(mat)
	at := func(p unsafe.Pointer, off int) *float32 { return (*float32)(unsafe.Add(p, off)) }
	for i := range t.tiles * t.channels {
		tile, c := i/t.channels, i%t.channels
		var in [6][6]float64
		for r := range from {
			for k := range from {
				in[r][k] = float64(*at(t.src, tile*t.srcStep+r*t.srcRow+k*t.srcCol+4*c))
			}
		}
		out := sandwich(mat, in)
		if pass != transformOutput {
			for i := range to * to {
				*at(t.dst, tile*t.dstStep+i*t.dstRow+4*c) = float32(out[i/to][i%to])
			}
			continue
		}
		for r := range t.rows {
			for k := range t.cols {
				v := float32(out[r][k]) + *at(t.bias, 4*c)
				if t.res != nil {
					v += *at(t.res, tile*t.resStep+r*t.resRow+k*t.resCol+4*c)
				}
				*at(t.dst, tile*t.dstStep+r*t.dstRow+k*t.dstCol+4*c) = clampF32(v, t.lo, t.hi)
			}
		}
	}
}

// sandwich returns m·x·mᵀ.
func sandwich(m [][]float64, x [6][6]float64) (out [6][6]float64) {
	var half [6][6]float64
	for i, row := range m {
		for j, f := range row {
			for k := range len(row) {
				half[i][k] += f * x[j][k]
			}
		}
	}
	for i := range m {
		for k, row := range m {
			for j, f := range row {
				out[i][k] += f * half[i][j]
			}
		}
	}
	return out
}

func init() { later(registerWinograd) }

func registerWinograd() {
	for i := range winogradKernelsF32 {
		k := &winogradKernelsF32[i]
		register(Entry{Name: k.name, Level: k.level, DType: "f32", Op: fmt.Sprintf("winograd%dx%d", k.m, k.m), NR: winogradLanes, Trial: k.trial})
	}
}

// trial transforms a tile of 64 channels there and back. Its work counts the
// multiply-adds of the convolution that the transforms stand for as none: one
// operation per value moved.
func (k *winogradKernelF32) trial() (func(), float64) {
	const channels = 64
	n := k.m + 2
	src, mats, dst := alignedF32(n*n*channels), alignedF32(n*n*channels), alignedF32(k.m*k.m*channels)
	bias, buffer := alignedF32(channels), alignedF32(n*n*winogradLanes)
	lo, hi, _ := Act{}.clamp()
	in := &winogradTileF32{tiles: 1, src: unsafe.Pointer(&src[0]), srcRow: n * channels * 4, srcCol: channels * 4, dst: unsafe.Pointer(&mats[0]), dstRow: channels * 4,
		buffer: unsafe.Pointer(&buffer[0]), channels: channels}
	out := &winogradTileF32{tiles: 1, src: unsafe.Pointer(&mats[0]), srcRow: n * channels * 4, srcCol: channels * 4, dst: unsafe.Pointer(&dst[0]),
		dstRow: k.m * channels * 4, dstCol: channels * 4, bias: unsafe.Pointer(&bias[0]), buffer: unsafe.Pointer(&buffer[0]),
		rows: k.m, cols: k.m, channels: channels, lo: lo, hi: hi}
	return func() { in.run(k, transformInput); out.run(k, transformOutput) }, float64(channels * (3*n*n + k.m*k.m))
}
