package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/edgewise-ml/edgewise/internal/recipe"
)

// trainFlags are what the command line says in place of the recipe.
type trainFlags struct {
	model, data, output string
	ram                 string
	epochs              int
	seed                uint64
	fresh               bool
}

func (a *app) train() *cobra.Command {
	f := trainFlags{}
	cmd := &cobra.Command{
		Use:   "train RECIPE",
		Short: "Train a network as a recipe says",
		Long: `Trains a network from scratch or further, as a YAML file describes, for example

  model: zoo:resnet20
  data: cifar10
  epochs: 30
  batch: 128
  optimizer: {kind: sgd, rate: 0.1, momentum: 0.9, nesterov: true, weight_decay: 5e-4}
  schedule: {kind: one-cycle}
  augment: {flip: true, crop: 4}

(all keys: docs/training.md). Writes a folder with model.onnx, in the form in which it is
deployed, journal.jsonl with a line for each epoch, report.html with learning curves and
report.json.

A training that was interrupted, whatever ended it, is taken up where its checkpoint
stands by the same command and ends with the same weights. One that is finished is left
alone; --fresh starts anew.`,
		Example: `  edgewise train recipe.yaml
  edgewise train recipe.yaml --data cifar10/ --epochs 10 -o out
  edgewise train recipe.yaml --model mine.onnx --ram 512MB`,
		Args: arguments(1, 1, "one recipe"),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := recipe.Read(args[0])
			if err != nil {
				return err
			}
			if err := a.change(cmd, r, f); err != nil {
				return err
			}
			return a.runRecipe(cmd.Context(), r, recipe.Options{Fresh: f.fresh})
		},
	}
	a.jsonFlag(cmd)
	a.trainFlags(cmd, &f, " in place of the recipe's")
	cmd.Flags().StringVar(&f.model, "model", "", "network in place of the recipe's: a file or zoo:NAME")
	return cmd
}

// trainFlags adds the flags of verbs that carry out a recipe; of says whose values theirs
// replace.
func (a *app) trainFlags(cmd *cobra.Command, f *trainFlags, of string) {
	fl := cmd.Flags()
	fl.StringVar(&f.data, "data", "", "samples"+of+": folder, archive, npz, csv, idx, dataset.yaml")
	fl.StringVarP(&f.output, "output", "o", "", "`folder` to write; the recipe's name by default")
	fl.IntVar(&f.epochs, "epochs", 0, "times through the samples"+of)
	fl.Uint64Var(&f.seed, "seed", 0, "seed"+of)
	fl.IntVar(&a.threads, "threads", 0, "worker threads"+of+"; results are the same for the same number")
	fl.StringVar(&f.ram, "ram", "", "bound of the memory that the training holds"+of+", as 512MB")
	fl.BoolVar(&f.fresh, "fresh", false, "forget a training that was begun or finished in the folder")
}

// change puts what flags say in place of what the recipe says.
func (a *app) change(cmd *cobra.Command, r *recipe.Recipe, f trainFlags) error {
	given := cmd.Flags().Changed
	if given("epochs") {
		r.Epochs = f.epochs
	}
	if given("seed") {
		r.Seed = f.seed
	}
	if given("threads") {
		r.Threads = a.threads
	}
	var err error
	if f.ram != "" {
		if err = r.RAM.SetText(f.ram); err != nil {
			err = fmt.Errorf("--ram: %w", err)
		}
	}
	if f.model != "" {
		err = errors.Join(err, r.SetModel(f.model))
	}
	if f.data != "" {
		err = errors.Join(err, r.SetData(f.data))
	}
	if f.output != "" {
		err = errors.Join(err, r.SetOutput(f.output))
	}
	if err == nil {
		err = r.Validate()
	}
	if err != nil {
		return usagef("%w", err)
	}
	return nil
}

