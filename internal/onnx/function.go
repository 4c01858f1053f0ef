package onnx

import (
	"fmt"

	"github.com/edgewise-ml/edgewise/internal/graph"
)

// funcKey identifies a model-local function.
type funcKey struct{ domain, name, overload string }

func (im *importer) indexFunctions() error {
	im.funcs = map[funcKey]*functionProto{}
	im.active = map[*functionProto]bool{}
	im.used = map[string]bool{}
	for _, fn := range im.model.functions {
		k := funcKey{fn.domain, fn.name, fn.overload}
		if im.funcs[k] != nil {
			return fmt.Errorf("function %s.%s is defined twice", fn.domain, fn.name)
		}
		if err := checkOpsets(fn.opsets); err != nil {
			return fmt.Errorf("function %s.%s: %w", fn.domain, fn.name, err)
		}
		im.funcs[k] = fn
		im.markUsed(fn.nodes)
		for _, name := range fn.outputs {
			im.used[name] = true
		}
	}
	im.markGraphUsed(im.model.graph)
	return nil
}

func (im *importer) markGraphUsed(g *graphProto) {
	im.markUsed(g.nodes)
	for _, o := range g.outputs {
		im.used[o.name] = true
	}
}

func (im *importer) markUsed(nodes []*nodeProto) {
	for _, n := range nodes {
		for _, name := range n.inputs {
			im.used[name] = true
		}
		for _, a := range n.attrs {
			if a.graph != nil {
				im.markGraphUsed(a.graph)
			}
			for _, b := range a.graphs {
				im.markGraphUsed(b)
			}
		}
	}
}

// functionOpsets returns the versions that hold inside fn: its own, and the model's for
// domains that it does not import.
func (im *importer) functionOpsets(fn *functionProto) map[string]int64 {
	opsets := map[string]int64{}
	for d, v := range im.model.opsets {
		opsets[d] = v
	}
	for d, v := range fn.opsets {
		opsets[d] = v
	}
	return opsets
}

// inline puts the nodes of fn in the place of the node p that calls it.
func (im *importer) inline(sc *scope, p *nodeProto, fn *functionProto) error {
	if im.active[fn] {
		return fmt.Errorf("function %s calls itself", fn.name)
	}
	im.active[fn] = true
	defer delete(im.active, fn)
	if len(p.inputs) > len(fn.inputs) || len(p.outputs) > len(fn.outputs) {
		return fmt.Errorf("has %d inputs and %d outputs, the function has %d and %d",
			len(p.inputs), len(p.outputs), len(fn.inputs), len(fn.outputs))
	}
	in := &scope{
		g:      sc.g,
		vals:   map[string]*graph.Value{},
		opsets: im.functionOpsets(fn),
		attrs:  map[string]binding{},
		formal: map[string]bool{},
		prefix: sc.prefix + callName(p) + "/",
		depth:  sc.depth + 1,
	}
	for _, a := range fn.defaults {
		in.attrs[a.name] = binding{a, in}
	}
	for _, a := range p.attrs {
		if a.ref != "" {
			b, ok := sc.attrs[a.ref]
			if !ok {
				continue
			}
			in.attrs[a.name] = b
			continue
		}
		in.attrs[a.name] = binding{a, sc}
	}
	for i, formal := range fn.inputs {
		v := absent
		if i < len(p.inputs) && p.inputs[i] != "" {
			if v = sc.lookup(p.inputs[i]); v == nil {
				return fmt.Errorf("input %q is not defined", p.inputs[i])
			}
		}
		if err := in.define(formal, v); err != nil {
			return err
		}
	}
	return im.inlineBody(sc, in, p, fn)
}

func callName(p *nodeProto) string {
	switch {
	case p.name != "":
		return p.name
	case len(p.outputs) > 0:
		return p.outputs[0]
	}
	return p.op
}

func (im *importer) inlineBody(sc, in *scope, p *nodeProto, fn *functionProto) error {
	made := map[string]bool{}
	for _, n := range fn.nodes {
		for _, name := range n.outputs {
			made[name] = true
		}
	}
	// Outputs that a node of the function makes are the caller's values themselves;
	// those that pass an input through need a node.
	type pass struct {
		from string
		to   *graph.Value
	}
	var through []pass
	for i, formal := range fn.outputs {
		if i >= len(p.outputs) || p.outputs[i] == "" {
			continue
		}
		v := sc.vals[p.outputs[i]]
		if made[formal] && in.vals[formal] == nil {
			in.vals[formal] = v
			in.formal[formal] = true
		} else {
			through = append(through, pass{formal, v})
		}
	}
	if err := im.nodes(in, fn.nodes); err != nil {
		return fmt.Errorf("function %s: %w", fn.name, err)
	}
	for _, t := range through {
		v := in.vals[t.from]
		if v == nil || v == absent {
			return fmt.Errorf("function %s: output %q is not defined", fn.name, t.from)
		}
		id := &graph.Node{Op: "Identity", Inputs: []*graph.Value{v}, Outputs: []*graph.Value{t.to}}
		if err := im.emit(in.g, id, true); err != nil {
			return err
		}
	}
	return nil
}
