package op

import (
	"fmt"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// Builder appends nodes to a graph and infers their types as it goes. Its methods fail by
// panicking with what only Build recovers from, so that formulas read as formulas.
type Builder struct {
	Graph *graph.Graph
	Facts *Facts

	label string // that names of new nodes begin with
}

// Build runs write with a builder for g, whose facts are given, and returns its error or
// that of a node that could not be built. Names of new nodes begin with label.
func Build(g *graph.Graph, facts *Facts, label string, write func(*Builder) error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			f, ok := r.(evalFailure)
			if !ok {
				panic(r)
			}
			err = f.err
		}
	}()
	return write(&Builder{g, facts, label})
}

// Fail ends the building with an error.
func (b *Builder) Fail(format string, args ...any) { panic(evalFailure{fmt.Errorf(format, args...)}) }

// Node appends a node and returns its outputs.
func (b *Builder) Node(domain, name string, attrs graph.Attrs, outputs int, in ...*graph.Value) []*graph.Value {
	label := b.label + "/" + name
	names := make([]string, outputs)
	for i := range names {
		names[i] = label
	}
	n := b.Graph.NewNode(name, domain, label, attrs, in, names...)
	if err := Check(n); err != nil {
		b.Fail("%v: %w", n, err)
	}
	if err := b.Facts.InferNode(n); err != nil {
		b.Fail("%w", err)
	}
	b.Graph.Nodes = append(b.Graph.Nodes, n)
	return n.Outputs
}

// Op appends a node of the default domain with one output and returns that.
func (b *Builder) Op(name string, attrs graph.Attrs, in ...*graph.Value) *graph.Value {
	return b.Node("", name, attrs, 1, in...)[0]
}

// Shape returns the sizes of v, which must be known.
func (b *Builder) Shape(v *graph.Value) []int {
	s, ok := v.Type.Static()
	if !ok {
		b.Fail("the shape of %v is not known", v)
	}
	return s
}

// Number returns a constant of one number, without dimensions, with the element type of
// like.
func (b *Builder) Number(v float64, like *graph.Value) *graph.Value {
	t, err := tensor.Make(like.Type.DType, []int{})
	if err != nil {
		b.Fail("%w", err)
	}
	t.SetFloat(0, v)
	return b.Graph.Constant(fmt.Sprint("c", v), t)
}

// Ints returns a constant int64 vector.
func (b *Builder) Ints(v ...int) *graph.Value { return b.Graph.Ints("", ints64(v)...) }
