package cli

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/edgewise-ml/edgewise"
	"github.com/edgewise-ml/edgewise/internal/dataset"
	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

type compareFlags struct {
	inputs     []string
	data, spec string
	limit      int
	samples    int
	seed       uint64
	atol, rtol float64
}

// compareReport is what compare --json writes.
type compareReport struct {
	A       string              `json:"a"`
	B       string              `json:"b"`
	Samples int                 `json:"samples"`
	Atol    *float64            `json:"atol"` // null where no bound was asked for
	Rtol    *float64            `json:"rtol"`
	Within  bool                `json:"within"`
	Outputs []*differenceReport `json:"outputs"`
}

// differenceReport compares one output over all samples. B is the reference of relative
// differences.
type differenceReport struct {
	Name      string  `json:"name"`
	NameB     string  `json:"name_b,omitempty"` // where it is another
	Shape     []int   `json:"shape"`
	Elements  int     `json:"elements"`
	MaxAbs    float64 `json:"max_abs"`
	MaxRel    float64 `json:"max_rel"`          // largest |a-b|/|b|; where b is 0, of the largest |b|
	ScaledMax float64 `json:"max_scaled"`       // max_abs over the largest |b| of the output
	SQNR      float64 `json:"sqnr_db"`          // 999 where the two are equal
	Agreement float64 `json:"argmax_agreement"` // share of rows along the last axis with the same largest element
	Exceeding int     `json:"exceeding"`        // elements beyond atol + rtol·|b|
	Within    bool    `json:"within"`

	rows, agreed  int
	signal, noise float64
	largest       float64
}

func (a *app) compare() *cobra.Command {
	f := compareFlags{}
	cmd := &cobra.Command{
		Use:   "compare A B",
		Short: "Compare two models, or a model with recorded outputs",
		Long: `Runs both models on the same inputs and shows how far their outputs differ. B may be
an npz with recorded inputs and outputs under their names. Inputs come from --input,
from --data, or are made up from a seed. Outputs are paired by name, else by order.
Where --atol or --rtol is given and an element differs by more than atol + rtol·|b|,
the exit code is 3.`,
		Example: `  edgewise compare model.onnx out/model.onnx --data images/ --limit 100
  edgewise compare model.onnx io.npz --atol 1e-4 --rtol 1e-4`,
		Args: arguments(2, 2, "two models, or a model and an npz"),
		RunE: func(cmd *cobra.Command, args []string) error {
			fl := cmd.Flags()
			return a.runCompare(cmd.Context(), args[0], args[1], f, fl.Changed("atol"), fl.Changed("rtol"))
		},
	}
	a.modelFlags(cmd)
	a.tuningFlag(cmd)
	a.jsonFlag(cmd)
	fl := cmd.Flags()
	fl.StringArrayVar(&f.inputs, "input", nil, "input file, as name=x.npy (repeatable)")
	fl.StringVar(&f.data, "data", "", "samples to compare on: folder, archive, npz, …")
	fl.StringVar(&f.spec, "spec", "", "a dataset.yaml `file` to use instead of the data's own")
	fl.IntVar(&f.limit, "limit", 0, "use at most so many samples of --data")
	fl.IntVar(&f.samples, "samples", 1, "how many made-up inputs to compare on")
	fl.Uint64Var(&f.seed, "seed", 1, "seed of made-up inputs")
	fl.Float64Var(&f.atol, "atol", 0, "greatest absolute difference")
	fl.Float64Var(&f.rtol, "rtol", 0, "greatest relative difference")
	return cmd
}

// feed calls use for every sample: inputs by name, and expected outputs where recorded.
type feed func(ctx context.Context, use func(inputs, recorded map[string]*tensor.Tensor) error) error

