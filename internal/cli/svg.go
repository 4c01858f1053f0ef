package cli

import (
	"encoding/xml"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// families colours operators by what they are for. The colours are those of M. Okabe and
// K. Ito, which colour-blind people tell apart.
var families = []struct {
	name, fill string
	ops        []string
}{
	{"weights", "#0072b2", []string{"Conv", "ConvTranspose", "Gemm", "MatMul", "Einsum", "FusedConv", "FusedMatMul", "MatMulNBits", "LSTM", "GRU", "RNN", "Attention", "DeformConv"}},
	{"integer", "#009e73", []string{"QLinear", "QGemm", "MatMulInteger", "ConvInteger"}},
	{"quantize", "#56b4e9", []string{"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"}},
	{"normalize, pool, reduce", "#e69f00", []string{"BatchNormalization", "LayerNormalization", "InstanceNormalization", "GroupNormalization", "RMSNormalization", "LRN", "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "LpPool", "Reduce", "Softmax", "LogSoftmax", "Resize"}},
	{"elementwise", "#d55e00", []string{"Add", "Sub", "Mul", "Div", "Pow", "Relu", "Clip", "Sigmoid", "Tanh", "HardSwish", "HardSigmoid", "LeakyRelu", "PRelu", "Elu", "Selu", "Gelu", "Swish", "Mish", "Erf", "Exp", "Log", "Sqrt", "Abs", "Neg", "Min", "Max", "Softplus", "Sum", "Cast", "Where", "Equal", "Greater", "Less", "And", "Or", "Not"}},
	{"control", "#cc79a7", []string{"If", "Loop", "Scan", "Sequence", "Optional"}},
	{"move", "#777777", nil}, // all others
}

// family returns the place of an operator in families: an exact name first, else the
// start of one, as in QLinearConv and ReduceMean.
func family(op string) int {
	for i, f := range families {
		if slices.Contains(f.ops, op) {
			return i
		}
	}
	for i, f := range families {
		for _, name := range f.ops {
			if (name == "QLinear" || name == "Reduce" || name == "Sequence" || name == "Optional") && strings.HasPrefix(op, name) {
				return i
			}
		}
	}
	return len(families) - 1
}

// nodeLabel returns the lines of a node's box: its operator with what tells most about
// it, and the shape it makes.
func nodeLabel(n *graph.Node) []string {
	head := n.Op
	if w := n.In(1); w != nil && w.Const != nil && w.Const.Rank() >= 2 {
		head += " " + strings.Trim(tensor.FormatShape(w.Const.Shape()), "[]")
	} else if k := n.Attrs.Ints("kernel_shape"); len(k) > 0 {
		head += " " + strings.Trim(strings.ReplaceAll(fmt.Sprint(k), " ", "x"), "[]")
	}
	if s := n.Attrs.Ints("strides"); len(s) > 0 && slices.ContainsFunc(s, func(v int64) bool { return v != 1 }) {
		head += fmt.Sprintf(" /%d", s[0])
	}
	lines := []string{head}
	if o := n.Out(0); o != nil && o.Type.Shape != nil {
		lines = append(lines, o.Type.String())
	}
	return lines
}

// drawGraph writes g as a picture that browsers show in light and dark; hovering over a
// box shows the node's name and attributes.
func drawGraph(w io.Writer, g *graph.Graph) error {
	d := layOut(g)
	p := &svg{w: w}
	legend := 0.0
	for _, f := range families {
		legend += float64(len(f.name))*letter + 34
	}
	width, top := max(d.width, legend+2*margin), 40.0
	p.f(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" width="%.0f" height="%.0f" font-family="system-ui, sans-serif" font-size="11">`+"\n", width, d.height+top, width, d.height+top)
	p.f(`<title>%s</title>`+"\n", text(g.Name))
	p.f(`<style>:root{background:#fff}.e{fill:none;stroke:#999;stroke-width:1.2}.n text{fill:#fff;text-anchor:middle}.n .s{opacity:.85;font-size:10px}.v rect{fill:#eee;stroke:#888}.v text{fill:#222;text-anchor:middle}.l{fill:#222}` +
		`@media (prefers-color-scheme:dark){:root{background:#16181c}.e{stroke:#667}.v rect{fill:#2a2d33;stroke:#778}.v text,.l{fill:#ddd}}</style>` + "\n")
	x := margin
	for _, f := range families {
		p.f(`<rect x="%.0f" y="12" width="12" height="12" rx="3" fill="%s"/><text class="l" x="%.0f" y="22">%s</text>`+"\n", x, f.fill, x+17, f.name)
		x += float64(len(f.name))*letter + 34
	}
	p.f(`<g transform="translate(%.1f %.0f)">`+"\n", (width-d.width)/2, top)
	for _, l := range d.layers {
		for _, b := range l {
			p.edges(b)
		}
	}
	for _, l := range d.layers {
		for _, b := range l {
			p.box(b)
		}
	}
	p.f("</g>\n</svg>\n")
	return p.err
}

type svg struct {
	w   io.Writer
	err error
}

func (p *svg) f(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format, args...)
	}
}

// edges draws the edges that come into b from above, those into a bend on through it.
func (p *svg) edges(b *box) {
	if b.bend() {
		p.f(`<path class="e" d="M%.1f %.1fV%.1f"/>`+"\n", b.x, b.y-b.h/2, b.y+b.h/2)
	}
	for _, a := range b.above {
		x0, y0, x1, y1 := a.x, a.y+a.h/2, b.x, b.y-b.h/2
		c := (y1 - y0) / 2
		p.f(`<path class="e" d="M%.1f %.1fC%.1f %.1f %.1f %.1f %.1f %.1f"/>`+"\n", x0, y0, x0, y0+c, x1, y1-c, x1, y1)
	}
}

func (p *svg) box(b *box) {
	if b.bend() {
		return
	}
	class, fill, title := "v", "", b.label[0]
	if b.node != nil {
		class, fill, title = "n", fmt.Sprintf(` fill="%s"`, families[family(b.node.Op)].fill), nodeTitle(b.node)
	}
	p.f(`<g class="%s"><title>%s</title><rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" rx="5"%s/>`, class, text(title), b.x-b.w/2, b.y-b.h/2, b.w, b.h, fill)
	for i, l := range b.label {
		sub := ""
		if i > 0 {
			sub = ` class="s"`
		}
		p.f(`<text%s x="%.1f" y="%.1f">%s</text>`, sub, b.x, b.y-b.h/2+float64(i+1)*lineHeight+1, text(l))
	}
	p.f("</g>\n")
}

func nodeTitle(n *graph.Node) string {
	var b strings.Builder
	fmt.Fprintln(&b, n)
	for _, name := range n.Attrs.Names() {
		switch v := n.Attrs[name].(type) {
		case *graph.Graph, []*graph.Graph:
			fmt.Fprintf(&b, "%s: a graph of its own\n", name)
		default:
			fmt.Fprintf(&b, "%s: %s\n", name, cut(fmt.Sprint(v)))
		}
	}
	for i, v := range n.Inputs {
		if v != nil {
			fmt.Fprintf(&b, "in %d: %s\n", i, v)
		}
	}
	return strings.TrimSpace(b.String())
}

// text escapes a string for XML, dropping what XML cannot hold.
func text(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s))
	return b.String()
}
