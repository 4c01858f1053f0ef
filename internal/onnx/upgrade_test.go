package onnx

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/op"
	"github.com/edgewise-ml/edgewise/tensor"
)

// run evaluates g node by node; the graphs here have no captures.
func run(g *graph.Graph, inputs []op.Value) ([]op.Value, error) {
	vals := map[*graph.Value]op.Value{}
	for i, v := range g.Inputs {
		vals[v] = inputs[i]
	}
	get := func(v *graph.Value) op.Value {
		if v == nil {
			return nil
		}
		if v.Const != nil {
			return v.Const
		}
		return vals[v]
	}
	for _, n := range g.Nodes {
		e := &op.Eval{Node: n, Out: make([]op.Value, len(n.Outputs)), Run: run}
		for _, v := range n.Inputs {
			e.In = append(e.In, get(v))
		}
		if err := op.Evaluate(e); err != nil {
			return nil, err
		}
		for i, v := range n.Outputs {
			vals[v] = e.Out[i]
		}
	}
	var out []op.Value
	for _, v := range g.Outputs {
		out = append(out, get(v))
	}
	return out, nil
}

func intsAttr(name string, v ...int64) fill {
	return attrField(name, attrInts, func(a *buffer) { a.packed(8, v) })
}

func attrInt64(name string, v int64) fill {
	return attrField(name, attrInt, func(a *buffer) { a.int(3, v) })
}

func attrFloat32(name string, v float32) fill {
	return attrField(name, attrFloat, func(a *buffer) { a.float(2, v) })
}

func attrFloats32(name string, v ...float32) fill {
	return attrField(name, attrFloats, func(a *buffer) { a.raw(7, tensor.Of(v, len(v)).Bytes()) })
}

func attrText(name, v string) fill {
	return attrField(name, attrString, func(a *buffer) { a.text(4, v) })
}

func attrField(name string, kind int64, value fill) fill {
	return func(n *buffer) {
		n.message(5, func(a *buffer) {
			a.text(1, name)
			value(a)
			a.int(20, kind)
		})
	}
}

func f32(shape []int, v ...float32) *tensor.Tensor { return tensor.Of(v, shape...) }

func seq(shape ...int) *tensor.Tensor {
	t := tensor.New(tensor.Float32, shape...)
	for i := range t.Len() {
		t.F32()[i] = float32(i)
	}
	return t
}

func scalar(v float32) *tensor.Tensor { return tensor.Scalar(v) }

func i64(v ...int64) *tensor.Tensor { return tensor.Of(v, len(v)) }