func (a *app) runCompare(ctx context.Context, pathA, pathB string, f compareFlags, atol, rtol bool) error {
	bad := func(x float64) bool { return math.IsNaN(x) || math.IsInf(x, 0) || x < 0 }
	if bad(f.atol) || bad(f.rtol) || f.samples < 1 || f.limit < 0 {
		return usagef("--atol, --rtol, --samples and --limit cannot be negative")
	}
	if err := specForData(f.spec, f.data); err != nil {
		return err
	}
	opts, err := a.options()
	if err != nil {
		return err
	}
	ma, err := edgewise.Open(pathA)
	if err != nil {
		return err
	}
	var mb *edgewise.Model
	var next feed
	if strings.HasSuffix(strings.ToLower(pathB), ".npz") {
		if next, err = a.recorded(ma, pathB); err != nil {
			return err
		}
	} else {
		if mb, err = edgewise.Open(pathB); err != nil {
			return err
		}
		if next, err = a.samples(ctx, ma, f); err != nil {
			return err
		}
	}
	sa, err := ma.NewSession(opts)
	if err != nil {
		return err
	}
	defer sa.Close()
	var sb *edgewise.Session
	if mb != nil {
		if err := sameInputs(ma, mb); err != nil {
			return err
		}
		if sb, err = mb.NewSession(opts); err != nil {
			return fmt.Errorf("%s: %w", pathB, err)
		}
		defer sb.Close()
	}
	r := &compareReport{A: pathA, B: pathB, Within: true}
	if atol {
		r.Atol = &f.atol
	}
	if rtol {
		r.Rtol = &f.rtol
	}
	byName := map[string]*differenceReport{}
	err = next(ctx, func(inputs, want map[string]*tensor.Tensor) error {
		got, err := sa.Run(ctx, inputs)
		if err != nil {
			return fmt.Errorf("%s: %w", pathA, err)
		}
		order := ma.Graph().Outputs
		pair := func(i int) string { return order[i].Name }
		if sb != nil {
			renamed := map[string]*tensor.Tensor{}
			for i, v := range mb.Graph().Inputs {
				renamed[v.Name] = inputs[inputFor(ma, v.Name, i)]
			}
			if want, err = sb.Run(ctx, renamed); err != nil {
				return fmt.Errorf("%s: %w", pathB, err)
			}
			pair = func(i int) string { return outputFor(ma, mb, i) }
		}
		for i, v := range order {
			nameB := pair(i)
			y, x := want[nameB], got[v.Name]
			if y == nil || x == nil {
				continue
			}
			d := byName[v.Name]
			if d == nil {
				d = &differenceReport{Name: v.Name, Shape: x.Shape(), Within: true}
				if nameB != v.Name {
					d.NameB = nameB
				}
				byName[v.Name] = d
				r.Outputs = append(r.Outputs, d)
			}
			if err := d.add(x, y, f.atol, f.rtol); err != nil {
				return err
			}
		}
		r.Samples++
		a.progress.at("comparing", r.Samples, 0)
		return nil
	})
	if err != nil {
		return err
	}
	if len(r.Outputs) == 0 {
		return usagef("the two have no output in common (%s has %s)", pathA, outputNames(ma))
	}
	a.unpaired(ma, r)
	exceeded := 0
	for _, d := range r.Outputs {
		d.finish()
		if d.Exceeding > 0 && (atol || rtol) {
			d.Within, r.Within = false, false
			exceeded++
		}
	}
	if a.json {
		if err := a.writeJSON(r); err != nil {
			return err
		}
	} else {
		a.printCompare(r, atol || rtol)
	}
	if !r.Within {
		return boundf("%d of %d outputs differ by more than atol %g + rtol %g · |b|", exceeded, len(r.Outputs), f.atol, f.rtol)
	}
	return nil
}

// unpaired says which outputs of A were not compared, having nothing in B to stand against.
func (a *app) unpaired(m *edgewise.Model, r *compareReport) {
	for _, v := range m.Graph().Outputs {
		if !slices.ContainsFunc(r.Outputs, func(d *differenceReport) bool { return d.Name == v.Name }) {
			a.warn("output %s has nothing to be compared with in %s", v.Name, r.B)
		}
	}
}

