package op

import (
	"slices"

	"github.com/edgewise-ml/edgewise/tensor"
)

// evalGemm is alpha·A'·B' + beta·C with C broadcast to the product.
func evalGemm(e *Eval) error {
	e.sameType(0, 1)
	a, b := e.number(0), e.number(1)
	alpha, beta := attrFloat(e.Attrs(), "alpha", 1), attrFloat(e.Attrs(), "beta", 1)
	p, acc := e.gemm(a, b, 0, nil)
	for i := range acc {
		acc[i] *= alpha
	}
	if e.Has(2) {
		c := e.T(2)
		full, err := BroadcastShape(c.Shape(), p.out)
		if err != nil || !slices.Equal(full, p.out) {
			e.Fail("C %v does not broadcast to %v", c, p.out)
		}
		at := newBroadcastIndex(c.Shape(), p.out)
		for i := range acc {
			acc[i] += beta * c.Float(at.next())
		}
	}
	e.store(0, a.DType(), acc, p.out...)
	return nil
}

// gemm multiplies the matrices a and b, transposed as attributes transA and transB say,
// less the zero points za and, by column of the product, zb.
func (e *Eval) gemm(a, b *tensor.Tensor, za float64, zb func(col int) float64) (*matrixProduct, []float64) {
	if a.Rank() != 2 || b.Rank() != 2 {
		e.Fail("operands %v and %v are not matrices", a, b)
	}
	x, y := a.Floats(), b.Floats()
	shapeA, shapeB := a.Shape(), b.Shape()
	if e.Attrs().Int("transA", 0) != 0 {
		x, shapeA = transpose(x, shapeA[0], shapeA[1]), []int{shapeA[1], shapeA[0]}
	}
	transB := e.Attrs().Int("transB", 0) != 0
	if transB {
		shapeB = []int{shapeB[1], shapeB[0]}
	}
	p := e.product(shapeA, shapeB)
	if za != 0 {
		for i := range x {
			x[i] -= za
		}
	}
	if zb != nil {
		for i := range y {
			col := i % max(p.n, 1)
			if transB {
				col = i / p.k
			}
			y[i] -= zb(col)
		}
	}
	if !transB {
		return p, p.run(x, y)
	}
	out := make([]float64, p.m*p.n)
	multiplyRows(out, x, y, p.m, p.k, p.n)
	return p, out
}

func transpose(v []float64, rows, cols int) []float64 {
	out := make([]float64, len(v))
	for i := range rows {
		for j := range cols {
			out[j*rows+i] = v[i*cols+j]
		}
	}
	return out
}
