package tflite

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// Op is an operator of a file as tests see it: the names of what it takes and makes.
type Op struct {
	Name            string
	Inputs, Outputs []string // inputs without constants
	Quantized       bool     // its first output is
}

// Ops lists the operators of the first subgraph.
func Ops(data []byte) ([]Op, error) {
	m, err := readModel(data)
	if err != nil {
		return nil, err
	}
	s := &m.subgraphs[0]
	var out []Op
	for _, o := range s.operators {
		x := Op{Name: m.codes[o.code].name()}
		for _, t := range o.inputs {
			if t >= 0 && len(m.buffers[s.tensors[t].buffer]) == 0 && !slices.Contains(x.Inputs, s.tensors[t].name) {
				x.Inputs = append(x.Inputs, s.tensors[t].name)
			}
		}
		for _, t := range o.outputs {
			x.Outputs = append(x.Outputs, s.tensors[t].name)
			x.Quantized = s.tensors[o.outputs[0]].quant != nil
		}
		out = append(out, x)
	}
	return out, nil
}

// WithOutput returns a copy of the file whose first output is the named tensor, so that
// other runtimes show what lies inside a network.
func WithOutput(data []byte, name string) ([]byte, error) {
	m, err := readModel(data)
	if err != nil {
		return nil, err
	}
	f := newFlat(data)
	at, n := f.root().subs(2)[0].vector(2, 4)
	if n == 0 {
		return nil, fmt.Errorf("no outputs")
	}
	out := slices.Clone(data)
	for i, t := range m.subgraphs[0].tensors {
		if t.name == name {
			binary.LittleEndian.PutUint32(out[at:], uint32(i))
			return out, nil
		}
	}
	return nil, fmt.Errorf("no tensor %s", name)
}
