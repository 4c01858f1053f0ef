package op

import (
	"fmt"
	"slices"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// controlOps run bodies.
func controlOps() []Def {
	return []Def{
		{Name: "If", In: "cond", Out: "outputs+", Attrs: "then_branch:graph! else_branch:graph!", Infer: inferIf, Eval: evalIf},
		{Name: "Loop", In: "M? cond? v_initial*", Out: "v_final_and_scan_outputs+", Attrs: "body:graph!", Infer: inferLoop, Eval: evalLoop},
		{Name: "Scan", In: "initial_state_and_scan_inputs+", Out: "final_state_and_scan_outputs+",
			Attrs: "body:graph! num_scan_inputs:int! scan_input_axes:ints scan_input_directions:ints scan_output_axes:ints scan_output_directions:ints",
			Infer: inferScan, Eval: evalScan},
		{Name: "SequenceMap", In: "input_sequence additional_inputs*", Out: "out_sequence+", Attrs: "body:graph!", Infer: inferSequenceMap, Eval: evalSequenceMap},
	}
}

// checkBody reports a body whose signature does not fit its node.
func checkBody(b *graph.Graph, inputs, outputs int) error {
	if len(b.Inputs) != inputs || len(b.Outputs) != outputs {
		return fmt.Errorf("body %q takes %d inputs and gives %d outputs, the node wants %d and %d", b.Name, len(b.Inputs), len(b.Outputs), inputs, outputs)
	}
	return nil
}

// condition reads input i, one truth value.
func condition(v Value, what string) (bool, error) {
	t, ok := v.(*tensor.Tensor)
	if !ok || t.DType() != tensor.Bool || t.Len() != 1 {
		return false, fmt.Errorf("%s must be one bool, it is %s", what, describe([]Value{v}))
	}
	return tensor.Data[bool](t)[0], nil
}

func inferIf(c *Infer) error {
	branches := []*graph.Graph{c.Attrs().Graph("then_branch"), c.Attrs().Graph("else_branch")}
	for _, b := range branches {
		if err := checkBody(b, 0, len(c.Node.Outputs)); err != nil {
			return err
		}
		if err := c.InferBody(b); err != nil {
			return err
		}
	}
	if k := c.Known(0); k != nil {
		take, err := condition(k, "cond")
		if err != nil {
			return err
		}
		if take {
			branches = branches[:1]
		} else {
			branches = branches[1:]
		}
	}
	for i := range c.Node.Outputs {
		t := branches[0].Outputs[i].Type
		if len(branches) > 1 {
			t = widen(t, branches[1].Outputs[i].Type)
		}
		c.Set(i, t)
	}
	return nil
}

func evalIf(e *Eval) error {
	take, err := condition(e.In[0], "cond")
	if err != nil {
		return err
	}
	b := e.Attrs().Graph("else_branch")
	if take {
		b = e.Attrs().Graph("then_branch")
	}
	if err := checkBody(b, 0, len(e.Out)); err != nil {
		return err
	}
	out, err := e.Run(b, nil)
	if err != nil {
		return err
	}
	copy(e.Out, out)
	return nil
}

// inferCarried infers a body whose values in and out are carried from one iteration to
// the next, starting with the types init, and returns types that hold for every
// iteration. Sizes that change are forgotten and the body is inferred anew.
func (c *Infer) inferCarried(body *graph.Graph, in, out []*graph.Value, init []graph.Type) ([]graph.Type, error) {
	stated := map[*graph.Value]graph.Type{}
	body.Walk(func(_ *graph.Graph, n *graph.Node) {
		for _, v := range n.Outputs {
			if v != nil {
				stated[v] = v.Type.Clone()
			}
		}
		for _, b := range n.Bodies() {
			for _, v := range b.Inputs {
				stated[v] = v.Type.Clone()
			}
		}
	})
	carried := make([]graph.Type, len(init))
	for i, t := range init {
		carried[i] = t.Clone()
		// What the node is given counts; the file's word for the body fills gaps.
		if v := in[i].Type; t.Kind == graph.KindTensor && t.DType == tensor.Invalid && t.Shape == nil {
			carried[i] = v.Clone()
		}
	}
	for round := 0; ; round++ {
		for i, v := range in {
			v.Type = carried[i].Clone()
		}
		if err := c.InferBody(body); err != nil {
			return nil, err
		}
		stable := true
		for i, v := range out {
			next := widen(carried[i], v.Type)
			if !next.Equal(carried[i]) {
				stable = false
				if carried[i] = next; round >= 4 {
					carried[i] = graph.Type{Kind: next.Kind, DType: next.DType}
				}
			}
		}
		if stable {
			return carried, nil
		}
		for v, t := range stated {
			v.Type = t.Clone()
			delete(c.facts.known, v)
		}
	}
}

func inferLoop(c *Infer) error {
	body := c.Attrs().Graph("body")
	n := max(len(c.Node.Inputs)-2, 0)
	if err := checkBody(body, 2+n, 1+len(c.Node.Outputs)); err != nil {
		return err
	}
	if len(c.Node.Outputs) < n {
		return fmt.Errorf("%d carried values for %d outputs", n, len(c.Node.Outputs))
	}
	body.Inputs[0].Type = graph.TensorType(tensor.Int64)
	body.Inputs[1].Type = graph.TensorType(tensor.Bool)
	init := make([]graph.Type, n)
	for i := range init {
		init[i] = c.Type(2 + i)
	}
	carried, err := c.inferCarried(body, body.Inputs[2:], body.Outputs[1:1+n], init)
	if err != nil {
		return err
	}
	trips := graph.Unknown
	if m, ok := c.KnownInts(0); ok && len(m) == 1 && !c.Has(1) && m[0] >= 0 && m[0] <= tensor.MaxElements {
		trips.Size = int(m[0])
	}
	for i := range c.Node.Outputs {
		t := body.Outputs[1+i].Type.Clone()
		if i < n {
			// An optional may go in and what it holds come out.
			if carried[i].Kind != graph.KindOptional || t.Kind == graph.KindTensor {
				t = carried[i]
			}
			c.Set(i, t)
			continue
		}
		if t.Kind == graph.KindTensor && t.Shape != nil {
			t.Shape = slices.Insert(t.Shape, 0, trips)
		}
		c.Set(i, t)
	}
	return nil
}

func evalLoop(e *Eval) error {
	body := e.Attrs().Graph("body")
	n := max(len(e.In)-2, 0)
	if err := checkBody(body, 2+n, 1+len(e.Out)); err != nil {
		return err
	}
	limit := int64(-1)
	if e.Has(0) {
		limit = max(e.Int(0), 0)
	}
	more := true
	if e.Has(1) {
		var err error
		if more, err = condition(e.In[1], "cond"); err != nil {
			return err
		}
	}
	state := make([]Value, 0, n)
	for i := range n {
		state = append(state, e.In[2+i])
	}
	scans := newScanOutputs(len(e.Out) - n)
	for i := int64(0); more && (limit < 0 || i < limit); i++ {
		if err := e.Ctx.Err(); err != nil {
			return err
		}
		out, err := e.Run(body, append([]Value{tensor.Scalar(i), tensor.Scalar(more)}, state...))
		if err != nil {
			return fmt.Errorf("iteration %d: %w", i, err)
		}
		again, err := condition(out[0], "the body's condition")
		if err != nil {
			return err
		}
		more = again || !e.Has(1)
		state = append(state[:0:0], out[1:1+n]...)
		if err := scans.add(out[1+n:]); err != nil {
			return err
		}
	}
	copy(e.Out, state)
	for k := range scans.parts {
		e.Set(n+k, scans.join(e, k, 0, false, body.Outputs[1+n+k].Type))
	}
	return nil
}

// scanOutputs collects what a body gives in every iteration.
type scanOutputs struct {
	parts [][]*tensor.Tensor
	bytes int
}

func newScanOutputs(n int) *scanOutputs {
	return &scanOutputs{parts: make([][]*tensor.Tensor, max(n, 0))}
}

func (s *scanOutputs) add(vs []Value) error {
	for k, v := range vs {
		t, ok := v.(*tensor.Tensor)
		if !ok {
			return fmt.Errorf("scan output %d is a %T, not a tensor", k, v)
		}
		if s.bytes += t.SizeBytes() + 1; s.bytes > MaxEvalBytes {
			return fmt.Errorf("scan outputs are over the limit of %d bytes", int64(MaxEvalBytes))
		}
		s.parts[k] = append(s.parts[k], t)
	}
	return nil
}

// join stacks the parts of output k along axis. Without any iteration the shape follows
// from the body's type, unknown sizes being 0.
func (s *scanOutputs) join(e *Eval, k int, axis int64, reverse bool, t graph.Type) *tensor.Tensor {
	parts := s.parts[k]
	if len(parts) == 0 {
		a := e.Axis(axis, len(t.Shape)+1)
		shape := make([]int, 0, len(t.Shape)+1)
		for _, d := range t.Shape {
			shape = append(shape, max(d.Size, 0))
		}
		return e.Make(t.DType, slices.Insert(shape, a, 0))
	}
	if reverse {
		parts = slices.Clone(parts)
		slices.Reverse(parts)
	}
	return e.stack(parts, axis)
}

// scanSpec is Scan's attributes resolved against its node.
type scanSpec struct {
	body            *graph.Graph
	states, inputs  int
	inAxes, outAxes []int64
	inDirs, outDirs []int64
}

func newScanSpec(a graph.Attrs, inputs, outputs int) (*scanSpec, error) {
	m := a.Int("num_scan_inputs", 0)
	if m < 1 || m > int64(inputs) {
		return nil, fmt.Errorf("num_scan_inputs is %d, the node has %d inputs", m, inputs)
	}
	s := &scanSpec{body: a.Graph("body"), states: inputs - int(m), inputs: int(m),
		inAxes: a.Ints("scan_input_axes"), outAxes: a.Ints("scan_output_axes"),
		inDirs: a.Ints("scan_input_directions"), outDirs: a.Ints("scan_output_directions")}
	if err := checkBody(s.body, inputs, outputs); err != nil {
		return nil, err
	}
	if outputs < s.states {
		return nil, fmt.Errorf("%d state variables for %d outputs", s.states, outputs)
	}
	return s, nil
}

// at returns list[i], 0 when the list is absent or short.
func at(list []int64, i int) int64 {
	if i < len(list) {
		return list[i]
	}
	return 0
}

func inferScan(c *Infer) error {
	s, err := newScanSpec(c.Attrs(), len(c.Node.Inputs), len(c.Node.Outputs))
	if err != nil {
		return err
	}
	init := make([]graph.Type, s.states)
	for i := range init {
		init[i] = c.Type(i)
	}
	trips := graph.Unknown
	for i := range s.inputs {
		t := c.Type(s.states + i).Clone()
		if t.Shape != nil {
			axis, err := ResolveAxis(at(s.inAxes, i), len(t.Shape))
			if err != nil {
				return err
			}
			if !trips.Known() {
				trips = t.Shape[axis]
			}
			t.Shape = slices.Delete(t.Shape, axis, axis+1)
		}
		if t.DType != tensor.Invalid {
			s.body.Inputs[s.states+i].Type = t
		}
	}
	carried, err := c.inferCarried(s.body, s.body.Inputs[:s.states], s.body.Outputs[:s.states], init)
	if err != nil {
		return err
	}
	for i, v := range s.body.Outputs {
		if i < s.states {
			c.Set(i, carried[i])
			continue
		}
		t := v.Type.Clone()
		if t.Shape != nil {
			axis, err := ResolveAxis(at(s.outAxes, i-s.states), len(t.Shape)+1)
			if err != nil {
				return err
			}
			t.Shape = slices.Insert(t.Shape, axis, trips)
		}
		c.Set(i, t)
	}
	return nil
}

func evalScan(e *Eval) error {
	s, err := newScanSpec(e.Attrs(), len(e.In), len(e.Out))
	if err != nil {
		return err
	}
	trips := -1
	axes := make([]int, s.inputs)
	for i := range axes {
		t := e.T(s.states + i)
		axes[i] = e.Axis(at(s.inAxes, i), t.Rank())
		if n := t.Dim(axes[i]); trips < 0 {
			trips = n
		} else if n != trips {
			return fmt.Errorf("scan inputs have different lengths %d and %d", trips, n)
		}
	}
	state := slices.Clone(e.In[:s.states])
	scans := newScanOutputs(len(e.Out) - s.states)
	for k := range trips {
		if err := e.Ctx.Err(); err != nil {
			return err
		}
		in := slices.Clone(state)
		for i, a := range axes {
			t := e.T(s.states + i)
			step := k
			if at(s.inDirs, i) == 1 {
				step = trips - 1 - k
			}
			part, err := e.cut(t, a, step, 1).Reshape(slices.Delete(slices.Clone(t.Shape()), a, a+1)...)
			if err != nil {
				return err
			}
			in = append(in, part)
		}
		out, err := e.Run(s.body, in)
		if err != nil {
			return fmt.Errorf("step %d: %w", k, err)
		}
		state = slices.Clone(out[:s.states])
		if err := scans.add(out[s.states:]); err != nil {
			return err
		}
	}
	copy(e.Out, state)
	for k := range scans.parts {
		e.Set(s.states+k, scans.join(e, k, at(s.outAxes, k), at(s.outDirs, k) == 1, s.body.Outputs[s.states+k].Type))
	}
	return nil
}

func inferSequenceMap(c *Infer) error {
	body := c.Attrs().Graph("body")
	if err := checkBody(body, len(c.Node.Inputs), len(c.Node.Outputs)); err != nil {
		return err
	}
	for i, v := range body.Inputs {
		switch t := c.Type(i); {
		case t.Kind == graph.KindSequence && t.Elem != nil:
			v.Type = t.Elem.Clone()
		case t.Kind == graph.KindTensor && t.DType != tensor.Invalid:
			v.Type = t.Clone()
		}
	}
	if err := c.InferBody(body); err != nil {
		return err
	}
	for i, v := range body.Outputs {
		c.Set(i, graph.SequenceOf(v.Type))
	}
	return nil
}

func evalSequenceMap(e *Eval) error {
	body := e.Attrs().Graph("body")
	if err := checkBody(body, len(e.In), len(e.Out)); err != nil {
		return err
	}
	n := len(e.Seq(0).Elems)
	out := make([]Sequence, len(e.Out))
	for i, v := range body.Outputs {
		out[i].DType = v.Type.DType
	}
	for k := range n {
		in := make([]Value, len(e.In))
		for i, v := range e.In {
			in[i] = v
			if s, ok := v.(Sequence); ok {
				if len(s.Elems) != n {
					return fmt.Errorf("sequences have different lengths %d and %d", n, len(s.Elems))
				}
				in[i] = s.Elems[k]
			}
		}
		got, err := e.Run(body, in)
		if err != nil {
			return fmt.Errorf("element %d: %w", k, err)
		}
		for i, v := range got {
			t, ok := v.(*tensor.Tensor)
			if !ok {
				return fmt.Errorf("body output %d is a %T, not a tensor", i, v)
			}
			out[i].DType = t.DType()
			out[i].Elems = append(out[i].Elems, t)
		}
	}
	for i, s := range out {
		e.Set(i, s)
	}
	return nil
}
