package train

import (
	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/op"
	"github.com/edgewise-ml/edgewise/tensor"
)

// Where the gradients of several batches are added up before an update, a step is two
// graphs. The first computes gradients and adds them to sums, which are state; the second
// updates from the sums, without an intermediate tensor to speak of.

// accumulate ends the first graph and makes the second.
func (b *builder) accumulate(candidates, grads []*graph.Value) error {
	p, g := b.p, b.p.Graph
	u := &builder{spec: b.spec, p: &Program{Graph: graph.New(g.Name + "-update")}}
	u.fakes = &fakes{scales: map[*graph.Value]bool{}, units: map[*graph.Value]*tensor.Tensor{}}
	var err error
	if u.facts, err = op.InferTypes(u.p.Graph); err != nil {
		return err
	}
	number := graph.TensorType(tensor.Float32)
	u.rate, u.step = u.p.Graph.Input("rate", number), u.p.Graph.Input("step", number)
	share := 1 / float64(b.spec.Accumulate)
	var params, moved, sums []*graph.Value
	err = op.Build(g, b.facts, "sum", func(o *op.Builder) error {
		for i, v := range candidates {
			if grads[i] == nil {
				continue
			}
			zero, err := tensor.Make(v.Type.DType, o.Shape(v))
			if err != nil {
				return err
			}
			p.sums = append(p.sums, len(p.States))
			old := b.state(State{Name: v.Name + "/sum", Kind: Sum, Of: v.Name, Init: zero})
			b.news = append(b.news, o.Op("Add", nil, o.Op("Mul", nil, old, b.rate), o.Op("Mul", nil, grads[i], o.Number(share, old))))
			mine := u.p.Graph.Constant(v.Name, v.Const)
			if b.isAdaptor(v) {
				u.adaptors = append(u.adaptors, mine)
			}
			u.fakes.scales[mine], u.fakes.units[mine] = b.fakes.scales[v], b.fakes.units[v]
			moved = append(moved, mine)
			sums = append(sums, u.p.Graph.Input(v.Name+"/sum", graph.TypeOf(v.Const)))
			params = append(params, v)
			v.Const = nil
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := u.updates(moved, sums); err != nil {
		return err
	}
	p.Update = u.p.Graph
	u.p.Graph.Inputs = append(u.p.Graph.Inputs, u.inputs...)
	u.p.Graph.Outputs = u.news
	p.written = len(p.States)
	at := map[string]int{}
	for _, s := range u.p.States {
		at[s.Name] = len(p.States)
		p.States = append(p.States, s)
	}
	for _, v := range params {
		p.read = append(p.read, at[v.Name])
	}
	b.inputs = append(params, b.inputs...)
	return p.Update.Verify()
}
