package cli

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"

	"github.com/edgewise-ml/edgewise"
	"github.com/edgewise-ml/edgewise/internal/cpu"
	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// options returns what the flags say about running models.
func (a *app) options() (edgewise.Options, error) {
	if a.threads < 0 || a.threads > maxThreads {
		return edgewise.Options{}, usagef("--threads %d is not between 0 and %d", a.threads, maxThreads)
	}
	if a.isa != "" {
		l, err := cpu.ParseLevel(a.isa)
		if err != nil {
			return edgewise.Options{}, usagef("--isa: %w", err)
		}
		if !cpu.Runs(l) {
			return edgewise.Options{}, hinted(usagef("--isa %s: this machine does not run that", a.isa), "it runs %s", strings.Trim(fmt.Sprint(cpu.Levels()), "[]"))
		}
	}
	return edgewise.Options{Threads: a.threads, ISA: a.isa, Tuning: a.tuning}, nil
}

// maxThreads keeps a slip of the finger from starting a million workers.
const maxThreads = 1024

// shapeFlags returns the shapes that --shape gives, for the inputs of m. Without a name,
// as in 1x3x224x224, the model's only input is meant.
func (a *app) shapeFlags(m *edgewise.Model) (map[string][]int, error) {
	out := map[string][]int{}
	for _, s := range a.shapes {
		name, text, ok := cutLast(s, "=")
		if !ok {
			if len(m.Signature().Inputs) != 1 {
				return nil, usagef("--shape %s: the model has %d inputs, so say which, as %s=%s", s, len(m.Signature().Inputs), firstInput(m), s)
			}
			name, text = firstInput(m), s
		}
		if findInput(m, name) == nil {
			return nil, usagef("--shape %s: the model has no input %s (its inputs are %s)", s, name, inputNames(m))
		}
		shape, err := parseShape(text)
		if err != nil {
			return nil, usagef("--shape %s: %w", s, err)
		}
		out[name] = shape
	}
	return out, nil
}

func firstInput(m *edgewise.Model) string {
	if len(m.Signature().Inputs) == 0 {
		return "input"
	}
	return m.Signature().Inputs[0].Name
}

// cutLast splits at the last separator: names of values may hold anything.
func cutLast(s, sep string) (before, after string, ok bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// parseShape reads 1x3x224x224 or 1,3,224,224.
func parseShape(s string) ([]int, error) {
	var out []int
	for f := range strings.FieldsFuncSeq(s, func(r rune) bool { return r == 'x' || r == ',' || r == '×' }) {
		n, err := strconv.Atoi(strings.TrimSpace(f))
		if err != nil || n < 0 {
			return nil, fmt.Errorf("%q is not a size", f)
		}
		out = append(out, n)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("a shape looks like 1x3x224x224")
	}
	n, err := tensor.NumElements(out)
	if err == nil && n > maxInput {
		err = fmt.Errorf("%d elements are more than the %d that one input may have", n, maxInput)
	}
	return out, err
}

// maxInput bounds the elements of an input whose shape a flag gives.
const maxInput = 1 << 28

func findInput(m *edgewise.Model, name string) *graph.Value {
	for _, v := range m.Signature().Inputs {
		if v.Name == name {
			return v
		}
	}
	return nil
}

func inputNames(m *edgewise.Model) string {
	var out []string
	for _, v := range m.Signature().Inputs {
		out = append(out, v.Name)
	}
	if len(out) == 0 {
		return "none"
	}
	return strings.Join(out, ", ")
}

// boundShapes completes the shapes of all tensor inputs: given ones first, then those of
// the file, with unknown sizes taken as 1, which is said.
func (a *app) boundShapes(m *edgewise.Model, given map[string][]int) (map[string][]int, error) {
	out := map[string][]int{}
	symbols := map[string]int{}
	for _, v := range m.Signature().Inputs {
		if s := given[v.Name]; len(s) == len(v.Type.Shape) {
			for i, d := range v.Type.Shape {
				symbols[d.Sym] = s[i]
			}
		}
	}
	delete(symbols, "")
	for _, v := range m.Signature().Inputs {
		if v.Type.Kind != graph.KindTensor {
			return nil, fmt.Errorf("input %s is no tensor, so it cannot be filled from here", v)
		}
		if s, ok := given[v.Name]; ok {
			if _, err := graph.Merge(v.Type, graph.TensorType(v.Type.DType, s...)); err != nil {
				return nil, usagef("input %s cannot have shape %s: %w", v, tensor.FormatShape(s), err)
			}
			out[v.Name] = s
			continue
		}
		if !v.Type.Shape.Ranked() {
			return nil, hinted(usagef("input %s: not even its rank is known", v), "give its shape, as --shape %s=1x3x224x224", v.Name)
		}
		shape := make([]int, len(v.Type.Shape))
		guessed := false
		for i, d := range v.Type.Shape {
			if n, ok := symbols[d.Sym]; ok && !d.Known() {
				shape[i] = n
			} else if shape[i] = d.Size; !d.Known() {
				shape[i], guessed = 1, guessed || i > 0
			}
		}
		if guessed {
			a.note("input %s: unknown sizes are taken as 1; --shape %s=… sets them", v, v.Name)
		}
		out[v.Name] = shape
	}
	return out, nil
}

// randomInput returns reproducible values: floats in -1..1, 8-bit integers over their
// range, and 0 or 1 for wider ones, which are most often indices.
func randomInput(v *graph.Value, shape []int, seed uint64) (*tensor.Tensor, error) {
	d := v.Type.DType
	if d == tensor.String || !d.Valid() || d.IsComplex() {
		return nil, fmt.Errorf("input %s: no values can be made up for it", v)
	}
	t, err := tensor.Make(d, shape)
	if err != nil {
		return nil, fmt.Errorf("input %s: %w", v, err)
	}
	var salt uint64
	for _, c := range []byte(v.Name) {
		salt = salt*31 + uint64(c)
	}
	r := rand.New(rand.NewPCG(seed, salt))
	lo, hi := int64(0), int64(1)
	if d.IsInt() && d.Bits() <= 8 {
		lo, hi = d.IntRange()
	}
	for i := range t.Len() {
		if d.IsFloat() {
			t.SetFloat(i, float64(r.Float32()*2-1))
		} else {
			t.SetInt(i, lo+r.Int64N(hi-lo+1))
		}
	}
	return t, nil
}
