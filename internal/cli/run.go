package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/edgewise-ml/edgewise"
	"github.com/edgewise-ml/edgewise/internal/dataset"
	"github.com/edgewise-ml/edgewise/internal/optimize"
	"github.com/edgewise-ml/edgewise/internal/zoo"
	"github.com/edgewise-ml/edgewise/tensor"
)

type runFlags struct {
	inputs            []string
	outputDir, labels string
	spec              string
	top               int
	seed              uint64
	random            bool
}

// runReport is what run --json writes.
type runReport struct {
	Model   string         `json:"model"`
	Latency float64        `json:"latency_ms"` // of the one run, compilation not counted
	Outputs []outputReport `json:"outputs"`
}

// outputReport describes one output of a run.
type outputReport struct {
	Name  string   `json:"name"`
	DType string   `json:"dtype"`
	Shape []int    `json:"shape"`
	File  string   `json:"file,omitempty"`
	Min   *float64 `json:"min,omitempty"` // absent where there are no numbers
	Max   *float64 `json:"max,omitempty"`
	Mean  *float64 `json:"mean,omitempty"`
	Top   []ranked `json:"top,omitempty"` // of classifications

	values string
}

func (a *app) run() *cobra.Command {
	f := runFlags{}
	cmd := &cobra.Command{
		Use:   "run MODEL [FILE...]",
		Short: "Run a model on files",
		Long: `Runs a model once. Files are pictures (jpeg, png, gif, bmp, tiff, webp), sound
(wav), numpy arrays (npy, or npz with arrays named as the inputs) or raw bytes (bin);
a FILE goes to the first input that has none, --input name=file to the one named.
Preprocessing is taken from the model, or from a dataset.yaml (--spec). Outputs that look like a classification are shown as the best classes.`,
		Example: `  edgewise run model.onnx cat.jpg --labels labels.txt
  edgewise run model.onnx --input x=x.npy --input mask=mask.npy --output-dir out
  edgewise run zoo:heartbeat --random`,
		Args: arguments(1, math.MaxInt, "a model and files"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.runOnce(cmd.Context(), args[0], args[1:], f)
		},
	}
	a.modelFlags(cmd)
	a.tuningFlag(cmd)
	a.jsonFlag(cmd)
	fl := cmd.Flags()
	fl.StringArrayVar(&f.inputs, "input", nil, "input file, as name=x.npy (repeatable)")
	fl.StringVarP(&f.outputDir, "output-dir", "o", "", "write every output as npy into this `folder`")
	fl.StringVar(&f.labels, "labels", "", "`file` with one class name a line, or a csv with columns of names and classes")
	fl.StringVar(&f.spec, "spec", "", "a dataset.yaml `file` that says how files become inputs (docs/dataset.md)")
	fl.IntVar(&f.top, "top", 5, "how many classes to show")
	fl.BoolVar(&f.random, "random", false, "make up the inputs that have no file")
	fl.Uint64Var(&f.seed, "seed", 1, "seed of made-up inputs")
	return cmd
}

func (a *app) runOnce(ctx context.Context, path string, files []string, f runFlags) error {
	if f.top < 1 {
		return usagef("--top %d is not a positive number", f.top)
	}
	opts, err := a.options()
	if err != nil {
		return err
	}
	defer quickStart(path)()
	m, err := edgewise.Open(path)
	if err != nil {
		return err
	}
	a.sealedAs(path, m)
	labels, err := modelLabels(m, f.labels)
	if err != nil {
		return err
	}
	inputs, shapes, err := a.gather(m, f.inputs, files, f.spec)
	if err != nil {
		return err
	}
	for _, v := range m.Signature().Inputs {
		if inputs[v.Name] != nil {
			continue
		}
		if !f.random {
			return hinted(usagef("input %s has no file", v), "give one as --input %s=file.npy, or make values up with --random", v.Name)
		}
		if inputs[v.Name], err = randomInput(v, shapes[v.Name], f.seed); err != nil {
			return err
		}
	}
	if _, err := m.Plan(opts, shapes); err != nil {
		return err
	}
	a.remark(m)
	s, err := m.NewSession(opts)
	if err != nil {
		return err
	}
	defer s.Close()
	start := time.Now()
	outs, err := s.Run(ctx, inputs)
	if err != nil {
		return err
	}
	r := runReport{Model: path, Latency: milliseconds(time.Since(start))}
	names := outputFiles(m)
	for _, v := range m.Signature().Outputs {
		t := outs[v.Name]
		if t == nil {
			continue // an optional that is empty
		}
		o := describeOutput(v.Name, t, f.top, labels)
		if f.outputDir != "" {
			o.File = filepath.Join(f.outputDir, names[v.Name])
		}
		r.Outputs = append(r.Outputs, o)
	}
	if f.outputDir != "" {
		if err := writeOutputs(f.outputDir, outs, names); err != nil {
			return err
		}
	}
	if a.json {
		return a.writeJSON(r)
	}
	printRun(a.out, &r)
	return nil
}

