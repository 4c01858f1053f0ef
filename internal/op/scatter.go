package op

import (
	"fmt"
	"slices"

	"github.com/edgewise-ml/edgewise/tensor"
)

// reducer combines element j of src into element i of dst.
func (e *Eval) reducer(mode string) func(dst *tensor.Tensor, i int, src *tensor.Tensor, j int) {
	if mode == "none" {
		return copyElement
	}
	var ints func(a, b int64) int64
	var floats func(a, b float64) float64
	switch mode {
	case "add":
		ints = func(a, b int64) int64 { return a + b }
		floats = func(a, b float64) float64 { return a + b }
	case "mul":
		ints = func(a, b int64) int64 { return a * b }
		floats = func(a, b float64) float64 { return a * b }
	case "max":
		ints = func(a, b int64) int64 { return max(a, b) }
		floats = func(a, b float64) float64 { return max(a, b) }
	case "min":
		ints = func(a, b int64) int64 { return min(a, b) }
		floats = func(a, b float64) float64 { return min(a, b) }
	default:
		e.Fail("reduction %q is not one of none, add, mul, max, min", mode)
	}
	return func(dst *tensor.Tensor, i int, src *tensor.Tensor, j int) {
		switch d := dst.DType(); {
		case d.IsFloat():
			dst.SetFloat(i, floats(dst.Float(i), src.Float(j)))
		case d == tensor.Uint64 && (mode == "max" || mode == "min"):
			a, b := uint64(dst.Int(i)), uint64(src.Int(j))
			if mode == "max" {
				a = max(a, b)
			} else {
				a = min(a, b)
			}
			dst.SetInt(i, int64(a))
		case d.IsInt() || d == tensor.Bool:
			dst.SetInt(i, ints(dst.Int(i), src.Int(j)))
		default:
			e.Fail("reduction %s is not defined for %v", mode, d)
		}
	}
}

func evalScatterElements(e *Eval) error {
	data, idx, updates := e.T(0), e.T(1), e.T(2)
	e.sameType(0, 2)
	if !slices.Equal(idx.Shape(), updates.Shape()) {
		return fmt.Errorf("indices %v and updates %v differ in shape", idx, updates)
	}
	put := e.reducer(e.Attrs().String("reduction", "none"))
	out := data.Clone()
	e.elementTargets(data, idx, e.Axis(e.Attrs().Int("axis", 0), data.Rank()), func(i, at int) {
		put(out, at, updates, i)
	})
	e.Set(0, out)
	return nil
}

func evalScatterND(e *Eval) error {
	data, idx, updates := e.T(0), e.T(1), e.T(2)
	e.sameType(0, 2)
	if idx.Rank() < 1 || idx.Dim(-1) > data.Rank() {
		return fmt.Errorf("indices %v do not fit data %v", idx, data)
	}
	depth := idx.Dim(-1)
	s, ix := data.Shape(), idx.Shape()
	if want := slices.Concat(ix[:len(ix)-1], s[depth:]); !slices.Equal(updates.Shape(), want) {
		return fmt.Errorf("updates %v must have shape %v", updates, want)
	}
	put := e.reducer(e.Attrs().String("reduction", "none"))
	out := data.Clone()
	e.Set(0, out)
	if updates.Len() == 0 {
		return nil
	}
	run := sizeOf(s[depth:])
	stride := tensor.Strides(s)
	for i := range sizeOf(ix[:len(ix)-1]) {
		at := 0
		for k := range depth {
			at += e.index(idx.Int(i*depth+k), s[k]) * stride[k]
		}
		for r := range run {
			put(out, at+r, updates, i*run+r)
		}
	}
	return nil
}

// evalTensorScatter writes update into a cache along its sequence axis, at a place of
// its own for every sample of the batch.
func evalTensorScatter(e *Eval) error {
	cache, update := e.T(0), e.T(1)
	e.sameType(0, 1)
	axis := e.Axis(e.Attrs().Int("axis", -2), cache.Rank())
	mode := e.Attrs().String("mode", "linear")
	switch {
	case axis == 0:
		return fmt.Errorf("axis must not be the batch axis")
	case mode != "linear" && mode != "circular":
		return fmt.Errorf("mode %q is not one of linear, circular", mode)
	case update.Rank() != cache.Rank() || update.Dim(axis) > cache.Dim(axis):
		return fmt.Errorf("update %v does not fit cache %v", update, cache)
	}
	for i, d := range update.Shape() {
		if i != axis && d != cache.Dim(i) {
			return fmt.Errorf("update %v does not fit cache %v", update, cache)
		}
	}
	at := e.Ints(2)
	if at == nil {
		at = make([]int64, cache.Dim(0))
	}
	if len(at) != cache.Dim(0) {
		return fmt.Errorf("%d write_indices for a batch of %d", len(at), cache.Dim(0))
	}
	out := cache.Clone()
	e.Set(0, out)
	if update.Len() == 0 {
		return nil
	}
	n, limit := update.Dim(axis), cache.Dim(axis)
	inner := sizeOf(cache.Shape()[axis+1:])
	prefixes := sizeOf(cache.Shape()[:axis])
	for p := range prefixes {
		first := at[p/(prefixes/cache.Dim(0))]
		if mode == "linear" && (first < 0 || first > int64(limit-n)) {
			return fmt.Errorf("write index %d and %d new entries do not fit a cache of %d", first, n, limit)
		}
		for k := range n {
			to := (first%int64(limit) + int64(k)) % int64(limit)
			if to < 0 {
				to += int64(limit)
			}
			copyRun(out, (p*limit+int(to))*inner, update, (p*n+k)*inner, inner)
		}
	}
	return nil
}