// TestUpgrade evaluates nodes in forms that have gone.
func TestUpgrade(t *testing.T) {
	const third = 1.0 / 3
	for _, c := range []struct {
		op      string
		version int64
		attrs   []fill
		in      []*tensor.Tensor
		want    *tensor.Tensor
	}{
		{"Add", 6, []fill{attrInt64("broadcast", 1), attrInt64("axis", 1)}, []*tensor.Tensor{seq(1, 2, 2), f32([]int{2}, 10, 20)}, f32([]int{1, 2, 2}, 10, 11, 22, 23)},
		{"Add", 6, []fill{attrInt64("broadcast", 1), attrInt64("axis", -2)}, []*tensor.Tensor{seq(1, 2, 2), f32([]int{2}, 10, 20)}, f32([]int{1, 2, 2}, 10, 11, 22, 23)},
		{"Sub", 1, []fill{attrInt64("broadcast", 1), intsAttr("consumed_inputs", 0, 0)}, []*tensor.Tensor{seq(2, 2), f32([]int{2}, 1, 2)}, f32([]int{2, 2}, -1, -1, 1, 1)},
		{"PRelu", 6, nil, []*tensor.Tensor{f32([]int{1, 2, 2}, -1, 1, -1, 1), f32([]int{2}, 2, 3)}, f32([]int{1, 2, 2}, -2, 1, -3, 1)},
		{"Softmax", 11, []fill{attrInt64("axis", 0)}, []*tensor.Tensor{f32([]int{1, 3}, 5, 5, 5)}, f32([]int{1, 3}, third, third, third)},
		{"Softmax", 7, nil, []*tensor.Tensor{f32([]int{1, 2, 2}, 1, 1, 1, 1)}, f32([]int{1, 2, 2}, .25, .25, .25, .25)},
		{"Hardmax", 11, nil, []*tensor.Tensor{f32([]int{1, 2, 2}, 0, 3, 2, 3)}, f32([]int{1, 2, 2}, 0, 1, 0, 0)},
		{"Clip", 6, []fill{attrFloat32("min", -1), attrFloat32("max", 1)}, []*tensor.Tensor{f32([]int{3}, -2, 0, 2)}, f32([]int{3}, -1, 0, 1)},
		{"Clip", 6, []fill{attrFloat32("max", 1)}, []*tensor.Tensor{f32([]int{3}, -2, 0, 2)}, f32([]int{3}, -2, 0, 1)},
		{"Squeeze", 11, []fill{intsAttr("axes", 0)}, []*tensor.Tensor{seq(1, 2, 1)}, seq(2, 1)},
		{"Unsqueeze", 1, []fill{intsAttr("axes", 0, 2)}, []*tensor.Tensor{seq(2)}, seq(1, 2, 1)},
		{"ReduceMean", 13, []fill{intsAttr("axes", 1), attrInt64("keepdims", 0)}, []*tensor.Tensor{seq(2, 2)}, f32([]int{2}, .5, 2.5)},
		{"ReduceSum", 11, []fill{intsAttr("axes", -1)}, []*tensor.Tensor{seq(2, 2)}, f32([]int{2, 1}, 1, 5)},
		{"Reshape", 1, []fill{intsAttr("shape", 0, -1)}, []*tensor.Tensor{seq(2, 1, 2)}, seq(2, 2)},
		{"Slice", 1, []fill{intsAttr("starts", 1), intsAttr("ends", 9), intsAttr("axes", 1)}, []*tensor.Tensor{seq(2, 2)}, f32([]int{2, 1}, 1, 3)},
		{"Pad", 2, []fill{intsAttr("pads", 1, 0), attrFloat32("value", 7)}, []*tensor.Tensor{seq(2)}, f32([]int{3}, 7, 0, 1)},
		{"Pad", 1, []fill{intsAttr("paddings", 0, 1)}, []*tensor.Tensor{seq(2)}, f32([]int{3}, 0, 1, 0)},
		{"TopK", 1, []fill{attrInt64("k", 1)}, []*tensor.Tensor{f32([]int{3}, 1, 3, 2)}, f32([]int{1}, 3)},
		{"Split", 2, []fill{intsAttr("split", 1)}, []*tensor.Tensor{seq(1)}, seq(1)},
		{"Split", 2, nil, []*tensor.Tensor{seq(2)}, seq(2)},
		{"Concat", 3, nil, []*tensor.Tensor{seq(1, 1), seq(1, 2)}, f32([]int{1, 3}, 0, 0, 1)},
		{"Cast", 1, []fill{attrText("to", "INT64")}, []*tensor.Tensor{seq(2)}, i64(0, 1)},
		{"Tile", 1, nil, []*tensor.Tensor{seq(1, 2), scalar(2), scalar(1)}, f32([]int{1, 4}, 0, 1, 0, 1)},
		{"Upsample", 7, []fill{attrFloats32("scales", 1, 1, 1, 2)}, []*tensor.Tensor{seq(1, 1, 1, 2)}, f32([]int{1, 1, 1, 4}, 0, 0, 1, 1)},
		{"Upsample", 9, []fill{attrText("mode", "linear")}, []*tensor.Tensor{seq(1, 1, 1, 2), f32([]int{4}, 1, 1, 1, 2)}, f32([]int{1, 1, 1, 4}, 0, .5, 1, 1)},
		{"Upsample", 1, []fill{attrFloat32("width_scale", 2), attrFloat32("height_scale", 1)}, []*tensor.Tensor{seq(1, 1, 1, 2)}, f32([]int{1, 1, 1, 4}, 0, 0, 1, 1)},
		{"Resize", 10, nil, []*tensor.Tensor{seq(1, 1, 1, 3), f32([]int{4}, 1, 1, 1, .5)}, f32([]int{1, 1, 1, 1}, 0)},
		{"Resize", 11, []fill{attrText("coordinate_transformation_mode", "tf_half_pixel_for_nn"), attrText("nearest_mode", "floor")},
			[]*tensor.Tensor{seq(1, 1, 1, 4), f32([]int{0}), f32([]int{4}, 1, 1, 1, .5)}, f32([]int{1, 1, 1, 2}, 1, 3)},
		{"Scatter", 9, []fill{attrInt64("axis", 0)}, []*tensor.Tensor{seq(3), i64(2), f32([]int{1}, 9)}, f32([]int{3}, 0, 1, 9)},
		{"Dropout", 7, []fill{attrFloat32("ratio", .9)}, []*tensor.Tensor{seq(3)}, seq(3)},
		{"BatchNormalization", 7, []fill{attrInt64("spatial", 0), attrFloat32("epsilon", 0)},
			[]*tensor.Tensor{seq(1, 1, 2), f32([]int{1, 2}, 2, 2), f32([]int{1, 2}, 1, 1), f32([]int{1, 2}, 0, 1), f32([]int{1, 2}, 1, 4)}, f32([]int{1, 1, 2}, 1, 1)},
		{"GroupNormalization", 18, []fill{attrInt64("num_groups", 1), attrFloat32("epsilon", 0)},
			[]*tensor.Tensor{f32([]int{1, 2, 1}, -1, 1), f32([]int{1}, 3), f32([]int{1}, 1)}, f32([]int{1, 2, 1}, -2, 4)},
		{"ImageScaler", 1, []fill{attrFloat32("scale", 2), attrFloats32("bias", 1)}, []*tensor.Tensor{seq(1, 1, 1, 2)}, f32([]int{1, 1, 1, 2}, 1, 3)},
		{"Affine", 1, []fill{attrFloat32("alpha", 2), attrFloat32("beta", 1)}, []*tensor.Tensor{seq(2)}, f32([]int{2}, 1, 3)},
		{"Crop", 1, []fill{intsAttr("border", 1, 0, 0, 0)}, []*tensor.Tensor{seq(1, 1, 1, 3)}, f32([]int{1, 1, 1, 2}, 1, 2)},
		{"ConstantFill", 1, []fill{intsAttr("shape", 2), attrFloat32("value", 3)}, nil, f32([]int{2}, 3, 3)},
		{"ScaledTanh", 1, []fill{attrFloat32("alpha", 2)}, []*tensor.Tensor{f32([]int{1}, 0)}, f32([]int{1}, 0)},
		{"Selu", 1, nil, []*tensor.Tensor{f32([]int{1}, 10)}, f32([]int{1}, 10.507)},
	} {
		// Types are withheld the first time, so that upgrades cannot lean on them;
		// constant inputs the second.
		for _, constant := range []bool{false, true} {
			name := fmt.Sprintf("%s-%d constant=%v", c.op, c.version, constant)
			if c.op == "Tile" && !constant {
				continue // needs the axis
			}
			got, err := upgraded(c.op, c.version, c.attrs, c.in, constant)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if ok, _, _ := tensor.CloseTo(got, c.want, 1e-6, 1e-6); !ok {
				t.Errorf("%s: got %v %v, want %v %v", name, got, got.Floats(), c.want, c.want.Floats())
			}
		}
	}
}

