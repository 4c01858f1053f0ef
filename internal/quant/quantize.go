package quant

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// Config says how Quantize goes about it. The zero value is static int8 with uint8
// activations by their extremes and weights per channel.
type Config struct {
	Method     Method
	Share      float64      // of the values that Percentile keeps; 0 means 0.9999
	Activation tensor.DType // Uint8 or Int8; Invalid means Uint8
	PerTensor  bool         // one scale per weight tensor
	WeightMSE  bool         // weight ranges by least squared error instead of extremes

	// Bits of weights, 2 to 8; 0 means 8. Fewer than 8 are stored as int8 that keep to a
	// smaller range: kernels and other runtimes take them as they are. LayerBits makes
	// exceptions by layer.
	Bits      int
	LayerBits map[string]int

	// Keep names layers that stay in floating point, with the reason for the report.
	Keep map[string]string

	// Only, where not nil, names the only layers with weights that are quantized.
	Only map[string]bool

	// Tail quantizes what comes after the last layer with weights too, such as the
	// concatenation and the sigmoids of a detector's head. It mixes ranges and ties
	// scores, and saves little.
	Tail bool

	// IntegerIO makes inputs and outputs of the graph 8-bit where they are quantized.
	IntegerIO bool
}

// grid returns how the weights of a layer are stored.
func (c *Config) grid(layer string) weightGrid {
	g := weightGrid{c.Bits, c.PerTensor, c.WeightMSE}
	if b := c.LayerBits[layer]; b != 0 {
		g.bits = b
	}
	return g
}

// validateBits checks every number of bits.
func (c *Config) validateBits() error {
	check := func(b int) bool { return b == 0 || b >= 2 && b <= 8 }
	if !check(c.Bits) {
		return fmt.Errorf("quantize: weights of %d bits are not possible, only 2 to 8", c.Bits)
	}
	for _, name := range slices.Sorted(maps.Keys(c.LayerBits)) {
		if b := c.LayerBits[name]; !check(b) {
			return fmt.Errorf("quantize: weights of %d bits for %s are not possible, only 2 to 8", b, name)
		}
	}
	return nil
}

// Result is a quantized graph and what is known of it.
type Result struct {
	Graph  *graph.Graph
	Layers []Layer

	// Values gives, for a value of the float graph that is stored in 8 bits, the name of
	// its dequantized form in Graph.
	Values map[string]string
}

// Layer tells what became of a node.
type Layer struct {
	Node      string
	Op        string
	Quantized bool
	Reason    string // why it stayed float
	Bits      int    // of its activations: 8 or 32
	Output    string // the float graph's value that it makes
	Range     Range  // of the output, as calibrated
	Params    Params // of the output
	Weights   *WeightInfo

	// SQNR is the ratio in dB of the power of the float output to that of its
	// difference from the quantized one, everything before it quantized. Measure sets it;
	// NaN means not measured.
	SQNR float64
}

// WeightInfo tells how a layer's weights were quantized.
type WeightInfo struct {
	Shape              []int
	Bits               int
	PerChannel         bool
	MinScale, MaxScale float32
	SQNR               float64 // of the weights themselves, in dB
}

// MetaMode is the metadata key under which a quantized graph says how it was made.
const MetaMode = "edgewise.quantization"

// Quantize returns g in QDQ form. cal must come from the same graph. A node that cannot
// be quantized, or need not be, stays float and is listed with the reason; values are
// converted at the borders only.
func Quantize(g *graph.Graph, cal *Calibration, cfg Config) (*Result, error) {
	switch cfg.Activation {
	case tensor.Invalid:
		cfg.Activation = tensor.Uint8
	case tensor.Uint8, tensor.Int8:
	default:
		return nil, fmt.Errorf("quantize: activations cannot be %v, only uint8 or int8", cfg.Activation)
	}
	if err := cfg.validateBits(); err != nil {
		return nil, err
	}
	if cal == nil {
		return nil, errors.New("quantize: there is no calibration")
	}
	q := &quantizer{cfg: cfg, cal: cal, g: g.Clone(), float: g, res: &Result{Values: map[string]string{}}, tag: map[*graph.Value]*stored{}}
	q.layout = newLayout(q.g)
	q.decide()
	q.share()
	q.assign()
	if err := q.emit(); err != nil {
		return nil, fmt.Errorf("quantize %s: %w", g.Name, err)
	}
	if q.g.Meta == nil {
		q.g.Meta = map[string]string{}
	}
	q.g.Meta[MetaMode] = fmt.Sprintf("static int8, ranges by %v", cfg.Method)
	q.res.Graph = q.g
	if err := q.g.Verify(); err != nil {
		return nil, fmt.Errorf("quantize %s: %w", g.Name, err)
	}
	return q.res, nil
}

// stored is a set of values with one scale and zero point.
type stored struct {
	parent *stored // of the union-find forest
	v      *graph.Value
	range_ Range
	params Params

	scale, zero *graph.Value // constants, once made
}

func (s *stored) root() *stored {
	for s.parent != nil {
		s = s.parent
	}
	return s
}

type quantizer struct {
	cfg    Config
	cal    *Calibration
	float  *graph.Graph
	g      *graph.Graph
	layout *layout
	res    *Result
	tag    map[*graph.Value]*stored // of every value that is stored in 8 bits
}

