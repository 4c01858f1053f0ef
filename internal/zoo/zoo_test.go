package zoo

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/edgewise-ml/edgewise/internal/engine"
	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/op"
	"github.com/edgewise-ml/edgewise/internal/rewrite"
	"github.com/edgewise-ml/edgewise/tensor"
)

// The types that the builders state are those that inference finds from the inputs.
func TestStatedTypesAreInferred(t *testing.T) {
	for _, name := range append(Names(), "mobilenetv2-0.35-96") {
		if tooLarge(name) {
			continue
		}
		g := built(t, name)
		stated := map[*graph.Value]graph.Type{}
		for _, n := range g.Nodes {
			for _, out := range n.Outputs {
				stated[out] = out.Type
				out.Type = graph.Type{}
			}
		}
		if _, err := op.InferTypes(g); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, n := range g.Nodes {
			for _, out := range n.Outputs {
				if !out.Type.Equal(stated[out]) {
					t.Errorf("%s: %s of %s is %s, stated as %s", name, out.Name, n, out.Type, stated[out])
				}
			}
		}
	}
}

func TestNetworksAreAsListed(t *testing.T) {
	for _, n := range Networks() {
		if tooLarge(n.Name) {
			continue
		}
		g := built(t, n.Name)
		if n.Name == "heartbeat" {
			g = g.Clone()
			if _, err := rewrite.Simplify(g, rewrite.Options{}); err != nil {
				t.Fatal(err)
			}
		}
		parameters, macs := cost(t, g)
		input, _ := g.Inputs[0].Type.Static()
		if parameters != n.Parameters || macs != n.MACs || !slices.Equal(input, n.Input) {
			t.Errorf("%s takes %v and has %d parameters, %d multiply-accumulates; listed are %v, %d, %d",
				n.Name, input, parameters, macs, n.Input, n.Parameters, n.MACs)
		}
	}
}

// Activations of the convolutions keep a spread of about one on inputs that the
// statistics were not taken from, and the answer depends on the input.
func TestSeededNetworksAreNotDegenerate(t *testing.T) {
	for _, name := range []string{
		"mobilenetv2-0.35-128", "mobilenetv1-0.25-128", "mobilenetv3-large-1-128", "mobilenetv3-small-1-128", "mobilenet1d",
		"efficientnet-b0-128", "efficientnet-lite0-128", "resnet8", "resnet56", "resnet18-128", "resnet50-128",
		"shufflenetv2-1-128", "squeezenet1.1-128", "lenet", "dscnn", "kws-8k", "autoencoder", "encoder",
	} {
		t.Run(name, func(t *testing.T) {
			if tooLarge(name) {
				t.Skip("takes long")
			}
			g, err := Build(name)
			if err != nil {
				t.Fatal(err)
			}
			checkSpread(t, g)
		})
	}
}

func checkSpread(t *testing.T, g *graph.Graph) {
	const samples = 8
	for _, n := range g.Nodes {
		if n.Is("Conv") && !strings.Contains(n.Name, "_se_") && !strings.HasPrefix(n.Name, "frontend_") {
			g.Output(n.Outputs[0])
		}
	}
	plan, err := engine.Compile(g, engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	session, err := plan.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	shape, _ := g.Inputs[0].Type.Static()
	height, width := 1, 1
	switch len(shape) {
	case 3:
		width = shape[2]
	case 4:
		height, width = shape[2], shape[3]
	}
	probes := newProbe(rand.New(rand.NewPCG(99, 0)), probeImages, shape[1], height, width)
	var first []float32
	var change float64 // mean square of the difference to the scores of the first input
	squares := make([]float64, len(g.Outputs))
	for sample := range samples {
		x := tensor.New(tensor.Float32, shape...)
		for c := range shape[1] {
			copy(x.F32()[c*height*width:], probes.plane(c, sample))
		}
		out, err := session.Run(t.Context(), []op.Value{x})
		if err != nil {
			t.Fatal(err)
		}
		for i, o := range out {
			values := o.(*tensor.Tensor).F32()
			squares[i] += meanSquare(values, nil) / samples
			if i > 0 {
				continue
			}
			if sample == 0 {
				first = values
			}
			change += meanSquare(values, first) / (samples - 1)
		}
	}
	if change := math.Sqrt(change); change < 0.1 || change > 30 {
		t.Errorf("scores of other inputs differ by a root mean square of %.2f", change)
	}
	for i, square := range squares {
		if rms := math.Sqrt(square); i > 0 && (rms < 0.4 || rms > 2.5) {
			t.Errorf("%s: root mean square of the activations is %.2f", g.Outputs[i].Name, rms)
		}
	}
}

// meanSquare is that of a-b, or of a where b is nil.
func meanSquare(a, b []float32) (mean float64) {
	for i, v := range a {
		d := float64(v)
		if b != nil {
			d -= float64(b[i])
		}
		mean += d * d / float64(len(a))
	}
	return mean
}
