package zoo

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/edgewise-ml/edgewise/internal/engine"
	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/op"
	"github.com/edgewise-ml/edgewise/tensor"
)

// naive computes the energies of one band and frame as the definitions have them.
func (m logMel) naive(sound []float32, frame, band int) float64 {
	n := m.window()
	mel := func(f float64) float64 { return 2595 * math.Log10(1+f/700) }
	corner := func(i int) float64 {
		low, high := mel(20), mel(float64(m.rate)/2)
		return low + (high-low)*float64(i)/(melBands+1)
	}
	sum := 0.0
	for k := 1; k <= n/2; k++ {
		var re, im float64
		for i := range n {
			v := float64(sound[frame*m.hop()+i]) * 0.5 * (1 - math.Cos(2*math.Pi*float64(i)/float64(n)))
			s, c := math.Sincos(2 * math.Pi * float64(k*i) / float64(n))
			re, im = re+v*c, im-v*s
		}
		re, im = re*4/float64(n), im*4/float64(n)
		at := mel(float64(k) * float64(m.rate) / float64(n))
		up := (at - corner(band)) / (corner(band+1) - corner(band))
		down := (corner(band+2) - at) / (corner(band+2) - corner(band+1))
		sum += max(0, min(up, down)) * (re*re + im*im)
	}
	return math.Log(sum+melFloor)/4 + 2
}

// Sound whose parts lie far apart in strength: noise, a wave and silence.
func TestLogMelIsThatOfTheDefinition(t *testing.T) {
	for _, rate := range []int{8000, 16000} {
		m := logMel{rate}
		g := graph.New("mel")
		g.Output(m.add(g, g.Input("sound", graph.TensorType(tensor.Float32, 1, rate))))
		plan, err := engine.Compile(g, engine.Options{})
		if err != nil {
			t.Fatal(err)
		}
		session, err := plan.NewSession()
		if err != nil {
			t.Fatal(err)
		}
		defer session.Close()
		rng := rand.New(rand.NewPCG(8, 16))
		x := tensor.New(tensor.Float32, 1, rate)
		for i := range rate * 3 / 4 {
			x.F32()[i] = float32(0.4*math.Sin(2*math.Pi*440*float64(i)/float64(rate)) + 0.01*rng.NormFloat64())
		}
		out, err := session.Run(t.Context(), []op.Value{x})
		if err != nil {
			t.Fatal(err)
		}
		y := out[0].(*tensor.Tensor)
		if shape := y.Shape(); shape[2] != 49 || shape[3] != melBands {
			t.Fatalf("a map of %v", shape)
		}
		for _, frame := range []int{0, 7, 35, 36, 48} {
			for band := range melBands {
				got, want := float64(y.F32()[frame*melBands+band]), m.naive(x.F32(), frame, band)
				if math.Abs(got-want) > 2e-3 {
					t.Errorf("%d Hz, frame %d, band %d: %v, want %v", rate, frame, band, got, want)
				}
			}
		}
	}
}
