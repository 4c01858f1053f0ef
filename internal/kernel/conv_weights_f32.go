package kernel

import (
	"errors"
	"unsafe"

	"github.com/edgewise-ml/edgewise/internal/cpu"
)

// A ConvWeightsF32 is the prepared gradient of a convolution by its weights,
//
//	dw[m][i][ky][kx] = Σ dy[n][oy][ox][m] · x[n][oy·sh+ky·dh-top][ox·sw+kx·dw-left][i]
//
// over images and output positions. x and dy lie as the shape's input and output.
//
// The sum is a matrix product whose depth is all pixels. It is cut into parts, each with
// sums of its own, so that workers need not wait for each other and the order of addition
// does not depend on how many there are: Run makes the parts, Finish adds them up and
// turns weights channels-first.
type ConvWeightsF32 struct {
	shape ConvShape
	level cpu.Level
	tile  *gemmTileF32
	parts int

	winograd weightsWinograd // used where it has a kernel
	outer    weightsOuter    // used where it is on

	// Of what is no depthwise convolution. A run is a stretch of columns, kernel position
	// by channel, that lies side by side in the image. Sums are [groups][outPitch][inPitch].
	outPitch, inPitch int
	runs              []weightRun
	blocks            [][]weightRun // what a unit takes of them
	chunk             int           // output rows that are multiplied at once
	padded            int           // values of an image row with its border, all channels
	lines             int           // image rows under a chunk
}

// weightRun are columns [at, at+width) of a group's weights. They begin at column from of
// the window's image row ky.
type weightRun struct{ at, width, ky, from int }

// A part has about partMACs multiply-accumulates at least; there are at most maxParts.
// chunkDepth is about how many pixels are multiplied at once: what is packed of them
// stays in the second cache.
const (
	partMACs   = 1 << 20
	maxParts   = 8
	chunkDepth = 256
	runColumns = 256
)

// NewConvWeightsF32 prepares a gradient for the kernels of a level. Strides of pixels and
// groups are those of the convolution; its residual does not matter. With Winograd it may
// take fewer products.
func NewConvWeightsF32(l cpu.Level, s ConvShape, opts ...Option) (*ConvWeightsF32, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	g := &ConvWeightsF32{shape: s, level: l, tile: gemmTile(l)}
	if prepare(opts).winograd && g.prepareWinograd(l) {
		return g, nil
	}
	rows := s.Batch * s.OutH
	switch {
	case s.depthwise():
		g.outPitch, g.inPitch = 1, s.KernelH*s.KernelW
	case outerArch(l):
		g.prepareOuter()
		if !productWithin(maxScratch/4, g.outer.rows.OutW, g.outPitch+2) || !productWithin(maxScratch/8, g.outer.line) {
			return nil, errors.New("conv weights f32: a row of pixels is too large")
		}
		rows = g.outer.rows.Batch * g.outer.rows.OutH
	default:
		g.prepare()
		if !productWithin(maxScratch/4, g.padded, g.lines) || !productWithin(maxScratch/4, s.OutW, s.OutC+2*runColumns, g.chunk) {
			return nil, errors.New("conv weights f32: a chunk of rows is too large")
		}
	}
	perPart := g.unitsOfPart()
	macs := float64(s.Batch*s.OutH) * float64(s.OutW) * float64(s.weightLen())
	g.parts = min(max((maxParts+perPart-1)/perPart, 1), max(int(macs/partMACs), 1), rows)
	if !productWithin(maxScratch/4, g.parts, g.partLen()) {
		g.parts = 1
	}
	return g, nil
}

// partLen returns the values of the sums of one part.
func (g *ConvWeightsF32) partLen() int { return g.shape.Groups * g.outPitch * g.inPitch }

// prepareRuns lays out the columns; runs begin at multiples of align.
func (g *ConvWeightsF32) prepareRuns(align int) {
	s := &g.shape
	per := s.InC / s.Groups
	add := func(ky, kx, taps int) {
		from := kx * s.DilationW * s.InC
		for width := taps * per; width > 0; {
			n := min(width, runColumns)
			g.runs = append(g.runs, weightRun{g.inPitch, n, ky, from})
			from, width = from+n, width-n
			g.inPitch += roundUp(n, align)
		}
	}
	for ky := range s.KernelH {
		if s.Groups == 1 && s.DilationW == 1 {
			add(ky, 0, s.KernelW)
			continue
		}
		for kx := range s.KernelW {
			add(ky, kx, 1)
		}
	}
	// Runs that share rows of pixels are taken together while they are narrow.
	for lo := 0; lo < len(g.runs); {
		hi, width := lo+1, g.runs[lo].width
		for hi < len(g.runs) && width+g.runs[hi].width <= runColumns {
			width += g.runs[hi].width
			hi++
		}
		g.blocks = append(g.blocks, g.runs[lo:hi])
		lo = hi
	}
}