// decide settles which islands are quantized.
func (q *quantizer) decide() {
	l := q.layout
	for _, s := range l.islands {
		if s.role == staysFloat {
			continue
		}
		name := s.head().Label()
		if r, ok := q.cfg.Keep[name]; ok {
			s.role, s.reason = staysFloat, r
			if r == "" {
				s.reason = "asked for"
			}
			continue
		}
		if s.role == weighted && q.cfg.Only != nil && !q.cfg.Only[name] {
			s.reason = "not among those asked for"
			s.role = staysFloat
			continue
		}
		if r := q.unknownRange(s); r != "" {
			s.role, s.reason = staysFloat, r
			continue
		}
		s.on = s.role == weighted
	}
	for changed := true; changed; {
		changed = false
		for _, s := range l.islands {
			if s.on || s.role == staysFloat || !s.leads && !q.cfg.Tail {
				continue
			}
			if q.touches(s) {
				s.on, changed = true, true
			}
		}
	}
	for _, s := range l.islands {
		switch {
		case s.on || s.reason != "":
		case !s.leads && !q.cfg.Tail:
			s.reason = "comes after the last layer with weights"
		default:
			s.reason = "has no quantized neighbour"
		}
	}
}

// unknownRange reports why a value of s has no range.
func (q *quantizer) unknownRange(s *island) string {
	l := q.layout
	check := append([]*graph.Value{}, s.inputs...)
	if s.role != same {
		check = append(check, s.out)
	}
	for _, v := range check {
		o := l.origin(v)
		if o.Const != nil {
			continue
		}
		switch st := q.cal.Values[o.Name]; {
		case st == nil:
			return fmt.Sprintf("value %s was not calibrated", o.Name)
		case st.NonFinite > 0:
			return fmt.Sprintf("value %s is not always finite", o.Name)
		case st.Samples == 0:
			return fmt.Sprintf("value %s was always empty", o.Name)
		}
	}
	return ""
}

// touches reports whether a neighbour of s is quantized.
func (q *quantizer) touches(s *island) bool {
	l := q.layout
	for _, v := range s.inputs {
		if p := l.producer(v); p != nil && p.on {
			return true
		}
	}
	for _, o := range s.results() {
		for _, u := range l.users[o.ID] {
			if l.of[u].on && slices.Contains(l.of[u].inputs, o) {
				return true
			}
		}
	}
	return false
}

// results returns the float values that s makes for others.
func (s *island) results() []*graph.Value {
	if s.role != same {
		return []*graph.Value{s.out}
	}
	var out []*graph.Value
	for _, o := range s.head().Outputs {
		if o != nil {
			out = append(out, o)
		}
	}
	return out
}

// share names the values that are stored in 8 bits and joins those that movement ties
// together.
func (q *quantizer) share() {
	of := func(v *graph.Value) *stored {
		if q.tag[v] == nil {
			q.tag[v] = &stored{v: v}
		}
		return q.tag[v]
	}
	for _, s := range q.layout.islands {
		if !s.on {
			continue
		}
		for _, v := range s.inputs {
			of(v)
		}
		for _, v := range s.results() {
			t := of(v)
			if s.role == same {
				if a, b := of(s.inputs[0]).root(), t.root(); a != b {
					b.parent = a
				}
			}
		}
	}
}

// assign gives every set of values its parameters.
func (q *quantizer) assign() {
	l := q.layout
	seen := map[*stored]bool{}
	for _, v := range q.inOrder() {
		t := q.tag[v]
		if r := t.root(); !seen[r] {
			seen[r] = true
			r.range_ = q.rangeOf(l.origin(r.v))
		}
	}
	// A concatenation copies bytes where its operands have the parameters of the
	// result. Operands that nearly fill the result's range are given them; others would
	// lose resolution and keep their own.
	for _, s := range l.islands {
		if s.on && s.head().Is("Concat") && len(s.nodes) == 1 && len(s.consts) == 0 {
			q.joinOperands(s)
		}
	}
	q.narrow()
	for r := range seen {
		if r.parent == nil {
			r.params = paramsOf(r.range_, q.cfg.Activation)
		}
	}
}

// fills is the least share of a common range that an operand must span to be given it:
// a quarter of a bit is lost then.
const fills = 0.84

func (q *quantizer) joinOperands(s *island) {
	out := q.tag[s.out].root()
	span := func(r Range) float64 { return max(r.Hi, 0) - min(r.Lo, 0) }
	for _, v := range s.inputs {
		in := q.tag[v].root()
		if in == out {
			continue
		}
		u := Range{min(in.range_.Lo, out.range_.Lo), max(in.range_.Hi, out.range_.Hi)}
		if span(in.range_) >= fills*span(u) && span(out.range_) >= fills*span(u) {
			in.parent = out
			out.range_ = u
		}
	}
}

// inOrder returns the values that are stored in 8 bits in a fixed order.
func (q *quantizer) inOrder() []*graph.Value {
	var out []*graph.Value
	add := func(v *graph.Value) {
		if v != nil && q.tag[v] != nil {
			out = append(out, v)
		}
	}
	for _, v := range q.g.Inputs {
		add(v)
	}
	for _, n := range q.g.Nodes {
		for _, v := range n.Outputs {
			add(v)
		}
	}
	return out
}

// rangeOf returns the range of a value that is no result of movement.
func (q *quantizer) rangeOf(v *graph.Value) Range {
	if p := q.layout.producer(v); p != nil && p.role == elementwise && len(p.nodes) == 1 {
		if r, ok := fixedRange(p.head()); ok {
			return r
		}
	}
	return q.cal.Values[v.Name].Range(q.cfg.Method, q.cfg.Share)
}
