package op

import (
	"fmt"
	"math"
	"slices"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// backwardOps are what rules of differentiation need and the standard has no operator for.
// They are of this house alone and never written to a file for others.
func backwardOps() []Def {
	def := func(name, in, out, attrs string, infer func(*Infer) error, eval func(*Eval) error) Def {
		return Def{Name: name, Domain: graph.DomainEdgewise, In: in, Out: out, Attrs: attrs, Infer: infer, Eval: eval}
	}
	weights := def("ConvWeightGradient", "X dY", "dW", "dilations:ints group:int kernel_shape:ints! pads:ints strides:ints", inferConvWeightGradient, evalConvWeightGradient)
	weights.MACs = func(c *Infer) int64 {
		y, ok := c.Shape(1).Static()
		w, ok2 := c.Node.Out(0).Type.Shape.Static()
		if !ok || !ok2 || len(y) < 3 {
			return 0
		}
		return int64(y[0]) * int64(volume(y[2:])) * int64(volume(w))
	}
	return []Def{
		weights,
		def("ReluGradient", "dY Y", "dX", "", inferLike(0), evalReluGradient),
		def("ClipGradient", "dY Y min? max?", "dX", "", inferLike(0), evalClipGradient),
		def("MaxPoolGradient", "dY X", "dX", poolAttrs, inferLike(1), evalMaxPoolGradient),
		def("AveragePoolGradient", "dY", "dX", poolAttrs+" count_include_pad:int input_shape:ints!", inferInputShape, evalAveragePoolGradient),
		def("ResizeGradient", "dY roi? scales? sizes?", "dX", resizeAttrs+" input_shape:ints!", inferInputShape, evalResizeGradient),
		def("BatchNormalizationGradient", "dY X scale", "dX dScale dB", "epsilon:float", inferBatchNormGradient, evalBatchNormGradient),
		def("SoftmaxCrossEntropyGradient", "dLoss scores labels weights?", "dX", lossAttrs, inferLike(1), evalCrossEntropyGradient),
		def("NegativeLogLikelihoodGradient", "dLoss input target weight?", "dX", lossAttrs, inferLike(1), evalNLLGradient),
		fakeQuantize(),
		def("FakeQuantizeGradient", "dY x scale zero_point?", "dX dScale", fakeAttrs, inferFakeQuantizeGradient, evalFakeQuantizeGradient),
	}
}

func inferInputShape(c *Infer) error {
	s := make([]int, 0, 4)
	for _, d := range c.Attrs().Ints("input_shape") {
		if d < 0 || d > tensor.MaxElements {
			return fmt.Errorf("input_shape holds %d", d)
		}
		s = append(s, int(d))
	}
	c.SetTensor(0, c.DType(0), graph.Dims(s...))
	return nil
}

func inferConvWeightGradient(c *Infer) error {
	x, y := c.Shape(0), c.Shape(1)
	kernel := c.Attrs().Ints("kernel_shape")
	group := c.Attrs().Int("group", 1)
	if len(x) < 3 || len(y) != len(x) || len(kernel) != len(x)-2 || group < 1 || !x[1].Known() || int64(x[1].Size)%group != 0 {
		return fmt.Errorf("input %v, gradient %v, kernel %v and group=%d do not fit", x, y, kernel, group)
	}
	s := graph.Shape{y[1], {Size: x[1].Size / int(group)}}
	for _, k := range kernel {
		s = append(s, graph.Dim{Size: int(k)})
	}
	c.SetTensor(0, c.DType(0), s)
	return nil
}

// evalConvWeightGradient: dW[m,i,k] = Σ over samples and places of dY[n,m,o]·X[n,i,o·s+k·d-p].
func evalConvWeightGradient(e *Eval) error {
	x, dy := e.float(0), e.float(1)
	a, spatial := e.Attrs(), x.Rank()-2
	if spatial < 1 || dy.Rank() != x.Rank() || dy.Dim(0) != x.Dim(0) {
		e.Fail("input %v and gradient %v do not fit", x, dy)
	}
	group := int(a.Int("group", 1))
	if group < 1 || x.Dim(1)%group != 0 || dy.Dim(1)%group != 0 {
		e.Fail("group=%d does not divide the channels of %v and %v", group, x, dy)
	}
	w, err := poolWindow(a, spatial)
	if err != nil {
		return err
	}
	p := &placed{in: x.Shape()[2:], out: dy.Shape()[2:], kernel: w.kernel, stride: w.stride, dilation: w.dilation, lo: w.lo}
	g := p.cube()
	batch, cin, cout := x.Dim(0), x.Dim(1), dy.Dim(1)
	perIn, perOut := cin/group, cout/group
	in, out, kernel := volume(p.in), volume(p.out), volume(p.kernel)
	shape := append([]int{cout, perIn}, p.kernel...)
	dw, src, grad := e.scratch(shape...), x.Floats(), dy.Floats()
	for n := range batch {
		for m := range cout {
			for i := range perIn {
				ch := m/perOut*perIn + i
				g.correlate(dw[(m*perIn+i)*kernel:][:kernel], grad[(n*cout+m)*out:][:out], src[(n*cin+ch)*in:][:in])
			}
		}
	}
	e.store(0, x.DType(), dw, shape...)
	return nil
}

// correlate adds to every weight the products of the output and input elements it joins.
func (c *cube) correlate(kernel, near, far []float64) {
	for k := range kernel {
		one := make([]float64, len(kernel))
		one[k] = 1
		c.taps(one, c.out, c.in, func(v float64, at, off, n, step int) {
			if v == 0 {
				return
			}
			for i := range n {
				kernel[k] += near[at+i] * far[off+i*step]
			}
		})
	}
}

// evalReluGradient passes the gradient where the output is above zero.
func evalReluGradient(e *Eval) error {
	dy, y := e.float(0), e.float(1)
	if !slices.Equal(dy.Shape(), y.Shape()) {
		e.Fail("gradient %v and output %v differ in shape", dy, y)
	}
	dx := e.Result(0, dy.DType(), dy.Shape()...)
	for i := range y.Len() {
		if y.Float(i) > 0 {
			copyElement(dx, i, dy, i)
		}
	}
	return nil
}

// evalClipGradient passes the gradient where the output lies between the bounds: a value at
// one of them has been cut off, or is as if.
func evalClipGradient(e *Eval) error {
	dy, y := e.float(0), e.float(1)
	if !slices.Equal(dy.Shape(), y.Shape()) {
		e.Fail("gradient %v and output %v differ in shape", dy, y)
	}
	lo, hi := math.Inf(-1), math.Inf(1)
	for i, to := range []*float64{&lo, &hi} {
		if e.Has(2 + i) {
			b := e.float(2 + i)
			if b.Len() != 1 {
				e.Fail("a bound of %d elements", b.Len())
			}
			*to = b.Float(0)
		}
	}
	dx := e.Result(0, dy.DType(), dy.Shape()...)
	for i := range y.Len() {
		if v := y.Float(i); (lo < v || math.IsInf(lo, -1)) && (v < hi || math.IsInf(hi, 1)) {
			copyElement(dx, i, dy, i)
		}
	}
	return nil
}

// evalMaxPoolGradient gives each gradient to the first of the largest elements of its
// window, as MaxPool's own indices say.
func evalMaxPoolGradient(e *Eval) error {
	dy, x := e.float(0), e.float(1)
	p, shape := e.pool(x)
	if !slices.Equal(shape, dy.Shape()) {
		e.Fail("gradient %v does not fit the pooled shape %v", dy, shape)
	}
	cells, _ := p.windows()
	plane := volume(p.in)
	v, g, dx := x.Floats(), dy.Floats(), e.scratch(x.Shape()...)
	for c := range x.Dim(0) * x.Dim(1) {
		src := v[c*plane:][:plane]
		for o, window := range cells {
			if at := largest(src, window); at >= 0 {
				dx[c*plane+at] += g[c*len(cells)+o]
			}
		}
	}
	e.store(0, x.DType(), dx, x.Shape()...)
	return nil
}

// inputShape reads the attribute input_shape, which a gradient of the given rank has.
func (e *Eval) inputShape(rank int) []int {
	s, err := perDim(e.Attrs(), "input_shape", rank, 0, 0)
	if err != nil {
		e.Fail("%w", err)
	}
	return s
}

func evalAveragePoolGradient(e *Eval) error {
	dy := e.float(0)
	shape := e.inputShape(dy.Rank())
	x := e.Make(dy.DType(), shape)
	p, want := e.pool(x)
	if !slices.Equal(want, dy.Shape()) {
		e.Fail("gradient %v does not fit the pooled shape %v", dy, want)
	}
	include := e.Attrs().Int("count_include_pad", 0) != 0
	cells, padded := p.windows()
	plane := volume(p.in)
	g, dx := dy.Floats(), e.scratch(shape...)
	for c := range shape[0] * shape[1] {
		for o, window := range cells {
			n := len(window)
			if include {
				n = padded[o]
			}
			for _, i := range window {
				dx[c*plane+i] += g[c*len(cells)+o] / float64(n)
			}
		}
	}
	e.store(0, dy.DType(), dx, shape...)
	return nil
}

// evalResizeGradient spreads along one axis after the other, last axis first.
func evalResizeGradient(e *Eval) error {
	dy, a := e.float(0), e.Attrs()
	shape := e.inputShape(dy.Rank())
	axes, coord, err := e.resizePlan(shape)
	if err != nil {
		return err
	}
	mode := a.String("mode", "nearest")
	data, have := dy.Floats(), slices.Clone(dy.Shape())
	for i := len(axes) - 1; i >= 0; i-- {
		ax := axes[i]
		if ax.out != have[i] {
			e.Fail("gradient %v does not fit the resized shape", dy)
		}
		if ax.untouched(coord) {
			continue
		}
		outer, inner := volume(have[:i]), volume(have[i+1:])
		next := e.scratch(outer, ax.in, inner)
		for k := range ax.out {
			taps, err := resizeSources(a, ax, k, coord, mode)
			if err != nil {
				return err
			}
			for _, t := range taps {
				if t.at < 0 {
					break // extrapolated: no element took part
				}
				for o := range outer {
					addScaled(next[(o*ax.in+t.at)*inner:][:inner], data[(o*ax.out+k)*inner:][:inner], t.w)
				}
			}
		}
		data, have[i] = next, ax.in
	}
	e.store(0, dy.DType(), data, shape...)
	return nil
}

func inferBatchNormGradient(c *Infer) error {
	c.Set(0, c.Type(1))
	c.Set(1, c.Type(2))
	c.Set(2, c.Type(2))
	return nil
}

// evalBatchNormGradient recomputes the batch's statistics; Ioffe and Szegedy 2015, section 3.
func evalBatchNormGradient(e *Eval) error {
	dy, x := e.float(0), e.float(1)
	batch, channels, plane := e.channels(x, 2)
	if !slices.Equal(dy.Shape(), x.Shape()) {
		e.Fail("gradient %v and input %v differ in shape", dy, x)
	}
	eps, scale := attrFloat(e.Attrs(), "epsilon", 1e-5), e.T(2).Floats()
	v, g := x.Floats(), dy.Floats()
	dx, ds, db := e.scratch(x.Shape()...), make([]float64, channels), make([]float64, channels)
	n := float64(batch * plane)
	for c := range channels {
		each := func(f func(i int)) {
			for b := range batch {
				for i := range plane {
					f((b*channels+c)*plane + i)
				}
			}
		}
		var column []float64
		each(func(i int) { column = append(column, v[i]) })
		mu, variance := moments(column)
		inv := 1 / math.Sqrt(variance+eps)
		each(func(i int) {
			db[c] += g[i]
			ds[c] += g[i] * (v[i] - mu) * inv
		})
		each(func(i int) {
			hat := (v[i] - mu) * inv
			dx[i] = scale[c] * inv * (g[i] - db[c]/n - hat*ds[c]/n)
		})
	}
	e.store(0, x.DType(), dx, x.Shape()...)
	e.store(1, e.T(2).DType(), ds, channels)
	e.store(2, e.T(2).DType(), db, channels)
	return nil
}

// evalCrossEntropyGradient is weight·(softmax - one at the label), times the gradient of
// the loss and, for the mean, over the sum of the weights.
func evalCrossEntropyGradient(e *Eval) error {
	return e.lossGradient(func(v []float64, label int, w float64) {
		softmax(v)
		v[label]--
		for i := range v {
			v[i] *= w
		}
	})
}

func evalNLLGradient(e *Eval) error {
	return e.lossGradient(func(v []float64, label int, w float64) {
		clear(v)
		v[label] = -w
	})
}

// lossGradient calls f on the scores of each label that counts, to be made their gradient.
func (e *Eval) lossGradient(f func(v []float64, label int, w float64)) error {
	dl, x, label := e.float(0), e.float(1), e.Ints(2)
	if x.Rank() < 2 || !slices.Equal(e.T(2).Shape(), append([]int{x.Dim(0)}, x.Shape()[2:]...)) {
		e.Fail("scores %v and labels %v do not fit: want [N, C, d...] and [N, d...]", x, e.T(2))
	}
	classes, plane := x.Dim(1), volume(x.Shape()[2:])
	weight := func(int) float64 { return 1 }
	if w := e.bias(3, classes); w != nil {
		weight = func(c int) float64 { return w[c] }
	}
	ignore, ignores := e.Attrs()["ignore_index"].(int64)
	reduction := e.Attrs().String("reduction", "mean")
	if want := map[string]int{"none": len(label), "sum": 1, "mean": 1}[reduction]; dl.Len() != want {
		e.Fail("gradient %v of the loss does not fit reduction %q", dl, reduction)
	}
	counts := func(i int) bool { return !ignores || label[i] != ignore }
	total := 0.0
	for i, c := range label {
		if !counts(i) {
			continue
		}
		if c < 0 || c >= int64(classes) {
			e.Fail("label %d is outside the %d classes", c, classes)
		}
		total += weight(int(c))
	}
	v, out, row := x.Floats(), e.scratch(x.Shape()...), make([]float64, classes)
	for i, c := range label {
		if !counts(i) {
			continue
		}
		at := func(k int) int { return (i/plane*classes+k)*plane + i%plane }
		for k := range row {
			row[k] = v[at(k)]
		}
		g := dl.Float(0)
		switch reduction {
		case "none":
			g = dl.Float(i)
		case "mean":
			g /= total
		}
		f(row, int(c), weight(int(c))*g)
		for k, d := range row {
			out[at(k)] = d
		}
	}
	e.store(0, x.DType(), out, x.Shape()...)
	return nil
}