// prepare lays out the packed form.
func (g *ConvWeightsF32) prepare() {
	s := &g.shape
	g.prepareRuns(1)
	g.outPitch = s.OutC / s.Groups
	g.chunk = min(max(chunkDepth/s.OutW, 1), s.OutH)
	g.padded = ((s.OutW-1)*s.StrideW + (s.KernelW-1)*s.DilationW + 1) * s.InC
	g.lines = (g.chunk-1)*s.StrideH + (s.KernelH-1)*s.DilationH + 1
}

// unitsOfPart returns how many units a part has.
func (g *ConvWeightsF32) unitsOfPart() int {
	switch {
	case g.shape.depthwise():
		return 1
	case g.winograd.kernel != nil:
		return g.winograd.blocks
	}
	return g.shape.Groups * len(g.blocks)
}

// Name names the operator and its micro-kernel.
func (g *ConvWeightsF32) Name() string {
	switch {
	case g.shape.depthwise():
		return "depthwise weight gradient"
	case g.winograd.kernel != nil:
		return "weight gradient " + g.winograd.kernel.name
	case g.outer.on:
		return "weight gradient outer products"
	}
	return "weight gradient " + g.tile.name
}

// Units returns the number of independent units of Run.
func (g *ConvWeightsF32) Units() int { return g.parts * g.unitsOfPart() }

// PartsLen returns how many values Run writes for Finish.
func (g *ConvWeightsF32) PartsLen() int {
	if g.winograd.kernel != nil {
		return g.parts * g.winograd.blocks * g.winograd.sums()
	}
	return g.parts * g.partLen()
}

// ScratchBytes returns the scratch that each worker needs for Run and Finish.
func (g *ConvWeightsF32) ScratchBytes() int {
	switch {
	case g.shape.depthwise():
		return 0
	case g.winograd.kernel != nil:
		return 4 * max(g.winograd.scratchLen(), g.winograd.finishLen())
	case g.outer.on:
		return 4 * g.outerLen()
	}
	depth := g.chunk * g.shape.OutW
	return 4 * (g.padded*g.lines + (depth+g.tile.nr)*(g.shape.OutC/g.shape.Groups) + g.tile.panels(runColumns)*g.tile.panelLen(depth))
}

// Run computes units lo ≤ u < hi of parts, whose length is PartsLen.
func (g *ConvWeightsF32) Run(parts, x, dy []float32, scratch []byte, lo, hi int) {
	s := &g.shape
	_, _, _ = parts[g.PartsLen()-1], x[s.inLen()-1], dy[s.outLen()-1]
	if lo < 0 || hi > g.Units() {
		panic("kernel: " + g.Name() + ": units out of range")
	}
	rows, per := s.Batch*s.OutH, g.unitsOfPart()
	if g.outer.on {
		rows = g.outer.rows.Batch * g.outer.rows.OutH
	}
	for u := lo; u < hi; u++ {
		part := u / per
		if w := &g.winograd; w.kernel != nil {
			g.runWinograd(parts[u*w.sums():][:w.sums()], x, dy, floatScratch(scratch, w.scratchLen()), part, u%per)
			continue
		}
		from, to := part*rows/g.parts, (part+1)*rows/g.parts
		sums := parts[part*g.partLen():][:g.partLen()]
		if s.depthwise() {
			g.depthwise(sums, x, dy, from, to)
			continue
		}
		group, block := u%per/len(g.blocks), u%per%len(g.blocks)
		if g.outer.on {
			g.runOuter(sums, x, dy, floatScratch(scratch, g.outerLen()), group, g.blocks[block], from, to)
			continue
		}
		g.product(sums, x, dy, floatScratch(scratch, g.ScratchBytes()/4), group, g.blocks[block], from, to)
	}
}

