package kernel

import (
	"fmt"
	"math"
	"unsafe"

	"github.com/edgewise-ml/edgewise/internal/cpu"
)

// Pooling says what a PoolF32 computes of a window.
type Pooling struct {
	Max bool // the maximum; else the mean
	// CountInclude makes a mean divide by all positions of the window that are
	// in the image or its padding, which then is PadTop, PadLeft, PadBottom and
	// PadRight wide; else by the positions in the image.
	CountInclude        bool
	PadBottom, PadRight int
}

// A PoolF32 is a prepared pooling over NHWC tensors. A unit is one output row.
//
// It runs on the depthwise kernels: a mean is a window of ones, divided after,
// and a maximum the same sweep with another operation. A mean of the whole image adds up
// rows of channels, and its units are images.
type PoolF32 struct {
	shape   ConvShape
	pooling Pooling
	level   cpu.Level
	kernel  *depthwiseKernelF32
	start   []float32 // what a sum or maximum starts from, then a row of ones
	whole   bool      // a mean of all positions of the image
}

// NewPoolF32 prepares a pooling for the kernels of a level. Of the shape, OutC
// equals InC and Groups is not looked at. A global pooling is a window of the
// whole image. An output whose window is wholly in the padding becomes -∞ or,
// for a mean, NaN, or 0 with CountInclude.
func NewPoolF32(l cpu.Level, s ConvShape, p Pooling) (*PoolF32, error) {
	s.Groups = 1
	if err := s.Validate(); err != nil {
		return nil, err
	}
	if s.InC != s.OutC {
		return nil, fmt.Errorf("pool f32: %d input and %d output channels differ", s.InC, s.OutC)
	}
	if p.PadBottom < 0 || p.PadRight < 0 {
		return nil, fmt.Errorf("pool f32: padding bottom=%d right=%d is negative", p.PadBottom, p.PadRight)
	}
	if s.KernelW > maxScratch/256 {
		return nil, fmt.Errorf("pool f32: window of width %d is too large", s.KernelW)
	}
	c := &PoolF32{shape: s, pooling: p, level: l}
	c.whole = !p.Max && s.KernelH == s.InH && s.KernelW == s.InW && s.OutH == 1 && s.OutW == 1 &&
		s.PadTop == 0 && s.PadLeft == 0 && s.DilationH == 1 && s.DilationW == 1 && p.PadBottom == 0 && p.PadRight == 0
	first := float32(0)
	if p.Max {
		c.kernel, first = maxKernel(l), float32(math.Inf(-1))
	} else {
		c.kernel = depthwiseKernel(l, 0, 0)
	}
	c.start = alignedF32((s.KernelW + 1) * c.kernel.lanes)
	for i := range c.start {
		c.start[i] = 1
		if i < c.kernel.lanes {
			c.start[i] = first
		}
	}
	return c, nil
}

// Name names the operator and its micro-kernel.
func (c *PoolF32) Name() string {
	kind := "avgpool"
	if c.pooling.Max {
		kind = "maxpool"
	}
	return fmt.Sprintf("%s%dx%d %s", kind, c.shape.KernelH, c.shape.KernelW, c.kernel.name)
}

// Units returns the number of independent units of work.
func (c *PoolF32) Units() int { return c.shape.Batch * c.shape.OutH }

// ScratchBytes returns 0: no scratch is needed.
func (c *PoolF32) ScratchBytes() int { return 0 }

