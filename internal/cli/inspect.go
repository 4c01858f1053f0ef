package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/edgewise-ml/edgewise"
	"github.com/edgewise-ml/edgewise/internal/engine"
	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/onnx"
	"github.com/edgewise-ml/edgewise/internal/op"
	"github.com/edgewise-ml/edgewise/internal/rewrite"
	"github.com/edgewise-ml/edgewise/tensor"
)

type inspectFlags struct {
	svg, dump, stage string
	passes, steps    bool
}

// inspectReport is what inspect --json writes.
type inspectReport struct {
	Model          string            `json:"model"`
	Name           string            `json:"name"`
	Doc            string            `json:"doc,omitempty"`
	Inputs         []portReport      `json:"inputs"`
	Outputs        []portReport      `json:"outputs"`
	Nodes          int               `json:"nodes"`
	Operators      []operatorReport  `json:"operators"`
	Parameters     int64             `json:"parameters"`
	ParameterBytes int64             `json:"parameter_bytes"`
	SizeBytes      int64             `json:"size_bytes"` // of the file; 0 for a built-in network
	Metadata       map[string]string `json:"metadata"`
	Plan           *planReport       `json:"plan,omitempty"` // absent where the model cannot be compiled
	Passes         []passReport      `json:"passes,omitempty"`
}

type portReport struct {
	Name  string `json:"name"`
	Type  string `json:"type"`
	DType string `json:"dtype,omitempty"`
	Shape []int  `json:"shape"` // -1 where unknown; null where not even the rank is known
}

type operatorReport struct {
	Op         string `json:"op"`
	Count      int    `json:"count"`
	Parameters int64  `json:"parameters"`
	Known      bool   `json:"known"`
}

// planReport is what the engine makes of the model.
type planReport struct {
	Threads     int            `json:"threads"`
	Tier        string         `json:"tier"`
	MACs        int64          `json:"macs"`
	ArenaBytes  int            `json:"arena_bytes"` // peak working memory of one session
	WeightBytes int            `json:"weight_bytes"`
	Scratch     int            `json:"scratch_bytes"` // of the arena, for each thread
	Steps       []planStep     `json:"steps"`
	Buffers     []planBuffer   `json:"buffers"`
	Fused       map[string]int `json:"fused"` // by lowering rule
	Float       []floatReport  `json:"float_islands"`
}

// planStep is a step with the memory that is alive while it runs.
type planStep struct {
	Name     string `json:"name"`
	Op       string `json:"op"`
	Kernel   string `json:"kernel"`
	Why      string `json:"why,omitempty"` // it was taken; absent where reason tells
	MACs     int64  `json:"macs"`
	Live     int    `json:"live_bytes"`
	Fallback bool   `json:"fallback"`
	Reason   string `json:"reason,omitempty"`
}

// planBuffer is a piece of the arena and the steps during which it is in use.
type planBuffer struct {
	Name   string `json:"name"`
	Offset int    `json:"offset_bytes"`
	Size   int    `json:"size_bytes"`
	First  int    `json:"first_step"`
	Last   int    `json:"last_step"`
	Within string `json:"in_place_of,omitempty"`
}

// floatReport is a part of a quantized model that stays in floating point.
type floatReport struct {
	Node   string `json:"node"`
	Op     string `json:"op"`
	Reason string `json:"reason"`
}

type passReport struct {
	Pipeline string `json:"pipeline"`
	Pass     string `json:"pass"`
	Changes  int    `json:"changes"`
}

// Stages of a model on its way to the machine.
const (
	stageRead       = "read"       // as the file has it, in the newest operator set
	stageSimplified = "simplified" // after the passes that any runtime profits from
	stageLowered    = "lowered"    // as the engine compiles it, integer operators in place
	stagePlan       = "plan"       // the program: steps, buffers, memory
)

