package autodiff

import (
	"cmp"
	"slices"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/op"
)

// A Rung is one more value that is made again instead of being kept.
type Rung struct {
	Value *graph.Value
	Peak  int64 // bytes alive at once by the order of nodes, as an estimate of the engine's plan
	MACs  int64 // multiply-accumulates of all that is made again
	Bytes int64 // that making it reads and writes
}

// Ladder returns values that are worth making again, in order: every one lowers the peak
// further. Those that take no multiply-accumulates come first, and among these and the
// others the cheap ones for the memory they free. It is a greedy choice: where layers are
// alike it ends up keeping values at regular distances.
func (t *Tape) Ladder() []Rung {
	c := &climb{t: t, meter: newMeter(t), kept: map[*graph.Value]bool{}}
	for _, v := range t.Kept {
		c.kept[v] = true
		if repeatable(v.Def) && c.meter.size[v.ID] > 0 {
			c.rest = append(c.rest, v)
		}
	}
	c.now = c.meter.measure(c.kept)
	c.round(true)
	c.round(false)
	return c.rungs
}

// climb is a ladder being made.
type climb struct {
	t     *Tape
	meter *meter
	kept  map[*graph.Value]bool
	rest  []*graph.Value // kept ones that might not be
	now   Rung
	rungs []Rung
}

// round takes what lowers the peak until nothing does; only what takes no
// multiply-accumulates if light. The price of a value changes as others are made again, so
// that the order is made anew each time around.
func (c *climb) round(light bool) {
	for progress := true; progress; {
		progress = false
		price := map[*graph.Value]float64{}
		heavy := map[*graph.Value]bool{}
		for _, v := range c.rest {
			c.kept[v] = false
			r := c.meter.work(c.t.order(c.kept))
			price[v], heavy[v] = (r.cost()-c.now.cost())/float64(c.meter.size[v.ID]), r.MACs > c.now.MACs
			c.kept[v] = true
		}
		slices.SortStableFunc(c.rest, func(a, b *graph.Value) int { return cmp.Compare(price[a], price[b]) })
		left := c.rest[:0]
		for _, v := range c.rest {
			c.kept[v] = light && heavy[v]
			if next := c.meter.measure(c.kept); !c.kept[v] && next.Peak < c.now.Peak {
				next.Value, c.now, progress = v, next, true
				c.rungs = append(c.rungs, next)
				continue
			}
			c.kept[v] = true
			left = append(left, v)
		}
		c.rest = left
	}
}

// cost is time in units of a byte through memory. A multiply-accumulate counts half: good
// kernels do some four of them in that time, those of small layers fewer.
func (r Rung) cost() float64 { return float64(r.Bytes) + float64(r.MACs)/2 }

// meter measures orders of a tape.
type meter struct {
	t         *Tape
	size      []int64 // of values by ID; 0 for what lies outside the arena
	macs      []int64 // of the nodes of the forward pass
	bytes     []int64
	overwrite []bool // nodes that may write their result over their first input
}

func newMeter(t *Tape) *meter {
	m := &meter{t: t, size: make([]int64, t.g.NumIDs())}
	bytes := func(v *graph.Value) int64 {
		s, ok := v.Type.Static()
		if !ok {
			return 0
		}
		n := int64(v.Type.DType.Bits()) / 8
		for _, d := range s {
			n *= int64(d)
		}
		return n
	}
	for _, n := range t.g.Nodes {
		var touched int64
		for _, v := range n.Inputs {
			if v != nil {
				touched += bytes(v)
			}
		}
		for _, v := range n.Outputs {
			if v != nil {
				m.size[v.ID] = bytes(v)
				touched += bytes(v)
			}
		}
		d := op.Of(n)
		var macs int64
		if d != nil && d.MACs != nil {
			macs = d.MACs(&op.Infer{Node: n})
		}
		m.macs, m.bytes = append(m.macs, macs), append(m.bytes, touched)
		m.overwrite = append(m.overwrite, d != nil && d.Elementwise)
	}
	for _, v := range t.g.Outputs {
		m.size[v.ID] = 0 // the caller's
	}
	return m
}

// work adds up what an order does besides running every node once.
func (m *meter) work(order []int) (r Rung) {
	for _, i := range order[m.t.split:] {
		if i < m.t.split {
			r.MACs += m.macs[i]
			r.Bytes += m.bytes[i]
		}
	}
	return r
}

// measure returns what keeping the given values comes to.
func (m *meter) measure(kept map[*graph.Value]bool) Rung {
	t, order := m.t, m.t.order(kept)
	r := m.work(order)
	// A value that is made again is another one in the backward pass.
	n := len(m.size)
	id := func(at int, v *graph.Value) int {
		if at >= t.split && t.again(v, kept) {
			return n + v.ID
		}
		return v.ID
	}
	size := func(id int) int64 { return m.size[id%n] }
	last := make([]int, 2*n)
	for at, i := range order {
		for _, v := range t.g.Nodes[i].Inputs {
			if v != nil {
				last[id(at, v)] = at
			}
		}
	}
	var live int64
	for at, i := range order {
		node := t.g.Nodes[i]
		made := func(v *graph.Value) int {
			if at >= t.split && i < t.split {
				return n + v.ID
			}
			return v.ID
		}
		for _, v := range node.Outputs {
			if v != nil && last[made(v)] > at {
				live += size(made(v))
			}
		}
		peak := live
		if m.overwrite[i] && len(node.Inputs) > 0 && node.Inputs[0] != nil {
			if k := id(at, node.Inputs[0]); last[k] == at && size(k) == size(made(node.Outputs[0])) {
				peak -= size(k)
			}
		}
		r.Peak = max(r.Peak, peak)
		for k, v := range node.Inputs {
			if v != nil && last[id(at, v)] == at && !slices.Contains(node.Inputs[:k], v) {
				live -= size(id(at, v))
			}
		}
	}
	return r
}
