package onnx

import (
	"fmt"
	"slices"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/op"
	"github.com/edgewise-ml/edgewise/tensor"
)

// upgrades lists, per operator of the default domain, the versions at which its form
// changed so that an older node must be rewritten. Steps are applied in order: each
// turns a node of a version before its own into one of its version. Changes that only
// allow more (types, negative axes, new optional inputs) need no step.
var upgrades map[string][]step

type step struct {
	before int64
	apply  func(*upgrader) error
}

// legacy names operators that exist in old opsets only.
var legacy = map[string]bool{
	"Affine": true, "ConstantFill": true, "Crop": true, "ImageScaler": true, "ParametricSoftplus": true,
	"ScaledTanh": true, "Scatter": true, "Upsample": true,
}

func init() { // steps refer back to the table through the nodes that they add
	upgrades = map[string][]step{
		"Add":                       {{7, alignedOperand}},
		"Affine":                    {{7, affine}},
		"And":                       {{7, alignedOperand}},
		"BatchNormalization":        {{9, perActivation}, {14, trainingOutputs}},
		"Cast":                      {{6, castByName}},
		"Clip":                      {{11, clipBounds}},
		"Concat":                    {{4, defaultInt("axis", 1)}},
		"ConstantFill":              {{7, constantFill}},
		"Crop":                      {{7, crop}},
		"DFT":                       {{20, dftAxis}},
		"Div":                       {{7, alignedOperand}},
		"Dropout":                   {{12, dropout}},
		"Equal":                     {{7, alignedOperand}},
		"GRU":                       {{7, drop("output_sequence")}},
		"Gemm":                      {{7, drop("broadcast")}},
		"GlobalLpPool":              {{2, intAttr("p", 2)}},
		"Greater":                   {{7, alignedOperand}},
		"GridSample":                {{20, gridSampleMode}},
		"GroupNormalization":        {{21, groupParameters}},
		"Hardmax":                   {{13, flattened}},
		"ImageScaler":               {{7, imageScaler}},
		"LSTM":                      {{7, drop("output_sequence")}},
		"Less":                      {{7, alignedOperand}},
		"LogSoftmax":                {{13, flattened}},
		"LpPool":                    {{2, intAttr("p", 2)}},
		"Mul":                       {{7, alignedOperand}},
		"MeanVarianceNormalization": {{9, acrossChannels}},
		"Or":                        {{7, alignedOperand}},
		"PRelu":                     {{7, channelSlope}},
		"Pad":                       {{2, rename("paddings", "pads")}, {11, padInputs}},
		"ParametricSoftplus":        {{7, parametricSoftplus}},
		"Pow":                       {{7, alignedOperand}},
		"RNN":                       {{7, drop("output_sequence")}},
		"ReduceL1":                  {{18, intsInput("axes", 1)}},
		"ReduceL2":                  {{18, intsInput("axes", 1)}},
		"ReduceLogSum":              {{18, intsInput("axes", 1)}},
		"ReduceLogSumExp":           {{18, intsInput("axes", 1)}},
		"ReduceMax":                 {{18, intsInput("axes", 1)}},
		"ReduceMean":                {{18, intsInput("axes", 1)}},
		"ReduceMin":                 {{18, intsInput("axes", 1)}},
		"ReduceProd":                {{18, intsInput("axes", 1)}},
		"ReduceSum":                 {{13, intsInput("axes", 1)}},
		"ReduceSumSquare":           {{18, intsInput("axes", 1)}},
		"Reshape":                   {{5, intsInput("shape", 1)}},
		"Resize":                    {{11, resizeAsymmetric}, {13, resizeTFHalfPixel}, {graph.Opset + 1, resizeEmptyInputs}},
		"RoiAlign":                  {{16, defaultString("coordinate_transformation_mode", "output_half_pixel")}},
		"ScaledTanh":                {{7, scaledTanh}},
		"Scan":                      {{9, batchedScan}},
		"Scatter":                   {{graph.Opset + 1, renameOp("ScatterElements")}},
		"Selu":                      {{6, seluConstants}},
		"Slice":                     {{10, sliceInputs}},
		"Softmax":                   {{13, flattened}},
		"Split":                     {{13, splitSizes}, {18, splitCount}},
		"Squeeze":                   {{13, intsInput("axes", 1)}},
		"Sub":                       {{7, alignedOperand}},
		"Tile":                      {{6, tileRepeats}},
		"TopK":                      {{10, topK}},
		"Unsqueeze":                 {{13, intsInput("axes", 1)}},
		"Upsample":                  {{7, upsampleAttributes}, {9, upsampleScales}, {graph.Opset + 1, upsample}},
		"Xor":                       {{7, alignedOperand}},
	}
}