func upgraded(name string, version int64, attrs []fill, in []*tensor.Tensor, constant bool) (*tensor.Tensor, error) {
	var b buffer
	b.int(1, 3)
	b.message(8, func(in *buffer) { in.int(2, version) })
	b.message(7, func(g *buffer) {
		var names []string
		for i, t := range in {
			names = append(names, fmt.Sprint("in", i))
			if constant {
				g.message(5, func(p *buffer) { new(encoder).inline(p, names[i], t) })
			}
			input(names[i])(g)
		}
		outs := "y"
		if name == "TopK" {
			outs = "y indices"
		}
		node(name, strings.Join(names, " "), outs, attrs...)(g)
		output("y")(g)
	})
	g, err := Decode(b.bytes(), "")
	if err != nil {
		return nil, err
	}
	var vals []op.Value
	if !constant {
		for _, t := range in {
			vals = append(vals, t)
		}
	}
	out, err := run(g, vals)
	if err != nil {
		return nil, fmt.Errorf("%w\n%v", err, g)
	}
	return out[0].(*tensor.Tensor), nil
}

// TestTypedData reads one tensor per element type from the field that the format gives
// it, and the same as raw data.
func TestTypedData(t *testing.T) {
	for _, d := range tensor.DTypes() {
		want, err := tensor.Make(d, []int{2, 2})
		if err != nil {
			t.Fatal(err)
		}
		var typed buffer
		typed.packed(1, []int64{2, 2})
		typed.int(2, int64(d))
		switch d {
		case tensor.String:
			copy(want.Strings(), []string{"a", "", "c", "\xff"})
			for _, s := range want.Strings() {
				typed.text(6, s)
			}
		case tensor.Float32, tensor.Complex64, tensor.Float64, tensor.Complex128:
			for i := range want.Bytes() {
				want.Bytes()[i] = byte(i)
			}
			typed.raw(map[bool]fieldNumber{true: 4, false: 10}[d == tensor.Float32 || d == tensor.Complex64], want.Bytes())
		default:
			var ints []int64
			if d.Bits() >= 8 {
				for i := range want.Len() {
					want.SetInt(i, int64(i&1))
				}
			} else {
				want.Bytes()[0] = 1
			}
			if w := d.Bits() / 8; w > 0 {
				for i := range want.Len() {
					v := int64(0)
					for k := w - 1; k >= 0; k-- {
						v = v<<8 | int64(want.Bytes()[i*w+k])
					}
					ints = append(ints, v)
				}
			} else {
				for _, b := range want.Bytes() {
					ints = append(ints, int64(b))
				}
			}
			num := fieldNumber(5)
			switch d {
			case tensor.Int64:
				num = 7
			case tensor.Uint32, tensor.Uint64:
				num = 11
			}
			typed.packed(num, ints)
		}
		got, err := DecodeTensor(typed.bytes())
		if err != nil {
			t.Errorf("%v: %v", d, err)
			continue
		}
		if err := sameTensor(want, got); err != nil {
			t.Errorf("%v: %v", d, err)
		}
		var raw buffer
		new(encoder).inline(&raw, "", want)
		if got, err = DecodeTensor(raw.bytes()); err != nil {
			t.Errorf("%v: %v", d, err)
		} else if err := sameTensor(want, got); err != nil {
			t.Errorf("%v: %v", d, err)
		}
	}
}

