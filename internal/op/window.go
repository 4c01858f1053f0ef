package op

import (
	"fmt"
	"math"

	"github.com/edgewise-ml/edgewise/internal/graph"
)

// window is the geometry that convolutions and pools share: how a kernel moves over
// spatial dimensions. Slices have one entry per spatial dimension.
type window struct {
	kernel, stride, dilation []int
	lo, hi                   []int // explicit padding before and after
	autoPad                  string
	ceil                     bool // round output sizes up (pools)
}

// newWindow reads the attributes of n over len(kernel) dimensions. kernel may hold -1 for
// sizes that are not known yet.
func newWindow(a graph.Attrs, kernel []int) (*window, error) {
	n := len(kernel)
	w := &window{kernel: kernel, autoPad: a.String("auto_pad", "NOTSET"), ceil: a.Int("ceil_mode", 0) != 0}
	var err error
	if w.stride, err = perDim(a, "strides", n, 1, 1); err != nil {
		return nil, err
	}
	if w.dilation, err = perDim(a, "dilations", n, 1, 1); err != nil {
		return nil, err
	}
	pads, err := perDim(a, "pads", 2*n, 0, 0)
	if err != nil {
		return nil, err
	}
	w.lo, w.hi = pads[:n], pads[n:]
	switch w.autoPad {
	case "NOTSET", "":
		w.autoPad = "NOTSET"
	case "SAME_UPPER", "SAME_LOWER", "VALID":
		w.lo, w.hi = make([]int, n), make([]int, n)
	default:
		return nil, fmt.Errorf("auto_pad %q is none of NOTSET, SAME_UPPER, SAME_LOWER, VALID", w.autoPad)
	}
	for i, k := range kernel {
		if k == 0 || k > math.MaxInt32 {
			return nil, fmt.Errorf("kernel size %d in dimension %d is not valid", k, i)
		}
	}
	return w, nil
}

// perDim reads n integers, each def when the attribute is absent and at least least.
func perDim(a graph.Attrs, name string, n, def, least int) ([]int, error) {
	out := make([]int, n)
	v := a.Ints(name)
	if len(v) != 0 && len(v) != n {
		return nil, fmt.Errorf("attribute %s has %d values, want %d", name, len(v), n)
	}
	for i := range out {
		out[i] = def
		if len(v) != 0 {
			if v[i] < int64(least) || v[i] > math.MaxInt32 {
				return nil, fmt.Errorf("attribute %s holds %d, want at least %d", name, v[i], least)
			}
			out[i] = int(v[i])
		}
	}
	return out, nil
}

// extent is the size of the dilated kernel.
func (w *window) extent(i int) int { return (w.kernel[i]-1)*w.dilation[i] + 1 }

// place returns the output size and the padding in dimension i for an input of size in.
func (w *window) place(i, in int) (out, lo, hi int, err error) {
	ext, s := w.extent(i), w.stride[i]
	if w.autoPad == "SAME_UPPER" || w.autoPad == "SAME_LOWER" {
		out = (in + s - 1) / s
		pad := max(0, (out-1)*s+ext-in)
		lo = pad / 2
		if w.autoPad == "SAME_LOWER" {
			lo = pad - pad/2
		}
		return out, lo, pad - lo, nil
	}
	lo, hi = w.lo[i], w.hi[i]
	span := in + lo + hi - ext
	if span < 0 {
		return 0, 0, 0, fmt.Errorf("a kernel of extent %d does not fit size %d padded by %d and %d", ext, in, lo, hi)
	}
	out = span/s + 1
	if w.ceil {
		out = (span+s-1)/s + 1
		if (out-1)*s >= in+lo { // the last window would lie in the padding alone
			out--
		}
	}
	return out, lo, hi, nil
}

// placed is a window over an input of known size, with its padding resolved.
type placed struct {
	in, kernel, out, stride, dilation, lo, hi []int
}

func (w *window) over(in []int) (*placed, error) {
	p := &placed{in: in, kernel: w.kernel, stride: w.stride, dilation: w.dilation}
	for i, d := range in {
		out, lo, hi, err := w.place(i, d)
		if err != nil {
			return nil, err
		}
		p.out, p.lo, p.hi = append(p.out, out), append(p.lo, lo), append(p.hi, hi)
	}
	return p, nil
}

// dims infers the spatial output sizes from those of the input.
func (w *window) dims(in graph.Shape) (graph.Shape, error) {
	out := make(graph.Shape, len(in))
	for i, d := range in {
		out[i] = graph.Unknown
		if !d.Known() || w.kernel[i] < 0 {
			continue
		}
		n, _, _, err := w.place(i, d.Size)
		if err != nil {
			return nil, err
		}
		out[i] = graph.Dim{Size: n}
	}
	return out, nil
}

// valid returns the range of i in [0, n) for which i*stride+off lies in [0, size).
func valid(n, size, stride, off int) (from, to int) {
	if off < 0 {
		from = (-off + stride - 1) / stride
	}
	if size-1-off < 0 {
		return 0, 0
	}
	return min(from, n), min(n, (size-1-off)/stride+1)
}