// product adds up some runs of columns for the channels of a group over output rows.
func (g *ConvWeightsF32) product(sums, x, dy, scratch []float32, group int, runs []weightRun, from, to int) {
	s, t := &g.shape, g.tile
	perIn, perOut := s.InC/s.Groups, s.OutC/s.Groups
	width := s.KernelH * s.KernelW * perIn // of a row of sums
	lines := scratch[:g.padded*g.lines]
	turned := scratch[len(lines):][:(g.chunk*s.OutW+t.nr)*perOut]
	panels := scratch[len(lines)+len(turned):]
	args := gemmF32{b: unsafe.Pointer(&panels[0]), ldc: 4 * width, ldres: 4 * width, lda: 4 * t.nr}
	args.lo, args.hi, _ = Act{}.clamp()
	firstLine, lastLine := runs[0].ky*s.DilationH, runs[len(runs)-1].ky*s.DilationH
	for first := true; from < to; first = false {
		image, row := from/s.OutH, from%s.OutH
		n := min(g.chunk, to-from, s.OutH-row)
		depth := n * s.OutW
		g.copyLines(lines, x, image, row*s.StrideH-s.PadTop, firstLine, lastLine+(n-1)*s.StrideH)
		// Pixels become rows, so many at a time as a panel is wide.
		grad := dy[((image*s.OutH+row)*s.OutW)*s.OutStride+group*perOut:]
		for k := 0; k < depth; k += t.nr {
			t.packPanel(turned[k*perOut:], grad[k*s.OutStride:], min(t.nr, depth-k), perOut, s.OutStride, true, 1)
		}
		for _, r := range runs {
			args.cols, args.panel = r.width, 4*t.panelLen(depth)
			for j := 0; j < r.width; j += t.nr {
				cols := min(t.nr, r.width-j)
				panel := panels[j/t.nr*t.panelLen(depth):][:t.panelLen(depth)]
				clear(panel[:t.nr])
				for i := range n {
					src := lines[(i*s.StrideH+r.ky*s.DilationH)*g.padded+r.from+group*perIn+j:]
					t.packPanel(panel[(1+i*s.OutW)*t.nr:], src, cols, s.OutW, s.StrideW*s.InC, false, 1)
				}
			}
			g.multiply(&args, sums[group*perOut*width+r.at:], turned, perOut, depth, first)
		}
		from += n
	}
}

// multiply adds the products of depth pixels, which stand in blocks as wide as a panel, to
// the sums, or sets these if they are the first.
func (g *ConvWeightsF32) multiply(args *gemmF32, sums, turned []float32, perOut, depth int, first bool) {
	t := g.tile
	var off [chunkDepth / 8]int
	for i := range off {
		off[i] = i * 4 * t.nr * perOut
	}
	for k := 0; k*t.nr < depth; {
		n, segK := min(depth/t.nr-k, len(off)), t.nr
		if n == 0 { // the last block is partial
			n, segK = 1, depth-k*t.nr
		}
		args.off, args.segs, args.segK, args.bSkip = &off[0], n, segK, 4*k*t.nr*t.nr
		tiles := (perOut + t.mr - 1) / t.mr
		for i := range tiles {
			r0, r1 := i*perOut/tiles, (i+1)*perOut/tiles
			args.rows = r1 - r0
			args.a = unsafe.Pointer(&turned[(k*perOut+r0)*t.nr])
			args.c, args.res = unsafe.Pointer(&sums[r0*args.ldc/4]), nil
			if !first {
				args.res = args.c
			}
			args.run(t)
		}
		k, first = k+n, false
	}
}

// copyLines copies lines from … to, counted from image row top, with their border.
func (g *ConvWeightsF32) copyLines(lines, x []float32, image, top, from, to int) {
	s := &g.shape
	for i := from; i <= to; i++ {
		line := lines[i*g.padded:][:g.padded]
		if iy := top + i; iy >= 0 && iy < s.InH {
			s.copyLine(line, x[(image*s.InH+iy)*s.InW*s.InStride:])
		} else {
			clear(line)
		}
	}
}

// copyLine copies an image row with its border.
func (s *ConvShape) copyLine(line, src []float32) {
	left := min(s.PadLeft*s.InC, len(line))
	clear(line[:left])
	inside := line[left:]
	if s.InStride == s.InC {
		inside = inside[copy(inside, src[:min(s.InW*s.InC, len(inside))]):]
	} else {
		for px := 0; px < s.InW && len(inside) > 0; px++ {
			inside = inside[copy(inside, src[px*s.InStride:][:s.InC]):]
		}
	}
	clear(inside)
}