func TestSparseIsDensified(t *testing.T) {
	dense, err := densify(f32([]int{2}, 5, 6), tensor.Of([]int64{0, 1, 1, 0}, 2, 2), []uint64{2, 2})
	if err != nil || !slices.Equal(dense.F32(), []float32{0, 5, 6, 0}) {
		t.Errorf("got %v, %v", dense, err)
	}
	dense, err = densify(f32([]int{2}, 5, 6), i64(0, 3), []uint64{2, 2})
	if err != nil || !slices.Equal(dense.F32(), []float32{5, 0, 0, 6}) {
		t.Errorf("got %v, %v", dense, err)
	}
	if _, err = densify(f32([]int{1}, 5), i64(4), []uint64{2, 2}); err == nil {
		t.Error("an index outside was taken")
	}
}

// TestFunctions inlines a function that calls another, with an attribute handed down,
// a default, an absent optional input and an output that is an input.
func TestFunctions(t *testing.T) {
	ref := func(name, from string) fill {
		return func(n *buffer) {
			n.message(5, func(a *buffer) {
				a.text(1, name)
				a.text(21, from)
				a.int(20, attrFloat)
			})
		}
	}
	leaky := func(m *buffer) {
		m.message(25, func(f *buffer) {
			f.text(1, "leaky")
			f.text(10, "mine")
			f.text(4, "a")
			f.text(5, "b")
			f.text(6, "slope")
			nodeIn(7, "LeakyRelu", "a", "b", ref("alpha", "slope"))(f)
			f.message(9, func(o *buffer) { o.int(2, 16) })
		})
	}
	outer := func(m *buffer) {
		m.message(25, func(f *buffer) {
			f.text(1, "outer")
			f.text(10, "mine")
			for _, s := range []string{"x", "lo", "hi"} {
				f.text(4, s)
			}
			f.text(5, "y")
			f.text(5, "x")
			f.message(11, func(a *buffer) { a.text(1, "slope"); a.float(2, .5); a.int(20, attrFloat) })
			nodeIn(7, "leaky", "x", "t", ref("slope", "slope"), func(n *buffer) { n.text(7, "mine") })(f)
			nodeIn(7, "Clip", "t lo hi", "y")(f)
		})
	}
	call := func(attrs ...fill) fill {
		return func(b *buffer) {
			b.message(1, func(n *buffer) {
				for _, s := range []string{"x", "", "hi"} {
					n.text(1, s)
				}
				n.text(2, "y")
				n.text(2, "same")
				n.text(3, "call")
				n.text(4, "outer")
				n.text(7, "mine")
				both(attrs...)(n)
			})
		}
	}
	for slope, attrs := range map[float32][]fill{.5: nil, .25: {attrFloat32("slope", .25)}} {
		g, err := Decode(file(both(input("x"), input("hi"), call(attrs...), output("y"), output("same")), leaky, outer), "")
		if err != nil {
			t.Fatal(err)
		}
		out, err := run(g, []op.Value{f32([]int{2}, -4, 9), scalar(2)})
		if err != nil {
			t.Fatalf("%v\n%v", err, g)
		}
		if got := out[0].(*tensor.Tensor).F32(); !slices.Equal(got, []float32{-4 * slope, 2}) {
			t.Errorf("slope %v: got %v", slope, got)
		}
		if got := out[1].(*tensor.Tensor).F32(); !slices.Equal(got, []float32{-4, 9}) {
			t.Errorf("the input handed through is %v", got)
		}
	}
}

