package op

import (
	"fmt"

	"github.com/edgewise-ml/edgewise/internal/graph"
)

// transposed is the geometry of a ConvTranspose: output sizes and leading pads.
func transposed(a graph.Attrs, x, w graph.Shape) (graph.Shape, *window, error) {
	group := a.Int("group", 1)
	if err := checkConv(x, w, group); err != nil {
		return nil, nil, err
	}
	if x[1].Known() && w[0].Known() && x[1].Size != w[0].Size || w[0].Known() && int64(w[0].Size)%group != 0 {
		return nil, nil, fmt.Errorf("weights %v with group=%d do not fit input %v", w, group, x)
	}
	kernel, err := kernelOf(a, w)
	if err != nil {
		return nil, nil, err
	}
	win, err := newWindow(a, kernel)
	if err != nil {
		return nil, nil, err
	}
	n := len(kernel)
	extra, err := perDim(a, "output_padding", n, 0, 0)
	if err != nil {
		return nil, nil, err
	}
	var want []int
	if v := a.Ints("output_shape"); len(v) > 0 {
		if len(v) == n+2 { // some writers give the batch and channels too
			a = graph.Attrs{"output_shape": v[2:]}
		}
		if want, err = perDim(a, "output_shape", n, 0, 1); err != nil {
			return nil, nil, err
		}
	}
	out := graph.Shape{x[0], graph.Unknown}
	if w[1].Known() {
		out[1] = graph.Dim{Size: w[1].Size * int(group)}
	}
	for i, d := range x[2:] {
		o := graph.Unknown
		if d.Known() && kernel[i] > 0 {
			if o.Size, err = transposedSize(win, i, d.Size, extra[i], want); err != nil {
				return nil, nil, err
			}
		} else if want != nil {
			o.Size = want[i]
		}
		out = append(out, o)
	}
	return out, win, nil
}

// transposedSize returns the output size in dimension i and, where the output size is
// what is given, sets the pads so that the sizes agree.
func transposedSize(w *window, i, in, extra int, want []int) (int, error) {
	full := w.stride[i]*(in-1) + extra + w.extent(i)
	size := full - w.lo[i] - w.hi[i]
	same := w.autoPad == "SAME_UPPER" || w.autoPad == "SAME_LOWER"
	if want != nil || same {
		size = in * w.stride[i]
		if want != nil {
			size = want[i]
		}
		total := max(0, full-size)
		w.lo[i] = total / 2
		if w.autoPad != "SAME_UPPER" {
			w.lo[i] = total - total/2
		}
		w.hi[i] = total - w.lo[i]
	}
	if size < 1 {
		return 0, fmt.Errorf("size %d with stride %d, kernel extent %d, pads %d and %d leaves no output", in, w.stride[i], w.extent(i), w.lo[i], w.hi[i])
	}
	return size, nil
}

func inferConvTranspose(c *Infer) error {
	x, w := c.Shape(0), c.Shape(1)
	if !x.Ranked() || !w.Ranked() {
		c.SetTensor(0, c.DType(0), nil)
		return nil
	}
	s, _, err := transposed(c.Attrs(), x, w)
	if err != nil {
		return err
	}
	c.SetTensor(0, c.DType(0), s)
	return nil
}

// convTransposeMACs counts every input against one kernel over the output channels of its group.
func convTransposeMACs(c *Infer) int64 {
	x, ok := c.Shape(0).Static()
	w, ok2 := c.Shape(1).Static()
	if !ok || !ok2 || len(w) == 0 {
		return 0
	}
	return int64(volume(x)) * int64(volume(w[1:]))
}

// evalConvTranspose spreads every input element, times the kernel, over the output.
// Weights are [C, M/group, kernel...].
func evalConvTranspose(e *Eval) error {
	e.sameType(0, 1)
	x, w := e.float(0), e.float(1)
	s, win, err := transposed(e.Attrs(), graph.Dims(x.Shape()...), graph.Dims(w.Shape()...))
	if err != nil {
		return err
	}
	shape, _ := s.Static()
	p := &placed{in: x.Shape()[2:], out: shape[2:], kernel: win.kernel, stride: win.stride, dilation: win.dilation, lo: win.lo}
	g := p.cube()
	group := int(e.Attrs().Int("group", 1))
	cin, cout := x.Dim(1), shape[1]
	perIn, perOut := cin/group, cout/group
	src, weights, bias := x.Floats(), w.Floats(), e.bias(2, cout)
	in, vol, kernel := volume(p.in), volume(p.out), volume(p.kernel)
	y := e.scratch(shape...)
	for n := range x.Dim(0) {
		for m := range cout {
			plane := y[(n*cout+m)*vol:][:vol]
			if bias != nil {
				for i := range plane {
					plane[i] = bias[m]
				}
			}
			for i := range perIn {
				ch := m/perOut*perIn + i
				g.scatter(plane, src[(n*cin+ch)*in:][:in], weights[(ch*perOut+m%perOut)*kernel:][:kernel])
			}
		}
	}
	e.store(0, x.DType(), y, shape...)
	return nil
}
