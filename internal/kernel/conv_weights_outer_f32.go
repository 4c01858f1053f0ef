package kernel

import "unsafe"

// weightsOuter is the gradient of a convolution by its weights as sums of outer products:
// of the gradients of a row of output pixels with the image row under a row of taps, of
// which every pixel sees a stretch. Nothing is packed. Image rows are copied with their
// border where there is one, gradients where their channels do not fill whole vectors.
//
// A unit makes the sums of a part of the output rows for some runs of columns of a group;
// channels and the columns of runs are rounded up to whole vectors.
type weightsOuter struct {
	on               bool
	rows             ConvShape // the convolution, with the pixels of a pointwise one in longer rows
	inPlace, dyPlace bool      // rows of the image and of the gradient are read where they lie
	line             int       // values of an image row with its border
}

// outerDepth bounds the pixels of one call.
const outerDepth = 1024

// prepareOuter lays out the columns.
func (g *ConvWeightsF32) prepareOuter() {
	s, o := &g.shape, &g.outer
	o.on, o.rows = true, *s
	if r := &o.rows; s.KernelH == 1 && s.KernelW == 1 && s.StrideH == 1 && s.StrideW == 1 && s.PadTop == 0 && s.PadLeft == 0 &&
		s.InH == s.OutH && s.InW == s.OutW && s.InH*s.InW <= outerDepth {
		r.InW, r.OutW, r.InH, r.OutH = s.InH*s.InW, s.InH*s.InW, 1, 1
	}
	g.prepareRuns(16)
	g.outPitch = roundUp(s.OutC/s.Groups, outerRows)
	o.inPlace = s.KernelW == 1 && s.PadLeft == 0 && (o.rows.OutW-1)*s.StrideW < o.rows.InW && s.InC/s.Groups%16 == 0
	o.dyPlace = s.OutC/s.Groups%outerRows == 0
	// Vectors reach beyond the last column.
	o.line = ((o.rows.OutW-1)*s.StrideW+(s.KernelW-1)*s.DilationW+1)*s.InC + 16
}

// outerLen returns the values that a unit works on.
func (g *ConvWeightsF32) outerLen() int { return g.outer.rows.OutW*g.outPitch + g.outer.line }

// runOuter adds up some runs of columns for the channels of a group over output rows.
func (g *ConvWeightsF32) runOuter(sums, x, dy, scratch []float32, group int, runs []weightRun, from, to int) {
	o := &g.outer
	s := &o.rows
	perIn, perOut := s.InC/s.Groups, s.OutC/s.Groups
	sums = sums[group*g.outPitch*g.inPitch:][:g.outPitch*g.inPitch]
	first, end := runs[0].at, roundUp(runs[len(runs)-1].at+runs[len(runs)-1].width, 16)
	for m := range g.outPitch {
		clear(sums[m*g.inPitch+first : m*g.inPitch+end])
	}
	line, turned := scratch[:o.line], scratch[o.line:]
	clear(line[o.line-16:])
	args := outerF32{ldc: 4 * g.inPitch}
	for ; from < to; from++ {
		image, row := from/s.OutH, from%s.OutH
		grad, step := dy[from*s.OutW*s.OutStride+group*perOut:], s.OutStride
		if !o.dyPlace {
			for p := range s.OutW {
				copy(turned[p*g.outPitch:][:perOut], grad[p*s.OutStride:][:perOut])
			}
			grad, step = turned, g.outPitch
		}
		args.aStep = 4 * step
		for i, r := range runs {
			iy := row*s.StrideH + r.ky*s.DilationH - s.PadTop
			if iy < 0 || iy >= s.InH {
				continue
			}
			image := x[(image*s.InH+iy)*s.InW*s.InStride:]
			pixel := s.InStride
			if !o.inPlace {
				if i == 0 || runs[i-1].ky != r.ky {
					s.copyLine(line[:o.line-16], image)
				}
				image, pixel = line, s.InC
			}
			image = image[r.from+group*perIn:]
			args.bStep, args.cols = 4*s.StrideW*pixel, roundUp(r.width, 16)
			for p := 0; p < s.OutW; p += args.k {
				args.k = min(outerDepth, s.OutW-p)
				args.b = unsafe.Pointer(&image[p*s.StrideW*pixel])
				for m := 0; m < perOut; m += outerRows {
					args.a = unsafe.Pointer(&grad[p*step+m])
					args.c = unsafe.Pointer(&sums[m*g.inPitch+r.at])
					args.run(g.level)
				}
			}
		}
	}
}