// writeOutputs writes every output as npy; none appears unless all could be written.
func writeOutputs(dir string, outs map[string]*tensor.Tensor, names map[string]string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("cannot write the outputs: %w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(outs)) {
		t := outs[name]
		if err := writeFile(filepath.Join(dir, names[name]), func(w io.Writer) error { return tensor.WriteNPY(w, t) }); err != nil {
			return err
		}
	}
	return nil
}

// outputFiles gives every output a file name of its own: the output's name with anything
// but letters, digits and ._- replaced.
func outputFiles(m *edgewise.Model) map[string]string {
	out, taken := map[string]string{}, map[string]bool{}
	for i, v := range m.Signature().Outputs {
		if out[v.Name] != "" {
			continue
		}
		clean := strings.Map(func(r rune) rune {
			if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '_' || r == '-' {
				return r
			}
			return '_'
		}, v.Name)
		clean = strings.TrimLeft(clean, ".")
		if len(clean) > 128 {
			clean = clean[:128]
		}
		if clean == "" || taken[strings.ToLower(clean)] {
			clean = fmt.Sprintf("%s_%d", clean, i)
		}
		taken[strings.ToLower(clean)] = true
		out[v.Name] = clean + ".npy"
	}
	return out
}

// modelLabels returns the class names of a file, of the model's metadata, or of a
// built-in network.
func modelLabels(m *edgewise.Model, file string) ([]string, error) {
	if file != "" {
		return dataset.ReadClassNames(file)
	}
	g := m.Signature()
	var names []string
	if json.Unmarshal([]byte(g.Meta[optimize.MetaLabels]), &names) == nil && len(names) > 0 {
		return names, nil
	}
	if s := g.Meta["tflite.labels"]; s != "" {
		return strings.Split(strings.TrimRight(s, "\n"), "\n"), nil
	}
	if len(g.Inputs) == 1 && g.Inputs[0].Name == "ecg" && g.Name == "heartbeat" {
		_, _, names := zoo.HeartbeatData(1)
		return names, nil
	}
	return nil, nil
}

// mostClasses bounds the outputs that are shown as classifications.
const mostClasses = 100_000

func describeOutput(name string, t *tensor.Tensor, k int, labels []string) outputReport {
	o := outputReport{Name: name, DType: t.DType().String(), Shape: slices.Clone(t.Shape())}
	if o.Shape == nil {
		o.Shape = []int{}
	}
	if t.DType() == tensor.String || t.DType().IsComplex() || t.Len() == 0 {
		if t.DType() == tensor.String && t.Len() <= 16 {
			o.values = fmt.Sprintf("%q", t.Strings())
		}
		return o
	}
	lo, hi, sum, n := math.Inf(1), math.Inf(-1), 0.0, 0
	for i := range t.Len() {
		v := t.Float(i)
		if math.IsNaN(v) || math.IsInf(v, 0) {
			continue
		}
		lo, hi, sum, n = min(lo, v), max(hi, v), sum+v, n+1
	}
	if n > 0 {
		mean := sum / float64(n)
		o.Min, o.Max, o.Mean = &lo, &hi, &mean
	}
	if classes := rowLength(t); classes > 1 && classes <= mostClasses {
		o.Top = top(t, k, labels)
	} else if t.Len() <= 16 {
		o.values = fmt.Sprint(t.Floats())
	}
	return o
}

// rowLength returns the number of classes of a batch-of-one classification, else 0.
func rowLength(t *tensor.Tensor) int {
	if t.Rank() == 0 || t.Dim(-1) != t.Len() {
		return 0
	}
	return t.Len()
}

func printRun(w io.Writer, r *runReport) {
	for i, o := range r.Outputs {
		if i > 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "%s %s%s", o.Name, o.DType, tensor.FormatShape(o.Shape))
		if o.Mean != nil {
			fmt.Fprintf(w, "  min %.6g  max %.6g  mean %.6g", *o.Min, *o.Max, *o.Mean)
		}
		if o.File != "" {
			fmt.Fprintf(w, "  → %s", o.File)
		}
		fmt.Fprintln(w)
		if o.values != "" {
			fmt.Fprintln(w, o.values)
		}
		if len(o.Top) > 0 {
			t := &table{head: []string{"value", "class", "label"}}
			for _, c := range o.Top {
				t.add(fmt.Sprintf("%.6g", c.Value), c.Index, c.Label)
			}
			t.write(w)
		}
	}
	fmt.Fprintf(w, "\n%.3f ms\n", r.Latency)
}