// recorded feeds the one sample that an npz holds.
func (a *app) recorded(m *edgewise.Model, path string) (feed, error) {
	arrays, err := readNPZ(path)
	if err != nil {
		return nil, err
	}
	inputs, _, err := a.gather(m, []string{path}, nil, "")
	if err != nil {
		return nil, err
	}
	for _, v := range m.Graph().Inputs {
		if inputs[v.Name] == nil {
			return nil, usagef("%s has no array for input %s", path, v)
		}
	}
	return func(_ context.Context, use func(_, _ map[string]*tensor.Tensor) error) error {
		return use(inputs, arrays)
	}, nil
}

// samples feeds files, a data set, or made-up values.
func (a *app) samples(ctx context.Context, m *edgewise.Model, f compareFlags) (feed, error) {
	if f.data != "" {
		return a.dataSamples(ctx, m, f)
	}
	given, shapes, err := a.gather(m, f.inputs, nil, "")
	if err != nil {
		return nil, err
	}
	if len(given) == len(m.Graph().Inputs) {
		f.samples = 1
	} else {
		a.note("inputs without a file are made up from seed %d; real samples (--data) tell more", f.seed)
	}
	return func(ctx context.Context, use func(_, _ map[string]*tensor.Tensor) error) error {
		for i := range f.samples {
			if err := ctx.Err(); err != nil {
				return err
			}
			values, err := complete(m, given, shapes, f.seed+uint64(i))
			if err != nil {
				return err
			}
			inputs := map[string]*tensor.Tensor{}
			for k, v := range m.Graph().Inputs {
				inputs[v.Name] = values[k].(*tensor.Tensor)
			}
			if err := use(inputs, nil); err != nil {
				return err
			}
		}
		return nil
	}, nil
}

func (a *app) dataSamples(ctx context.Context, m *edgewise.Model, f compareFlags) (feed, error) {
	d, err := dataset.Open(f.data, dataset.Options{Spec: f.spec, Limit: f.limit})
	if err != nil {
		return nil, err
	}
	pre, err := a.preprocess(ctx, m, d, f.seed)
	if err != nil {
		d.Close()
		return nil, err
	}
	return func(ctx context.Context, use func(_, _ map[string]*tensor.Tensor) error) error {
		defer d.Close()
		order := make([]int, d.Len())
		for i := range order {
			order[i] = i
		}
		for x, err := range modelInputs(ctx, m, d, order, pre) {
			if err != nil {
				return err
			}
			if err := use(x, nil); err != nil {
				return err
			}
		}
		return ctx.Err()
	}, nil
}

// sameInputs reports models that cannot be given the same inputs.
func sameInputs(a, b *edgewise.Model) error {
	ia, ib := a.Graph().Inputs, b.Graph().Inputs
	if len(ia) != len(ib) {
		return fmt.Errorf("the models have %d and %d inputs", len(ia), len(ib))
	}
	for i, v := range ib {
		w := findInput(a, inputFor(a, v.Name, i))
		if _, err := graph.Merge(w.Type, v.Type); err != nil {
			return fmt.Errorf("the models want different inputs, %s and %s: %w", w, v, err)
		}
	}
	return nil
}

// inputFor returns the input of m that feeds input i, called name, of another model.
func inputFor(m *edgewise.Model, name string, i int) string {
	if findInput(m, name) != nil {
		return name
	}
	return m.Graph().Inputs[i].Name
}

// outputFor returns the output of b that stands for output i of a, "" when there is none.
func outputFor(a, b *edgewise.Model, i int) string {
	for _, v := range b.Graph().Outputs {
		if v.Name == a.Graph().Outputs[i].Name {
			return v.Name
		}
	}
	if i < len(b.Graph().Outputs) {
		return b.Graph().Outputs[i].Name
	}
	return ""
}

func outputNames(m *edgewise.Model) string {
	var out []string
	for _, v := range m.Graph().Outputs {
		out = append(out, v.Name)
	}
	return strings.Join(out, ", ")
}
