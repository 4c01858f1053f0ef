package engine

import (
	"github.com/edgewise-ml/edgewise/internal/cpu"
	"github.com/edgewise-ml/edgewise/internal/kernel"
	"github.com/edgewise-ml/edgewise/tensor"
)

// patches reports whether every input position makes a block of outputs of its own: the
// kernel is as large as the stride, and nothing is cut off or left over.
func (w *window) patches(x, y []int) bool {
	return w.kernel == w.stride && w.dilation == [2]int{1, 1} && w.lo == [2]int{} && w.hi == [2]int{} &&
		height(y) == w.stride[0]*height(x) && y[len(y)-1] == w.stride[1]*x[len(x)-1]
}

// lowerPatches makes one step of a transposed convolution whose outputs do not overlap.
// The taps of one kernel row are side by side in an output row, so a pointwise convolution
// with KernelW·C output channels writes it; where these are few, one with all taps writes
// scratch, from where rows are dealt out. out is dense, channels-last. A unit is a row of
// the input.
func lowerPatches(l *lowerer, g *group, win *window, in, out *ref, inPixel int, bias []float32) string {
	n := g.head()
	w := n.In(1).Const
	xs, _ := n.In(0).Type.Static()
	channels, width := w.Dim(1), xs[len(xs)-1]
	taps := tapsFirst(w, 1)
	run := win.kernel[1] * channels
	d := &dealer{level: l.level, act: g.act, inRow: width * inPixel, rows: win.kernel[0], run: run, width: width}
	parts, wide := win.kernel[0], run
	act := g.act
	if run < shortRow {
		parts, wide, act = 1, win.kernel[0]*run, kernel.Act{}
		d.wide = wide
	}
	if act.Kind == kernel.ActPRelu {
		act.Slope = repeated(act.Slope, wide)
	}
	shape := rowsShape(width, xs[1], wide)
	shape.InStride = inPixel
	for i := range parts {
		k, err := kernel.NewConvF32(l.level, shape, taps[i*wide*xs[1]:][:wide*xs[1]], repeated(bias, wide), act, false, l.packing())
		if err != nil {
			return err.Error()
		}
		d.convs = append(d.convs, k)
	}
	l.plan.weights += len(w.Bytes()) + 4*len(bias)
	st := &step{name: g.last().Label(), op: opNames(g.nodes...), kernel: "patches " + d.convs[0].Name(), macs: macs(n),
		reads: []*ref{in}, writes: []*ref{out}, units: xs[0] * height(xs), scratch: d.scratchBytes()}
	st.run = func(s *Session, worker, lo, hi int) { d.do(s.f32(out), s.f32(in), s.scratch[worker], lo, hi) }
	l.note(g)
	l.add(st)
	return ""
}

// repeated returns v over and over, n values in all.
func repeated(v []float32, n int) []float32 {
	out := make([]float32, n)
	for i := range out {
		out[i] = v[i%len(v)]
	}
	return out
}

// dealer computes rows of input positions and writes their blocks of outputs.
type dealer struct {
	level cpu.Level
	act   kernel.Act
	convs []*kernel.ConvF32 // one for each kernel row, or one for all
	wide  int               // > 0: products of a position in scratch
	inRow int               // elements of an input row
	width int               // its positions
	rows  int               // kernel rows
	run   int               // elements that a position gives to each of them
}

func (d *dealer) scratchBytes() int {
	return align(4*d.width*d.wide) + d.convs[0].ScratchBytes()
}

func (d *dealer) do(dst, src []float32, scratch []byte, lo, hi int) {
	outRow := d.width * d.run
	own := align(4 * d.width * d.wide)
	for u := lo; u < hi; u++ {
		from := src[u*d.inRow:]
		to := dst[u*d.rows*outRow:][:d.rows*outRow]
		if d.wide == 0 {
			for i, k := range d.convs {
				k.Run(to[i*outRow:][:outRow], from, nil, scratch, 0, k.Units())
			}
			continue
		}
		k := d.convs[0]
		products := sliceOf[float32](scratch[:4*d.width*d.wide])
		k.Run(products, from, nil, scratch[own:], 0, k.Units())
		for i := range d.rows {
			deal(to[i*outRow:][:outRow], products[i*d.run:], d.run, d.wide)
		}
		d.act.Apply(d.level, to, to)
	}
}

// deal copies runs of n values that stand wide apart.
func deal(dst, src []float32, n, wide int) {
	for i := range n {
		at := i
		for x := i; x < len(dst); x += n {
			dst[x] = src[at]
			at += wide
		}
	}
}

// fitsPatches reports whether a transposed convolution's step can be patches.
func (g *group) fitsPatches(win *window, out *ref, groups int) bool {
	n := g.head()
	xs, _ := n.In(0).Type.Static()
	ys, _ := n.Outputs[0].Type.Static()
	return groups == 1 && g.residual == nil && win.patches(xs, ys) && out.dense() && out.dtype == tensor.Float32
}