func (a *app) inspect() *cobra.Command {
	f := inspectFlags{}
	cmd := &cobra.Command{
		Use:   "inspect MODEL",
		Short: "Show what is in a model",
		Long: `Shows inputs and outputs, operators, parameters, multiply-accumulates (MACs), and the
memory that the engine's plan takes. --svg draws the graph. --dump prints a stage as
text: read, simplified, lowered or plan.`,
		Example: `  edgewise inspect model.onnx
  edgewise inspect model.tflite --svg graph.svg --stage lowered
  edgewise inspect model.onnx --dump plan`,
		Args: arguments(1, 1, "one model"),
		RunE: func(cmd *cobra.Command, args []string) error { return a.runInspect(cmd.Context(), args[0], f) },
	}
	a.modelFlags(cmd)
	a.tuningFlag(cmd)
	a.jsonFlag(cmd)
	fl := cmd.Flags()
	fl.StringVar(&f.svg, "svg", "", "draw the graph into an svg `file`")
	fl.StringVar(&f.stage, "stage", stageRead, "what --svg draws: read, simplified or lowered")
	fl.StringVar(&f.dump, "dump", "", "print a `stage` as text instead of the summary")
	fl.BoolVar(&f.passes, "passes", false, "show what each graph pass changes")
	fl.BoolVar(&f.steps, "steps", false, "show all steps of the plan, and where each buffer lies in memory and when")
	return cmd
}

func (a *app) runInspect(ctx context.Context, path string, f inspectFlags) error {
	stages := []string{stageRead, stageSimplified, stageLowered}
	if !slices.Contains(stages, f.stage) {
		return usagef("--stage %q is not one of %s", f.stage, strings.Join(stages, ", "))
	}
	if stages = append(stages, stagePlan); f.dump != "" && !slices.Contains(stages, f.dump) {
		return usagef("--dump %q is not one of %s", f.dump, strings.Join(stages, ", "))
	}
	if err := folderOf(f.svg); err != nil { // of "": the working directory
		return err
	}
	opts, err := a.options()
	if err != nil {
		return err
	}
	m, unsupported, err := openAnyway(path)
	if err != nil {
		return err
	}
	a.sealedAs(path, m)
	if err := m.CheckSealed(); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if _, err := a.shapeFlags(m); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	var plan *engine.Plan
	unplanned := unsupported
	if unsupported == nil {
		if plan, unplanned = a.plan(m, opts); unplanned != nil {
			a.warn("no plan could be made, so memory and MACs are not known: %v", unplanned)
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	staged := func(stage string) (*graph.Graph, error) {
		if stage != stageRead && unsupported != nil {
			return nil, unsupported
		}
		switch stage {
		case stageSimplified:
			g := m.Graph().Clone()
			_, err := rewrite.Simplify(g, rewrite.Options{})
			return g, err
		case stageLowered:
			if plan == nil {
				return nil, unplanned
			}
			return plan.Graph(), nil
		}
		return m.Graph(), nil
	}
	if f.svg != "" {
		g, err := staged(f.stage)
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := writeFile(f.svg, func(w io.Writer) error { return drawGraph(w, g) }); err != nil {
			return err
		}
	}
	if f.dump == stagePlan {
		if plan == nil {
			return unplanned
		}
		return plan.Dump(a.out)
	}
	if f.dump != "" {
		g, err := staged(f.dump)
		if err != nil {
			return err
		}
		return g.Dump(a.out)
	}
	r := summarize(path, m)
	if plan != nil {
		r.Plan = describePlan(plan)
	}
	if f.passes && unsupported == nil {
		if r.Passes, err = passes(m.Graph()); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if a.json {
		err = a.writeJSON(r)
	} else {
		a.printInspect(r, f.steps)
	}
	return errors.Join(err, unsupported)
}

// openAnyway opens a model also where it has unknown operators, which it returns as an
// error of their own: looking at such a model should still be possible.
func openAnyway(path string) (*edgewise.Model, error, error) {
	m, err := edgewise.Open(path)
	var unknown *onnx.UnsupportedError
	if !errors.As(err, &unknown) {
		return m, nil, err
	}
	g, keep := onnx.Read(path, onnx.ReadOptions{KeepUnknown: true})
	if keep != nil {
		return nil, nil, err
	}
	return edgewise.FromGraph(g), err, nil
}

// plan compiles a model for the shapes of the flags.
func (a *app) plan(m *edgewise.Model, opts edgewise.Options) (*engine.Plan, error) {
	given, err := a.shapeFlags(m)
	if err != nil {
		return nil, err
	}
	shapes, err := a.boundShapes(m, given)
	if err != nil {
		return nil, err
	}
	defer a.remark(m)
	return m.Plan(opts, shapes)
}

func summarize(path string, m *edgewise.Model) *inspectReport {
	g := m.Graph()
	r := &inspectReport{Model: path, Name: g.Name, Doc: g.Doc, Inputs: ports(g.Inputs), Outputs: ports(g.Outputs), Metadata: maps.Clone(g.Meta)}
	if r.Metadata == nil {
		r.Metadata = map[string]string{}
	}
	if info, err := os.Stat(path); err == nil && !strings.HasPrefix(path, edgewise.ZooPrefix) {
		r.SizeBytes = info.Size()
	}
	for _, c := range g.Constants() {
		r.Parameters += int64(c.Const.Len())
		r.ParameterBytes += int64(c.Const.SizeBytes())
	}
	by := map[op.Key]*operatorReport{}
	counted := map[*tensor.Tensor]bool{}
	g.Walk(func(_ *graph.Graph, n *graph.Node) {
		r.Nodes++
		k := op.Key{Domain: n.Domain, Name: n.Op}
		o := by[k]
		if o == nil {
			o = &operatorReport{Op: k.String(), Known: op.Of(n) != nil}
			by[k] = o
		}
		o.Count++
		for _, in := range n.Inputs {
			if in != nil && in.Const != nil && !counted[in.Const] {
				counted[in.Const] = true
				o.Parameters += int64(in.Const.Len())
			}
		}
	})
	r.Operators = []operatorReport{}
	for _, o := range by {
		r.Operators = append(r.Operators, *o)
	}
	slices.SortFunc(r.Operators, func(a, b operatorReport) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Op, b.Op))
	})
	return r
}

