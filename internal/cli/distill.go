package cli

import (
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/edgewise-ml/edgewise"
	"github.com/edgewise-ml/edgewise/internal/recipe"
	"github.com/edgewise-ml/edgewise/internal/train"
)

// distillFlags are what the command line says of a distillation.
type distillFlags struct {
	teacher, student   string
	losses, tensors    []string
	temperature, alpha float64
	batch, crop        int
	rate               float64
	flip               bool
}

func (a *app) distill() *cobra.Command {
	f, t := distillFlags{}, trainFlags{}
	cmd := &cobra.Command{
		Use:   "distill --teacher MODEL --student MODEL --data DATA",
		Short: "Let a small network learn from a large one",
		Long: `Trains a student, a network of the zoo (zoo:NAME, from random weights) or a file (further,
from its own), by what a teacher makes of the same samples, and by their labels where
the data has some. The teacher is any model, quantized ones too.

Losses against the teacher: ` + strings.Join(train.Lessons(), ", ") + ` (docs/distillation.md
tells what each is). hint and attention compare tensors, which --tensors names.

The training is one by a recipe, with the same output and the same way to take it up
again; a recipe file (edgewise train) can say more.`,
		Example: `  edgewise distill --teacher big.onnx --student zoo:mobilenetv2-0.35 --data images/
  edgewise distill --teacher big.tflite --student small.onnx --data images/ --loss dkd --epochs 30`,
		Args: arguments(0, 0, "flags only"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, err := f.recipe(t.data, cmd.Flags().Changed("alpha"))
			if err == nil {
				err = a.change(cmd, r, t)
			}
			if err != nil {
				return err
			}
			return a.runRecipe(cmd.Context(), r, recipe.Options{Fresh: t.fresh})
		},
	}
	a.jsonFlag(cmd)
	a.trainFlags(cmd, &t, "")
	cmd.Flags().Lookup("epochs").Usage += ", 10 by default"
	cmd.Flags().Lookup("output").Usage = "`folder` to write; STUDENT-distilled by default"
	fl := cmd.Flags()
	fl.StringVar(&f.teacher, "teacher", "", "`model` that teaches")
	fl.StringVar(&f.student, "student", "", "`model` that learns: zoo:NAME or a file")
	fl.StringSliceVar(&f.losses, "loss", []string{train.KD}, "`losses` against the teacher")
	fl.StringArrayVar(&f.tensors, "tensors", nil, "`TEACHER=STUDENT`: names of tensors that hint and attention compare; may be repeated")
	fl.Float64Var(&f.temperature, "temperature", 0, "that scores are divided by; 0: the loss's own")
	fl.Float64Var(&f.alpha, "alpha", 0, "weight of each loss against the teacher, that against labels having 1-alpha; 1: the teacher alone")
	fl.IntVar(&f.batch, "batch", 64, "samples of a step")
	fl.Float64Var(&f.rate, "rate", 0.05, "highest learning rate")
	fl.BoolVar(&f.flip, "flip", false, "mirror images at random")
	fl.IntVar(&f.crop, "crop", 0, "move images by up to so many pixels at random")
	return cmd
}

// recipe writes the flags as a recipe.
func (f *distillFlags) recipe(data string, weighted bool) (*recipe.Recipe, error) {
	for _, n := range []struct{ flag, value string }{{"teacher", f.teacher}, {"student", f.student}, {"data", data}} {
		if n.value == "" {
			return nil, usagef("distill needs --teacher, --student and --data; --%s is missing", n.flag)
		}
	}
	r := recipe.New()
	base := filepath.Base(strings.TrimPrefix(f.student, edgewise.ZooPrefix))
	if !strings.HasPrefix(f.student, edgewise.ZooPrefix) {
		base = strings.TrimSuffix(base, filepath.Ext(base))
	}
	r.SetName(base + "-distilled")
	r.Model, r.Batch = f.student, f.batch
	r.Optimizer = train.Optimizer{Kind: "sgd", Rate: f.rate, Momentum: 0.9, Nesterov: true, Decay: 5e-4}
	r.Schedule, r.Clip = train.Schedule{Kind: "one-cycle"}, 5
	r.Augment = train.Augment{Flip: f.flip, Crop: f.crop}
	d := &recipe.Distill{Teacher: f.teacher}
	if weighted {
		if !(f.alpha > 0 && f.alpha <= 1) {
			return nil, usagef("--alpha %v is not above 0 and at most 1", f.alpha)
		}
		hard := 1 - f.alpha
		d.Hard = &hard
	}
	for _, kind := range f.losses {
		l := train.Lesson{Kind: kind, Weight: f.alpha, Temperature: f.temperature}
		if kind != train.Hint && kind != train.Attention {
			d.Losses = append(d.Losses, l)
			continue
		}
		if weighted {
			return nil, usagef("--alpha does not go with %s, whose weight depends on the tensors; a recipe can say it", kind)
		}
		for _, pair := range f.tensors {
			var ok bool
			if l.Teacher, l.Student, ok = strings.Cut(pair, "="); !ok {
				return nil, usagef("--tensors %q is not TEACHER=STUDENT", pair)
			}
			d.Losses = append(d.Losses, l)
		}
		if len(f.tensors) == 0 {
			return nil, hinted(usagef("--loss %s compares tensors, and --tensors names none", kind), "edgewise inspect lists the layers")
		}
	}
	r.Distill = d
	return r, nil
}
