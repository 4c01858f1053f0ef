package op

import (
	"fmt"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// inferMatMul infers the product of inputs a and b with element type d (that of input a
// when Invalid).
func inferMatMul(a, b int, d tensor.DType) func(*Infer) error {
	return func(c *Infer) error {
		dt := d
		if dt == tensor.Invalid {
			dt = c.DType(a)
		}
		s, _, err := productDims(c.Shape(a), c.Shape(b))
		if err != nil {
			return err
		}
		c.SetTensor(0, dt, s)
		return nil
	}
}

// productDims returns the shape of a matrix product and its inner size.
func productDims(a, b graph.Shape) (graph.Shape, graph.Dim, error) {
	if !a.Ranked() || !b.Ranked() {
		return nil, graph.Unknown, nil
	}
	if len(a) == 0 || len(b) == 0 {
		return nil, graph.Unknown, fmt.Errorf("matrix product of a scalar: %v, %v", a, b)
	}
	fullA, fullB := a, b
	if len(a) == 1 {
		fullA = graph.Shape{{Size: 1}, a[0]}
	}
	if len(b) == 1 {
		fullB = graph.Shape{b[0], {Size: 1}}
	}
	ra, rb := len(fullA), len(fullB)
	k, k2 := fullA[ra-1], fullB[rb-2]
	if k.Known() && k2.Known() && k.Size != k2.Size {
		return nil, k, fmt.Errorf("inner sizes of a matrix product differ: %v · %v", a, b)
	}
	if !k.Known() {
		k = k2
	}
	batch, err := BroadcastDims(fullA[:ra-2], fullB[:rb-2])
	if err != nil {
		return nil, k, err
	}
	out := append(graph.Shape{}, batch...)
	if len(a) > 1 {
		out = append(out, fullA[ra-2])
	}
	if len(b) > 1 {
		out = append(out, fullB[rb-1])
	}
	return out, k, nil
}

// outputs returns the number of elements of output 0, or 0 when it is not known.
func (c *Infer) outputs() int64 {
	if v := c.Node.Out(0); v != nil {
		if s, ok := v.Type.Shape.Static(); ok {
			if n, err := tensor.NumElements(s); err == nil {
				return int64(n)
			}
		}
	}
	return 0
}

func matmulMACs(c *Infer) int64 {
	_, k, err := productDims(c.Shape(0), c.Shape(1))
	if err != nil || !k.Known() {
		return 0
	}
	return c.outputs() * int64(k.Size)
}

// inferGemm infers Gemm with A at input 0 and B at input b.
func inferGemm(b int) func(*Infer) error {
	return func(c *Infer) error {
		s, err := gemmDims(c, b)
		if err != nil {
			return err
		}
		c.SetTensor(0, c.DType(0), s)
		return nil
	}
}

func gemmDims(c *Infer, b int) (graph.Shape, error) {
	x, err := matrixDims(c.Shape(0), c.Attrs().Int("transA", 0) != 0)
	if err != nil {
		return nil, err
	}
	y, err := matrixDims(c.Shape(b), c.Attrs().Int("transB", 0) != 0)
	if err != nil {
		return nil, err
	}
	s, _, err := productDims(x, y)
	if s == nil && err == nil {
		s = graph.Shape{graph.Unknown, graph.Unknown}
	}
	return s, err
}

func matrixDims(s graph.Shape, swap bool) (graph.Shape, error) {
	if !s.Ranked() {
		return nil, nil
	}
	if len(s) != 2 {
		return nil, fmt.Errorf("operand %v is not a matrix", s)
	}
	if swap {
		return graph.Shape{s[1], s[0]}, nil
	}
	return s, nil
}

func gemmMACs(c *Infer) int64 {
	s, err := matrixDims(c.Shape(0), c.Attrs().Int("transA", 0) != 0)
	if err != nil || !s.Ranked() || !s[1].Known() {
		return 0
	}
	return c.outputs() * int64(s[1].Size)
}

func fusedDims(c *Infer, i int, which string) graph.Shape {
	s := c.Shape(i)
	if !s.Ranked() {
		return nil
	}
	out := make(graph.Shape, len(s))
	for k, from := range fusedPermutation(c.Attrs(), len(s), which) {
		out[k] = s[from]
	}
	return out
}

func inferFusedMatMul(c *Infer) error {
	s, _, err := productDims(fusedDims(c, 0, "A"), fusedDims(c, 1, "B"))
	if err != nil {
		return err
	}
	c.SetTensor(0, c.DType(0), s)
	return nil
}

func fusedMatMulMACs(c *Infer) int64 {
	_, k, err := productDims(fusedDims(c, 0, "A"), fusedDims(c, 1, "B"))
	if err != nil || !k.Known() {
		return 0
	}
	return c.outputs() * int64(k.Size)
}

func inferDet(c *Infer) error {
	s := c.Shape(0)
	switch {
	case !s.Ranked():
	case len(s) < 2:
		return fmt.Errorf("X %v does not hold matrices", s)
	default:
		s = s[:len(s)-2]
	}
	c.SetTensor(0, c.DType(0), s)
	return nil
}