// Run computes units lo ≤ u < hi. dst may not overlap src. A slice too short
// for the shape is a broken invariant.
func (c *PoolF32) Run(dst, src []float32, lo, hi int) {
	s := &c.shape
	_, _ = dst[s.outLen()-1], src[s.inLen()-1]
	if lo < 0 || hi > c.Units() {
		panic("kernel: " + c.Name() + ": units out of range")
	}
	pixel := s.InStride * 4
	bound := float32(math.Inf(1))
	args := depthwiseF32{
		rowStep: s.DilationH * s.InW * pixel, colStep: s.DilationW * pixel, pixStep: s.StrideW * pixel,
		w: unsafe.Pointer(&c.start[0]), dstStep: s.OutStride * 4, channels: s.OutC, lo: -bound, hi: bound,
	}
	if c.whole {
		for u := lo; u < hi; u++ {
			c.mean(dst[u*s.OutStride:][:s.OutC], src[u*s.InH*s.InW*s.InStride:])
		}
		return
	}
	for u := lo; u < hi; u++ {
		image, y := u/s.OutH, u%s.OutH*s.StrideH-s.PadTop
		r0, r1 := tapsInside(y, s.DilationH, s.KernelH, s.InH)
		for x := 0; x < s.OutW; x += args.n {
			at := x*s.StrideW - s.PadLeft
			t0, t1 := tapsInside(at, s.DilationW, s.KernelW, s.InW)
			args.rows, args.cols, args.n = r1-r0, t1-t0, 1
			if args.cols == s.KernelW {
				// All pixels up to the last whole window take the same taps.
				last := (s.InW - 1 - (s.KernelW-1)*s.DilationW + s.PadLeft) / s.StrideW
				args.n = min(min(s.OutW-1, last)-x+1, callPixels(s))
			}
			args.src = unsafe.Pointer(&src[0])
			if args.rows == 0 || args.cols == 0 {
				args.rows, args.cols = 0, 0
			} else {
				args.src = unsafe.Pointer(&src[((image*s.InH+y+r0*s.DilationH)*s.InW+at+t0*s.DilationW)*s.InStride])
			}
			out := (u*s.OutW + x) * s.OutStride
			args.dst = unsafe.Pointer(&dst[out])
			args.run(c.kernel)
			if c.pooling.Max {
				continue
			}
			count := float32(args.rows * args.cols)
			for i := range args.n {
				if c.pooling.CountInclude {
					count = float32(c.counted(y, s.DilationH, s.KernelH, s.InH+c.pooling.PadBottom) *
						c.counted(at+i*s.StrideW, s.DilationW, s.KernelW, s.InW+c.pooling.PadRight))
				}
				p := dst[out+i*s.OutStride:][:s.OutC]
				Div.Apply(c.level, p, p, []float32{count})
			}
		}
	}
}

// meanSums is how many sums of a mean are kept side by side: with few channels, those of
// several pixels.
const meanSums = 128

// mean adds up the pixels of one image.
func (c *PoolF32) mean(dst, src []float32) {
	s := &c.shape
	pixels, n := s.InH*s.InW, s.OutC
	_ = src[(pixels-1)*s.InStride+n-1]
	var sums [meanSums]float32
	add := func(to []float32, from, rows, n, step int) {
		most := max(1, callValues/n)
		for r := 0; r < rows; r += most {
			(&sumRowsF32{dst: unsafe.Pointer(&to[0]), src: unsafe.Pointer(&src[from+r*step]), rows: min(most, rows-r), n: n, step: 4 * step}).run(c.level)
		}
	}
	clear(dst)
	first := 0
	if side := min(meanSums/n, pixels); side > 1 && s.InStride == n {
		wide := side * n
		first = pixels / side * side
		add(sums[:], 0, first/side, wide, wide)
		for i := 0; i < wide; i += n {
			Add.Apply(c.level, dst, dst, sums[i:i+n])
		}
	}
	if first < pixels {
		add(dst, first*s.InStride, pixels-first, n, s.InStride)
	}
	Div.Apply(c.level, dst, dst, []float32{float32(pixels)})
}

// counted returns how many of the taps that start anywhere are below size; those
// before the image are in its padding.
func (c *PoolF32) counted(start, dilation, taps, size int) int {
	if start >= size {
		return 0
	}
	return min(taps, (size-1-start)/dilation+1)
}

// The kernels of maxima have the arguments of a depthwise sweep but look at no
// weights.
var maxKernelsF32 = append([]depthwiseKernelF32{{"f32_max_16c_go", cpu.Generic, 0, 0, 16, maximumGo}}, maxKernelsF32Arch...)

func maxKernel(l cpu.Level) *depthwiseKernelF32 {
	return &maxKernelsF32[pick(l, len(maxKernelsF32), func(i int) cpu.Level { return maxKernelsF32[i].level })]
}

// goMaximumF32 is the portable twin of the sweeps of maxima.
func goMaximumF32(d *depthwiseF32) {
	for x := range d.n {
		dst := unsafe.Slice((*float32)(unsafe.Add(d.dst, x*d.dstStep)), d.channels)
		for i := range dst {
			dst[i] = *(*float32)(d.w)
		}
		for r := range d.rows {
			for t := range d.cols {
				for i, v := range unsafe.Slice((*float32)(unsafe.Add(d.src, x*d.pixStep+r*d.rowStep+t*d.colStep)), d.channels) {
					if v > dst[i] || v != v {
						dst[i] = v
					}
				}
			}
		}
	}
}

func init() { later(registerPool) }

func registerPool() {
	for i := range maxKernelsF32 {
		k := &maxKernelsF32[i]
		register(Entry{Name: k.name, Level: k.level, DType: "f32", Op: "max", NR: k.lanes, Trial: k.trial})
	}
}
