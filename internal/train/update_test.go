package train

import (
	"bytes"
	"context"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/edgewise-ml/edgewise/internal/engine"
	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// steady is small without what depends on the batch or on chance.
func steady() *graph.Graph {
	g := network()
	for _, n := range g.Nodes {
		if n.Is("BatchNormalization") || n.Is("Dropout") {
			g.ReplaceUses(n.Outputs[0], n.Inputs[0])
		}
	}
	g.Prune()
	return g
}

func learned(t *testing.T, g *graph.Graph, cfg Config) (*graph.Graph, *Trainer) {
	t.Helper()
	trainer, err := New(g, cfg)
	if err != nil {
		t.Fatal(err)
	}
	r, err := trainer.Run(context.Background(), newImages(100))
	if err != nil {
		t.Fatal(err)
	}
	return r.Network, trainer
}

// distance is the largest difference between the weights of two networks.
func distance(a, b *graph.Graph) (most float64) {
	x, y := a.Constants(), b.Constants()
	for i := range x {
		if x[i].Const.DType() != tensor.Float32 {
			continue
		}
		for k := range x[i].Const.Len() {
			most = max(most, math.Abs(x[i].Const.Float(k)-y[i].Const.Float(k)))
		}
	}
	return most
}

func TestAccumulatedBatchesAreALargeOne(t *testing.T) {
	for _, kind := range []string{"sgd", "adam"} {
		cfg := Config{Spec: Spec{Batch: 32, Loss: Loss{Kind: CrossEntropy}, Clip: 1,
			Optimizer: Optimizer{Kind: kind, Rate: 0.01, Momentum: 0.9, Decay: 1e-4}, Average: 0.5}, Schedule: Schedule{Kind: "cosine", Warmup: 2}, Epochs: 3, Seed: 3}
		if kind == "adam" {
			cfg.Spec.Optimizer.Momentum = 0
		}
		large, _ := learned(t, steady(), cfg)
		cfg.Spec.Batch, cfg.Spec.Accumulate = 8, 4
		// 100 samples are 12 batches of 8, as many as fill 3 of 32.
		parts, _ := learned(t, steady(), cfg)
		if d, moved := distance(parts, large), distance(large, steady()); d > moved/1e4 || moved == 0 {
			t.Errorf("%s: weights differ by %g after moving by %g", kind, d, moved)
		}
	}
}

func TestInterruptedAccumulation(t *testing.T) {
	cfg := config()
	cfg.Spec.Accumulate, cfg.Epochs = 4, 2 // 6 batches an epoch: the second one begins amid four
	want, _ := learned(t, network(), cfg)
	cfg.Checkpoint = filepath.Join(t.TempDir(), "checkpoint.npz")
	for stop := range 9 {
		ctx, cancel := context.WithCancel(context.Background())
		steps := 0
		cfg.Progress = func(e Event) {
			if steps++; steps == stop+1 {
				cancel()
			}
		}
		trainer, err := New(network(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		_, err = trainer.Run(ctx, newImages(100))
		cancel()
		if err == nil {
			break
		}
	}
	cfg.Progress = nil
	if got, _ := learned(t, network(), cfg); !bytes.Equal(weights(got), weights(want)) {
		t.Error("the weights differ from those of a training that was not interrupted")
	}
}

func TestBiasOnlyUpdates(t *testing.T) {
	cfg := config()
	_, all := learned(t, network(), cfg)
	cfg.Spec.Update.Kind = UpdateBias
	got, bias := learned(t, network(), cfg)
	was := map[string]*tensor.Tensor{}
	for _, v := range network().Constants() {
		was[v.Name] = v.Const
	}
	for _, v := range got.Constants() {
		moved := !bytes.Equal(v.Const.Bytes(), was[v.Name].Bytes())
		if want := slices.Contains([]string{"bn1.shift", "conv2.bias", "head.bias", "bn1.mean", "bn1.var"}, v.Name); moved != want {
			t.Errorf("%s moved is %v", v.Name, moved)
		}
	}
	if a, b := all.Memory(), bias.Memory(); b.States*4 > a.States {
		t.Errorf("biases alone take %+v, all weights %+v", b, a)
	}
}

func TestLoRA(t *testing.T) {
	cfg := config()
	cfg.Spec.Update = Update{Kind: UpdateLoRA, Rank: 2, Alpha: 4}
	cfg.Spec.Optimizer.Decay = 0
	cfg.Evaluate = nil
	trainer, err := New(network(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	var adapted []string
	for _, s := range trainer.Program().States {
		if name, ok := strings.CutSuffix(s.Name, loraUp); ok {
			adapted = append(adapted, name)
		}
	}
	// conv2 is depthwise: nine numbers a channel hold a rank of two.
	if want := []string{"conv1.weight", "conv2.weight", "head.weight"}; !slices.Equal(adapted, want) {
		t.Fatalf("adapted are %v, want %v", adapted, want)
	}
	r, err := trainer.Run(context.Background(), newImages(100))
	if err != nil {
		t.Fatal(err)
	}
	if h := r.History; h[3].Loss > h[0].Loss/2 {
		t.Errorf("the loss went from %g to %g", h[0].Loss, h[3].Loss)
	}
	if len(r.Network.Nodes) != len(network().Nodes) {
		t.Error("the network that is deployed has other nodes")
	}
	m, err := accuracy(newImages(60))(context.Background(), r.Network)
	if err != nil || m["accuracy"] < 0.9 {
		t.Errorf("merged: %v, %v", m, err)
	}
	cfg.Spec.Update.Layers = []string{"nothing*"}
	if _, err := New(network(), cfg); err == nil || !strings.Contains(err.Error(), "no weight is left") {
		t.Errorf("patterns that fit nothing: %v", err)
	}
}

// TestMergedWeightsAreThoseOfTheGraph holds the sum in the exported weights against the one
// that the step computes with.
func TestMergedWeightsAreThoseOfTheGraph(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 5))
	g := graph.New("line")
	x := g.Input("x", graph.TensorType(tensor.Float32, 1, 6))
	g.Output(g.Add("Gemm", "y", graph.Attrs{"transB": int64(1)}, x, g.Constant("w", random(r, 1, 5, 6))))
	p, err := NewProgram(g, Spec{Batch: 1, Loss: Loss{Kind: MSE}, Optimizer: Optimizer{Kind: "sgd", Rate: 1e-9},
		Update: Update{Kind: UpdateLoRA, Rank: 3, Alpha: 6}})
	if err != nil {
		t.Fatal(err)
	}
	plan, _, err := p.compile(engine.Options{}, 0)
	if err != nil {
		t.Fatal(err)
	}
	session, err := plan.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	s := newStep(t, p, 0)
	for i := range p.States {
		v := random(r, 1, p.States[i].Init.Shape()...)
		s.in[p.Data+3+i], s.out[1+p.Outputs+i] = v, v
	}
	s.in[0], s.in[1] = random(r, 1, 1, 6), random(r, 1, 1, 5)
	if err := session.RunInto(context.Background(), s.in, s.out); err != nil {
		t.Fatal(err)
	}
	w := p.merged(Update{Kind: UpdateLoRA, Rank: 3, Alpha: 6}, g, s.in[p.Data+3:])["w"]
	for i := range 5 {
		want := 0.0
		for k := range 6 {
			want += s.in[0].Float(k) * w.Float(i*6+k)
		}
		if got := s.out[1].Float(i); math.Abs(got-want) > 1e-4*(1+math.Abs(want)) {
			t.Errorf("output %d is %g, by the merged weights %g", i, got, want)
		}
	}
}
