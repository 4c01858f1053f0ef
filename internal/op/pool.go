package op

import (
	"fmt"
	"math"
	"slices"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

const poolAttrs = "auto_pad:string ceil_mode:int dilations:ints kernel_shape:ints! pads:ints strides:ints"

// poolOps fold windows of tensors laid out [N, C, spatial...].
func poolOps() []Def {
	return []Def{
		{Name: "MaxPool", In: "X", Out: "Y Indices?", Attrs: poolAttrs + " storage_order:int", Infer: inferPool, Eval: evalMaxPool,
			Quant: Quant{Kind: QuantSame, Form: func(c *Infer) bool { return c.Node.Out(1) == nil }}},
		{Name: "AveragePool", In: "X", Out: "Y", Attrs: poolAttrs + " count_include_pad:int", Infer: inferPool, Eval: evalAveragePool, Quant: Quant{Kind: QuantElementwise}},
		{Name: "LpPool", In: "X", Out: "Y", Attrs: poolAttrs + " p:int", Infer: inferPool, Eval: evalLpPool},
		globalPool("GlobalMaxPool", QuantSame, "", func(*Eval) func([]float64) float64 { return maximum }),
		globalPool("GlobalAveragePool", QuantElementwise, "", func(*Eval) func([]float64) float64 { return mean }),
		globalPool("GlobalLpPool", QuantNone, "p:int", func(e *Eval) func([]float64) float64 { return norm(e.Attrs().Int("p", 2)) }),
		{Name: "MaxUnpool", In: "X I output_shape?", Out: "output", Attrs: "kernel_shape:ints! pads:ints strides:ints", Infer: inferMaxUnpool, Eval: evalMaxUnpool},
	}
}

func poolWindow(a graph.Attrs, spatial int) (*window, error) {
	k := a.Ints("kernel_shape")
	if len(k) != spatial {
		return nil, fmt.Errorf("kernel_shape %v does not fit %d spatial dimensions", k, spatial)
	}
	kernel, err := perDim(a, "kernel_shape", spatial, 1, 1)
	if err != nil {
		return nil, err
	}
	return newWindow(a, kernel)
}

func inferPool(c *Infer) error {
	s := c.Shape(0)
	if !s.Ranked() {
		c.SetTensor(0, c.DType(0), nil)
		c.SetTensor(1, tensor.Int64, nil)
		return nil
	}
	if len(s) < 3 {
		return fmt.Errorf("input %v has no spatial dimensions", s)
	}
	w, err := poolWindow(c.Attrs(), len(s)-2)
	if err != nil {
		return err
	}
	spatial, err := w.dims(s[2:])
	if err != nil {
		return err
	}
	out := append(graph.Shape{s[0], s[1]}, spatial...)
	c.SetTensor(0, c.DType(0), out)
	c.SetTensor(1, tensor.Int64, out)
	return nil
}

// maxCells bounds the cells that the windows of one plane may cover together.
const maxCells = 1 << 27

// pool places the window of a pooling node over input 0.
func (e *Eval) pool(x *tensor.Tensor) (*placed, []int) {
	if x.Rank() < 3 {
		e.Fail("input %v has no spatial dimensions", x)
	}
	w, err := poolWindow(e.Attrs(), x.Rank()-2)
	if err != nil {
		e.Fail("%w", err)
	}
	p, err := w.over(x.Shape()[2:])
	if err != nil {
		e.Fail("%w", err)
	}
	shape := append([]int{x.Dim(0), x.Dim(1)}, p.out...)
	if n, err := tensor.NumElements(p.out); err != nil || n > maxCells {
		e.Fail("windows at %v places are too many", p.out)
	}
	if p.cells() > maxCells {
		e.Fail("windows of shape %v at %v places are too large", p.kernel, p.out)
	}
	return p, shape
}

// taps returns the taps from, to that lie inside the input in dimension d when the
// window is at place o, and how many lie inside it or its padding.
func (p *placed) taps(d, o int) (from, to, padded int) {
	off := o*p.stride[d] - p.lo[d]
	from, to = valid(p.kernel[d], p.in[d], p.dilation[d], off)
	room := p.in[d] + p.hi[d] - off
	padded = min(p.kernel[d], (room+p.dilation[d]-1)/p.dilation[d])
	return from, max(from, to), max(padded, 0)
}

// cells returns how many cells all windows cover together.
func (p *placed) cells() float64 {
	n := 1.0
	for d := range p.in {
		sum := 0.0
		for o := range p.out[d] {
			from, to, _ := p.taps(d, o)
			sum += float64(to - from)
		}
		n *= sum
	}
	return n
}

// windows lists, for every output position of a plane, the flat indices of the input
// cells that its window covers; padded counts the cells that lie in the plane or in
// its padding.
func (p *placed) windows() (cells [][]int, padded []int) {
	strides := tensor.Strides(p.in)
	for _, at := range positions(p.out) {
		window, count := []int{0}, 1
		for d, o := range at {
			from, to, n := p.taps(d, o)
			count *= n
			var next []int
			for _, base := range window {
				for k := from; k < to; k++ {
					next = append(next, base+(o*p.stride[d]-p.lo[d]+k*p.dilation[d])*strides[d])
				}
			}
			window = next
		}
		cells, padded = append(cells, window), append(padded, count)
	}
	return cells, padded
}

// positions lists all index vectors of a shape in row-major order.
func positions(shape []int) [][]int {
	out := make([][]int, volume(shape))
	at := make([]int, len(shape))
	for i := range out {
		out[i] = slices.Clone(at)
		for d := len(shape) - 1; d >= 0; d-- {
			if at[d]++; at[d] < shape[d] {
				break
			}
			at[d] = 0
		}
	}
	return out
}

// evalMaxPool keeps the element type, integers included. Indices count over the whole
// input; with storage_order 1 the spatial part counts columns first.
func evalMaxPool(e *Eval) error {
	x := e.number(0)
	p, shape := e.pool(x)
	y := e.Result(0, x.DType(), shape...)
	var index []int64
	if len(e.Out) > 1 {
		index = e.Result(1, tensor.Int64, shape...).I64()
	}
	cells, _ := p.windows()
	plane := volume(p.in)
	number := func(flat int) int { return flat }
	if e.Attrs().Int("storage_order", 0) != 0 {
		where := positions(p.in)
		number = func(flat int) int {
			n := 0
			for d := len(p.in) - 1; d >= 0; d-- {
				n = n*p.in[d] + where[flat][d]
			}
			return n
		}
	}
	v := x.Floats()
	for c := range x.Dim(0) * x.Dim(1) {
		src := v[c*plane:][:plane]
		for o, window := range cells {
			at := largest(src, window)
			out := c*len(cells) + o
			switch {
			case at >= 0:
				copyElement(y, out, x, c*plane+at)
			case x.DType().IsFloat():
				y.SetFloat(out, math.Inf(-1))
			default:
				lo, _ := x.DType().IntRange()
				y.SetInt(out, lo)
			}
			if index != nil && at >= 0 {
				index[out] = int64(c*plane + number(at))
			}
		}
	}
	return nil
}

// largest returns the first of the largest elements of a window, -1 where it covers none. A
// NaN is larger than all.
func largest(src []float64, window []int) int {
	best, at := math.Inf(-1), -1
	for _, i := range window {
		if src[i] > best || at < 0 || math.IsNaN(src[i]) {
			best, at = src[i], i
		}
	}
	return at
}

// poolPlanes sets the output to f of each window's values and the number of its cells
// in the padded plane.
func (e *Eval) poolPlanes(f func(v []float64, padded int) float64) {
	x := e.float(0)
	p, shape := e.pool(x)
	y := e.Result(0, x.DType(), shape...)
	cells, padded := p.windows()
	plane := volume(p.in)
	v := x.Floats()
	var in []float64
	for c := range x.Dim(0) * x.Dim(1) {
		for o, window := range cells {
			in = in[:0]
			for _, i := range window {
				in = append(in, v[c*plane+i])
			}
			y.SetFloat(c*len(cells)+o, f(in, padded[o]))
		}
	}
}

func evalAveragePool(e *Eval) error {
	include := e.Attrs().Int("count_include_pad", 0) != 0
	e.poolPlanes(func(v []float64, padded int) float64 {
		if !include {
			padded = len(v)
		}
		sum := 0.0
		for _, x := range v {
			sum += x
		}
		return sum / float64(padded)
	})
	return nil
}

func evalLpPool(e *Eval) error {
	f := norm(e.Attrs().Int("p", 2))
	e.poolPlanes(func(v []float64, _ int) float64 { return f(v) })
	return nil
}

// norm is the p-norm.
func norm(p int64) func([]float64) float64 {
	return func(v []float64) float64 {
		sum := 0.0
		for _, x := range v {
			switch p {
			case 1:
				sum += math.Abs(x)
			case 2:
				sum += x * x
			default:
				sum += math.Pow(math.Abs(x), float64(p))
			}
		}
		switch p {
		case 1:
			return sum
		case 2:
			return math.Sqrt(sum)
		}
		return math.Pow(sum, 1/float64(p))
	}
}

func mean(v []float64) float64 {
	sum := 0.0
	for _, x := range v {
		sum += x
	}
	return sum / float64(len(v))
}

// globalPool defines a pool whose window is the whole plane.
func globalPool(name string, kind QuantKind, attrs string, f func(*Eval) func([]float64) float64) Def {
	return Def{Name: name, In: "X", Out: "Y", Attrs: attrs, Infer: inferGlobalPool, Quant: Quant{Kind: kind}, Eval: func(e *Eval) error {
		x := e.number(0)
		if x.Rank() < 2 {
			e.Fail("input %v has no channels", x)
		}
		shape := slices.Clone(x.Shape())
		for i := range shape[2:] {
			shape[2+i] = 1
		}
		y := e.Result(0, x.DType(), shape...)
		fold, plane, v := f(e), volume(x.Shape()[2:]), x.Floats()
		for c := range y.Len() {
			y.SetFloat(c, fold(v[c*plane:][:plane]))
		}
		return nil
	}}
}

func inferGlobalPool(c *Infer) error {
	s := c.Shape(0).Clone()
	if s.Ranked() && len(s) < 2 {
		return fmt.Errorf("input %v has no channels", s)
	}
	for i := 2; i < len(s); i++ {
		s[i] = graph.Dim{Size: 1}
	}
	c.SetTensor(0, c.DType(0), s)
	return nil
}
