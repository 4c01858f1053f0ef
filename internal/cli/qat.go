package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"

	"github.com/edgewise-ml/edgewise"
	"github.com/edgewise-ml/edgewise/internal/atomicfile"
	"github.com/edgewise-ml/edgewise/internal/dataset"
	"github.com/edgewise-ml/edgewise/internal/recipe"
	"github.com/edgewise-ml/edgewise/internal/train"
)

// qatFlags are those of quantize --qat.
type qatFlags struct {
	on, fixed, fresh bool
	epochs, batch    int
	rate             float64
}

func (f *qatFlags) register(fl *pflag.FlagSet) {
	fl.BoolVar(&f.on, "qat", false, "train the network for its integers, on the labelled samples of --data")
	fl.IntVar(&f.epochs, "epochs", 3, "epochs of --qat")
	fl.IntVar(&f.batch, "batch", 32, "samples of a step of --qat")
	fl.Float64Var(&f.rate, "rate", 2e-4, "learning rate of --qat, as a share of each channel's range")
	fl.BoolVar(&f.fixed, "fixed-scales", false, "--qat leaves scales as calibration found them instead of learning them")
	fl.BoolVar(&f.fresh, "fresh", false, "forget a training by --qat that was begun or finished")
}

// withoutTraining are the flags that --qat decides itself or has no use for, withTraining
// those that mean something only with it.
var (
	withoutTraining = []string{"mode", "method", "spec", "activation", "block", "per-tensor", "equalize", "correct-bias", "tail", "integer-io", "random"}
	withTraining    = []string{"epochs", "batch", "rate", "fixed-scales", "fresh"}
)

// validationShare of the training part chooses the epoch that is kept.
const validationShare = 0.1

// qatReport is what quantize --qat --json writes.
type qatReport struct {
	Model        string         `json:"model"`
	File         string         `json:"file"`
	Mode         string         `json:"mode"`
	SizeBytes    int64          `json:"size_bytes"`
	OriginalSize int64          `json:"original_size_bytes"`
	Float        recipe.Parts   `json:"float"`
	PostTraining recipe.Parts   `json:"post_training"`
	Trained      recipe.Parts   `json:"trained"`
	Training     *recipe.Result `json:"training"`
}

// qatRecipe writes the flags as a recipe: what is trained is what edgewise train would.
func (a *app) qatRecipe(path string, f quantizeFlags, given func(string) bool) (*recipe.Recipe, error) {
	for _, name := range withoutTraining {
		if given(name) {
			return nil, hinted(usagef("--%s does not go with --qat", name), "--qat tries the ways of calibration itself; what else there is to say stands in a recipe, see edgewise train")
		}
	}
	switch {
	case f.out == "":
		return nil, hinted(usagef("-o is missing"), "name the file to write, as -o model8.onnx")
	case f.data == "":
		return nil, hinted(usagef("--qat needs samples to train on"), "give labelled samples with --data")
	case f.bits < 2 || f.bits > 8:
		return nil, usagef("--bits %d is not within 2..8", f.bits)
	}
	r := recipe.New()
	r.Model, r.Weights, r.Epochs, r.Batch, r.Seed, r.Threads = path, "given", f.qat.epochs, f.qat.batch, f.seed, a.threads
	r.Optimizer = train.Optimizer{Kind: "adam", Rate: f.qat.rate}
	r.Schedule = train.Schedule{Kind: "cosine", Warmup: 50}
	r.Quantize = &recipe.Quantize{Weights: f.bits, Samples: f.samples, Layers: map[string]recipe.Exception{}}
	if f.qat.fixed {
		r.Quantize.Scales = "fixed"
	}
	for _, k := range f.keep {
		r.Quantize.Layers[k] = recipe.Exception{Weights: recipe.FloatBits}
	}
	if err := r.SetData(f.data); err != nil {
		return nil, err
	}
	r.Data.Validation = validationShare
	if err := r.SetOutput(strings.TrimSuffix(f.out, filepath.Ext(f.out)) + ".qat"); err != nil {
		return nil, err
	}
	if err := r.Validate(); err != nil {
		return nil, usagef("%w", err)
	}
	return r, nil
}

func (a *app) runQAT(ctx context.Context, path string, f quantizeFlags, given func(string) bool) error {
	r, err := a.qatRecipe(path, f, given)
	if err != nil {
		return err
	}
	m, err := edgewise.Open(path)
	if err != nil {
		return err
	}
	if err := modelOutput(f.out, path); err != nil {
		return err
	}
	if g := m.Graph(); len(g.Outputs) > 0 && dataset.Scores(g.Outputs[0]) > 1 {
		hard := 1.0
		r.Distill = &recipe.Distill{Teacher: path, Hard: &hard, Losses: []train.Lesson{{Kind: train.KD, Weight: 1, Temperature: 2}}}
	}
	result, err := a.carryOut(ctx, r, recipe.Options{Fresh: f.qat.fresh})
	if err != nil {
		return err
	}
	from := filepath.Join(result.Output, result.Model)
	err = atomicfile.Write(f.out, func(w io.Writer) error {
		b, err := os.ReadFile(from)
		if err == nil {
			_, err = w.Write(b)
		}
		return err
	})
	if err != nil {
		return err
	}
	q := result.Quantization
	report := &qatReport{Model: path, File: f.out, Mode: "qat", SizeBytes: result.Bytes, OriginalSize: originalSize(path, m.Graph()),
		Float: q.Float, PostTraining: q.PostTraining, Trained: recipe.Parts{Validation: result.Validation, Test: result.Test}, Training: result}
	if a.json {
		return a.writeJSON(report)
	}
	a.printQAT(report)
	return nil
}

func (a *app) printQAT(r *qatReport) {
	q := r.Training.Quantization
	fmt.Fprintf(a.out, "%s → %s (weights of %d bits)\n", r.Model, r.File, q.Bits)
	fmt.Fprintf(a.out, "size %s → %s", bytesText(r.OriginalSize), bytesText(r.SizeBytes))
	if r.SizeBytes > 0 && r.OriginalSize > 0 {
		fmt.Fprintf(a.out, " (%.2f×)", float64(r.OriginalSize)/float64(r.SizeBytes))
	}
	fmt.Fprintf(a.out, "\n%d of %d layers quantized\n\n", q.Layers, q.Layers+q.Kept)
	text := func(s *recipe.Score) string {
		if s == nil {
			return "-"
		}
		return scoreText(s)
	}
	t := &table{head: []string{"network", "validation", "test"}}
	t.add("floating point", text(r.Float.Validation), text(r.Float.Test))
	t.add("quantized, "+q.Start, text(r.PostTraining.Validation), text(r.PostTraining.Test))
	last := fmt.Sprintf("trained, epoch %d of %d", r.Training.Epoch, r.Training.Epochs)
	if !q.Trained {
		last = "written: no epoch was better"
	}
	t.add(last, text(r.Trained.Validation), text(r.Trained.Test))
	t.write(a.out)
	a.note("the training's report, journal and checkpoint are in %s", r.Training.Output)
}
