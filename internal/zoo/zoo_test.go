package zoo

import (
	"testing"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/op"
)

// The types that the builders state are those that inference finds from the inputs.
func TestStatedTypesAreInferred(t *testing.T) {
	for _, name := range append(Names(), "mobilenetv2-0.35-96") {
		g := built(t, name)
		stated := map[*graph.Value]graph.Type{}
		for _, n := range g.Nodes {
			stated[n.Outputs[0]] = n.Outputs[0].Type
			n.Outputs[0].Type = graph.Type{}
		}
		if _, err := op.InferTypes(g); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, n := range g.Nodes {
			if out := n.Outputs[0]; !out.Type.Equal(stated[out]) {
				t.Errorf("%s: %s is %s, stated as %s", name, n, out.Type, stated[out])
			}
		}
	}
}
