package zoo

import (
	"fmt"
	"math"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// keyword returns a spotter of spoken words that takes the sound itself: DS-CNN as in
// MLPerf Tiny over log-mel energies, which the network computes. Input "sound" float32
// [1,rate], one second in -1..1, output "scores" float32 [1,12].
func keyword(rate int) func(f form) *graph.Graph {
	return func(f form) *graph.Graph {
		const classes = 12
		b := newSeeded(f, fmt.Sprintf("kws-%dk", rate/1000), tinySeed)
		g := b.g
		x := logMel{rate}.add(g, g.Input("sound", graph.TensorType(tensor.Float32, 1, rate)))
		images := probeImages
		if f.training {
			images = 0
		}
		shape, _ := x.Type.Static()
		b.spot(b.put(x, newProbe(b.rng, images, 1, shape[2], shape[3]), shape), classes)
		return g
	}
}

// spot adds DS-CNN over a map of frames by features.
func (b *seeded) spot(x feature, classes int) {
	const width = 64
	// Padded so that the output has half the size, rounded up.
	x = b.convolve("stem", x, geometry{width, 1, [2]int{10, 4}, [2]int{2, 2}, [2]int{4, 1}, [2]int{5, 1}})
	x = b.dropout("stem_dropout", relu(b, "stem_act", x), 0.2)
	for i := range 4 {
		x = b.separable(fmt.Sprintf("block%d", i), x, separable{width, 1}, 3, relu)
	}
	x = b.flatten("flatten", b.pool("pool", b.dropout("dropout", x, 0.4)))
	b.classify("scores", x, b.classes(classes))
}

// logMel computes log-mel energies of one second of sound by convolutions of constant
// weights, which every runtime has and runs fast: 40 bands of 49 frames, each of 32 ms and
// begun 20 ms after the one before.
//
// The first convolution is the Fourier transform of each frame under Hann's window, its
// channels cosines and then sines, scaled so that a wave of amplitude a gives power a². The
// second adds up power in triangles that are evenly spaced on the mel scale (O'Shaughnessy
// 1987: 2595·log10(1 + f/700)) from 20 Hz to half the rate. Its bias keeps the logarithm
// from silence.
type logMel struct{ rate int }

const (
	melBands = 40
	melFloor = 1e-6 // power that counts as silence, 60 dB below a full wave
)

func (m logMel) window() int { return 32 * m.rate / 1000 }
func (m logMel) hop() int    { return 20 * m.rate / 1000 }
func (m logMel) bins() int   { return m.window() / 2 } // without the mean

// add appends the transform of x [1,rate]; the result is [1,1,frames,melBands].
func (m logMel) add(g *graph.Graph, x *graph.Value) *graph.Value {
	const name = "frontend"
	frames := (m.rate-m.window())/m.hop() + 1
	step := func(v *graph.Value, shape ...int) *graph.Value {
		return typed(graph.TensorType(tensor.Float32, append([]int{1}, shape...)...), v)
	}
	number := func(part string, v float32) *graph.Value { return g.Constant(name+"."+part, tensor.Scalar(v)) }
	x = step(g.Add("Unsqueeze", name+"_channel", nil, x, g.Ints(name+".axis", 1)), 1, m.rate)
	x = step(g.Add("Conv", name+"_fourier", graph.Attrs{"kernel_shape": []int64{int64(m.window())}, "strides": []int64{int64(m.hop())}},
		x, g.Constant(name+".fourier", m.fourier())), 2*m.bins(), frames)
	x = step(g.Add("Mul", name+"_power", nil, x, x), 2*m.bins(), frames)
	x = step(g.Add("Conv", name+"_mel", graph.Attrs{"kernel_shape": []int64{1}}, x, g.Constant(name+".mel", m.mel()), g.Constant(name+".floor", floor())), melBands, frames)
	x = step(g.Add("Log", name+"_log", nil, x), melBands, frames)
	// From -13.8 in silence to about 0, brought to some -2..2.
	x = step(g.Add("Mul", name+"_scaled", nil, x, number("scale", 0.25)), melBands, frames)
	x = step(g.Add("Add", name+"_shifted", nil, x, number("shift", 2)), melBands, frames)
	x = step(g.Add("Transpose", name+"_frames", graph.Attrs{"perm": []int64{0, 2, 1}}, x), frames, melBands)
	g.Meta[graph.MetaFixed], g.Meta[graph.MetaRate] = name+".*", fmt.Sprint(m.rate)
	return step(g.Add("Unsqueeze", name+"_map", nil, x, g.Ints(name+".axes", 1)), 1, frames, melBands)
}

func floor() *tensor.Tensor {
	t := tensor.New(tensor.Float32, melBands)
	for i := range t.F32() {
		t.F32()[i] = melFloor
	}
	return t
}

// fourier returns [2·bins, 1, window]: cosines of the bins from the first above zero on,
// then their sines, under Hann's window.
func (m logMel) fourier() *tensor.Tensor {
	n := m.window()
	w := tensor.New(tensor.Float32, 2*m.bins(), 1, n)
	for k := range m.bins() {
		for i := range n {
			// Hann's window sums to n/2, and half of a wave's amplitude lies at -f.
			hann := (1 - cosine(i, n)) / 2 * 4 / float64(n)
			turn := (k + 1) * i % n
			w.F32()[k*n+i] = float32(hann * cosine(turn, n))
			w.F32()[(m.bins()+k)*n+i] = float32(hann * cosine(turn+3*n/4, n)) // the sine, a quarter later
		}
	}
	return w
}

// cosine is that of i/n turns. The argument is brought to the first eighth first, so that
// equal values are equal in every bit.
func cosine(i, n int) float64 {
	i %= n
	if 2*i > n {
		i = n - i
	}
	switch {
	case 4*i > n:
		return -cosine(n/2-i, n)
	case 8*i > n:
		return math.Sin(2 * math.Pi * float64(n-4*i) / float64(4*n))
	}
	return math.Cos(2 * math.Pi * float64(i) / float64(n))
}

// mel returns [melBands, 2·bins, 1]: the triangle of each band over the power of cosines and
// of sines.
func (m logMel) mel() *tensor.Tensor {
	w := tensor.New(tensor.Float32, melBands, 2*m.bins(), 1)
	mel := func(f float64) float64 { return 2595 * math.Log10(1+f/700) }
	low, high := mel(20), mel(float64(m.rate)/2)
	step := (high - low) / (melBands + 1)
	for b := range melBands {
		for k := range m.bins() {
			at := (mel(float64((k+1)*m.rate)/float64(m.window())) - low) / step // in steps from the lowest corner
			v := float32(max(0, 1-math.Abs(at-float64(b+1))))
			w.F32()[b*2*m.bins()+k], w.F32()[b*2*m.bins()+m.bins()+k] = v, v
		}
	}
	return w
}
