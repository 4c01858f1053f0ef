package kernel

import (
	"errors"
	"fmt"
	"unsafe"
)

// convWinograd is a 3×3 convolution of stride 1 by F(m×m, 3×3). Tiles of the
// output are taken some at a time: their input is transformed into n² matrices of
// a row per tile, which are multiplied by n² matrices of transformed weights, and
// the n² products are transformed into pixels.
//
// A unit is a group of tiles by a block of columns, blocks being the fast index:
// units that follow each other in a run share the transformed input.
type convWinograd struct {
	kernel *winogradKernelF32 // nil: another form is used
	tile   *gemmTileF32
	packed []float32 // bias, then [n²][panel]

	across, tiles         int // tiles in a row of the output and in all
	groups, least, longer int // groups of least tiles, the first longer ones of one more
	blocks, block         int // blocks of columns, columns in one
	inPitch, outPitch     int // values of a row of the matrices
	input                 winogradTiles
}

// Winograd lets a convolution compute 3×3 windows by Winograd's minimal
// filtering where that is faster. Its results differ from the sum of products by
// at most 1e-5 of the sum of the magnitudes of its terms, as do those of the
// other form. An infinity or NaN in the input makes NaN of every output of the tiles
// that reach it, up to 4×4 pixels, and not only of those whose window does.
func Winograd() Option { return func(o *preparation) { o.winograd = true } }

// UsesWinograd reports whether the convolution is computed so.
func (c *ConvF32) UsesWinograd() bool { return c.winograd.kernel != nil }

// winogradBytes is how much transformed input and output a group of tiles may
// hold, so that most of it stays in a second cache. Four times its weights are enough, so
// that these are read rarely, but for an eighth.
const winogradBytes = 2 << 20

// winogradWeights is how many weights one call of a gemm tile may take, which bounds its
// time.
const winogradWeights = 320 << 10

// winogradFits reports whether the convolution has Winograd's form.
func (s *ConvShape) winogradFits() bool {
	return s.KernelH == 3 && s.KernelW == 3 && s.StrideH == 1 && s.StrideW == 1 && s.DilationH == 1 && s.DilationW == 1 && s.Groups == 1 &&
		s.InC >= winogradLanes && s.OutC >= winogradLanes && s.PadTop <= 2 && s.PadLeft <= 2
}

// winogradTile returns the m to use, or 0 where the sum of products is not
// expected to take longer. Winograd's form has fewer products, but more bytes of
// weights, which are read once for each group of tiles, and its transforms.
func (s *ConvShape) winogradTile() int {
	if !s.winogradFits() {
		return 0
	}
	best, least := 0, s.directCost()*4/5
	for _, m := range []int{2, 4} {
		if cost := s.winogradCost(m); cost < least {
			best, least = m, cost
		}
	}
	return best
}

// The rates of the cost model, per nanosecond, and the time of a transform are those of
// one core of a server of 2023; what counts is how they relate.
const costMACs, costBytes, costTransform = 80, 10, 36

// directCost and winogradCost are the expected times in nanoseconds of the sum of products
// and of F(m×m, 3×3).
func (s *ConvShape) directCost() int {
	weights := s.InC * roundUp(s.OutC, 32)
	return max(9*s.Batch*s.OutH*s.OutW*weights/costMACs, 9*4*weights/costBytes)
}

func (s *ConvShape) winogradCost(m int) int {
	weights, n2 := s.InC*roundUp(s.OutC, 32), (m+2)*(m+2)
	tiles := s.Batch * ((s.OutH + m - 1) / m) * ((s.OutW + m - 1) / m)
	return max(n2*tiles*weights/costMACs, n2*4*weights/costBytes*s.winogradGroups(m)) +
		tiles*((s.InC+15)/16+(s.OutC+15)/16)*costTransform*n2/36
}

// winogradGroups returns how many groups the tiles of F(m×m, 3×3) are taken in.
func (s *ConvShape) winogradGroups(m int) int {
	tiles := s.Batch * ((s.OutH + m - 1) / m) * ((s.OutW + m - 1) / m)
	perTile := 4 * (m + 2) * (m + 2) * (roundUp(s.InC, winogradLanes) + roundUp(s.OutC, winogradLanes))
	weights := 4 * (m + 2) * (m + 2) * s.InC * roundUp(s.OutC, 32)
	most := max(14, min(max(4*weights, winogradBytes/8), winogradBytes)/perTile)
	return (tiles + most - 1) / most
}

