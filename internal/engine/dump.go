package engine

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/edgewise-ml/edgewise/tensor"
)

// Dump writes the plan as text: its steps with their buffers, and its memory.
func (p *Plan) Dump(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintf(tw, "plan %s: %v, %d threads, %d steps, arena %d bytes, weights %d bytes\n", p.name, p.level, p.threads, len(p.steps), p.arenaBytes, p.weights)
	fmt.Fprintln(tw, "#\tname\toperators\tkernel\tMACs\treads\twrites\tlive\tnotes")
	live := p.live()
	for i, st := range p.steps {
		notes := strings.Join(st.rules, " ")
		if st.fallback {
			notes = strings.TrimSpace(notes + " fallback: " + st.reason)
		}
		fmt.Fprintf(tw, "%d\t%s\t%s\t%s\t%d\t%s\t%s\t%d\t%s\n", i, st.name, st.op, st.kernel, st.macs, dumpRefs(st.reads), dumpRefs(st.writes), live[i], notes)
	}
	return tw.Flush()
}

func dumpRefs(list []*ref) string {
	var out []string
	for _, r := range list {
		out = append(out, r.String())
	}
	return strings.Join(out, " ")
}

// String shows where a tensor lies, as in "a+4096:uint8[1x3x8x8]".
func (r *ref) String() string {
	where := ""
	switch b := r.buf; b.place {
	case inArena:
		where = fmt.Sprintf("a+%d", b.offset+r.off)
	case inConst:
		where = "const"
	case inInput:
		where = fmt.Sprintf("in%d", b.index)
	case inOutput:
		where = fmt.Sprintf("out%d", b.index)
	case inHeap:
		return fmt.Sprintf("heap%d", b.index)
	}
	s := where + ":" + r.dtype.String()
	if r.biased {
		s += "+128"
	}
	s += tensor.FormatShape(r.shape)
	if !r.plain() {
		s += fmt.Sprintf("/%v", r.strides)
	}
	return s
}
