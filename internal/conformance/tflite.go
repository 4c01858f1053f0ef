package conformance

import (
	"context"
	_ "embed"
	"encoding/csv"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/edgewise-ml/edgewise/internal/op"
	"github.com/edgewise-ml/edgewise/internal/testdata"
	"github.com/edgewise-ml/edgewise/internal/tflite"
	"github.com/edgewise-ml/edgewise/tensor"
)

//go:embed tflite_ledger.txt
var tfliteLedger string

// TFLiteLedger returns the ledger of the TensorFlow Lite operator cases.
func TFLiteLedger() *Ledger {
	l, err := parseLedger(tfliteLedger)
	if err != nil {
		panic(err)
	}
	return l
}

// tfliteTol is the error allowed in floats, relative to the largest magnitude of the output.
const tfliteTol = 1e-4

// tfliteCase is a model of one operator with files of inputs and outputs, in order.
type tfliteCase struct {
	name, model     string
	inputs, outputs []string
}

// RunTFLite runs every one-operator model that has recorded outputs beside it, below
// EDGEWISE_TFLITE_OPS or the test data. Two layouts are known:
//
//	add.tflite  add.inp0  add.inp1  add.out0
//	add0.tflite  add0_input0_int16.csv  add0_input1_int16.csv  add0_golden_int16.csv
//
// In the first, files hold one zero byte and then the raw little-endian elements.
// Integers must be exact in the first and within one step in the second, whose reference
// requantizes in fixed point.
func RunTFLite(t *testing.T, run Executor, ledger *Ledger) {
	root := os.Getenv("EDGEWISE_TFLITE_OPS")
	if root == "" {
		root = testdata.Path(t, "tflite-ops")
	}
	cases, err := tfliteCases(root)
	if err != nil {
		t.Fatal(err)
	}
	if len(cases) == 0 {
		testdata.Missing(t, "no TensorFlow Lite cases with outputs in "+root)
	}
	passed, refused := 0, 0
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			err := runTFLiteCase(run, c)
			reason, listed := ledger.refusesTFLite(c.name, err)
			switch {
			case err == nil && listed:
				t.Errorf("passes, but the ledger refuses it (%s): take the line out", reason)
			case err == nil:
				passed++
			case listed && !errors.As(err, new(wrongAnswer)) && !errors.As(err, new(panicked)):
				refused++
				t.Logf("refused, as in the ledger (%s): %v", reason, err)
			default:
				t.Error(err)
			}
		})
	}
	t.Logf("%d of %d pass, %d refused, %d fail", passed, len(cases), refused, len(cases)-passed-refused)
}

// tfliteCases finds the models below root that have outputs.
func tfliteCases(root string) ([]tfliteCase, error) {
	var cases []tfliteCase
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		stem, ok := strings.CutSuffix(path, ".tflite")
		if err != nil || !ok || d.IsDir() {
			return err
		}
		c := tfliteCase{model: path, inputs: counted(stem+".inp", ""), outputs: counted(stem+".out", "")}
		if golden := stem + "_golden_int16.csv"; len(c.outputs) == 0 {
			if _, err := os.Stat(golden); err != nil {
				return nil
			}
			c.inputs, c.outputs = counted(stem+"_input", "_int16.csv"), []string{golden}
		}
		if len(c.inputs) == 0 {
			// A model with one input leaves the number out.
			if one := stem + "_input_int16.csv"; exists(one) {
				c.inputs = []string{one}
			}
		}
		rel, err := filepath.Rel(root, stem)
		c.name = filepath.ToSlash(rel)
		cases = append(cases, c)
		return err
	})
	return cases, err
}

func exists(path string) bool { _, err := os.Stat(path); return err == nil }

// counted lists prefix0suffix, prefix1suffix ... as far as they go.
func counted(prefix, suffix string) []string {
	var out []string
	for {
		path := fmt.Sprint(prefix, len(out), suffix)
		if !exists(path) {
			return out
		}
		out = append(out, path)
	}
}

