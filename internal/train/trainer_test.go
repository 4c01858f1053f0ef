package train

import (
	"bytes"
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/edgewise-ml/edgewise/internal/engine"
	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/op"
	"github.com/edgewise-ml/edgewise/tensor"
)

// images is a source of bright images.
type images struct{ x, label *tensor.Tensor }

func newImages(n int) images {
	x, label := bright(rand.New(rand.NewPCG(21, 22)), n)
	return images{x, label}
}

func (s images) Len() int { return s.label.Len() }

func (s images) Sample(i int, _ *tensor.Tensor) (Sample, error) {
	x := tensor.Of(s.x.F32()[i*64:][:64], 1, 1, 8, 8)
	return Sample{X: x, Label: int(s.label.Int(i))}, nil
}

// accuracy judges a deployed network.
func accuracy(s images) func(context.Context, *graph.Graph) (map[string]float64, error) {
	return func(ctx context.Context, g *graph.Graph) (map[string]float64, error) {
		plan, err := engine.Compile(g, engine.Options{})
		if err != nil {
			return nil, err
		}
		session, err := plan.NewSession()
		if err != nil {
			return nil, err
		}
		defer session.Close()
		right := 0
		for i := range s.Len() {
			sample, _ := s.Sample(i, nil)
			out, err := session.Run(ctx, []op.Value{sample.X})
			if err != nil {
				return nil, err
			}
			y := out[0].(*tensor.Tensor)
			best := 0
			for k := range y.Len() {
				if y.Float(k) > y.Float(best) {
					best = k
				}
			}
			if best == sample.Label {
				right++
			}
		}
		return map[string]float64{"accuracy": float64(right) / float64(s.Len())}, nil
	}
}

func config() Config {
	return Config{
		Spec:     Spec{Batch: 16, Loss: Loss{Kind: CrossEntropy}, Optimizer: Optimizer{Kind: "sgd", Rate: 0.05, Momentum: 0.9, Decay: 1e-4}, Clip: 5},
		Schedule: Schedule{Kind: "cosine", Warmup: 3},
		Augment:  Augment{Noise: 0.05, Cutout: 2},
		Epochs:   4, Seed: 3, Judge: "accuracy", Evaluate: accuracy(newImages(60)),
	}
}

func network() *graph.Graph { return small(rand.New(rand.NewPCG(1, 2))) }