func (c *ConvF32) prepareWinograd(kernel *winogradKernelF32, tile *gemmTileF32, w, bias []float32, o *preparation) error {
	s, g := &c.shape, &c.winograd
	g.kernel, g.tile = kernel, tile
	m, n := kernel.m, kernel.m+2
	g.across = (s.OutW + m - 1) / m
	g.tiles = s.Batch * ((s.OutH + m - 1) / m) * g.across
	g.inPitch, g.outPitch = roundUp(s.InC, winogradLanes), roundUp(s.OutC, winogradLanes)
	g.groups = s.winogradGroups(m)
	g.least, g.longer = g.tiles/g.groups, g.tiles%g.groups
	panels := g.tile.panels(s.OutC)
	g.blocks = 1
	if g.groups == 1 {
		g.blocks = min(2, panels) // something to share
	}
	g.block = (panels + g.blocks - 1) / g.blocks * g.tile.nr
	g.blocks = (s.OutC + g.block - 1) / g.block

	size := panels * g.tile.panelLen(s.InC)
	if !productWithin(maxElements, n*n, size) || !productWithin(maxScratch/4, n*n, g.inPitch+g.outPitch, g.least+1) {
		return errors.New("conv f32: the transformed weights have too many elements")
	}
	o.placeF32(&g.packed, g.outPitch+n*n*size, func() {
		clear(g.packed[:g.outPitch])
		copy(g.packed, bias)
		transformed := make([]float32, s.OutC*s.InC)
		for i := range n * n {
			c.transformWeights(transformed, w, i, o.channelsFirst)
			g.tile.pack(g.packed[g.outPitch+i*size:][:size], transformed, nil, s.OutC, s.InC, s.InC, 1)
		}
	})
	g.input = winogradTiles{kernel: kernel, pass: transformInput, size: n, height: s.InH, width: s.InW, channels: s.InC, stride: s.InStride,
		top: s.PadTop, left: s.PadLeft, down: (s.OutH + m - 1) / m, across: g.across}
	c.name = fmt.Sprintf("conv3x3 %s %s", g.kernel.name, g.tile.name)
	return nil
}

// transformWeights writes matrix i of the transformed weights to dst, [OutC][InC].
func (c *ConvF32) transformWeights(dst, w []float32, i int, channelsFirst bool) {
	s, n := &c.shape, c.winograd.kernel.m+2
	mat := winogradForms[c.winograd.kernel.m][transformWeights]
	var f [9]float64
	for t := range f {
		f[t] = mat[i/n][t/3] * mat[i%n][t%3]
	}
	tap, channel := s.InC, 1
	if channelsFirst {
		tap, channel = 1, 9
	}
	for o := range s.OutC {
		for ch := range s.InC {
			from := w[o*9*s.InC+ch*channel:]
			sum := 0.0
			for t, f := range f {
				sum += f * float64(from[t*tap])
			}
			dst[o*s.InC+ch] = float32(sum)
		}
	}
}

// scratchLen returns the values of scratch: a run of tiles with its border, the buffer of
// the transforms, and the matrices before and after the products.
func (g *convWinograd) scratchLen(s *ConvShape) int {
	n := g.kernel.m + 2
	return g.input.patchLen() + n*n*(winogradLanes+(g.least+1)*(g.inPitch+g.outPitch))
}