// refusesTFLite reports whether a case that ended with err is excused, and why.
func (l *Ledger) refusesTFLite(name string, err error) (reason string, ok bool) {
	if reason, ok = l.cases[name]; ok {
		return reason, true
	}
	var u *tflite.UnsupportedError
	if !errors.As(err, &u) || len(u.Ops) == 0 {
		return "", false
	}
	var reasons []string
	for _, o := range u.Ops {
		r, ok := l.ops[o.Name]
		if !ok || o.Reason != "" {
			return "", false
		}
		if !slices.Contains(reasons, r) {
			reasons = append(reasons, r)
		}
	}
	return strings.Join(reasons, "; "), true
}

func runTFLiteCase(run Executor, c tfliteCase) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = panicked{fmt.Errorf("panic: %v\n%s", r, debug.Stack())}
		}
	}()
	g, err := tflite.Read(c.model)
	if err != nil {
		return err
	}
	if len(c.inputs) != len(g.Inputs) {
		return fmt.Errorf("the case has %d inputs, the model %d", len(c.inputs), len(g.Inputs))
	}
	inputs := make([]op.Value, len(g.Inputs))
	for i, path := range c.inputs {
		shape, ok := g.Inputs[i].Type.Static()
		if !ok {
			return fmt.Errorf("input %v has open sizes", g.Inputs[i])
		}
		if inputs[i], err = recorded(path, g.Inputs[i].Type.DType, shape); err != nil {
			return err
		}
	}
	got, err := run(context.Background(), g, inputs)
	if err != nil {
		return err
	}
	for i, path := range c.outputs {
		if i >= len(got) {
			return fmt.Errorf("the case has %d outputs, the model gave %d", len(c.outputs), len(got))
		}
		y := got[i].(*tensor.Tensor)
		want, err := recorded(path, y.DType(), y.Shape())
		if err != nil {
			return wrongAnswer{err}
		}
		steps := 0.0
		if strings.HasSuffix(path, ".csv") {
			steps = 1
		}
		if err := near(y, want, tfliteTol, steps); err != nil {
			return wrongAnswer{fmt.Errorf("output %s: %w", g.Outputs[i].Name, err)}
		}
	}
	return nil
}

// recorded reads a tensor of the given type and shape.
func recorded(path string, d tensor.DType, shape []int) (*tensor.Tensor, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if strings.HasSuffix(path, ".csv") {
		rows, err := csv.NewReader(strings.NewReader(string(data))).ReadAll()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		t, err := tensor.Make(d, shape)
		if err != nil {
			return nil, err
		}
		fields := slices.Concat(rows...)
		if len(fields) != t.Len() {
			return nil, fmt.Errorf("%s holds %d numbers, want %v", path, len(fields), t)
		}
		for i, f := range fields {
			v, err := strconv.ParseInt(strings.TrimSpace(f), 10, 64)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", path, err)
			}
			t.SetInt(i, v)
		}
		return t, nil
	}
	if len(data) == 0 || data[0] != 0 {
		return nil, fmt.Errorf("%s does not begin with a zero byte", path)
	}
	t, err := tensor.FromBytes(d, shape, data[1:])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return t, nil
}

// near compares two tensors: floats to tol times the largest magnitude wanted, integers
// to the given number of steps.
func near(got, want *tensor.Tensor, tol, steps float64) error {
	if got.DType() != want.DType() || !slices.Equal(got.Shape(), want.Shape()) {
		return fmt.Errorf("is %v, want %v", got, want)
	}
	limit := steps
	if want.DType().IsFloat() {
		largest := 0.0
		for i := range want.Len() {
			if v := math.Abs(want.Float(i)); !math.IsInf(v, 0) && v > largest {
				largest = v
			}
		}
		limit = tol * largest
	}
	for i := range want.Len() {
		g, w := got.Float(i), want.Float(i)
		if g != w && !(math.IsNaN(g) && math.IsNaN(w)) && !(math.Abs(g-w) <= limit) {
			return fmt.Errorf("element %d is %v, want %v within %v", i, g, w, limit)
		}
	}
	return nil
}
