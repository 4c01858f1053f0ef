package op

import (
	"fmt"
	"slices"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

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