func TestTrainingLearns(t *testing.T) {
	cfg := config()
	events := 0
	cfg.Progress = func(Event) { events++ }
	tr, err := New(network(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	r, err := tr.Run(context.Background(), newImages(200))
	if err != nil {
		t.Fatal(err)
	}
	last := r.History[len(r.History)-1]
	if len(r.History) != 4 || last.Metrics["accuracy"] < 0.95 || events != 4*12+4 {
		t.Errorf("history %+v after %d events; want accuracy 0.95 in 4 epochs", r.History, events)
	}
	for _, v := range r.Network.Constants() {
		if v.Name == "bn1.mean" && v.Const.Float(0) == 0 {
			t.Error("the running mean did not move")
		}
	}
}

// weights returns all constants of a network, for comparing.
func weights(g *graph.Graph) []byte {
	var b bytes.Buffer
	for _, v := range g.Constants() {
		b.WriteString(v.Name)
		b.Write(v.Const.Bytes())
	}
	return b.Bytes()
}

// TestInterruptedTrainingEndsTheSame stops a training at several steps, each in a trainer
// of its own as in a process of its own, and compares its end with that of one run.
func TestInterruptedTrainingEndsTheSame(t *testing.T) {
	source := newImages(96)
	whole, err := New(network(), config())
	if err != nil {
		t.Fatal(err)
	}
	want, err := whole.Run(context.Background(), source)
	if err != nil {
		t.Fatal(err)
	}
	cfg := config()
	cfg.Checkpoint = filepath.Join(t.TempDir(), "training.npz")
	for _, stop := range []int{1, 5, 9, 2, 0} {
		ctx, cancel := context.WithCancel(context.Background())
		left := stop
		cfg.Progress = func(e Event) {
			if left--; left == 0 {
				cancel()
			}
		}
		tr, err := New(network(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		got, err := tr.Run(ctx, source)
		cancel()
		if stop > 0 {
			if !errors.Is(err, context.Canceled) {
				t.Fatalf("stopped after %d steps: %v", stop, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if !got.Resumed || !bytes.Equal(weights(got.Network), weights(want.Network)) {
			t.Error("the weights differ from those of a training that was not interrupted")
		}
	}
	cfg.Seed++
	other, err := New(network(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Run(context.Background(), source); err == nil || !strings.Contains(err.Error(), "another training") {
		t.Errorf("the checkpoint of another training is taken: %v", err)
	}
	if err := os.WriteFile(cfg.Checkpoint, []byte("PK nothing"), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := other.Run(context.Background(), source); err == nil {
		t.Error("a damaged checkpoint is taken")
	}
}

func TestBatchesDoNotDependOnWorkers(t *testing.T) {
	l := loader{source: newImages(50), augment: Augment{Flip: true, Crop: 2, Cutout: 3, Noise: 0.1, Mixup: 0.4, Fill: -1}, seed: 9, size: 8, classes: 3,
		x: []int{8, 1, 8, 8}, y: []int{8, 3}, dtype: tensor.Float32}
	read := func(workers, from int) []byte {
		l.workers = workers
		var b bytes.Buffer
		for batch, err := range l.epoch(context.Background(), 2, from) {
			if err != nil {
				t.Fatal(err)
			}
			b.Write(batch.x.Bytes())
			b.Write(batch.target.Bytes())
		}
		return b.Bytes()
	}
	one := read(1, 0)
	if !bytes.Equal(one, read(4, 0)) {
		t.Error("four workers make other batches than one")
	}
	if rest := read(3, 4); !bytes.Equal(rest, one[len(one)-len(rest):]) || len(rest) != len(one)/6*2 {
		t.Error("an epoch taken up in the middle has other batches")
	}
	order := shuffled(50, 9, 2)
	seen := map[int]bool{}
	for _, i := range order {
		seen[i] = true
	}
	if len(seen) != 50 {
		t.Errorf("the order %v is no permutation", order)
	}
}

// failing is a source with one sample that cannot be read.
type failing struct{ images }

func (s failing) Sample(i int, _ *tensor.Tensor) (Sample, error) {
	if i == 13 {
		return Sample{}, errors.New("no such picture")
	}
	return s.images.Sample(i, nil)
}

func TestAFailingSampleEndsTheTraining(t *testing.T) {
	tr, err := New(network(), config())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tr.Run(context.Background(), failing{newImages(96)}); err == nil || !strings.Contains(err.Error(), "sample 13: no such picture") {
		t.Errorf("error %v does not name the sample", err)
	}
}

func TestADivergingTrainingSaysSo(t *testing.T) {
	cfg := config()
	cfg.Spec.Optimizer = Optimizer{Kind: "sgd", Rate: 1e30}
	cfg.Spec.Clip = 0
	tr, err := New(network(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tr.Run(context.Background(), newImages(96)); err == nil || !strings.Contains(err.Error(), "learning rate") {
		t.Errorf("error %v does not tell what to do", err)
	}
}

func TestAnUpdateThatNeverComes(t *testing.T) {
	cfg := config()
	cfg.Spec.Accumulate = 25 // of 4·6 batches
	tr, err := New(network(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tr.Run(context.Background(), newImages(96)); err == nil || !strings.Contains(err.Error(), "accumulate: the training has 24 batches") {
		t.Errorf("error %v", err)
	}
}

func TestAMetricThatIsNoNumber(t *testing.T) {
	cfg := config()
	cfg.Evaluate = func(context.Context, *graph.Graph) (map[string]float64, error) {
		return map[string]float64{"rmse": math.NaN()}, nil
	}
	tr, err := New(network(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tr.Run(context.Background(), newImages(96)); err == nil || !strings.Contains(err.Error(), "rmse became NaN after epoch 1") {
		t.Errorf("error %v", err)
	}
}

// TestInterruptedWhileJudging stops between the last step of an epoch and its end.
func TestInterruptedWhileJudging(t *testing.T) {
	cfg := config()
	cfg.Schedule = Schedule{}
	cfg.Epochs, cfg.Checkpoint = 1, filepath.Join(t.TempDir(), "training.npz")
	cfg.Evaluate = func(context.Context, *graph.Graph) (map[string]float64, error) { return nil, context.Canceled }
	for k := range 2 {
		tr, err := New(network(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		r, err := tr.Run(context.Background(), newImages(96))
		switch {
		case k == 0 && !errors.Is(err, context.Canceled), k == 1 && err != nil:
			t.Fatal(err)
		case k == 1 && r.History[0].Rate != cfg.Spec.Optimizer.Rate:
			t.Error("the epoch has no rate")
		}
		cfg.Evaluate = nil
	}
}