// upgrader rewrites one node. Steps change n in place; nodes that must come before it
// are added at once, those that follow it through after.
type upgrader struct {
	im      *importer
	g       *graph.Graph
	outputs []string    // names in the file
	n       *graph.Node // nil when the steps have replaced it altogether
	version int64       // of the node's domain, 0 when not imported
	after   []func() error
}

// inferBelow is the opset from which no step asks for types.
const inferBelow = 21

func (u *upgrader) run() error {
	n := u.n
	if n.Domain == "" {
		if u.version == 0 {
			return fmt.Errorf("the file imports no opset of the default domain")
		}
		if u.version < 6 {
			delete(n.Attrs, "consumed_inputs")
		}
		for applied := true; applied && u.n != nil; {
			applied = false
			name := u.n.Op
			for _, s := range upgrades[name] {
				if u.version >= s.before {
					continue
				}
				if err := s.apply(u); err != nil {
					return fmt.Errorf("cannot be upgraded from opset %d: %w", u.version, err)
				}
				if u.n == nil {
					break
				}
				if u.n.Op != name { // a new name has steps of its own
					applied = true
					break
				}
			}
		}
	}
	if u.n != nil {
		if err := u.finish(u.n); err != nil {
			return err
		}
	}
	for _, f := range u.after {
		if err := f(); err != nil {
			return err
		}
	}
	return nil
}

func (u *upgrader) finish(n *graph.Node) error {
	if op.Of(n) == nil {
		if !u.im.opts.KeepUnknown {
			key := op.Key{Domain: n.Domain, Name: n.Op}
			return &UnsupportedError{Ops: []UnsupportedOp{{Key: key, Version: u.version, Count: 1, Node: n.String()}}}
		}
	} else if err := op.Check(n); err != nil {
		return err
	}
	return u.im.emit(u.g, n, n.Domain == "" && u.version < inferBelow)
}

// add puts a node of the default domain, in canonical form, before or after u.n and
// returns its output.
func (u *upgrader) add(opName, suffix string, attrs graph.Attrs, inputs ...*graph.Value) *graph.Value {
	n := u.g.NewNode(opName, "", "", attrs, inputs, u.base()+suffix)
	err := op.Check(n)
	if err == nil {
		err = u.im.emit(u.g, n, true)
	}
	if err != nil {
		u.after = append(u.after, func() error { return err })
	}
	return n.Outputs[0]
}

// base is what names of added values begin with.
func (u *upgrader) base() string {
	if u.n != nil {
		if u.n.Name != "" {
			return u.n.Name
		}
		for _, o := range u.n.Outputs {
			if o != nil {
				return o.Name
			}
		}
	}
	return "upgraded"
}

func (u *upgrader) ints(suffix string, v ...int64) *graph.Value {
	return u.g.Ints(u.base()+suffix, v...)
}

// scalar returns a constant of the element type of like. Where that is not known it is
// converted when the model runs.
func (u *upgrader) scalar(suffix string, v float32, like *graph.Value) *graph.Value {
	d := tensor.Float32
	if like != nil && like.Type.DType.IsFloat() {
		d = like.Type.DType
	}
	t := tensor.New(d)
	t.SetFloat(0, float64(v))
	c := u.g.Constant(u.base()+suffix, t)
	if like != nil && like.Type.DType == tensor.Invalid {
		return u.add("CastLike", suffix+"_cast", nil, c, like)
	}
	return c
}

