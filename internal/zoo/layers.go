package zoo

import (
	"math"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// activation adds a nonlinearity under a name.
type activation func(b *seeded, name string, x feature) feature

func relu(b *seeded, name string, x feature) feature {
	return b.pointwise("Relu", name, nil, x, func(v float32) float32 { return max(v, 0) })
}

func relu6(b *seeded, name string, x feature) feature {
	if b.zero == nil {
		b.zero = b.g.Constant("zero", tensor.Scalar(float32(0)))
		b.six = b.g.Constant("six", tensor.Scalar(float32(6)))
	}
	p := x.probe.mapped(func(v float32) float32 { return min(max(v, 0), 6) })
	return b.put(b.g.Add("Clip", name, nil, x.value, b.zero, b.six), p, x.shape())
}

func sigmoid(b *seeded, name string, x feature) feature {
	return b.pointwise("Sigmoid", name, nil, x, logistic)
}

// silu is written with two operators, as frameworks export it.
func silu(b *seeded, name string, x feature) feature {
	return b.scale(name+"_mul", x, sigmoid(b, name+"_sigmoid", x))
}

func hardSigmoid(b *seeded, name string, x feature) feature {
	return b.pointwise("HardSigmoid", name, graph.Attrs{"alpha": float32(1. / 6), "beta": float32(0.5)}, x, hardLogistic)
}

func hardSwish(b *seeded, name string, x feature) feature {
	return b.pointwise("HardSwish", name, nil, x, func(v float32) float32 { return v * hardLogistic(v) })
}

func hardLogistic(v float32) float32 { return min(max(v+3, 0), 6) / 6 }

// logistic is the same on every platform, which math.Exp is not: exp(-|v|) by halving the
// argument ten times, a short series, and squaring ten times.
func logistic(v float32) float32 {
	const halvings = 10
	x := -math.Abs(float64(v)) / (1 << halvings)
	e := 1 + float64(x*(1+float64(x*(0.5+float64(x/6)))))
	for range halvings {
		e = float64(e * e)
	}
	if v < 0 {
		return float32(e / (1 + e))
	}
	return float32(1 / (1 + e))
}

func (b *seeded) pointwise(op, name string, attrs graph.Attrs, x feature, f func(float32) float32) feature {
	return b.put(b.g.Add(op, name, attrs, x.value), x.probe.mapped(f), x.shape())
}

// add adds the sum of two features of one shape.
func (b *seeded) add(name string, x, y feature) feature {
	p := x.probe.mapped(func(v float32) float32 { return v })
	for i, v := range y.probe.data {
		p.data[i] += v
	}
	return b.put(b.g.Add("Add", name, nil, x.value, y.value), p, x.shape())
}

// scale adds the product of x and gate, which has the shape of x or one pixel for each
// channel.
func (b *seeded) scale(name string, x, gate feature) feature {
	p := x.probe.mapped(func(v float32) float32 { return v })
	per := p.height * p.width / (gate.probe.height * gate.probe.width)
	for i := range p.data {
		p.data[i] *= gate.probe.data[i/per]
	}
	return b.put(b.g.Add("Mul", name, nil, x.value, gate.value), p, x.shape())
}

// squeezeExcite scales the channels of x by a function of their means (Hu, Shen and Sun,
// "Squeeze-and-Excitation Networks", 2018). Gates move little: with random weights they
// would drive each other to their ends.
func (b *seeded) squeezeExcite(name string, x feature, squeezed int, act, gate activation) feature {
	s := b.pool(name+"_se_pool", x)
	s = act(b, name+"_se_act", b.bare(name+"_se_reduce", s, squeezed, 1))
	s = gate(b, name+"_se_gate", b.bare(name+"_se_expand", s, x.channels(), 0.2))
	return b.scale(name+"_se_mul", x, s)
}

// pool adds global average pooling.
func (b *seeded) pool(name string, x feature) feature {
	p := x.probe.sized(x.channels(), 1, 1)
	for c := range p.channels {
		for image := range p.images {
			var sum float32
			for _, v := range x.probe.plane(c, image) {
				sum += v
			}
			p.plane(c, image)[0] = sum / float32(x.probe.height*x.probe.width)
		}
	}
	shape := x.shape()
	for i := range shape[2:] {
		shape[2+i] = 1
	}
	return b.put(b.g.Add("GlobalAveragePool", name, nil, x.value), p, shape)
}

// flatten adds the step from [1,channels,height,width] to [1,channels·height·width].
func (b *seeded) flatten(name string, x feature) feature {
	s := x.shape()
	pixels := 1
	for _, d := range s[2:] {
		pixels *= d
	}
	return b.put(b.g.Add("Flatten", name, nil, x.value), x.probe.flat(), []int{1, x.channels() * pixels})
}

// maxPool adds pooling over a square window. Where small images lose its stride it is left
// out.
func (b *seeded) maxPool(name string, x feature, kernel, stride, pad int) feature {
	if b.stride(stride) != stride {
		return x
	}
	g := square(x.channels(), kernel, stride, x.channels())
	g.before, g.after = [2]int{pad, pad}, [2]int{pad, pad}
	height, width := g.output(x.probe.height, x.probe.width)
	p := x.probe.sized(x.channels(), height, width)
	for c := range p.channels {
		for image := range p.images {
			in, out := x.probe.plane(c, image), p.plane(c, image)
			for i := range out {
				top, left := i/width*stride-pad, i%width*stride-pad
				best := float32(math.Inf(-1))
				for y := max(top, 0); y < min(top+kernel, x.probe.height); y++ {
					for x0 := max(left, 0); x0 < min(left+kernel, x.probe.width); x0++ {
						best = max(best, in[y*x.probe.width+x0])
					}
				}
				out[i] = best
			}
		}
	}
	return b.put(b.g.Add("MaxPool", name, g.attrs(4), x.value), p, g.shape(x.shape()))
}
