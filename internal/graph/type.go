package graph

import (
	"fmt"
	"slices"
	"strings"

	"github.com/edgewise-ml/edgewise/tensor"
)

// Dim is one size of a shape: known, or unknown with an optional name. Equal names
// within a graph mean equal sizes.
type Dim struct {
	Size int    // ≥ 0 when known, -1 when not
	Sym  string // name of an unknown size, "" for anonymous
}

// Known reports whether the size is a number.
func (d Dim) Known() bool { return d.Size >= 0 }

func (d Dim) String() string {
	switch {
	case d.Known():
		return fmt.Sprint(d.Size)
	case d.Sym != "":
		return d.Sym
	}
	return "?"
}

// Same reports whether a and b are certainly the same size.
func (d Dim) Same(o Dim) bool {
	if d.Known() || o.Known() {
		return d.Size == o.Size
	}
	return d.Sym != "" && d.Sym == o.Sym
}

// Unknown is an anonymous unknown size.
var Unknown = Dim{Size: -1}

// Sym returns an unknown size with a name.
func Sym(name string) Dim { return Dim{Size: -1, Sym: name} }

// Shape is a list of sizes. A nil Shape means that even the rank is unknown; a scalar
// has a non-nil Shape of length 0.
type Shape []Dim

// Dims returns a shape of known sizes.
func Dims(sizes ...int) Shape {
	s := make(Shape, len(sizes))
	for i, n := range sizes {
		s[i] = Dim{Size: n}
	}
	return s
}

// Ranked reports whether the rank is known.
func (s Shape) Ranked() bool { return s != nil }

// Static returns the sizes, and true when all of them are known.
func (s Shape) Static() ([]int, bool) {
	if s == nil {
		return nil, false
	}
	out := make([]int, len(s))
	for i, d := range s {
		if !d.Known() {
			return nil, false
		}
		out[i] = d.Size
	}
	return out, true
}

// Clone returns a copy that keeps the difference between nil and empty.
func (s Shape) Clone() Shape {
	if s == nil {
		return nil
	}
	return append(Shape{}, s...)
}

func (s Shape) String() string {
	if s == nil {
		return "[...]"
	}
	parts := make([]string, len(s))
	for i, d := range s {
		parts[i] = d.String()
	}
	return "[" + strings.Join(parts, "x") + "]"
}

// Kind tells tensors from containers.
type Kind uint8

// Kinds of values.
const (
	KindTensor Kind = iota
	KindSequence
	KindOptional
)

// Type describes what a value holds. The zero Type is a tensor of which nothing is known.
type Type struct {
	Kind  Kind
	DType tensor.DType // of a tensor; Invalid when unknown
	Shape Shape        // of a tensor
	Elem  *Type        // of a sequence or optional
}

// TensorType returns the type of a tensor with known sizes.
func TensorType(d tensor.DType, sizes ...int) Type { return Type{DType: d, Shape: Dims(sizes...)} }

// TypeOf returns the type of t.
func TypeOf(t *tensor.Tensor) Type { return TensorType(t.DType(), t.Shape()...) }

// SequenceOf returns the type of a sequence with elements of type elem.
func SequenceOf(elem Type) Type { return Type{Kind: KindSequence, Elem: &elem} }

// OptionalOf returns the type of an optional elem.
func OptionalOf(elem Type) Type { return Type{Kind: KindOptional, Elem: &elem} }

// Clone returns a deep copy.
func (t Type) Clone() Type {
	t.Shape = t.Shape.Clone()
	if t.Elem != nil {
		e := t.Elem.Clone()
		t.Elem = &e
	}
	return t
}

// Static returns the sizes of a tensor type, and true when element type and all sizes
// are known.
func (t Type) Static() ([]int, bool) {
	if t.Kind != KindTensor || t.DType == tensor.Invalid {
		return nil, false
	}
	return t.Shape.Static()
}

func (t Type) String() string {
	switch t.Kind {
	case KindSequence, KindOptional:
		name := "seq"
		if t.Kind == KindOptional {
			name = "optional"
		}
		if t.Elem == nil {
			return name + "(?)"
		}
		return name + "(" + t.Elem.String() + ")"
	}
	if t.DType == tensor.Invalid {
		return "?" + t.Shape.String()
	}
	return t.DType.String() + t.Shape.String()
}

// Equal reports whether two types state the same.
func (t Type) Equal(o Type) bool {
	if t.Kind != o.Kind || t.DType != o.DType || (t.Shape == nil) != (o.Shape == nil) || !slices.Equal(t.Shape, o.Shape) {
		return false
	}
	if t.Elem == nil || o.Elem == nil {
		return t.Elem == o.Elem
	}
	return t.Elem.Equal(*o.Elem)
}

// Merge returns what a and b state together, and an error where they contradict.
func Merge(a, b Type) (Type, error) {
	if a.Kind != b.Kind {
		if a.Kind == KindTensor && a.DType == tensor.Invalid && a.Shape == nil {
			return b.Clone(), nil
		}
		if b.Kind == KindTensor && b.DType == tensor.Invalid && b.Shape == nil {
			return a.Clone(), nil
		}
		return a, fmt.Errorf("%v contradicts %v", b, a)
	}
	out := a.Clone()
	if a.DType == tensor.Invalid {
		out.DType = b.DType
	} else if b.DType != tensor.Invalid && a.DType != b.DType {
		return a, fmt.Errorf("element type %v contradicts %v", b.DType, a.DType)
	}
	switch {
	case a.Shape == nil:
		out.Shape = b.Shape.Clone()
	case b.Shape != nil:
		if len(a.Shape) != len(b.Shape) {
			return a, fmt.Errorf("shape %v contradicts %v", b.Shape, a.Shape)
		}
		for i, d := range b.Shape {
			switch {
			case !out.Shape[i].Known() && (d.Known() || out.Shape[i].Sym == ""):
				out.Shape[i] = d
			case out.Shape[i].Known() && d.Known() && out.Shape[i].Size != d.Size:
				return a, fmt.Errorf("shape %v contradicts %v", b.Shape, a.Shape)
			}
		}
	}
	if a.Elem == nil {
		out.Elem = b.Elem
	} else if b.Elem != nil {
		e, err := Merge(*a.Elem, *b.Elem)
		if err != nil {
			return a, err
		}
		out.Elem = &e
	}
	return out, nil
}
