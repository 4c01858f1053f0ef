package engine

import (
	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/kernel"
	"github.com/edgewise-ml/edgewise/tensor"
)

// product is a matrix product of two computed operands, times a factor, plus what
// broadcasts to its result: the scaled and masked products of attention, and the layers of
// training. Single matrices may be taken transposed.
type product struct {
	node    *graph.Node
	a, b    *graph.Value
	transA  bool
	transB  bool
	scale   float32
	addend  *graph.Value // nil: none
	outcome *graph.Value
	names   string
}

func productOf(n *graph.Node) *product {
	return &product{node: n, a: n.In(0), b: n.In(1), scale: 1, outcome: n.Outputs[0], names: n.Op}
}

// gemmProduct is a Gemm with operands of any kind.
func gemmProduct(n *graph.Node) (p *product, reason string) {
	p = productOf(n)
	p.transA, p.transB = n.Attrs.Int("transA", 0) != 0, n.Attrs.Int("transB", 0) != 0
	p.scale, p.addend = n.Attrs.Float("alpha", 1), n.In(2)
	if p.addend == nil {
		return p, ""
	}
	shape, _ := p.outcome.Type.Static()
	s, ok := p.addend.Type.Static()
	if !ok || n.Attrs.Float("beta", 1) != 1 || !broadcastsRows(s, shape) {
		return nil, "the addend C is scaled or no row of the result"
	}
	return p, ""
}

// productChain is a product with constant factors of its result and an addend.
func (l *lowerer) productChain(n *graph.Node) *group {
	shape, ok := n.Outputs[0].Type.Static()
	if !ok || !isF32(n.Inputs...) {
		return nil
	}
	p := productOf(n)
	g := &group{nodes: []*graph.Node{n}, product: p, lower: func(l *lowerer, g *group) string {
		for _, m := range g.nodes {
			if r := l.unfit(m); r != "" {
				return r
			}
		}
		l.note(g)
		p.names = opNames(g.nodes...)
		return lowerProduct(l, p)
	}}
	for {
		m := l.next(g.out())
		if m == nil {
			break
		}
		if k, ok := scaledBy(m); ok && p.addend == nil && l.on(ruleScale) {
			p.scale *= k
			g.take(m, ruleScale)
			continue
		}
		if m.Is("Add") && p.addend == nil && m.Inputs[0] != m.Inputs[1] && l.on(ruleResidual) {
			other := m.Inputs[0]
			if other == g.out() {
				other = m.Inputs[1]
			}
			if s, ok := other.Type.Static(); ok && isF32(other) && broadcastsRows(s, shape) {
				p.addend = other
				g.take(m, ruleResidual)
				continue
			}
		}
		break
	}
	p.outcome = g.out()
	return g
}

// scaledBy returns the constant by which n multiplies.
func scaledBy(n *graph.Node) (factor float32, ok bool) {
	if !n.Is("Mul") && !n.Is("Div") || !isF32(n.Inputs...) {
		return 0, false
	}
	for i, x := range n.Inputs {
		c := n.Inputs[1-i].Const
		if c == nil || c.Len() != 1 || x.Const != nil || c.Rank() > len(x.Type.Shape) || n.Op == "Div" && i == 1 {
			continue
		}
		k := c.F32()[0]
		if n.Op == "Div" {
			k = 1 / k
		}
		// What 0 and infinity make of one another is not for a factor.
		return k, k-k == 0 && k != 0
	}
	return 0, false
}

// broadcastsRows reports whether a tensor of shape s spans whole rows of a matrix of the
// given shape, and all rows or one.
func broadcastsRows(s, shape []int) bool {
	if len(s) == 0 || len(s) > len(shape) || s[len(s)-1] != shape[len(shape)-1] {
		return false
	}
	off := len(shape) - len(s)
	for i, d := range s {
		if d != 1 && d != shape[off+i] {
			return false
		}
	}
	return true
}