// carryOut runs a recipe with progress.
func (a *app) carryOut(ctx context.Context, r *recipe.Recipe, o recipe.Options) (*recipe.Result, error) {
	o.Version, o.Progress = version(), a.training
	result, err := recipe.Run(ctx, r, o)
	if err != nil && ctx.Err() != nil {
		a.note("the training is interrupted: the same command takes it up again")
	}
	if err != nil {
		return nil, err
	}
	a.progress.clear()
	if result.Already {
		a.note("this training is finished: %s has its result; --fresh starts anew", result.Output)
	}
	return result, nil
}

// runRecipe carries a recipe out, with progress, and writes the result.
func (a *app) runRecipe(ctx context.Context, r *recipe.Recipe, o recipe.Options) error {
	result, err := a.carryOut(ctx, r, o)
	if err != nil {
		return err
	}
	if a.json {
		return a.writeJSON(result)
	}
	t := &table{head: []string{"part", "samples", "result"}}
	for _, part := range []struct {
		name  string
		score *recipe.Score
	}{{"validation", result.Validation}, {"test", result.Test}} {
		if part.score != nil {
			t.add(part.name, countText(int64(part.score.Samples)), scoreText(part.score))
		}
	}
	fmt.Fprintf(a.out, "%s: the weights of epoch %d of %d\n", result.Recipe, result.Epoch, result.Epochs)
	t.write(a.out)
	a.alarms(result.Alarms)
	fmt.Fprintf(a.out, "written to %s: %s (%s), report.html, report.json, journal.jsonl\n", result.Output, result.Model, bytesText(result.Bytes))
	return nil
}

// alarms writes which labelled stretches of a time series were found.
func (a *app) alarms(r *recipe.Alarms) {
	if r == nil {
		return
	}
	if len(r.Stretches) > 0 {
		t := &table{head: []string{"series", "from", "to", "alarm", "peak"}}
		for _, s := range r.Stretches {
			first := "missed"
			if s.Found {
				first = cmp.Or(s.First, "found")
			}
			t.add(s.Series, s.From, s.To, first, fmt.Sprintf("%.3gx", s.Peak))
		}
		t.write(a.out)
	}
	fmt.Fprintf(a.out, "found %d of %d labelled stretches, %d false alarms; %d of %d samples are over the threshold %.4g outside the stretches\n",
		r.Found, r.Labelled, r.False, r.FalseSamples, r.Samples, r.Threshold)
}

func scoreText(s *recipe.Score) string {
	var out []string
	if s.Accuracy != nil {
		out = append(out, fmt.Sprintf("accuracy %.2f %%", 100**s.Accuracy))
	}
	if s.RMSE != nil {
		out = append(out, fmt.Sprintf("RMSE %.4g", *s.RMSE))
	}
	if s.MAE != nil {
		out = append(out, fmt.Sprintf("MAE %.4g", *s.MAE))
	}
	return strings.Join(out, ", ")
}

// training shows how far a training has come.
func (a *app) training(e recipe.Event) {
	switch {
	case e.Note != "":
		a.note("%s", e.Note)
		return
	case e.Stage != "":
		a.progress.at(e.Stage, e.Done, e.Total)
		return
	}
	var b strings.Builder
	fmt.Fprintf(&b, "epoch %d/%d", e.Epoch, e.Epochs)
	if !e.Finished {
		fmt.Fprintf(&b, ", step %d/%d", e.Step, e.Steps)
	}
	fmt.Fprintf(&b, ", loss %.4f", e.Loss)
	for _, name := range slices.Sorted(maps.Keys(e.Metrics)) {
		label := strings.ReplaceAll(name, "_", " ")
		if strings.HasSuffix(name, "accuracy") {
			fmt.Fprintf(&b, ", %s %.2f %%", label, 100*e.Metrics[name])
		} else {
			fmt.Fprintf(&b, ", %s %.4g", label, e.Metrics[name])
		}
	}
	fmt.Fprintf(&b, ", %.0f samples/s, %s left", e.PerSecond, e.Left.Round(time.Second))
	a.progress.line(b.String(), e.Finished)
}
