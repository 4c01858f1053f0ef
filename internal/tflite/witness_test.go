package tflite_test

import (
	"context"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/interp"
	"github.com/edgewise-ml/edgewise/internal/op"
	"github.com/edgewise-ml/edgewise/internal/rewrite"
	"github.com/edgewise-ml/edgewise/internal/testdata"
	"github.com/edgewise-ml/edgewise/internal/tflite"
	"github.com/edgewise-ml/edgewise/internal/witness"
	"github.com/edgewise-ml/edgewise/tensor"
)

// cut returns the part of g between the named values, as a graph of its own.
func cut(t *testing.T, g *graph.Graph, inputs []string, output string) *graph.Graph {
	t.Helper()
	c := g.Clone()
	find := func(name string) *graph.Value {
		for _, v := range c.Inputs {
			if v.Name == name {
				return v
			}
		}
		for _, n := range c.Nodes {
			for _, v := range n.Outputs {
				if v.Name == name {
					return v
				}
			}
		}
		return nil
	}
	out := find(output)
	if out == nil {
		return nil
	}
	c.Outputs = []*graph.Value{out}
	var ins []*graph.Value
	for _, name := range inputs {
		v := find(name)
		if v == nil {
			return nil
		}
		x := c.NewValue("", v.Type)
		c.ReplaceUses(v, x)
		ins = append(ins, x)
	}
	c.Inputs = ins
	c.Prune()
	if err := c.Verify(); err != nil {
		t.Fatalf("cut at %s: %v", output, err)
	}
	return c
}

// noise fills inputs with structured pseudo-random numbers.
func noise(g *graph.Graph, seed uint64) map[string]*tensor.Tensor {
	r := rand.New(rand.NewPCG(seed, 7))
	out := map[string]*tensor.Tensor{}
	for i, v := range g.Inputs {
		shape, _ := v.Type.Static()
		x := tensor.New(v.Type.DType, shape...)
		lo, hi := x.DType().IntRange()
		for k := range x.Len() {
			wave := 0.7*math.Sin(float64(k)*0.013*float64(i+1)+float64(seed)) + 0.6*(r.Float64()-0.5)
			switch {
			case x.DType().IsFloat():
				x.SetFloat(k, wave)
			case x.DType().Bits() <= 16:
				x.SetInt(k, int64((wave+1)/2*float64(hi-lo))+lo)
			default:
				x.SetInt(k, r.Int64N(2))
			}
		}
		out[strconv.Itoa(i)] = x
	}
	return out
}

// TestOperatorsOfNetworks walks real 8-bit networks operator by operator: each gets the
// witness's inputs and must give the witness's output within one step, both as read
// and in the integer form.
func TestOperatorsOfNetworks(t *testing.T) {
	w := witness.Find(t)
	networks := []string{
		"models/kws_dscnn_int8.tflite", "models/resnet8_cifar10_int8.tflite", "models/mobilenet_v1_0.25_224_quant.tflite",
	}
	if !testing.Short() {
		networks = append(networks, "edgetpu/movenet_single_pose_lightning_ptq.tflite",
			"models/mobilenet_v2_1.0_224_quant.tflite")
	}
	for _, name := range networks {
		t.Run(filepath.Base(name), func(t *testing.T) {
			path := testdata.Path(t, name)
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			g, err := tflite.Decode(data)
			if err != nil {
				t.Fatal(err)
			}
			ops, err := tflite.Ops(data)
			if err != nil {
				t.Fatal(err)
			}
			seen := map[string]*tensor.Tensor{}
			inputs := noise(g, 3)
			for i, v := range g.Inputs {
				seen[v.Name] = inputs[strconv.Itoa(i)]
			}
			checked, skipped := 0, 0
			worst := map[string]float64{}
			patched := filepath.Join(t.TempDir(), "patched.tflite")
			for _, o := range ops {
				if !o.Quantized || len(o.Outputs) != 1 {
					skipped++
					continue
				}
				b, err := tflite.WithOutput(data, o.Outputs[0])
				if err == nil {
					err = os.WriteFile(patched, b, 0o600)
				}
				if err != nil {
					t.Fatal(err)
				}
				res, err := w.Run(witness.TFLite, patched, inputs, witness.Fresh())
				if err != nil {
					t.Fatalf("%s %s: %v", o.Name, o.Outputs[0], err)
				}
				want := res[o.Outputs[0]]
				if want == nil {
					want = res["0"]
				}
				if want == nil {
					t.Fatalf("%s: the witness gave no %s", o.Name, o.Outputs[0])
				}
				seen[o.Outputs[0]] = want
				var in []op.Value
				for _, n := range o.Inputs {
					if seen[n] != nil {
						in = append(in, seen[n])
					}
				}
				part := cut(t, g, o.Inputs, o.Outputs[0])
				if part == nil || len(in) != len(o.Inputs) {
					skipped++
					continue
				}
				whole := part.Clone()
				if _, err := rewrite.Simplify(whole, rewrite.Options{}); err != nil {
					t.Fatal(err)
				}
				if _, _, err := rewrite.Legalize(whole, rewrite.Options{}); err != nil {
					t.Fatal(err)
				}
				for form, p := range map[string]*graph.Graph{"as read": part, "as integers": whole} {
					got, err := interp.Run(context.Background(), p, in)
					if err != nil {
						t.Fatalf("%s %s: %v", o.Name, o.Outputs[0], err)
					}
					d := steps(t, got[0].(*tensor.Tensor), want)
					worst[form+" "+o.Name] = max(worst[form+" "+o.Name], d)
					if d > 1 {
						t.Errorf("%s, %s makes %s: %v steps off", form, o.Name, o.Outputs[0], d)
					}
				}
				checked++
			}
			t.Logf("%d operators compared, %d not; largest difference in steps %v", checked, skipped, worst)
			if checked < skipped {
				t.Error("too few operators were compared")
			}
		})
	}
}

func steps(t *testing.T, got, want *tensor.Tensor) float64 {
	t.Helper()
	if got.DType() != want.DType() || got.Len() != want.Len() {
		t.Fatalf("is %v, want %v", got, want)
	}
	d := 0.0
	for i := range want.Len() {
		d = max(d, math.Abs(got.Float(i)-want.Float(i)))
	}
	return d
}
