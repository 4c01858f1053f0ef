// Package conformance holds outside test suites as libraries, so that every executor is
// held against the same cases. It is imported by tests only.
//
// What Edgewise does not support is written down in a ledger, a text file beside this
// one: a case that fails without standing there is a failure, and so is a case that
// stands there and passes.
package conformance

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/onnx"
	"github.com/edgewise-ml/edgewise/internal/op"
	"github.com/edgewise-ml/edgewise/internal/testdata"
	"github.com/edgewise-ml/edgewise/tensor"
)

// Executor runs a graph on inputs in order and returns the outputs in order.
type Executor func(context.Context, *graph.Graph, []op.Value) ([]op.Value, error)

// onnxSuites are the folders of the ONNX backend suite.
var onnxSuites = []string{"node", "simple", "pytorch-operator", "pytorch-converted", "light"}

// The tolerances of the ONNX backend test runner.
const (
	onnxRTol = 1e-3
	onnxATol = 1e-7
)

// RunONNX runs the ONNX backend suite, found in EDGEWISE_ONNX_BACKEND or the test data.
// Each case is a subtest suite/case.
func RunONNX(t *testing.T, run Executor, ledger *Ledger) {
	root := os.Getenv("EDGEWISE_ONNX_BACKEND")
	if root == "" {
		root = testdata.Path(t, "onnx-backend")
	}
	passed, refused, total := map[string]int{}, map[string]int{}, map[string]int{}
	for _, suite := range onnxSuites {
		cases, err := onnxCases(filepath.Join(root, suite))
		if err != nil {
			continue // a set of cases need not have every suite
		}
		t.Run(suite, func(t *testing.T) {
			if suite == "light" && testing.Short() {
				t.Skip("whole networks take too long for -short")
			}
			for _, c := range cases {
				t.Run(c.name, func(t *testing.T) {
					total[suite]++
					err := runCase(run, c)
					reason, listed := ledger.refuses(suite+"/"+c.name, err)
					switch {
					case err == nil && listed:
						t.Errorf("passes, but the ledger refuses it (%s): take the line out", reason)
					case err == nil:
						passed[suite]++
					case listed && !errors.As(err, new(wrongAnswer)) && !errors.As(err, new(panicked)):
						refused[suite]++
						t.Logf("refused, as in the ledger (%s): %v", reason, err)
					default:
						t.Error(err)
					}
				})
			}
		})
	}
	if len(total) == 0 {
		t.Errorf("%s holds no case", root)
	}
	for _, suite := range onnxSuites {
		if n := total[suite]; n > 0 {
			t.Logf("%-18s %4d of %4d pass (%.1f %%), %d refused, %d fail", suite, passed[suite], n,
				100*float64(passed[suite])/float64(n), refused[suite], n-passed[suite]-refused[suite])
		}
	}
}

// A wrongAnswer can never be excused by the ledger, and neither can a panic.
type wrongAnswer struct{ error }

type panicked struct{ error }

// onnxCase is one model with one or more sets of inputs and outputs.
type onnxCase struct {
	name, model string
	sets        []dataSet
}

type dataSet struct{ inputs, outputs []string }

func onnxCases(dir string) ([]onnxCase, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var cases []onnxCase
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		switch name, flat := strings.CutSuffix(e.Name(), ".onnx"); {
		case flat: // light models: the input is not stored, only the output
			cases = append(cases, onnxCase{name, path, []dataSet{{nil, numbered(filepath.Join(dir, name+"_output_"))}}})
		case e.IsDir():
			c := onnxCase{name: e.Name(), model: filepath.Join(path, "model.onnx")}
			sets, _ := filepath.Glob(filepath.Join(path, "test_data_set_*"))
			slices.Sort(sets)
			for _, s := range sets {
				c.sets = append(c.sets, dataSet{numbered(filepath.Join(s, "input_")), numbered(filepath.Join(s, "output_"))})
			}
			cases = append(cases, c)
		}
	}
	return cases, nil
}

// numbered lists prefix0.pb, prefix1.pb ... as far as they go.
func numbered(prefix string) []string {
	var out []string
	for i := 0; ; i++ {
		path := fmt.Sprintf("%s%d.pb", prefix, i)
		if _, err := os.Stat(path); err != nil {
			return out
		}
		out = append(out, path)
	}
}

func runCase(run Executor, c onnxCase) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = panicked{fmt.Errorf("panic: %v\n%s", r, debug.Stack())}
		}
	}()
	g, err := onnx.Read(c.model, onnx.ReadOptions{})
	if err != nil {
		return err
	}
	if len(c.sets) == 0 {
		return errors.New("the case has no data")
	}
	for _, set := range c.sets {
		if err := runSet(run, g, set); err != nil {
			return err
		}
	}
	return nil
}

func runSet(run Executor, g *graph.Graph, set dataSet) error {
	inputs := make([]op.Value, len(g.Inputs))
	if set.inputs == nil && len(g.Inputs) > 0 {
		if err := lightInputs(g, inputs); err != nil {
			return err
		}
	}
	if len(set.inputs) > len(inputs) {
		return fmt.Errorf("the case has %d inputs, the model %d", len(set.inputs), len(inputs))
	}
	for i, path := range set.inputs {
		v, err := readValue(path, g.Inputs[i].Type)
		if err != nil {
			return err
		}
		inputs[i] = v
	}
	got, err := run(context.Background(), g, inputs)
	if err != nil {
		return err
	}
	if len(set.outputs) == 0 || len(got) < len(set.outputs) {
		return fmt.Errorf("the case has %d outputs, the model gave %d", len(set.outputs), len(got))
	}
	for i, path := range set.outputs {
		want, err := readValue(path, kindOf(got[i]))
		if err != nil {
			return err
		}
		if err := sameValue(got[i], want, leeway(inputs)); err != nil {
			if random(g) && sameForm(got[i], want) {
				continue
			}
			return wrongAnswer{fmt.Errorf("output %s: %w", g.Outputs[i].Name, err)}
		}
	}
	return nil
}

