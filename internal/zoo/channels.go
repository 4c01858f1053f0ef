package zoo

import (
	"slices"

	"github.com/edgewise-ml/edgewise/internal/graph"
)

// concat joins the channels of two features.
func (b *seeded) concat(name string, x, y feature) feature {
	p := x.probe.sized(x.channels()+y.channels(), x.probe.height, x.probe.width)
	copy(p.data[copy(p.data, x.probe.data):], y.probe.data)
	shape := x.shape()
	shape[1] = p.channels
	return b.put(b.g.Add("Concat", name, graph.Attrs{"axis": int64(1)}, x.value, y.value), p, shape)
}

// split returns the first and the second half of the channels.
func (b *seeded) split(name string, x feature) (first, second feature) {
	half := int64(x.channels() / 2)
	n := b.g.NewNode("Split", "", name, graph.Attrs{"axis": int64(1)},
		[]*graph.Value{x.value, b.g.Ints(name+".sizes", half, half)}, name+"_first", name+"_second")
	b.g.Nodes = append(b.g.Nodes, n)
	shape := x.shape()
	shape[1] = int(half)
	p := x.probe
	p.channels = int(half)
	at := len(p.data) / 2
	q := p
	p.data, q.data = p.data[:at], p.data[at:]
	return b.put(n.Outputs[0], p, shape), b.put(n.Outputs[1], q, shape)
}

// shuffle takes channels in turn from the first and the second half, with the three
// operators to which frameworks export it.
func (b *seeded) shuffle(name string, x feature) feature {
	in := x.shape()
	half := in[1] / 2
	reshape := func(name string, v *graph.Value, shape ...int) *graph.Value {
		sizes := make([]int64, len(shape))
		for i, d := range shape {
			sizes[i] = int64(d)
		}
		return b.put(b.g.Add("Reshape", name, nil, v, b.g.Ints(name+".shape", sizes...)), probe{}, shape).value
	}
	v := reshape(name+"_halves", x.value, 1, 2, half, in[2], in[3])
	v = b.put(b.g.Add("Transpose", name+"_transpose", graph.Attrs{"perm": []int64{0, 2, 1, 3, 4}}, v),
		probe{}, []int{1, half, 2, in[2], in[3]}).value
	p := x.probe.sized(in[1], x.probe.height, x.probe.width)
	for c := range in[1] {
		copy(p.channel(c), x.probe.channel(c%2*half+c/2))
	}
	return feature{reshape(name, v, slices.Clone(in)...), p}
}
