package kernel

import (
	"unsafe"

	"github.com/edgewise-ml/edgewise/internal/cpu"
)

// weightsWinograd is the gradient of a 3×3 convolution of stride 1 by its weights as the
// transpose of F(4×4, 3×3): tiles of the input are transformed as there, tiles of the
// output's gradient by the transpose of the output's transform, and 36 sums of outer
// products over all tiles lead by the transpose of the weights' transform to the taps.
//
// Channels are cut into blocks, and a unit makes the sums of a part of the tiles for a block
// of output and one of input channels: [36][blockOut][blockIn].
type weightsWinograd struct {
	kernel *winogradKernelF32 // nil: another form is used

	input, output     winogradTiles
	blockIn, blockOut int
	inBlocks, blocks  int // blocks of input channels; units of a part
	tiles             int
	chunk             int // tiles that are multiplied at once
}

// winogradBlock bounds the channels of a block, weightsChunk the bytes that are transformed
// at once: with the sums, what a second cache holds.
const (
	winogradBlock    = 64
	weightsChunk     = 768 << 10
	winogradProducts = 36 // products of F(4×4, 3×3)
)

// prepareWinograd reports whether it lays out Winograd's form: whether the level has the
// transforms and tiles hang over the edges of the image by less than they lie inside.
func (g *ConvWeightsF32) prepareWinograd(l cpu.Level) bool {
	s, w := &g.shape, &g.winograd
	k := winogradKernel(l, 4)
	down, across := (s.OutH+3)/4, (s.OutW+3)/4
	if !s.winogradFits() || k.level != g.tile.level || down*across*16 > 2*s.OutH*s.OutW {
		return false
	}
	w.kernel = k
	w.input = winogradTiles{kernel: k, pass: transformInput, size: 6, height: s.InH, width: s.InW, channels: s.InC, stride: s.InStride,
		top: s.PadTop, left: s.PadLeft, down: down, across: across}
	w.output = winogradTiles{kernel: k, pass: transformGradient, size: 4, height: s.OutH, width: s.OutW, channels: s.OutC, stride: s.OutStride, down: down, across: across}
	w.blockIn, w.blockOut = min(roundUp(s.InC, 16), winogradBlock), min(roundUp(s.OutC, 16), winogradBlock)
	w.inBlocks = (s.InC + w.blockIn - 1) / w.blockIn
	w.blocks = w.inBlocks * ((s.OutC + w.blockOut - 1) / w.blockOut)
	w.tiles = s.Batch * down * across
	w.chunk = min(max(weightsChunk/(4*winogradProducts*(w.blockIn+w.blockOut)), 16), w.tiles)
	g.parts = min(max((maxParts/2+w.blocks-1)/w.blocks, 1), max(w.tiles/w.chunk, 1))
	if w.blocks == 1 && w.sums() <= 64<<10 {
		g.parts = min(maxParts, max(w.tiles/w.chunk, 1))
	}
	return true
}

// sums returns the values of a unit's sums.
func (w *weightsWinograd) sums() int { return winogradProducts * w.blockIn * w.blockOut }

// scratchLen returns the values that a unit works on.
func (w *weightsWinograd) scratchLen() int {
	in, out := w.input, w.output
	in.channels, out.channels = w.blockIn, w.blockOut
	return winogradProducts*(w.chunk*(w.blockIn+w.blockOut)+winogradLanes) + max(in.patchLen(), out.patchLen())
}

// run adds up part's share of the tiles for one pair of blocks.
func (g *ConvWeightsF32) runWinograd(sums, x, dy, scratch []float32, part, block int) {
	s, w := &g.shape, &g.winograd
	in, out := w.input, w.output
	fromIn, fromOut := block%w.inBlocks*w.blockIn, block/w.inBlocks*w.blockOut
	in.channels, out.channels = min(w.blockIn, s.InC-fromIn), min(w.blockOut, s.OutC-fromOut)
	values, scratch := scratch[:winogradProducts*w.chunk*w.blockIn], scratch[winogradProducts*w.chunk*w.blockIn:]
	grads, scratch := scratch[:winogradProducts*w.chunk*w.blockOut], scratch[winogradProducts*w.chunk*w.blockOut:]
	buffer, patch := scratch[:winogradProducts*winogradLanes], scratch[winogradProducts*winogradLanes:]
	clear(sums)
	args := outerF32{aStep: 4 * w.blockOut, bStep: 4 * w.blockIn, ldc: 4 * w.blockIn, cols: roundUp(in.channels, 16)}
	for t, end := part*w.tiles/g.parts, (part+1)*w.tiles/g.parts; t < end; t += args.k {
		args.k = min(w.chunk, end-t)
		in.transform(values, w.blockIn, w.chunk*w.blockIn, unsafe.Pointer(&x[fromIn]), buffer, patch, t, args.k)
		out.transform(grads, w.blockOut, w.chunk*w.blockOut, unsafe.Pointer(&dy[fromOut]), buffer, patch, t, args.k)
		for i := range winogradProducts {
			args.b = unsafe.Pointer(&values[i*w.chunk*w.blockIn])
			for r := 0; r < out.channels; r += outerRows {
				args.a = unsafe.Pointer(&grads[i*w.chunk*w.blockOut+r])
				args.c = unsafe.Pointer(&sums[(i*w.blockOut+r)*w.blockIn])
				args.run(g.level)
			}
		}
	}
}

// finishLen returns the values that Finish works on.
func (w *weightsWinograd) finishLen() int {
	return winogradProducts*(w.blockIn+winogradLanes) + 9*w.blockIn
}

// finishWinograd makes the taps of output channel m.
func (g *ConvWeightsF32) finishWinograd(dw, parts, scratch []float32, m int) {
	s, w := &g.shape, &g.winograd
	sums, scratch := scratch[:winogradProducts*w.blockIn], scratch[winogradProducts*w.blockIn:]
	taps, buffer := scratch[:9*w.blockIn], scratch[9*w.blockIn:]
	for in := range w.inBlocks {
		at, row := (m/w.blockOut*w.inBlocks+in)*w.sums(), m%w.blockOut
		clear(sums)
		for i := range winogradProducts {
			c := channelsF32{acc: unsafe.Pointer(&sums[i*w.blockIn]), a: unsafe.Pointer(&parts[at+(i*w.blockOut+row)*w.blockIn]),
				aStep: 4 * w.blocks * w.sums(), rows: g.parts, n: w.blockIn}
			c.sum(g.level)
		}
		args := winogradTileF32{src: unsafe.Pointer(&sums[0]), srcRow: 24 * w.blockIn, srcCol: 4 * w.blockIn,
			dst: unsafe.Pointer(&taps[0]), dstRow: 4 * w.blockIn, buffer: unsafe.Pointer(&buffer[0]), channels: w.blockIn, tiles: 1}
		args.run(w.kernel, transformTaps)
		from := in * w.blockIn
		for c := range min(w.blockIn, s.InC-from) {
			to := dw[(m*s.InC+from+c)*9:][:9]
			for t := range to {
				to[t] = taps[t*w.blockIn+c]
			}
		}
	}
}