// lowerProduct makes a matrix product for every pair of matrices that broadcasting
// brings together. Operands are read, and the result is written, with whatever strides
// the views around give them, if only one dimension of a matrix lies side by side.
func lowerProduct(l *lowerer, p *product) string {
	as, _ := p.a.Type.Static()
	bs, _ := p.b.Type.Static()
	ys, _ := p.outcome.Type.Static()
	if len(as) < 2 || len(bs) < 2 {
		return "a product with a vector has no kernel"
	}
	shape := kernel.GemmShape{M: as[len(as)-2], N: bs[len(bs)-1], K: as[len(as)-1]}
	if p.transA {
		shape.M, shape.K = shape.K, shape.M
	}
	if p.transB {
		shape.N = bs[len(bs)-2]
	}
	var ra, rb, rc *ref
	if ra, shape.LDA = l.matrices(p.a, p.transA); ra == nil {
		if p.transA {
			ra = l.convert(p.a, as, []int{1, as[0]}, false)
		} else {
			ra = l.plain(p.a)
		}
		shape.LDA = shape.K
	}
	if rb, shape.LDB = l.matrices(p.b, p.transB); rb == nil {
		// As in attention, or stored so.
		if rb, _ = l.matrices(p.b, !p.transB); rb == nil {
			rb = l.plain(p.b)
		}
		if ld, ok := matrixRows(rb, p.transB); ok {
			shape.LDB = ld
		} else {
			shape.LDB, _ = matrixRows(rb, !p.transB)
			shape.TransB = true
		}
	}
	reads := []*ref{ra, rb}
	if p.addend != nil {
		if rc, shape.LDAddend = l.matrices(p.addend, false); rc == nil {
			rc = l.plain(p.addend)
			shape.LDAddend = rc.shape[len(rc.shape)-1]
		}
		if len(rc.shape) < 2 || rc.shape[len(rc.shape)-2] == 1 {
			shape.LDAddend = 0
		}
		reads = append(reads, rc)
	}
	out := l.make(p.outcome, l.shownStrides(p.outcome), func(r *ref) bool { _, ok := matrixRows(r, false); return ok })
	shape.LDC, _ = matrixRows(out, false)
	batch := ys[:len(ys)-2]
	offA, offB, offC, offY := batchOffsets(ra, batch), batchOffsets(rb, batch), batchOffsets(rc, batch), batchOffsets(out, batch)
	if n := len(offY); n > 1 && allZero(offB) && allZero(offC) && shape.LDAddend == 0 && evenly(offA, shape.M*shape.LDA) && evenly(offY, shape.M*shape.LDC) {
		// One right side for all: the rows of all matrices are those of one.
		shape.M *= n
		offA, offY = offA[:1], offY[:1]
	}
	gemm, err := kernel.NewGemmF32(l.level, shape, p.scale)
	if err != nil {
		return err.Error()
	}
	per := gemm.Units()
	l.add(&step{name: p.outcome.Def.Label(), op: p.names, kernel: gemm.Name(),
		macs:  int64(len(offY)) * int64(shape.M) * int64(shape.N) * int64(shape.K),
		reads: reads, writes: []*ref{out}, units: per * len(offY), scratch: gemm.ScratchBytes(),
		run: func(s *Session, worker, lo, hi int) {
			x, w, y := s.f32(ra), s.f32(rb), s.f32(out)
			for u := lo; u < hi; {
				i := u / per
				end := min(hi, (i+1)*per)
				var c []float32
				if rc != nil {
					c = s.f32(rc)[offC[i]:]
				}
				gemm.Run(y[offY[i]:], x[offA[i]:], w[offB[i]:], c, s.scratch[worker], u-i*per, end-i*per)
				u = end
			}
		}})
	return ""
}

// matrices returns a form of v whose matrices, the last two dimensions, have their rows
// side by side, and the elements from row to row; with trans they have columns so.
func (l *lowerer) matrices(v *graph.Value, trans bool) (*ref, int) {
	r := l.find(v, func(r *ref) bool { _, ok := matrixRows(r, trans); return ok })
	if r == nil {
		return nil, 0
	}
	ld, _ := matrixRows(r, trans)
	return r, ld
}

func matrixRows(r *ref, trans bool) (ld int, ok bool) {
	n := len(r.shape)
	if r.strides == nil || r.biased || n == 0 {
		return 0, false
	}
	if n == 1 {
		return r.shape[0], r.strides[0] == 1 || r.shape[0] == 1
	}
	rows, cols := n-2, n-1
	if trans {
		rows, cols = cols, rows
	}
	if r.shape[cols] != 1 && r.strides[cols] != 1 {
		return 0, false
	}
	ld = r.strides[rows]
	if r.shape[rows] == 1 {
		ld = r.shape[cols]
	}
	return ld, ld >= r.shape[cols]
}

// shownStrides returns the strides with which the transposition that alone uses v shows
// it in row-major order, if its rows stay whole then; else those of row-major order.
func (l *lowerer) shownStrides(v *graph.Value) []int {
	s, _ := v.Type.Static()
	plain := tensor.Strides(s)
	t := l.next(v)
	if t == nil || !t.Is("Transpose") || !l.on(ruleView) {
		return plain
	}
	perm := t.Attrs.Ints("perm")
	if perm != nil && len(perm) != len(s) {
		return plain
	}
	shown := make([]int, len(s))
	for i := range s {
		shown[i] = s[permuted(perm, len(s), i)]
	}
	strides := make([]int, len(s))
	for i, step := range tensor.Strides(shown) {
		strides[permuted(perm, len(s), i)] = step
	}
	if strides[len(s)-1] != 1 {
		return plain
	}
	return strides
}

// batchOffsets returns, for every index of the dimensions before the matrices in the
// result, the offset of the matrix that r brings to it; nil where there is no r.
func batchOffsets(r *ref, batch []int) []int {
	if r == nil {
		return nil
	}
	n := 1
	for _, d := range batch {
		n *= d
	}
	off := len(batch) + 2 - len(r.shape)
	offsets := make([]int, n)
	for i := range offsets {
		rest := i
		for k := len(batch) - 1; k >= 0; k-- {
			at := rest % batch[k]
			rest /= batch[k]
			if k >= off && r.shape[k-off] != 1 {
				offsets[i] += at * r.strides[k-off]
			}
		}
	}
	return offsets
}

func allZero(offsets []int) bool {
	for _, o := range offsets {
		if o != 0 {
			return false
		}
	}
	return true
}

// evenly reports whether offsets are multiples of step in order.
func evenly(offsets []int, step int) bool {
	for i, o := range offsets {
		if o != i*step {
			return false
		}
	}
	return true
}
