package graph

import (
	"maps"
	"slices"

	"github.com/edgewise-ml/edgewise/tensor"
)

// Attrs are a node's attributes. A value is one of int64, float32, string, []int64,
// []float32, []string, *tensor.Tensor, []*tensor.Tensor, *Graph, []*Graph or Type.
//
// The getters return the default when the attribute is absent or of another type;
// package op checks the types once, when a graph enters the house.
type Attrs map[string]any

// Names returns the attribute names in sorted order.
func (a Attrs) Names() []string { return slices.Sorted(maps.Keys(a)) }

// Clone returns a shallow copy; bodies are shared.
func (a Attrs) Clone() Attrs { return maps.Clone(a) }

// Has reports whether the attribute is present.
func (a Attrs) Has(name string) bool { _, ok := a[name]; return ok }

// Int returns an integer attribute.
func (a Attrs) Int(name string, def int64) int64 {
	if v, ok := a[name].(int64); ok {
		return v
	}
	return def
}

// Bool returns an integer attribute as a truth value.
func (a Attrs) Bool(name string, def bool) bool {
	if v, ok := a[name].(int64); ok {
		return v != 0
	}
	return def
}

// Float returns a float attribute.
func (a Attrs) Float(name string, def float32) float32 {
	if v, ok := a[name].(float32); ok {
		return v
	}
	return def
}

// String returns a string attribute.
func (a Attrs) String(name, def string) string {
	if v, ok := a[name].(string); ok {
		return v
	}
	return def
}

// Ints returns a list of integers, nil when absent.
func (a Attrs) Ints(name string) []int64 { v, _ := a[name].([]int64); return v }

// Floats returns a list of floats, nil when absent.
func (a Attrs) Floats(name string) []float32 { v, _ := a[name].([]float32); return v }

// Strings returns a list of strings, nil when absent.
func (a Attrs) Strings(name string) []string { v, _ := a[name].([]string); return v }

// Tensor returns a tensor attribute, nil when absent.
func (a Attrs) Tensor(name string) *tensor.Tensor { v, _ := a[name].(*tensor.Tensor); return v }

// Graph returns a body, nil when absent.
func (a Attrs) Graph(name string) *Graph { v, _ := a[name].(*Graph); return v }