func (c *ConvF32) runWinograd(dst, src, res unsafe.Pointer, scratch []float32, lo, hi int) {
	s, g := &c.shape, &c.winograd
	n := g.kernel.m + 2
	// The matrices and the buffer start on cache lines where the scratch does.
	rows := g.least + 1
	before, scratch := scratch[:n*n*rows*g.inPitch], scratch[n*n*rows*g.inPitch:]
	after, scratch := scratch[:n*n*rows*g.outPitch], scratch[n*n*rows*g.outPitch:]
	buffer, patch := scratch[:n*n*winogradLanes], scratch[n*n*winogradLanes:]
	for u, have := lo, -1; u < hi; u++ {
		group, j0 := u/g.blocks, u%g.blocks*g.block
		first := group*g.least + min(group, g.longer)
		tiles := g.least
		if group < g.longer {
			tiles++
		}
		if group != have {
			g.input.transform(before, g.inPitch, rows*g.inPitch, src, buffer, patch, first, tiles)
			have = group
		}
		cols := min(g.block, s.OutC-j0)
		c.multiply(after, before, tiles, j0, cols)
		for i := 0; i < tiles; {
			n := min(tiles-i, g.across-(first+i)%g.across, winogradRun)
			if (first+i+n)%g.across == 0 && n > 1 && s.OutW%g.kernel.m != 0 {
				n-- // the last one of a row has fewer columns
			}
			c.transformOutput(dst, res, unsafe.Pointer(&after[i*g.outPitch+j0]), buffer, first+i, n, j0, cols)
			i += n
		}
	}
}

// multiply computes columns j0 … of the n² products.
func (c *ConvF32) multiply(after, before []float32, tiles, j0, cols int) {
	s, g := &c.shape, &c.winograd
	n, rows := g.kernel.m+2, g.least+1
	panelLen := g.tile.panelLen(s.InC)
	size := g.tile.panels(s.OutC) * panelLen
	off := 0
	lo, hi, _ := Act{}.clamp()
	args := gemmF32{lda: g.inPitch * 4, off: &off, segs: 1, segK: s.InC, panel: panelLen * 4, ldc: g.outPitch * 4, lo: lo, hi: hi}
	parts := (tiles + g.tile.mr - 1) / g.tile.mr
	step := g.tile.nr * max(1, winogradWeights/panelLen)
	for i := range n * n {
		for j, end := j0, j0+cols; j < end; j += step {
			args.cols = min(step, end-j)
			args.b = unsafe.Pointer(&g.packed[g.outPitch+i*size+j/g.tile.nr*panelLen])
			blockLen := g.tile.panels(args.cols) * panelLen * 4
			next := blockLen
			if j+step >= end { // the same columns of the matrix after
				next = 4 * (size - (j-j0)/g.tile.nr*panelLen)
			}
			for p := range parts {
				r0, r1 := p*tiles/parts, (p+1)*tiles/parts
				args.rows = r1 - r0
				args.a = unsafe.Pointer(&before[(i*rows+r0)*g.inPitch])
				args.c = unsafe.Pointer(&after[(i*rows+r0)*g.outPitch+j])
				of := args.fetches()
				args.ahead = uintptr(args.b) + uintptr(next+p%of*blockLen/of)
				args.run(g.tile)
			}
		}
	}
}

// transformOutput makes the pixels of n tiles of one row.
func (c *ConvF32) transformOutput(dst, res, src unsafe.Pointer, buffer []float32, tile, n, j0, cols int) {
	s, g := &c.shape, &c.winograd
	m, down := g.kernel.m, g.input.down
	image, y, x := tile/g.across/down, tile/g.across%down*m, tile%g.across*m
	pixel := (image*s.OutH+y)*s.OutW + x
	matrix := (g.least + 1) * g.outPitch * 4
	args := winogradTileF32{src: src, srcRow: (m + 2) * matrix, srcCol: matrix, srcStep: g.outPitch * 4,
		dst: unsafe.Add(dst, (pixel*s.OutStride+j0)*4), dstRow: s.OutW * s.OutStride * 4, dstCol: s.OutStride * 4, dstStep: m * s.OutStride * 4,
		resRow: s.OutW * s.ResStride * 4, resCol: s.ResStride * 4, resStep: m * s.ResStride * 4,
		bias: unsafe.Pointer(&g.packed[j0]), buffer: unsafe.Pointer(&buffer[0]), tiles: n,
		rows: min(m, s.OutH-y), cols: min(m, s.OutW-x), channels: cols, lo: c.lo, hi: c.hi}
	if res != nil {
		args.res = unsafe.Add(res, (pixel*s.ResStride+j0)*4)
	}
	args.run(g.kernel, transformOutput)
	if c.more {
		for r := range args.rows {
			c.activate(unsafe.Add(args.dst, r*args.dstRow), min(n*m, s.OutW-x), cols, s.OutStride, j0)
		}
	}
}