func ports(vs []*graph.Value) []portReport {
	out := []portReport{}
	for _, v := range vs {
		p := portReport{Name: v.Name, Type: v.Type.String()}
		if v.Type.Kind == graph.KindTensor && v.Type.DType.Valid() {
			p.DType = v.Type.DType.String()
		}
		if v.Type.Shape != nil {
			p.Shape = []int{}
			for _, d := range v.Type.Shape {
				p.Shape = append(p.Shape, d.Size)
			}
		}
		out = append(out, p)
	}
	return out
}

func describePlan(p *engine.Plan) *planReport {
	r := &planReport{Threads: p.Threads(), Tier: p.Level().String(), ArenaBytes: p.ArenaBytes(), WeightBytes: p.WeightBytes(),
		Scratch: p.ScratchBytes(), Steps: []planStep{}, Buffers: []planBuffer{}, Fused: p.Fused(), Float: []floatReport{}}
	for _, s := range p.Steps() {
		r.MACs += s.MACs
		r.Steps = append(r.Steps, planStep{Name: s.Name, Op: s.Op, Kernel: s.Kernel, Why: s.Why, MACs: s.MACs, Live: s.Arena, Fallback: s.Fallback, Reason: s.Reason})
	}
	for _, b := range p.Buffers() {
		r.Buffers = append(r.Buffers, planBuffer(b))
	}
	for _, n := range p.Notes() {
		r.Float = append(r.Float, floatReport{n.Node, n.Op, n.Reason})
	}
	return r
}

// passes runs the graph passes on a copy and counts their changes.
func passes(g *graph.Graph) ([]passReport, error) {
	c := g.Clone()
	out := []passReport{}
	count := func(pipeline string, s rewrite.Stats) {
		for _, name := range slices.Sorted(maps.Keys(s)) {
			out = append(out, passReport{pipeline, name, s[name]})
		}
	}
	s, err := rewrite.Simplify(c, rewrite.Options{})
	if err != nil {
		return nil, err
	}
	count("simplify", s)
	if s, _, err = rewrite.Legalize(c, rewrite.Options{}); err != nil {
		return nil, err
	}
	count("legalize", s)
	return out, nil
}