// lightInputs makes the inputs with which the outputs of the light models were made:
// evenly spaced numbers from 0 up to, not including, 1.
func lightInputs(g *graph.Graph, inputs []op.Value) error {
	for i, v := range g.Inputs {
		shape, ok := v.Type.Static()
		if !ok || v.Type.DType != tensor.Float32 {
			return fmt.Errorf("input %v: only float32 of known shape is expected here", v)
		}
		x := tensor.New(tensor.Float32, shape...)
		for k := range x.Len() {
			x.F32()[k] = float32(k) / float32(x.Len())
		}
		inputs[i] = x
	}
	return nil
}

func readValue(path string, t graph.Type) (op.Value, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	v, err := onnx.DecodeValue(data, t)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Base(path), err)
	}
	return v, nil
}

// kindOf tells how the value to compare with is stored.
func kindOf(v op.Value) graph.Type {
	switch v := v.(type) {
	case op.Sequence:
		return graph.SequenceOf(graph.Type{DType: v.DType})
	case op.Optional:
		return graph.OptionalOf(kindOf(v.Value))
	}
	return graph.Type{}
}

func sameValue(got, want op.Value, atol float64) error {
	switch want := want.(type) {
	case *tensor.Tensor:
		if o, ok := got.(op.Optional); ok {
			got = o.Value
		}
		g, ok := got.(*tensor.Tensor)
		if !ok {
			return fmt.Errorf("is a %T, want %v", got, want)
		}
		return sameTensor(g, want, atol)
	case op.Sequence:
		g, ok := got.(op.Sequence)
		if !ok || len(g.Elems) != len(want.Elems) {
			return fmt.Errorf("is a %T of %d elements, want a sequence of %d", got, len(g.Elems), len(want.Elems))
		}
		for i, e := range want.Elems {
			if err := sameTensor(g.Elems[i], e, atol); err != nil {
				return fmt.Errorf("element %d: %w", i, err)
			}
		}
		return nil
	case op.Optional:
		g, ok := got.(op.Optional)
		switch {
		case !ok && want.Value != nil:
			return sameValue(got, want.Value, atol)
		case (g.Value == nil) != (want.Value == nil):
			return fmt.Errorf("is %v, want %v", got, want)
		case want.Value == nil:
			return nil
		}
		return sameValue(g.Value, want.Value, atol)
	}
	return fmt.Errorf("the expected value is a %T", want)
}

// random reports whether g holds a random generator. The standard does not say which
// numbers one gives, even for a seed, so only their type and shape can be compared.
func random(g *graph.Graph) bool {
	found := false
	g.Walk(func(_ *graph.Graph, n *graph.Node) {
		d := op.Of(n)
		found = found || d != nil && d.Impure
	})
	return found
}

// leeway returns the absolute tolerance for what comes of inputs. The JPEG standard
// leaves a decoder's inverse transform free by one step per sample (ITU-T T.83), which
// the conversion to RGB makes two.
func leeway(inputs []op.Value) float64 {
	for _, v := range inputs {
		t, ok := v.(*tensor.Tensor)
		if ok && t.DType() == tensor.Uint8 && strings.HasPrefix(string(t.Bytes()), "\xff\xd8\xff") {
			return 2
		}
	}
	return onnxATol
}

func sameForm(got, want op.Value) bool {
	a, ok := got.(*tensor.Tensor)
	b, ok2 := want.(*tensor.Tensor)
	return ok && ok2 && a.DType() == b.DType() && slices.Equal(a.Shape(), b.Shape())
}

func sameTensor(got, want *tensor.Tensor, atol float64) error {
	if got == nil {
		return fmt.Errorf("is missing, want %v", want)
	}
	if got.DType() != want.DType() || !slices.Equal(got.Shape(), want.Shape()) {
		return fmt.Errorf("is %v, want %v", got, want)
	}
	rtol := onnxRTol
	switch want.DType() {
	case tensor.Float16:
		rtol, atol = 2e-3, max(atol, 1e-4)
	case tensor.BFloat16:
		rtol, atol = 1.0/64, max(atol, 1e-3)
	}
	// Where large terms cancel, the expected value itself is rounded to a step of
	// the largest.
	if want.DType() == tensor.Float32 {
		for _, v := range want.Floats() {
			if a := math.Abs(v); !math.IsInf(a, 0) {
				atol = max(atol, a/(1<<23))
			}
		}
	}
	ok, abs, rel := tensor.CloseTo(got, want, atol, rtol)
	if ok {
		return nil
	}
	return fmt.Errorf("%v differs by up to %.3g (relative %.3g)%s", want, abs, rel, firstDifference(got, want, atol, rtol))
}

func firstDifference(got, want *tensor.Tensor, atol, rtol float64) string {
	if want.DType().IsComplex() {
		return ""
	}
	for i := range want.Len() {
		if want.DType() == tensor.String {
			if g, w := got.Strings()[i], want.Strings()[i]; g != w {
				return fmt.Sprintf(", first at %d: %q, want %q", i, g, w)
			}
			continue
		}
		g, w := got.Float(i), want.Float(i)
		if g != w && !(math.IsNaN(g) && math.IsNaN(w)) && !(math.Abs(g-w) <= atol+rtol*math.Abs(w)) {
			return fmt.Sprintf(", first at %d: %v, want %v", i, g, w)
		}
	}
	return ""
}
