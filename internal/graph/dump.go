package graph

import (
	"fmt"
	"io"
	"strings"

	"github.com/edgewise-ml/edgewise/tensor"
)

// Dump writes g as text, one node a line:
//
//	y float32[1x8] = Conv(x, w:float32[8x3x3x3], _) {group=1, pads=[0 0 0 0]}  # conv1
func (g *Graph) Dump(w io.Writer) error {
	p := printer{w: w}
	p.graph(g, "")
	return p.err
}

// String returns the text form.
func (g *Graph) String() string {
	var b strings.Builder
	_ = g.Dump(&b)
	return b.String()
}

type printer struct {
	w   io.Writer
	err error
}

func (p *printer) f(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format, args...)
	}
}

func (p *printer) graph(g *Graph, indent string) {
	p.f("%sgraph %s(", indent, g.Name)
	for i, v := range g.Inputs {
		if i > 0 {
			p.f(", ")
		}
		p.f("%v", v)
	}
	p.f(") {\n")
	for _, n := range g.Nodes {
		p.node(n, indent+"  ")
	}
	p.f("%s  return ", indent)
	for i, v := range g.Outputs {
		if i > 0 {
			p.f(", ")
		}
		p.f("%s", operand(v))
	}
	p.f("\n%s}\n", indent)
}

func (p *printer) node(n *Node, indent string) {
	p.f("%s", indent)
	for i, v := range n.Outputs {
		if i > 0 {
			p.f(", ")
		}
		if v == nil {
			p.f("_")
		} else {
			p.f("%v", v)
		}
	}
	op := n.Op
	if n.Domain != "" {
		op = n.Domain + "." + op
	}
	p.f(" = %s(", op)
	for i, v := range n.Inputs {
		if i > 0 {
			p.f(", ")
		}
		p.f("%s", operand(v))
	}
	p.f(")")
	sep := " {"
	for _, name := range n.Attrs.Names() {
		switch n.Attrs[name].(type) {
		case *Graph, []*Graph:
			continue
		}
		p.f("%s%s=%s", sep, name, attrText(n.Attrs[name]))
		sep = ", "
	}
	if sep == ", " {
		p.f("}")
	}
	if n.Name != "" && (len(n.Outputs) == 0 || n.Outputs[0] == nil || n.Outputs[0].Name != n.Name) {
		p.f("  # %s", n.Name)
	}
	p.f("\n")
	for _, b := range n.Bodies() {
		p.graph(b, indent+"  ")
	}
}

func operand(v *Value) string {
	if v == nil {
		return "_"
	}
	if v.Const == nil {
		return v.Name
	}
	if v.Const.DType() != tensor.String && v.Const.Len() <= 8 && v.Const.Rank() <= 1 && !v.Const.DType().IsComplex() {
		return fmt.Sprintf("%s:%v%v", v.Name, v.Const.DType(), v.Const.Floats())
	}
	return v.Name + ":" + v.Const.String()
}

func attrText(a any) string {
	switch a := a.(type) {
	case string:
		return fmt.Sprintf("%q", a)
	case []string:
		return fmt.Sprintf("%q", a)
	case Type:
		return a.String()
	}
	return fmt.Sprint(a)
}