// depthwise adds up all kernel positions over output rows. Where three taps of a kernel row
// lie inside the image together, they are taken together.
func (g *ConvWeightsF32) depthwise(sums, x, dy []float32, from, to int) {
	s := &g.shape
	clear(sums)
	c := channelsF32{n: s.InC, aStep: 4 * s.StrideW * s.InStride, bStep: 4 * s.OutStride, tapStep: 4 * s.DilationW * s.InStride, accTap: 4 * s.InC}
	for ; from < to; from++ {
		image, row := from/s.OutH, from%s.OutH
		for ky := range s.KernelH {
			// The stretch of output pixels lo … hi of a row all of whose three taps are inside.
			lo, hi := 0, 0
			if s.KernelW == 3 {
				in, out, n := s.tapRun(image, row, ky, 0)
				_, last, right := s.tapRun(image, row, ky, 2)
				if c.rows = last + right - out; n > 0 && right > 0 && c.rows > 0 {
					lo = out - (image*s.OutH+row)*s.OutW
					hi = lo + c.rows
					c.acc = unsafe.Pointer(&sums[ky*3*s.InC])
					c.a, c.b = unsafe.Pointer(&x[in*s.InStride]), unsafe.Pointer(&dy[out*s.OutStride])
					c.dot3(g.level)
				}
			}
			for kx := range s.KernelW {
				in, out, n := s.tapRun(image, row, ky, kx)
				first := out - (image*s.OutH+row)*s.OutW
				dot := func(from, to int) {
					if c.rows = to - from; c.rows <= 0 {
						return
					}
					c.acc = unsafe.Pointer(&sums[(ky*s.KernelW+kx)*s.InC])
					c.a = unsafe.Pointer(&x[(in+(from-first)*s.StrideW)*s.InStride])
					c.b = unsafe.Pointer(&dy[(out+from-first)*s.OutStride])
					c.dot(g.level)
				}
				if n == 0 {
					continue
				}
				if lo >= hi {
					dot(first, first+n)
					continue
				}
				dot(first, lo)
				dot(hi, first+n)
			}
		}
	}
}

// tapRun returns the stretch of output row oy of image n in which tap (ky, kx) lies inside
// the image: the numbers of its first input and output pixels, and how many there are.
// They are StrideW input pixels apart.
func (s *ConvShape) tapRun(n, oy, ky, kx int) (in, out, rows int) {
	iy, start := oy*s.StrideH+ky*s.DilationH-s.PadTop, kx*s.DilationW-s.PadLeft
	if iy < 0 || iy >= s.InH || start >= s.InW {
		return 0, 0, 0
	}
	first := 0
	if start < 0 {
		first = (-start + s.StrideW - 1) / s.StrideW
	}
	last := min(s.OutW, (s.InW-1-start)/s.StrideW+1)
	if first >= last {
		return 0, 0, 0
	}
	return (n*s.InH+iy)*s.InW + first*s.StrideW + start, (n*s.OutH+oy)*s.OutW + first, last - first
}

// FinishUnits returns the number of independent units of Finish.
func (g *ConvWeightsF32) FinishUnits() int { return g.shape.OutC }

// Finish adds up the parts into dw [OutC][InC/Groups][KernelH][KernelW], for output
// channels lo ≤ m < hi.
func (g *ConvWeightsF32) Finish(dw, parts []float32, scratch []byte, lo, hi int) {
	if w := &g.winograd; w.kernel != nil {
		for m := lo; m < hi; m++ {
			g.finishWinograd(dw[:g.shape.weightLen()], parts[:g.PartsLen()], floatScratch(scratch, w.finishLen()), m)
		}
		return
	}
	s := &g.shape
	per, perOut, taps := s.InC/s.Groups, s.OutC/s.Groups, s.KernelH*s.KernelW
	_, _ = dw[s.weightLen()-1], parts[g.PartsLen()-1]
	for m := lo; m < hi; m++ {
		to := dw[m*per*taps:][:per*taps]
		clear(to)
		for p := range g.parts {
			sums := parts[p*g.partLen():][:g.partLen()]
			if s.depthwise() { // they lie [tap][channel]
				for t := range taps {
					to[t] += sums[t*s.InC+m]
				}
				continue
			}
			row := sums[(m/perOut*g.outPitch+m%perOut)*g.inPitch:][:g.inPitch]
			tap, i := 0, 0
			for _, r := range g.runs {
				for _, v := range row[r.at : r.at+r.width] {
					to[i*taps+tap] += v
					if i++; i == per {
						tap, i = tap+1, 0
					}
				}
			}
		}
	}
}
