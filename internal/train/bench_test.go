package train

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/edgewise-ml/edgewise/internal/engine"
	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/op"
	"github.com/edgewise-ml/edgewise/internal/zoo"
	"github.com/edgewise-ml/edgewise/tensor"
)

// bare builds networks in the form in which they are trained: convolutions without bias,
// each followed by a batch normalization.
type bare struct {
	g *graph.Graph
	r *rand.Rand
	n int
}

// layer is a value with its number of channels.
type layer struct {
	v *graph.Value
	c int
}

func (b *bare) add(op string, attrs graph.Attrs, in ...*graph.Value) *graph.Value {
	b.n++
	return b.g.Add(op, fmt.Sprintf("%s%d", strings.ToLower(op), b.n), attrs, in...)
}

func (b *bare) constant(fill func() float64, shape ...int) *graph.Value {
	b.n++
	t := tensor.New(tensor.Float32, shape...)
	for i := range t.Len() {
		t.SetFloat(i, fill())
	}
	return b.g.Constant(fmt.Sprintf("weight%d", b.n), t)
}

func (b *bare) conv(x layer, out, kernel, stride, groups int) layer {
	pad, deviation := int64(kernel/2), math.Sqrt(2/float64(x.c/groups*kernel*kernel))
	w := b.constant(func() float64 { return b.r.NormFloat64() * deviation }, out, x.c/groups, kernel, kernel)
	y := b.add("Conv", graph.Attrs{"pads": []int64{pad, pad, pad, pad}, "strides": []int64{int64(stride), int64(stride)}, "group": int64(groups)}, x.v, w)
	zero, one := func() float64 { return 0 }, func() float64 { return 1 }
	y = b.add("BatchNormalization", nil, y, b.constant(one, out), b.constant(zero, out), b.constant(zero, out), b.constant(one, out))
	return layer{y, out}
}

func (b *bare) relu(x layer) layer { return layer{b.add("Relu", nil, x.v), x.c} }

func (b *bare) classify(x layer, classes int) *graph.Graph {
	y := b.add("Flatten", nil, b.add("GlobalAveragePool", nil, x.v))
	w := b.constant(func() float64 { return b.r.NormFloat64() / math.Sqrt(float64(x.c)) }, classes, x.c)
	b.g.Output(b.add("Gemm", graph.Attrs{"transB": int64(1)}, y, w, b.constant(func() float64 { return 0 }, classes)))
	return b.g
}

func newBare(name string) (*bare, layer) {
	b := &bare{g: graph.New(name), r: rand.New(rand.NewPCG(1, 2))}
	return b, layer{b.g.Input("image", graph.TensorType(tensor.Float32, 1, 3, 32, 32)), 3}
}

// mobilenetv2 is the zoo's network of half width.
func mobilenetv2(size, classes int) func() *graph.Graph {
	return func() *graph.Graph {
		g, err := zoo.BuildTraining("mobilenetv2-0.5", zoo.TrainingOptions{Classes: classes, Resolution: size, Seed: 1})
		if err != nil {
			panic(err)
		}
		return g
	}
}

// resnet20 is the network of He et al. 2016 for CIFAR-10.
func resnet20() *graph.Graph {
	b, x := newBare("resnet20")
	x = b.relu(b.conv(x, 16, 3, 1, 1))
	for stage := range 3 {
		for block := range 3 {
			width, stride := 16<<stage, 1
			if stage > 0 && block == 0 {
				stride = 2
			}
			y := b.conv(b.relu(b.conv(x, width, 3, stride, 1)), width, 3, 1, 1)
			if stride > 1 {
				x = b.conv(x, width, 1, stride, 1)
			}
			x = b.relu(layer{b.add("Add", nil, y.v, x.v), width})
		}
	}
	return b.classify(x, 10)
}

// BenchmarkStep times one training step with a batch of random images. With -v it also
// prints what each kind of step took in the fastest of a few more runs.
func BenchmarkStep(b *testing.B) {
	for _, c := range []struct {
		name    string
		network func() *graph.Graph
		batch   int
		threads int
	}{
		{"resnet20-128-2", resnet20, 128, 2}, {"resnet20-128-1", resnet20, 128, 1},
		{"mobilenetv2-32-2", mobilenetv2(32, 10), 64, 2}, {"mobilenetv2-32-1", mobilenetv2(32, 10), 64, 1},
		{"mobilenetv2-224-2", mobilenetv2(224, 1000), 64, 2},
	} {
		b.Run(c.name, func(b *testing.B) {
			p, err := NewProgram(c.network(), Spec{Batch: c.batch, Loss: Loss{Kind: CrossEntropy}, Optimizer: Optimizer{Kind: "sgd", Rate: 0.01, Momentum: 0.9, Decay: 1e-4}})
			if err != nil {
				b.Fatal(err)
			}
			plan, err := engine.Compile(p.Graph, engine.Options{Threads: c.threads})
			if err != nil {
				b.Fatal(err)
			}
			session, err := plan.NewSession()
			if err != nil {
				b.Fatal(err)
			}
			defer session.Close()
			s := benchStep(b, p)
			least := time.Duration(math.MaxInt64)
			for b.Loop() {
				start := time.Now()
				if err := session.RunInto(context.Background(), s.in, s.out); err != nil {
					b.Fatal(err)
				}
				least = min(least, time.Since(start))
			}
			b.ReportMetric(least.Seconds()*1e3, "ms-min")
			if testing.Verbose() {
				b.Log(profile(b, session, s))
			}
		})
	}
}

func benchStep(b *testing.B, p *Program) *step {
	s := newStep(b, p, 0.01)
	r := rand.New(rand.NewPCG(3, 4))
	shape, _ := p.Graph.Inputs[0].Type.Static()
	s.in[0], s.in[p.Data] = random(r, 1, shape...), tensor.New(tensor.Int64, shape[0])
	for i := range shape[0] {
		s.in[p.Data].SetInt(i, int64(r.IntN(10)))
	}
	s.in[p.Data+2].SetFloat(0, 1)
	return s
}

// profile tells what the steps of each operator and kernel took together.
func profile(b *testing.B, session *engine.Session, s *step) string {
	values := make([]op.Value, len(s.in))
	for i, v := range s.in {
		values[i] = v
	}
	type total struct {
		time  time.Duration
		steps int
		macs  int64
		bytes int64
	}
	kinds := map[string]*total{}
	var best []engine.StepTime
	for range 3 {
		times, err := session.Profile(context.Background(), values)
		if err != nil {
			b.Fatal(err)
		}
		for i, t := range times {
			if best == nil {
				break
			}
			times[i].Duration = min(t.Duration, best[i].Duration)
		}
		best = times
	}
	var all time.Duration
	for _, t := range best {
		k := t.Op + " · " + t.Kernel
		if kinds[k] == nil {
			kinds[k] = &total{}
		}
		kinds[k].time += t.Duration
		kinds[k].steps++
		kinds[k].macs += t.MACs
		kinds[k].bytes += t.Bytes
		all += t.Duration
	}
	names := slices.SortedFunc(maps.Keys(kinds), func(x, y string) int { return cmp.Compare(kinds[y].time, kinds[x].time) })
	out := fmt.Sprintf("%d steps, %.1f ms\n", len(best), all.Seconds()*1e3)
	for _, n := range names {
		k := kinds[n]
		out += fmt.Sprintf("%8.2f ms %3d  %6.1f GMAC/s %6.1f GB/s  %s\n", k.time.Seconds()*1e3, k.steps, float64(k.macs)/float64(k.time.Nanoseconds()), float64(k.bytes)/float64(k.time.Nanoseconds()), n)
	}
	return out
}
