// Command training measures what training for integers is worth: each network given is
// quantized with weights of each number of bits, by calibration alone and with
// quantization-aware training, and trained further in floating point by the same recipe for
// comparison. It writes a table of test accuracies. Trainings lie in a folder each, so that
// the command can be interrupted and goes on where it was.
//
//	go run ./test/training --data cifar10 --bits 8,4 -o runs resnet8.tflite resnet20/model.onnx
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/edgewise-ml/edgewise/internal/recipe"
	"github.com/edgewise-ml/edgewise/internal/train"
)

func main() {
	var t table
	flag.StringVar(&t.data, "data", "", "samples, with a training and a test part")
	flag.StringVar(&t.bits, "bits", "8,4", "numbers of bits of weights")
	flag.StringVar(&t.out, "o", "training-table", "`folder` for the trainings and table.md")
	flag.IntVar(&t.epochs, "epochs", 2, "of each training")
	flag.IntVar(&t.batch, "batch", 64, "samples of a step")
	flag.Float64Var(&t.rate, "rate", 2e-4, "of adam, in shares of a channel's range")
	flag.Float64Var(&t.floatRate, "float-rate", 0, "of the training in floating point, which has no such shares; 0 leaves it out")
	flag.Float64Var(&t.validation, "validation", 0.1, "share of the training part that chooses the epoch")
	flag.BoolVar(&t.flip, "flip", true, "vary images by flips and crops")
	flag.StringVar(&t.scales, "scales", "lsq", "lsq or fixed")
	flag.IntVar(&t.threads, "threads", 1, "of a training")
	flag.Parse()
	t.models = flag.Args()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := t.run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "training: error:", err)
		os.Exit(1)
	}
}

type table struct {
	data, bits, out, scales     string
	models                      []string
	epochs, batch, threads      int
	rate, floatRate, validation float64
	flip                        bool
}

func (t *table) run(ctx context.Context) error {
	if t.data == "" || len(t.models) == 0 {
		return errors.New("name data by --data and at least one network")
	}
	var text strings.Builder
	text.WriteString("| network | weights | floating point | quantized | quantized and trained | epoch kept | file |\n|---|---|---|---|---|---|---|\n")
	for i, model := range t.models {
		if t.floatRate > 0 {
			r, err := t.recipe(model, fmt.Sprintf("%d-float", i))
			if err != nil {
				return err
			}
			r.Optimizer.Rate = t.floatRate
			got, err := carryOut(ctx, r)
			if err != nil {
				return err
			}
			fmt.Fprintf(&text, "| %s | trained further in floating point | %s | | | %d | %d |\n", model, percent(got.Test), got.Epoch, got.Bytes)
		}
		for _, b := range strings.Split(t.bits, ",") {
			bits, err := strconv.Atoi(b)
			if err != nil {
				return err
			}
			r, err := t.recipe(model, fmt.Sprintf("%d-w%d", i, bits))
			if err != nil {
				return err
			}
			r.Quantize = &recipe.Quantize{Weights: bits, Scales: t.scales}
			got, err := carryOut(ctx, r)
			if err != nil {
				return err
			}
			q := got.Quantization
			fmt.Fprintf(&text, "| %s | %d bits | %s | %s | %s | %d | %d |\n", model, bits,
				percent(q.Float.Test), percent(q.PostTraining.Test), percent(got.Test), got.Epoch, got.Bytes)
		}
	}
	fmt.Print(text.String())
	return os.WriteFile(filepath.Join(t.out, "table.md"), []byte(text.String()), 0o666)
}

// recipe is what all trainings of a network have in common: it learns from labels and from
// the network as given.
func (t *table) recipe(model, folder string) (*recipe.Recipe, error) {
	r := recipe.New()
	r.Model, r.Weights = model, "given"
	r.Epochs, r.Batch, r.Threads = t.epochs, t.batch, t.threads
	r.Optimizer, r.Schedule = train.Optimizer{Kind: "adam", Rate: t.rate}, train.Schedule{Kind: "cosine", Warmup: 50}
	r.Data.Validation = t.validation
	if t.flip {
		r.Augment = train.Augment{Flip: true, Crop: 4}
	}
	hard := 1.0
	r.Distill = &recipe.Distill{Teacher: model, Hard: &hard, Losses: []train.Lesson{{Kind: train.KD, Weight: 1, Temperature: 2}}}
	return r, errors.Join(r.SetData(t.data), r.SetOutput(filepath.Join(t.out, folder)))
}

func carryOut(ctx context.Context, r *recipe.Recipe) (*recipe.Result, error) {
	got, err := recipe.Run(ctx, r, recipe.Options{Progress: func(e recipe.Event) {
		switch {
		case e.Note != "":
			fmt.Fprintln(os.Stderr, e.Note)
		case e.Finished:
			fmt.Fprintf(os.Stderr, "%s: epoch %d of %d, loss %.4f, %v\n", filepath.Base(r.Folder()), e.Epoch, e.Epochs, e.Loss, e.Metrics)
		}
	}})
	if err == nil && got.Test == nil {
		err = errors.New("the data has no labelled test part")
	}
	return got, err
}

func percent(s *recipe.Score) string {
	if s == nil || s.Accuracy == nil {
		return "-"
	}
	return fmt.Sprintf("%.2f %%", 100**s.Accuracy)
}