// setInput stores input i, with absent ones before it if need be.
func (u *upgrader) setInput(i int, v *graph.Value) {
	for len(u.n.Inputs) <= i {
		u.n.Inputs = append(u.n.Inputs, nil)
	}
	u.n.Inputs[i] = v
}

// need returns input i, which must be there.
func (u *upgrader) need(i int) (*graph.Value, error) {
	if v := u.n.In(i); v != nil {
		return v, nil
	}
	return nil, fmt.Errorf("input %d is missing", i)
}

// wrapOutput gives the node a new output i and makes the old one by an operator that
// follows it, from the new one and further inputs.
func (u *upgrader) wrapOutput(i int, opName string, attrs graph.Attrs, more ...*graph.Value) {
	if u.n.Out(i) == nil {
		return
	}
	old := u.n.Outputs[i]
	raw := u.g.NewValue(old.Name+"_raw", graph.Type{DType: old.Type.DType})
	u.n.Outputs[i] = raw
	u.after = append(u.after, func() error {
		n := &graph.Node{Op: opName, Attrs: attrs, Inputs: append([]*graph.Value{raw}, more...), Outputs: []*graph.Value{old}}
		return u.im.emit(u.g, n, true)
	})
}

// replace makes the node's output 0 by another operator, and the node itself none.
func (u *upgrader) replace(opName string, attrs graph.Attrs, inputs ...*graph.Value) error {
	if len(u.n.Outputs) != 1 {
		return fmt.Errorf("has %d outputs, want 1", len(u.n.Outputs))
	}
	u.n.Op, u.n.Attrs, u.n.Inputs = opName, attrs, inputs
	return nil
}

// rank returns the rank of v when it is known.
func rank(v *graph.Value) (int, bool) {
	if v == nil || v.Type.Kind != graph.KindTensor || v.Type.Shape == nil {
		return 0, false
	}
	return len(v.Type.Shape), true
}

func defaultInt(name string, v int64) func(*upgrader) error {
	return func(u *upgrader) error {
		if !u.n.Attrs.Has(name) {
			u.n.Attrs[name] = v
		}
		return nil
	}
}

func defaultString(name, v string) func(*upgrader) error {
	return func(u *upgrader) error {
		if !u.n.Attrs.Has(name) {
			u.n.Attrs[name] = v
		}
		return nil
	}
}

func drop(names ...string) func(*upgrader) error {
	return func(u *upgrader) error {
		for _, name := range names {
			delete(u.n.Attrs, name)
		}
		return nil
	}
}

func rename(from, to string) func(*upgrader) error {
	return func(u *upgrader) error {
		if v, ok := u.n.Attrs[from]; ok {
			delete(u.n.Attrs, from)
			u.n.Attrs[to] = v
		}
		return nil
	}
}

func renameOp(to string) func(*upgrader) error {
	return func(u *upgrader) error { u.n.Op = to; return nil }
}

// intAttr turns an attribute that was a float into an integer.
func intAttr(name string, def int64) func(*upgrader) error {
	return func(u *upgrader) error {
		v := int64(u.n.Attrs.Float(name, float32(def)))
		if u.n.Attrs.Has(name) {
			u.n.Attrs[name] = v
		}
		return nil
	}
}

// intsInput turns an attribute that is a list of integers into input i.
func intsInput(name string, i int) func(*upgrader) error {
	return func(u *upgrader) error {
		v, ok := u.n.Attrs[name].([]int64)
		if !ok && u.n.Attrs.Has(name) {
			return fmt.Errorf("attribute %s is not a list of integers", name)
		}
		delete(u.n.Attrs, name)
		if !ok || len(v) == 0 && name == "axes" {
			return nil
		}
		if u.n.In(i) != nil {
			return fmt.Errorf("%s is given both as an attribute and as input %d", name, i)
		}
		u.setInput(i, u.ints("_"+name, slices.Clone(v)...))
		return nil
	}
}
