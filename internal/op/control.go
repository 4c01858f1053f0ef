package op

import (
	"fmt"

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
