// Command distill measures what each loss of distillation is worth: a small network of the
// zoo is trained alone and by a teacher with each of them, several seeds each, all else
// alike, and a table of test accuracies is written. Trainings lie in a folder each, so that
// the command can be interrupted and goes on where it was.
//
//	go run ./test/distill --teacher resnet20/model.onnx --data cifar10 -o runs
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/edgewise-ml/edgewise/internal/recipe"
	"github.com/edgewise-ml/edgewise/internal/train"
)

func main() {
	var t table
	flag.StringVar(&t.teacher, "teacher", "", "`model` that teaches")
	flag.StringVar(&t.student, "student", "zoo:resnet8", "`network` that learns")
	flag.StringVar(&t.data, "data", "", "samples, with a training and a test part")
	flag.StringVar(&t.out, "o", "distill-table", "`folder` for the trainings and table.md")
	flag.IntVar(&t.epochs, "epochs", 30, "of each training")
	flag.IntVar(&t.batch, "batch", 128, "samples of a step")
	flag.IntVar(&t.steps, "steps", 390, "of an epoch; dkd warms up over a twelfth of all")
	flag.IntVar(&t.seeds, "seeds", 3, "trainings with each loss")
	flag.IntVar(&t.threads, "threads", 1, "of a training")
	flag.StringVar(&t.only, "only", "", "names of losses with commas between, in place of all; none trains without a teacher")
	flag.StringVar(&t.hint, "hint", "stage1_block2_relu:stage1_block0_relu", "`tensors` of teacher and student for hint, and after commas those for attention alone")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := t.run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "distill: error:", err)
		os.Exit(1)
	}
}

// table is a comparison of losses.
type table struct {
	teacher, student, data, out, only, hint string
	epochs, batch, steps, seeds, threads    int
}

// way is a set of losses against the teacher; none trains without one.
type way struct {
	name    string
	losses  []train.Lesson
	results []float64 // test accuracy by seed, as far as there is one
}

func (t *table) ways() ([]*way, error) {
	var pairs [][2]string
	for pair := range strings.SplitSeq(t.hint, ",") {
		teacher, student, ok := strings.Cut(pair, ":")
		if !ok {
			return nil, fmt.Errorf("-hint: %q is not TEACHER:STUDENT", pair)
		}
		pairs = append(pairs, [2]string{teacher, student})
	}
	var attention []train.Lesson
	for _, p := range pairs {
		attention = append(attention, train.Lesson{Kind: train.Attention, Teacher: p[0], Student: p[1]})
	}
	all := []*way{
		{name: "none"}, {name: train.KD, losses: []train.Lesson{{Kind: train.KD}}},
		{name: train.DKD, losses: []train.Lesson{{Kind: train.DKD, Warmup: max(t.steps*t.epochs/12, 1)}}},
		{name: train.DIST, losses: []train.Lesson{{Kind: train.DIST}}},
		{name: train.StandardizedKD, losses: []train.Lesson{{Kind: train.StandardizedKD}}},
		{name: train.Attention, losses: attention},
		{name: train.Hint, losses: []train.Lesson{{Kind: train.Hint, Teacher: pairs[0][0], Student: pairs[0][1]}}},
		{name: train.Scores, losses: []train.Lesson{{Kind: train.Scores}}},
	}
	if t.only == "" {
		return all, nil
	}
	var out []*way
	for name := range strings.SplitSeq(t.only, ",") {
		i := slices.IndexFunc(all, func(w *way) bool { return w.name == name })
		if i < 0 {
			return nil, fmt.Errorf("-only: there is no loss %q", name)
		}
		out = append(out, all[i])
	}
	return out, nil
}

