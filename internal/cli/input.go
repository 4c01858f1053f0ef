package cli

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/edgewise-ml/edgewise"
	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// maxFile bounds an input file that is read into memory.
const maxFile = 1 << 30

// gather reads the --input flags and arguments of a command into tensors by input name,
// and completes the shapes of all inputs: given ones, those of --shape, those of the
// model. A flag or argument is name=file, or a file alone for the first input still
// without one; an npz gives every input that it names. spec is a dataset.yaml for files that
// need preprocessing, "" for none.
func (a *app) gather(m *edgewise.Model, flags, files []string, spec string) (map[string]*tensor.Tensor, map[string][]int, error) {
	shapes, err := a.shapeFlags(m)
	if err != nil {
		return nil, nil, err
	}
	given := map[string]*tensor.Tensor{}
	put := func(name string, t *tensor.Tensor, from string) error {
		v := findInput(m, name)
		if v == nil {
			return usagef("%s: the model has no input %s (its inputs are %s)", from, name, inputNames(m))
		}
		t, err := fit(v, t)
		if err != nil {
			return fmt.Errorf("%s: %w", from, err)
		}
		given[name], shapes[name] = t, t.Shape()
		return nil
	}
	for _, arg := range slices.Concat(flags, files) {
		name, file, named := strings.Cut(arg, "=")
		if !named || findInput(m, name) == nil && fileExists(arg) {
			name, file, named = "", arg, false
		}
		if strings.EqualFold(filepath.Ext(file), ".npz") {
			arrays, err := readNPZ(file)
			if err != nil {
				return nil, nil, err
			}
			if named && len(arrays) != 1 {
				return nil, nil, usagef("%s: an npz with one array is wanted where an input is named; it has %d", file, len(arrays))
			}
			used := 0
			for _, key := range slices.Sorted(maps.Keys(arrays)) {
				to := key
				if named {
					to = name
				} else if findInput(m, key) == nil {
					continue // outputs are recorded in the same file
				}
				if err := put(to, arrays[key], file); err != nil {
					return nil, nil, err
				}
				used++
			}
			if used == 0 {
				return nil, nil, usagef("%s has none of the model's inputs (%s); it holds %s", file, inputNames(m), strings.Join(slices.Sorted(maps.Keys(arrays)), ", "))
			}
			continue
		}
		if !named {
			if name = firstWithout(m, given); name == "" {
				return nil, nil, usagef("%s: every input has a file already", file)
			}
		}
		v := findInput(m, name)
		if v == nil {
			return nil, nil, usagef("--input %s: the model has no input %s (its inputs are %s)", arg, name, inputNames(m))
		}
		t, err := a.readInput(m, v, file, spec)
		if err != nil {
			return nil, nil, err
		}
		if err := put(name, t, file); err != nil {
			return nil, nil, err
		}
	}
	shapes, err = a.boundShapes(m, shapes)
	return given, shapes, err
}

func firstWithout(m *edgewise.Model, given map[string]*tensor.Tensor) string {
	for _, v := range m.Signature().Inputs {
		if given[v.Name] == nil {
			return v.Name
		}
	}
	return ""
}

func fileExists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// readInput reads one file as the value of an input: npy as it is, raw bytes where their
// number is right, anything else by the preprocessing of spec or the model.
func (a *app) readInput(m *edgewise.Model, v *graph.Value, file, spec string) (*tensor.Tensor, error) {
	switch ext := strings.ToLower(filepath.Ext(file)); ext {
	case ".npy":
		b, err := readFile(file)
		if err != nil {
			return nil, err
		}
		t, err := tensor.ReadNPY(bytes.NewReader(b))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		return t, nil
	case ".bin", ".raw":
		b, err := readFile(file)
		if err != nil {
			return nil, err
		}
		if shape, ok := v.Type.Static(); ok && spec == "" {
			if t, err := tensor.FromBytes(v.Type.DType, shape, b); err == nil {
				return t, nil
			}
		}
	}
	return a.readSample(m, v, file, spec)
}

// readFile reads a whole file of bounded size.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(b) > maxFile {
		err = fmt.Errorf("is larger than %s", bytesText(maxFile))
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return b, nil
}

func readNPZ(path string) (map[string]*tensor.Tensor, error) {
	out, err := tensor.ReadNPZFile(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return out, nil
}

// fit gives t the element type and rank that an input wants where nothing is lost by it:
// float64, numpy's default, becomes float32, integers change width, and a batch of one is
// added or axes of one are left out.
func fit(v *graph.Value, t *tensor.Tensor) (*tensor.Tensor, error) {
	if v.Type.Kind != graph.KindTensor {
		return nil, fmt.Errorf("input %s is no tensor", v)
	}
	if d := v.Type.DType; d != t.DType() && d.Valid() {
		c, err := convert(t, d)
		if err != nil {
			return nil, fmt.Errorf("input %s: %w", v, err)
		}
		t = c
	}
	if want := v.Type.Shape; want != nil && len(want) != t.Rank() {
		if s, ok := squeezed(want, t.Shape()); ok {
			return t.Reshape(s...)
		}
	}
	if _, err := graph.Merge(v.Type, graph.TypeOf(t)); err != nil {
		return nil, fmt.Errorf("input %s cannot take %s: %w", v, t, err)
	}
	return t, nil
}

// squeezed returns shape in the rank of want, by axes of size 1 only.
func squeezed(want graph.Shape, shape []int) ([]int, bool) {
	var out []int
	k := 0
	skip := func() {
		for k < len(shape) && shape[k] == 1 {
			k++
		}
	}
	for _, d := range want {
		if d.Known() && d.Size == 1 {
			if k < len(shape) && shape[k] == 1 {
				k++
			}
			out = append(out, 1)
			continue
		}
		if d.Known() {
			skip()
		}
		switch {
		case k == len(shape) && !d.Known():
			out = append(out, 1)
		case k < len(shape) && (!d.Known() || shape[k] == d.Size):
			if !d.Known() && len(shape)-k < len(want)-len(out) {
				out = append(out, 1)
				continue
			}
			out = append(out, shape[k])
			k++
		default:
			return nil, false
		}
	}
	skip()
	return out, k == len(shape)
}

// convert changes the element type, and fails where a value has no exact integer form.
func convert(t *tensor.Tensor, d tensor.DType) (*tensor.Tensor, error) {
	if t.DType() == tensor.String || d == tensor.String || t.DType().IsComplex() || d.IsComplex() {
		return nil, fmt.Errorf("%v cannot become %v", t.DType(), d)
	}
	if t.DType().IsFloat() && !d.IsFloat() {
		return nil, fmt.Errorf("is %v, the file has %v", d, t.DType())
	}
	out, err := tensor.Make(d, t.Shape())
	if err != nil {
		return nil, err
	}
	if d.IsFloat() {
		for i := range t.Len() {
			out.SetFloat(i, t.Float(i))
		}
		return out, nil
	}
	lo, hi := int64(0), int64(1)
	if d.IsInt() {
		lo, hi = d.IntRange()
	}
	for i := range t.Len() {
		v := t.Int(i)
		if v < lo || v > hi {
			return nil, fmt.Errorf("is %v, which cannot hold %d", d, v)
		}
		out.SetInt(i, v)
	}
	return out, nil
}
