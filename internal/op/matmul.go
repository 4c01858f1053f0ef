package op

import (
	"fmt"
	"slices"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// matmulOps are matrix products. All are summed in float64, which holds sums of products
// of 8-bit integers exactly.
func matmulOps() []Def {
	return []Def{
		{Name: "MatMul", In: "A B", Out: "Y", Infer: inferMatMul(0, 1, tensor.Invalid), Eval: evalMatMul, MACs: matmulMACs,
			Quant: Quant{Kind: QuantWeighted, Axis: 1}},
		{Name: "Gemm", In: "A B C?", Out: "Y", Attrs: "alpha:float beta:float transA:int transB:int",
			Infer: inferGemm(1), Eval: evalGemm, MACs: gemmMACs, Quant: Quant{Kind: QuantWeighted, Axis: 1}},
		{Name: "MatMulInteger", In: "A B a_zero_point? b_zero_point?", Out: "Y",
			Infer: inferMatMul(0, 1, tensor.Int32), Eval: evalMatMulInteger, MACs: matmulMACs},
		{Name: "FusedMatMul", Domain: graph.DomainMicrosoft, In: "A B", Out: "Y",
			Attrs: "alpha:float transA:int transB:int transBatchA:int transBatchB:int",
			Infer: inferFusedMatMul, Eval: evalFusedMatMul, MACs: fusedMatMulMACs},
		{Name: "Det", In: "X", Out: "Y", Infer: inferDet, Eval: evalDet},
	}
}

// matrixProduct is a matrix product as numpy.matmul defines it: batches of [m,k]·[k,n].
type matrixProduct struct {
	m, k, n int
	batch   []int // the broadcast batch shape
	out     []int // shape of the result
	a, b    []int // shapes of the operands with at least two dimensions
}

func newProduct(a, b []int) (*matrixProduct, error) {
	p := &matrixProduct{a: a, b: b}
	if len(a) == 0 || len(b) == 0 {
		return nil, fmt.Errorf("matrix product of a scalar: %v, %v", a, b)
	}
	if len(a) == 1 {
		p.a = []int{1, a[0]}
	}
	if len(b) == 1 {
		p.b = []int{b[0], 1}
	}
	ra, rb := len(p.a), len(p.b)
	p.m, p.k, p.n = p.a[ra-2], p.a[ra-1], p.b[rb-1]
	if p.b[rb-2] != p.k {
		return nil, fmt.Errorf("inner sizes of a matrix product differ: %v · %v", a, b)
	}
	batch, err := BroadcastShape(p.a[:ra-2], p.b[:rb-2])
	if err != nil {
		return nil, err
	}
	p.batch = batch
	p.out = slices.Clone(batch)
	if len(a) > 1 {
		p.out = append(p.out, p.m)
	}
	if len(b) > 1 {
		p.out = append(p.out, p.n)
	}
	return p, nil
}

// each calls f with the element offsets of every matrix of the batch.
func (p *matrixProduct) each(f func(i, offA, offB int)) {
	ia := newBroadcastIndex(p.a[:len(p.a)-2], p.batch)
	ib := newBroadcastIndex(p.b[:len(p.b)-2], p.batch)
	for i := range volume(p.batch) {
		f(i, ia.next()*p.m*p.k, ib.next()*p.k*p.n)
	}
}

// run multiplies all matrices of the batch.
func (p *matrixProduct) run(a, b []float64) []float64 {
	out := make([]float64, volume(p.out))
	p.each(func(i, offA, offB int) {
		multiply(out[i*p.m*p.n:(i+1)*p.m*p.n], a[offA:], b[offB:], p.m, p.k, p.n)
	})
	return out
}

// multiply adds the product of a [m,k] and b [k,n] to out [m,n].
func multiply(out, a, b []float64, m, k, n int) {
	for i := range m {
		row := out[i*n : (i+1)*n]
		for j := range k {
			addScaled(row, b[j*n:(j+1)*n], a[i*k+j])
		}
	}
}

// multiplyRows is multiply with b stored transposed, as [n,k].
func multiplyRows(out, a, b []float64, m, k, n int) {
	for i := range m {
		x := a[i*k : (i+1)*k]
		for j := range n {
			y, sum := b[j*k:(j+1)*k], 0.0
			for c, v := range x {
				sum += v * y[c]
			}
			out[i*n+j] += sum
		}
	}
}

// addScaled adds s·src to dst; both have the same length.
func addScaled(dst, src []float64, s float64) {
	dst = dst[:len(src)]
	for i, v := range src {
		dst[i] += s * v
	}
}

func volume(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

// store rounds values into output i.
func (e *Eval) store(i int, d tensor.DType, values []float64, shape ...int) *tensor.Tensor {
	out := e.Result(i, d, shape...)
	if d == tensor.Float32 {
		dst := out.F32()
		for j, v := range values {
			dst[j] = float32(v)
		}
		return out
	}
	for j, v := range values {
		out.SetFloat(j, v)
	}
	return out
}

func (e *Eval) product(a, b []int) *matrixProduct {
	p, err := newProduct(a, b)
	if err != nil {
		e.Fail("%w", err)
	}
	if n, err := tensor.NumElements(p.out); err != nil || n > MaxEvalBytes/8 {
		e.Fail("a product of shape %v is too large", p.out)
	}
	return p
}

func evalMatMul(e *Eval) error {
	e.sameType(0, 1)
	a, b := e.number(0), e.number(1)
	p := e.product(a.Shape(), b.Shape())
	if a.DType().IsInt() && a.DType().Bits() > 16 {
		return evalMatMulExact(e, a, b, p)
	}
	e.store(0, a.DType(), p.run(a.Floats(), b.Floats()), p.out...)
	return nil
}

// evalMatMulExact multiplies wide integers, modulo their width.
func evalMatMulExact(e *Eval, a, b *tensor.Tensor, p *matrixProduct) error {
	out := e.Result(0, a.DType(), p.out...)
	x, y := a.Ints(), b.Ints()
	p.each(func(batch, offA, offB int) {
		for i := range p.m {
			for j := range p.n {
				sum := int64(0)
				for k := range p.k {
					sum += x[offA+i*p.k+k] * y[offB+k*p.n+j]
				}
				out.SetInt((batch*p.m+i)*p.n+j, sum)
			}
		}
	})
	return nil
}

// evalMatMulInteger subtracts zero points, which may differ per row of A and per column
// of B, and keeps the low 32 bits of the sums.
func evalMatMulInteger(e *Eval) error {
	acc, shape := e.integerProduct(0, 1, 2, 3)
	out := e.Result(0, tensor.Int32, shape...)
	for i, v := range acc {
		out.SetInt(i, int64(v))
	}
	return nil
}

// integerProduct multiplies inputs a and b less their zero points at inputs za and zb.
func (e *Eval) integerProduct(a, b, za, zb int) (acc []float64, shape []int) {
	if !e.T(a).DType().IsInt() || !e.T(b).DType().IsInt() {
		e.Fail("operands %v and %v are not integers", e.T(a), e.T(b))
	}
	x, y := e.centred(a, za, false), e.centred(b, zb, true)
	p := e.product(e.T(a).Shape(), e.T(b).Shape())
	return p.run(x, y), p.out
}

// centred returns matrix input i less zero point input z. A vector of zero points runs
// along rows of A, or along columns of B.
func (e *Eval) centred(i, z int, columns bool) []float64 {
	x := e.number(i)
	v := x.Floats()
	if e.Has(z) {
		zero := e.matrixParam(z, x.Shape(), columns)
		for j := range v {
			v[j] -= zero()
		}
	}
	return v
}

// matrixParam walks input z, a zero point or scale of matrices of the given shape, in the
// order of their elements.
func (e *Eval) matrixParam(z int, full []int, columns bool) (next func() float64) {
	t := e.T(z)
	shape := t.Shape()
	switch {
	case t.Len() == 1:
		shape = nil
	case t.Rank() == 1 && !columns && len(full) > 1: // one per row
		shape = []int{shape[0], 1}
	}
	if got, err := BroadcastShape(shape, full); err != nil || !slices.Equal(got, full) {
		e.Fail("input %s %v does not fit %v", e.inputName(z), t, full)
	}
	at := newBroadcastIndex(shape, full)
	return func() float64 { return t.Float(at.next()) }
}

// evalFusedMatMul transposes, then multiplies. transBatch moves the batch dimensions
// behind the rows: the operand is stored [m, batch..., k].
func evalFusedMatMul(e *Eval) error {
	e.sameType(0, 1)
	a, shapeA := fusedOperand(e, 0, "A")
	b, shapeB := fusedOperand(e, 1, "B")
	p := e.product(shapeA, shapeB)
	acc, alpha := p.run(a, b), attrFloat(e.Attrs(), "alpha", 1)
	for i := range acc {
		acc[i] *= alpha
	}
	e.store(0, e.T(0).DType(), acc, p.out...)
	return nil
}

func fusedOperand(e *Eval, i int, which string) ([]float64, []int) {
	t := e.float(i)
	perm := fusedPermutation(e.Attrs(), t.Rank(), which)
	shape := make([]int, len(perm))
	strides := tensor.Strides(t.Shape())
	step := make([]int, len(perm))
	for k, from := range perm {
		shape[k], step[k] = t.Dim(from), strides[from]
	}
	out := make([]float64, t.Len())
	at := &broadcastIndex{shape: shape, idx: make([]int, len(shape)), stride: step}
	for k := range out {
		out[k] = t.Float(at.next())
	}
	return out, shape
}

func fusedPermutation(a graph.Attrs, rank int, which string) []int {
	perm := make([]int, rank)
	for i := range perm {
		perm[i] = i
	}
	if rank < 2 {
		return perm
	}
	if a.Int("transBatch"+which, 0) != 0 {
		copy(perm, perm[1:rank-1])
		perm[rank-2] = 0
	}
	if a.Int("trans"+which, 0) != 0 {
		perm[rank-2], perm[rank-1] = perm[rank-1], perm[rank-2]
	}
	return perm
}