func TestKeepUnknown(t *testing.T) {
	data := file(both(input("x"), node("Foo", "x", "y", attrInt64("k", 3)), output("y")))
	g, err := decode(data, "", "", ReadOptions{KeepUnknown: true})
	if err != nil {
		t.Fatal(err)
	}
	if n := g.Nodes[0]; n.Op != "Foo" || n.Attrs.Int("k", 0) != 3 {
		t.Errorf("got %v", g)
	}
}

// TestBatchedScan runs the Scan of opset 8: a running sum over each batch by itself.
func TestBatchedScan(t *testing.T) {
	body := both(input("sum_in"), input("next"), node("Add", "sum_in next", "sum_out"), node("Identity", "sum_out", "scan_out"),
		output("sum_out"), output("scan_out"))
	var b buffer
	b.int(1, 3)
	b.message(8, func(in *buffer) { in.int(2, 8) })
	b.message(7, both(input("initial"), input("x"), func(g *buffer) {
		g.message(1, func(n *buffer) {
			for _, s := range []string{"", "initial", "x"} {
				n.text(1, s)
			}
			n.text(2, "y")
			n.text(2, "z")
			n.text(4, "Scan")
			both(attrInt64("num_scan_inputs", 1), attrGraphField("body", body))(n)
		})
	}, output("y"), output("z")))
	g, err := Decode(b.bytes(), "")
	if err != nil {
		t.Fatal(err)
	}
	out, err := run(g, []op.Value{f32([]int{2, 1}, 0, 100), seq(2, 3, 1)})
	if err != nil {
		t.Fatalf("%v\n%v", err, g)
	}
	for i, want := range []*tensor.Tensor{f32([]int{2, 1}, 3, 112), f32([]int{2, 3, 1}, 0, 1, 3, 103, 107, 112)} {
		if err := sameTensor(want, out[i].(*tensor.Tensor)); err != nil {
			t.Errorf("output %d: %v: %v", i, err, out[i].(*tensor.Tensor).Floats())
		}
	}
}