// run trains seed by seed, so that all losses have as many trainings at any time.
func (t *table) run(ctx context.Context) error {
	if t.teacher == "" || t.data == "" {
		return errors.New("-teacher and -data must be named")
	}
	ways, err := t.ways()
	if err != nil {
		return err
	}
	for seed := range t.seeds {
		for _, w := range ways {
			accuracy, err := t.train(ctx, w, uint64(seed+1))
			if err != nil {
				return fmt.Errorf("%s, seed %d: %w", w.name, seed+1, err)
			}
			w.results = append(w.results, accuracy)
			text := t.text(ways)
			if err := os.WriteFile(filepath.Join(t.out, "table.md"), []byte(text), 0o666); err != nil {
				return err
			}
			fmt.Printf("%s, seed %d: %.2f %%\n", w.name, seed+1, 100*accuracy)
		}
	}
	fmt.Print(t.text(ways))
	return nil
}

// train runs one training, or finds that it is done.
func (t *table) train(ctx context.Context, w *way, seed uint64) (accuracy float64, err error) {
	r := recipe.New()
	r.Model, r.Seed, r.Epochs, r.Batch, r.Threads, r.Clip = t.student, seed, t.epochs, t.batch, t.threads, 5
	r.Optimizer = train.Optimizer{Kind: "sgd", Rate: 0.1, Momentum: 0.9, Nesterov: true, Decay: 5e-4}
	r.Schedule = train.Schedule{Kind: "one-cycle"}
	r.Augment = train.Augment{Flip: true, Crop: 4}
	if w.losses != nil {
		teacher, err := filepath.Abs(t.teacher)
		if err != nil {
			return 0, err
		}
		r.Distill = &recipe.Distill{Teacher: teacher, Losses: w.losses}
	}
	err = errors.Join(r.SetData(t.data), r.SetOutput(filepath.Join(t.out, w.name+"-"+strconv.FormatUint(seed, 10))))
	if err != nil {
		return 0, err
	}
	result, err := recipe.Run(ctx, r, recipe.Options{Progress: func(e recipe.Event) {
		if e.Finished {
			fmt.Fprintf(os.Stderr, "%s, seed %d: epoch %d/%d, loss %.4f %v, %.0f samples/s\n", w.name, seed, e.Epoch, e.Epochs, e.Loss, e.Metrics, e.PerSecond)
		}
	}})
	if err != nil {
		return 0, err
	}
	if result.Test == nil || result.Test.Accuracy == nil {
		return 0, errors.New("the data has no labelled test part")
	}
	return *result.Test.Accuracy, nil
}

// text writes the table with means, deviations and gains over no teacher in points, each
// gain over the seeds that both have, with the standard error of its mean.
func (t *table) text(ways []*way) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s by %s, %d epochs, batch %d, test accuracy in %%\n\n| loss |", t.student, filepath.Base(t.teacher), t.epochs, t.batch)
	for s := range t.seeds {
		fmt.Fprintf(&b, " seed %d |", s+1)
	}
	b.WriteString(" mean | gain |\n|---|")
	b.WriteString(strings.Repeat("---|", t.seeds+2))
	var base []float64 // without a teacher; nothing is a gain where that is not trained
	for _, w := range ways {
		if w.name == "none" {
			base = w.results
		}
	}
	for _, w := range ways {
		fmt.Fprintf(&b, "\n| %s |", w.name)
		var gains []float64
		for s := range t.seeds {
			if s >= len(w.results) {
				b.WriteString("  |")
				continue
			}
			fmt.Fprintf(&b, " %.2f |", 100*w.results[s])
			if s < len(base) {
				gains = append(gains, 100*(w.results[s]-base[s]))
			}
		}
		m, _ := moments(w.results)
		gain, e := moments(gains)
		switch {
		case len(w.results) == 0:
			b.WriteString("  |  |")
		case w.name == "none" || len(gains) == 0:
			fmt.Fprintf(&b, " %.2f |  |", 100*m)
		default:
			fmt.Fprintf(&b, " %.2f | %+.2f ± %.2f |", 100*m, gain, e)
		}
	}
	return b.String() + "\n"
}

// moments returns the mean and its standard error.
func moments(v []float64) (mean, deviation float64) {
	for _, x := range v {
		mean += x / float64(len(v))
	}
	if len(v) < 2 {
		return mean, 0
	}
	for _, x := range v {
		deviation += (x - mean) * (x - mean) / float64(len(v)-1)
	}
	return mean, math.Sqrt(deviation / float64(len(v)))
}
