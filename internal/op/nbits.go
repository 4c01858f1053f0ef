package op

import (
	"errors"
	"fmt"
	"math"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// nbitsOps holds MatMulNBits of ONNX Runtime: weights of 2, 4 or 8 bits in blocks that
// share a scale.
func nbitsOps() []Def {
	return []Def{{Name: "MatMulNBits", Domain: graph.DomainMicrosoft, In: "A B scales zero_points? g_idx? bias?", Out: "Y",
		Attrs: "K:int! N:int! accuracy_level:int bits:int block_size:int! weight_prepacked:int",
		Infer: inferMatMulNBits, Eval: evalMatMulNBits, MACs: nbitsMACs}}
}

// blocked describes the weights: N columns of K values in blocks along K. B is
// [N, blocks, block·bits/8], the first value in the low bits.
type blocked struct{ k, n, bits, block, blocks int }

func newBlocked(a graph.Attrs) (*blocked, error) {
	k, n, bits, block := a.Int("K", 0), a.Int("N", 0), a.Int("bits", 4), a.Int("block_size", 0)
	switch {
	case k < 1 || n < 1 || k > math.MaxInt32 || n > math.MaxInt32:
		return nil, fmt.Errorf("K=%d N=%d is not a matrix", k, n)
	case bits != 2 && bits != 4 && bits != 8:
		return nil, fmt.Errorf("bits=%d is none of 2, 4, 8", bits)
	case block < 8 || block > math.MaxInt32 || block&(block-1) != 0:
		return nil, fmt.Errorf("block_size=%d is not a power of two of at least 8", block)
	}
	b := &blocked{int(k), int(n), int(bits), int(block), int((k + block - 1) / block)}
	if _, err := tensor.NumElements([]int{b.n, b.blocks, b.block, b.bits}); err != nil {
		return nil, err
	}
	return b, nil
}

func inferMatMulNBits(c *Infer) error {
	b, err := newBlocked(c.Attrs())
	if err != nil {
		return err
	}
	s := c.Shape(0).Clone()
	if s.Ranked() {
		last := len(s) - 1
		if last < 0 || s[last].Known() && s[last].Size != b.k {
			return fmt.Errorf("A %v does not end in K=%d", s, b.k)
		}
		s[last] = graph.Dim{Size: b.n}
	}
	c.SetTensor(0, c.DType(0), s)
	return nil
}

func nbitsMACs(c *Infer) int64 { return c.outputs() * max(c.Attrs().Int("K", 0), 0) }

// weights dequantizes B to a matrix [K, N]: (q - zero)·scale.
func (b *blocked) weights(q []byte, scale func(i int) float64, zero func(col, block int) float64) []float64 {
	out := make([]float64, b.k*b.n)
	bytes := b.block * b.bits / 8
	for col := range b.n {
		for k := range b.k {
			i := k / b.block
			at := (col*b.blocks + i) * bytes
			v := packed(q[at:at+bytes], k%b.block, b.bits)
			out[k*b.n+col] = (float64(v) - zero(col, i)) * scale(col*b.blocks+i)
		}
	}
	return out
}

// packed returns value i of bits each, the first in the low bits.
func packed(q []byte, i, bits int) byte {
	per := 8 / bits
	return q[i/per] >> (i % per * bits) & (1<<bits - 1)
}

func evalMatMulNBits(e *Eval) error {
	b, err := newBlocked(e.Attrs())
	if err != nil {
		return err
	}
	switch {
	case e.Has(4):
		return errors.New("input g_idx is not supported: reorder the rows of the weights when exporting")
	case e.Attrs().Int("weight_prepacked", 0) != 0:
		return errors.New("weight_prepacked=1 is not supported: its layout depends on a device")
	}
	a, q, scales := e.float(0), e.T(1), e.float(2)
	if q.DType() != tensor.Uint8 || q.Len() != b.n*b.blocks*b.block*b.bits/8 || scales.Len() != b.n*b.blocks {
		e.Fail("B %v and scales %v do not fit K=%d N=%d bits=%d block_size=%d", q, scales, b.k, b.n, b.bits, b.block)
	}
	zero, err := b.zeros(e.T(3))
	if err != nil {
		return err
	}
	p := e.product(a.Shape(), []int{b.k, b.n})
	acc := p.run(a.Floats(), b.weights(q.Bytes(), scales.Float, zero))
	e.addBias(acc, p.out, 5)
	e.store(0, a.DType(), acc, p.out...)
	return nil
}

// zeros returns the zero point of each block: the middle of the range when t is nil, packed
// like the weights with every column starting a byte, or a real number for each.
func (b *blocked) zeros(t *tensor.Tensor) (func(col, block int) float64, error) {
	row := (b.blocks*b.bits + 7) / 8
	switch {
	case t == nil:
		return func(int, int) float64 { return float64(int(1) << (b.bits - 1)) }, nil
	case t.DType() == tensor.Uint8 && t.Len() == b.n*row:
		return func(col, block int) float64 { return float64(packed(t.Bytes()[col*row:], block, b.bits)) }, nil
	case t.DType().IsFloat() && t.Len() == b.n*b.blocks:
		return func(col, block int) float64 { return t.Float(col*b.blocks + block) }, nil
	}
	return nil, fmt.Errorf("zero_points %v do not fit N=%d with %d blocks of %d bits", t, b.n, b.blocks, b.bits)
}
