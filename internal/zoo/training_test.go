package zoo

import (
	"hash/fnv"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/op"
	"github.com/edgewise-ml/edgewise/internal/rewrite"
)

func trained(t *testing.T, name string, o TrainingOptions) *graph.Graph {
	t.Helper()
	g, err := BuildTraining(name, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Verify(); err != nil {
		t.Fatal(err)
	}
	return g
}

// With its normalizations folded the form for training has the cost of the other, and
// before that no convolution has a bias of its own.
func TestFormsHaveTheSameLayers(t *testing.T) {
	for _, n := range Networks() {
		if tooLarge(n.Name) || strings.HasPrefix(n.Name, "efficientnet") && !strings.HasSuffix(n.Name, "0") {
			continue // one of each kind will do
		}
		g := trained(t, n.Name, TrainingOptions{Seed: 1})
		if in, _ := g.Inputs[0].Type.Static(); !slices.Equal(in, n.Input) || g.Inputs[0].Name != built(t, n.Name).Inputs[0].Name {
			t.Errorf("%s takes %v", n.Name, g.Inputs[0])
		}
		for _, node := range g.Nodes {
			if node.Is("BatchNormalization") && node.In(0).Def.In(2) != nil {
				t.Errorf("%s: %v has a bias before a normalization", n.Name, node.In(0).Def)
			}
		}
		if _, err := rewrite.Simplify(g, rewrite.Options{}); err != nil {
			t.Fatal(err)
		}
		for _, node := range g.Nodes {
			if node.Is("BatchNormalization") || node.Is("Dropout") {
				t.Errorf("%s: %v is left", n.Name, node)
			}
		}
		if n.Name == "encoder" {
			continue // its constants for the scale are folded as well
		}
		if parameters, macs := cost(t, g); parameters != n.Parameters || macs != n.MACs {
			t.Errorf("%s has %d parameters, %d multiply-accumulates; listed are %d, %d", n.Name, parameters, macs, n.Parameters, n.MACs)
		}
	}
}

// The last map before pooling over a small image is four pixels wide and high, or about.
func TestSmallImagesKeepTheirSize(t *testing.T) {
	for _, c := range []struct {
		name       string
		resolution int
		want       int
	}{
		{"mobilenetv1-0.25", 32, 4}, {"mobilenetv2-0.35", 32, 4}, {"mobilenetv2-0.35", 28, 4}, {"mobilenetv2-0.5", 64, 4},
		{"mobilenetv2-0.5", 96, 3}, {"mobilenetv3-small", 32, 4}, {"mobilenetv3-large", 32, 4}, {"efficientnet-b0", 32, 4},
		{"efficientnet-lite0", 64, 4}, {"resnet18", 32, 4}, {"resnet50", 64, 4}, {"shufflenetv2-0.5", 32, 4},
		{"squeezenet1.1", 32, 6}, {"resnet20", 32, 8}, {"resnet8", 64, 16},
	} {
		g := trained(t, c.name, TrainingOptions{Resolution: c.resolution, Classes: 7})
		i := slices.IndexFunc(g.Nodes, func(n *graph.Node) bool { return n.Name == "pool" })
		in, _ := g.Nodes[i].In(0).Type.Static()
		out, _ := g.Outputs[0].Type.Static()
		if in[2] != c.want || in[3] != c.want || !slices.Equal(out, []int{1, 7}) {
			t.Errorf("%s of %d pools over %v into %v, want %d pixels and 7 scores", c.name, c.resolution, in, out, c.want)
		}
		stated := g.Clone()
		for _, n := range stated.Nodes {
			for _, y := range n.Outputs {
				y.Type = graph.Type{}
			}
		}
		if _, err := op.InferTypes(stated); err != nil {
			t.Errorf("%s of %d: %v", c.name, c.resolution, err)
		}
	}
}

func TestTrainingWeights(t *testing.T) {
	sum := func(o TrainingOptions) uint64 {
		h := fnv.New64a()
		for _, c := range trained(t, "mobilenetv2-0.35", o).Constants() {
			h.Write(c.Const.Bytes())
		}
		return h.Sum64()
	}
	const want uint64 = 0x2aff870c2299be34 // of every constant's bytes: the same on every platform
	if got := sum(TrainingOptions{Classes: 10, Resolution: 32, Seed: 1}); got != want {
		t.Errorf("checksum of the weights is %#x, want %#x", got, want)
	}
	if sum(TrainingOptions{Classes: 10, Resolution: 32, Seed: 2}) == want {
		t.Error("another seed gives the same weights")
	}
	for name, channels := range map[string]int{"resnet20": 1, "mobilenet1d": 14} {
		g := trained(t, name, TrainingOptions{Channels: channels, Resolution: 96})
		if in, _ := g.Inputs[0].Type.Static(); in[1] != channels || in[2] != 96 {
			t.Errorf("%s takes %v", name, in)
		}
	}
	for _, c := range large(t) {
		fan := c.Const.Len() / c.Const.Dim(0)
		var mean, square, fourth float64
		for _, v := range c.Const.F32() {
			x := float64(v) * math.Sqrt(float64(fan)/2)
			mean += x
			square += x * x
			fourth += x * x * x * x
		}
		n := float64(c.Const.Len())
		mean, square, fourth = mean/n, square/n, fourth/n
		if math.Abs(mean) > 5/math.Sqrt(n) || math.Abs(square-1) > 8/math.Sqrt(n) || math.Abs(fourth-2.9) > 50/math.Sqrt(n) {
			t.Errorf("%v: moments of the standardized weights are %.3f, %.3f, %.3f", c, mean, square, fourth)
		}
	}
}

// large lists the weights of convolutions that have enough of them for statistics.
func large(t *testing.T) (out []*graph.Value) {
	for _, n := range trained(t, "resnet20", TrainingOptions{Seed: 3}).Nodes {
		if n.Is("Conv") && n.In(1).Const.Len() > 2000 {
			out = append(out, n.In(1))
		}
	}
	return out
}

func TestBuildTrainingRefuses(t *testing.T) {
	for name, o := range map[string]TrainingOptions{
		"resnet20": {Resolution: 8}, "resnet18": {Resolution: 4096}, "dscnn": {Resolution: 32}, "resnet8": {Classes: -1},
		"lenet": {Classes: 1 << 30}, "mobilenetv1": {Channels: -3}, "nothing": {},
	} {
		if _, err := BuildTraining(name, o); err == nil {
			t.Errorf("%s with %+v is made", name, o)
		}
	}
}
