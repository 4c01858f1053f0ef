package cli

import (
	"context"
	"errors"
	"os"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/edgewise-ml/edgewise/internal/optimize"
)

func (a *app) optimize() *cobra.Command {
	cfg := optimize.Config{}
	cmd := &cobra.Command{
		Use:   "optimize [MODEL]",
		Short: "Make a model smaller and faster within an accuracy bound",
		Long: `Quantizes a trained model so that it loses at most --max-drop points of accuracy, and
proves it: the original and every candidate are evaluated on the data and timed on this
machine. Writes model.onnx (int8, loads unchanged in ONNX Runtime), report.html and
report.json.

--data takes a folder of pictures (classes as folders, or labels.csv), a zip or tar.gz
of one, idx, npz, csv, a folder of wavs, or a dataset.yaml that says what cannot be
guessed, as
  data: pictures
  label_offset: 1
  preprocess: {resize: 256, divide: 255, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225]}
(all keys: docs/dataset.md). Without labels, agreement with the original takes the place
of accuracy.

Without arguments it optimizes the built-in example, a classifier of (synthetic)
heartbeats. The exit code is 3 where no point, not even the simplified original, holds
the bound that was asked for.`,
		Example: `  edgewise optimize
  edgewise optimize model.tflite --data images/ --max-drop 1 -o out`,
		Args: arguments(0, 1, "at most one model"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				cfg.Model = args[0]
			}
			return a.runOptimize(cmd.Context(), cfg)
		},
	}
	a.jsonFlag(cmd)
	fl := cmd.Flags()
	fl.StringVar(&cfg.Data, "data", "", "samples with labels: folder, archive, npz, csv, idx, dataset.yaml")
	fl.StringVar(&cfg.Spec, "spec", "", "a dataset.yaml `file` to use instead of the data's own (docs/dataset.md)")
	fl.Float64Var(&cfg.MaxDrop, "max-drop", 1, "greatest loss of accuracy, in points (hundredths)")
	fl.StringVarP(&cfg.Out, "output", "o", "edgewise-out", "`folder` to write")
	fl.BoolVar(&cfg.Force, "force", false, "overwrite a model.onnx or report that no earlier run wrote")
	fl.IntVar(&cfg.Limit, "limit", 0, "evaluate at most so many samples; 0 takes all")
	fl.IntVar(&cfg.Calibration, "calibration", 0, "samples for calibration; 0 takes 200")
	fl.Uint64Var(&cfg.Seed, "seed", 1, "seed of every selection of samples")
	fl.IntVar(&a.threads, "threads", 1, "worker threads of one inference")
	return cmd
}

func (a *app) runOptimize(ctx context.Context, cfg optimize.Config) error {
	if a.threads < 0 || a.threads > maxThreads || cfg.Limit < 0 || cfg.Calibration < 0 {
		return usagef("--threads, --limit and --calibration must be 0 or more, and threads at most %d", maxThreads)
	}
	if !(cfg.MaxDrop >= 0 && cfg.MaxDrop <= 100) {
		return usagef("--max-drop %v is not between 0 and 100 points", cfg.MaxDrop)
	}
	if err := specForData(cfg.Spec, cfg.Data); err != nil {
		return err
	}
	if cfg.Data == "" && cfg.Model != "" && cfg.Model != optimize.Example {
		return hinted(usagef("neither accuracy nor ranges can be measured without samples"), "give a folder, archive or array file with --data")
	}
	if cfg.Out == "" {
		return usagef("-o is empty: name a folder to write")
	}
	cfg.Threads, cfg.Progress, cfg.Version = a.threads, events{a}, version()
	cfg.Command = append([]string{"edgewise"}, a.args...)
	r, err := optimize.Run(ctx, cfg)
	var occupied *optimize.OccupiedError
	switch {
	case errors.As(err, &occupied) && occupied.Input:
		return hinted(usagef("%w", err), "name another folder with -o")
	case errors.As(err, &occupied):
		return hinted(usagef("%w", err), "name another folder with -o, or overwrite it with --force")
	case err != nil:
		return err
	}
	a.progress.clear()
	if a.json {
		b, err := r.Report.JSON()
		if err != nil {
			return err
		}
		if _, err := a.out.Write(append(b, '\n')); err != nil {
			return err
		}
	} else if err := r.Table(a.out, a.width(), a.terminal && os.Getenv("NO_COLOR") == ""); err != nil {
		return err
	}
	if !r.Report.Met {
		return hinted(boundf("no candidate stays within %g points of the original; the nearest one is written", cfg.MaxDrop),
			"allow more with --max-drop, or calibrate on more samples with --calibration")
	}
	return nil
}

// events shows the progress of an optimization.
type events struct{ *app }

func (e events) Update(v optimize.Event) {
	switch {
	case v.Note != "":
		e.note("%s", v.Note)
	case v.Warning == "":
		e.progress.at(v.Stage, v.Done, v.Total)
	case e.json: // else the table repeats it
		e.warn("%s", v.Warning)
	}
}

// defaultWidth is that of tables where the terminal does not tell its own.
const defaultWidth = 100

// width returns the width of the terminal in characters.
func (a *app) width() int {
	if n, err := strconv.Atoi(os.Getenv("COLUMNS")); err == nil && n >= 40 && n <= 400 {
		return n
	}
	return defaultWidth
}
