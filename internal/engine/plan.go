package engine

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/op"
	"github.com/edgewise-ml/edgewise/tensor"
)

// place gives every arena buffer its offset.
//
// It is the greedy-by-size rule: the largest buffers first, each into a gap between
// the buffers alive at the same time that are placed already. Of the gaps that do not
// raise the peak it takes the one whose memory was used last before, which is likely
// still in cache. The outcome depends on nothing but the program.
func (p *Plan) place() error {
	if err := p.lifetimes(); err != nil {
		return err
	}
	p.shareInPlace()
	var todo []*buffer
	for _, b := range p.buffers {
		if b.place == inArena && b.host == nil && b.size > 0 {
			todo = append(todo, b)
		}
	}
	slices.SortStableFunc(todo, func(a, b *buffer) int {
		return cmp.Or(cmp.Compare(b.size, a.size), cmp.Compare(a.first, b.first))
	})
	peak := 0
	var placed []*buffer // by offset
	for _, b := range todo {
		if b.offset = findGap(placed, b, peak); b.offset > math.MaxInt-b.size {
			return errors.New("working memory is beyond what this machine can address")
		}
		peak = max(peak, b.offset+b.size)
		at, _ := slices.BinarySearchFunc(placed, b, func(x, y *buffer) int { return cmp.Compare(x.offset, y.offset) })
		placed = slices.Insert(placed, at, b)
	}
	for _, b := range p.buffers {
		if b.place == inArena {
			b.offset = b.root().offset
		}
	}
	for _, st := range p.steps {
		p.scratch = max(p.scratch, align(st.scratch))
		st.divide(p.level)
	}
	total := int64(peak) + int64(p.threads)*int64(p.scratch)
	if total > min(maxArena, math.MaxInt) {
		return fmt.Errorf("working memory of %d bytes is over the limit of %d", total, int64(min(maxArena, math.MaxInt)))
	}
	p.arenaBytes = int(total)
	return nil
}

// Limits on memory: a few numbers in a hostile model must not be able to ask for all
// there is.
const (
	maxBuffer = op.MaxEvalBytes
	maxArena  = 4 * op.MaxEvalBytes
)

// checkSizes refuses a graph with a value beyond maxBuffer, so that the arithmetic on
// shapes and strides in lowering cannot overflow.
func checkSizes(g *graph.Graph) error {
	check := func(v *graph.Value) error {
		if v == nil {
			return nil
		}
		s, ok := v.Type.Static()
		if !ok {
			return nil
		}
		n, err := tensor.NumElements(s)
		if err == nil && int64(v.Type.DType.Bytes(n)) > maxBuffer {
			err = fmt.Errorf("is over the limit of %d bytes", int64(maxBuffer))
		}
		if err != nil {
			return fmt.Errorf("value %v: %w", v, err)
		}
		return nil
	}
	for _, v := range g.Inputs {
		if err := check(v); err != nil {
			return err
		}
	}
	for _, n := range g.Nodes {
		for _, v := range n.Outputs {
			if err := check(v); err != nil {
				return fmt.Errorf("%v: %w", n, err)
			}
		}
	}
	return nil
}

func align(n int) int { return (n + tensor.Alignment - 1) &^ (tensor.Alignment - 1) }

// lifetimes notes the first and last step that touches each buffer, and rounds sizes.
func (p *Plan) lifetimes() error {
	seen := map[*buffer]bool{}
	touch := func(i int, r *ref) {
		if r == nil {
			return
		}
		b := r.buf
		if !seen[b] {
			seen[b] = true
			b.first = i
			p.buffers = append(p.buffers, b)
			switch b.place {
			case inArena:
				b.size = align(b.size)
			case inConst:
				p.weights += len(b.data)
			}
		}
		b.last = i
	}
	for i, st := range p.steps {
		for _, r := range st.reads {
			touch(i, r)
		}
		for _, r := range st.writes {
			touch(i, r)
		}
	}
	for _, b := range p.buffers {
		if b.place != inConst && int64(b.size) > maxBuffer {
			return fmt.Errorf("value %s of %d bytes is over the limit of %d", b.name, b.size, int64(maxBuffer))
		}
	}
	return nil
}

// shareInPlace lets a step that allows it write over an input that nobody needs
// afterwards.
func (p *Plan) shareInPlace() {
	for i, st := range p.steps {
		if !st.inPlace {
			continue
		}
		in, out := st.reads[0], st.writes[0]
		a, b := in.buf.root(), out.buf.root()
		if a == b || a.place != inArena || b.place != inArena || a.last != i || b.first != i ||
			a.size != b.size || in.off != 0 || out.off != 0 || align(in.span()) != a.size {
			continue
		}
		b.host = a
		a.last = b.last
	}
}

// findGap returns the offset for b among the placed buffers, which are sorted by offset.
func findGap(placed []*buffer, b *buffer, peak int) int {
	best, bestHeat := -1, -2
	try := func(lo, hi int) {
		if hi-lo < b.size {
			return
		}
		heat := -1
		for _, o := range placed {
			if o.offset < lo+b.size && lo < o.offset+o.size && o.last < b.first {
				heat = max(heat, o.last)
			}
		}
		if heat > bestHeat {
			best, bestHeat = lo, heat
		}
	}
	at := 0
	for _, o := range placed {
		if o.last < b.first || o.first > b.last {
			continue
		}
		if o.offset > at {
			try(at, o.offset)
		}
		at = max(at, o.offset+o.size)
	}
	if at+b.size <= peak {
		try(at, peak)
	}
	if best < 0 {
		return at
	}
	return best
}

// live returns, for every step, the bytes of the arena in use while it runs.
func (p *Plan) live() []int {
	out := make([]int, len(p.steps))
	for _, b := range p.buffers {
		if b.place != inArena || b.host != nil {
			continue
		}
		for i := b.first; i <= b.last; i++ {
			out[i] += b.size
		}
	}
	return out
}
