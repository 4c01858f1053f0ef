package cli

import (
	"cmp"
	"slices"

	"github.com/edgewise-ml/edgewise/internal/graph"
)

// box is a node of the drawing: an operator, an input or output of the graph, or (with
// neither) a bend where an edge passes a layer.
type box struct {
	node  *graph.Node
	value *graph.Value
	label []string

	layer, order int
	x, y, w, h   float64
	above, below []*box
}

// bend reports whether the box only carries an edge on.
func (b *box) bend() bool { return b.node == nil && b.value == nil }

// drawing is a graph in layers from the top down: each box stands one layer below the
// lowest of those it depends on, and an edge over several layers bends in each.
// K. Sugiyama, S. Tagawa, M. Toda, "Methods for Visual Understanding of Hierarchical
// System Structures", 1981.
type drawing struct {
	layers        [][]*box
	width, height float64
}

// Measures in pixels.
const (
	gapX, gapY = 16.0, 34.0
	margin     = 20.0
	letter     = 6.6 // width of a character of the label
	lineHeight = 15.0
	bendWidth  = 6.0
)

// mostBends bounds the bends; beyond, long edges are drawn straight.
const mostBends = 40_000

func layOut(g *graph.Graph) *drawing {
	made := map[*graph.Value]*box{}
	var boxes []*box
	place := func(b *box) {
		for _, a := range b.above {
			b.layer = max(b.layer, a.layer+1)
		}
		boxes = append(boxes, b)
	}
	for _, v := range g.Inputs {
		b := &box{value: v, label: []string{v.Name, v.Type.String()}}
		made[v] = b
		place(b)
	}
	for _, n := range g.Nodes {
		b := &box{node: n, label: nodeLabel(n)}
		for _, v := range slices.Concat(n.Inputs, captures(n)) {
			if from := made[v]; v != nil && from != nil && !slices.Contains(b.above, from) {
				b.above = append(b.above, from)
			}
		}
		for _, v := range n.Outputs {
			if v != nil {
				made[v] = b
			}
		}
		place(b)
	}
	for _, v := range g.Outputs {
		b := &box{value: v, label: []string{v.Name, v.Type.String()}}
		if from := made[v]; from != nil {
			b.above = []*box{from}
		}
		place(b)
	}
	boxes = bendEdges(boxes)
	d := &drawing{}
	for _, b := range boxes {
		for len(d.layers) <= b.layer {
			d.layers = append(d.layers, nil)
		}
		b.order = len(d.layers[b.layer])
		d.layers[b.layer] = append(d.layers[b.layer], b)
		for _, a := range b.above {
			a.below = append(a.below, b)
		}
		b.w, b.h = bendWidth, lineHeight
		if !b.bend() {
			for _, l := range b.label {
				b.w = max(b.w, float64(len([]rune(l)))*letter+16)
			}
			b.h = float64(len(b.label))*lineHeight + 10
		}
	}
	d.uncross()
	d.position()
	return d
}

func captures(n *graph.Node) []*graph.Value {
	var out []*graph.Value
	for _, b := range n.Bodies() {
		out = append(out, b.Captures()...)
	}
	return out
}

// bendEdges splits every edge over several layers into edges over one.
func bendEdges(boxes []*box) []*box {
	total := 0
	for _, b := range boxes {
		for _, a := range b.above {
			total += b.layer - a.layer - 1
		}
	}
	if total > mostBends {
		return boxes
	}
	out := slices.Clone(boxes)
	type key struct {
		from  *box
		layer int
	}
	shared := map[key]*box{} // edges of one value run together until they part
	for _, b := range boxes {
		for i, a := range b.above {
			from := a
			for l := a.layer + 1; l < b.layer; l++ {
				bend := shared[key{a, l}]
				if bend == nil {
					bend = &box{layer: l, above: []*box{from}}
					shared[key{a, l}] = bend
					out = append(out, bend)
				}
				from = bend
			}
			b.above[i] = from
		}
	}
	return out
}

// uncross sorts each layer by the mean place of its neighbours, down and up in turn.
func (d *drawing) uncross() {
	mean := func(list []*box, own int) float64 {
		if len(list) == 0 {
			return float64(own)
		}
		sum := 0.0
		for _, b := range list {
			sum += float64(b.order)
		}
		return sum / float64(len(list))
	}
	sortLayer := func(layer []*box, near func(*box) []*box) {
		at := make(map[*box]float64, len(layer))
		for i, b := range layer {
			at[b] = mean(near(b), i)
		}
		slices.SortStableFunc(layer, func(a, b *box) int { return cmp.Compare(at[a], at[b]) })
		for i, b := range layer {
			b.order = i
		}
	}
	for range 6 {
		for _, l := range d.layers {
			sortLayer(l, func(b *box) []*box { return b.above })
		}
		for _, l := range slices.Backward(d.layers) {
			sortLayer(l, func(b *box) []*box { return b.below })
		}
	}
}

// position gives boxes their coordinates: each wants to stand at the mean of its
// neighbours, and as much of that is granted as order and gaps allow.
func (d *drawing) position() {
	y := margin
	for _, l := range d.layers {
		x, h := 0.0, 0.0
		for _, b := range l {
			b.x = x + b.w/2
			x += b.w + gapX
			h = max(h, b.h)
		}
		for _, b := range l {
			b.x -= x / 2 // centred, as a start
			b.y = y + h/2
		}
		y += h + gapY
	}
	for i := range 12 {
		if i%2 == 0 {
			for _, l := range d.layers {
				settle(l, func(b *box) []*box { return b.above })
			}
		} else {
			for _, l := range slices.Backward(d.layers) {
				settle(l, func(b *box) []*box { return b.below })
			}
		}
	}
	left, right := 0.0, 0.0
	for i, l := range d.layers {
		for k, b := range l {
			if i == 0 && k == 0 || b.x-b.w/2 < left {
				left = b.x - b.w/2
			}
			right = max(right, b.x+b.w/2)
		}
	}
	for _, l := range d.layers {
		for _, b := range l {
			b.x += margin - left
		}
	}
	d.width, d.height = right-left+2*margin, y-gapY+margin
}

// settle moves the boxes of a layer, in their order, to where the sum of squared
// distances from their wishes is least: neighbours that push each other become a block
// at the mean of its wishes (isotonic regression by pooling).
func settle(layer []*box, near func(*box) []*box) {
	type block struct {
		sum   float64 // of wishes, less the offset within the block
		n     float64
		first int
	}
	var blocks []block
	offset := make([]float64, len(layer)) // of each centre from that of the first
	for i, b := range layer {
		if i > 0 {
			offset[i] = offset[i-1] + layer[i-1].w/2 + gapX + b.w/2
		}
		wish := b.x
		if list := near(b); len(list) > 0 {
			wish = 0
			for _, o := range list {
				wish += o.x
			}
			wish /= float64(len(list))
		}
		blocks = append(blocks, block{sum: wish - offset[i], n: 1, first: i})
		for len(blocks) > 1 {
			p, q := &blocks[len(blocks)-2], blocks[len(blocks)-1]
			if p.sum/p.n <= q.sum/q.n {
				break
			}
			p.sum, p.n = p.sum+q.sum, p.n+q.n
			blocks = blocks[:len(blocks)-1]
		}
	}
	for k, bl := range blocks {
		end := len(layer)
		if k+1 < len(blocks) {
			end = blocks[k+1].first
		}
		for i := bl.first; i < end; i++ {
			layer[i].x = bl.sum/bl.n + offset[i]
		}
	}
}
