package op

import (
	"fmt"
	"math"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// signalOps are Fourier transforms and what belongs to them.
func signalOps() []Def {
	// Generalized cosine windows: a0 - a1·cos(2πn/N) + a2·cos(4πn/N).
	return []Def{
		{Name: "DFT", In: "input dft_length? axis?", Out: "output", Attrs: "inverse:int onesided:int", Infer: inferDFT, Eval: evalDFT},
		{Name: "STFT", In: "signal frame_step window? frame_length?", Out: "output", Attrs: "onesided:int", Infer: inferSTFT, Eval: evalSTFT},
		{Name: "MelWeightMatrix", In: "num_mel_bins dft_length sample_rate lower_edge_hertz upper_edge_hertz", Out: "output", Attrs: "output_datatype:int", Infer: inferMelWeightMatrix, Eval: evalMelWeightMatrix},
		windowOp("HannWindow", 0.5, 0.5, 0),
		windowOp("HammingWindow", 25.0/46, 21.0/46, 0),
		windowOp("BlackmanWindow", 0.42, 0.5, 0.08),
	}
}

// stftFrames returns the frame length and the number of frames.
func stftFrames(samples, step, window, length int64) (int, int, error) {
	if length < 0 {
		length = window
	}
	if length < 0 {
		length = samples
	}
	if window >= 0 && window != length {
		return 0, 0, fmt.Errorf("window of %d samples does not fit frames of %d", window, length)
	}
	if step < 1 || length < 1 || length > samples {
		return 0, 0, fmt.Errorf("frames of %d every %d do not fit a signal of %d samples", length, step, samples)
	}
	return int(length), int((samples-length)/step) + 1, nil
}

func inferSTFT(c *Infer) error {
	in := c.Shape(0)
	out := graph.Shape{graph.Unknown, graph.Unknown, graph.Unknown, graph.Dim{Size: 2}}
	if len(in) > 0 {
		out[0] = in[0]
	}
	step, ok := c.KnownInts(1)
	window, length := int64(-1), int64(-1)
	if w := c.Shape(2); c.Has(2) {
		if ok = ok && len(w) == 1 && w[0].Known(); ok {
			window = int64(w[0].Size)
		}
	}
	if c.Has(3) {
		v, known := c.KnownInts(3)
		if ok = ok && known && len(v) == 1; ok {
			length = v[0]
		}
	}
	if ok && len(step) == 1 && len(in) == 3 && in[1].Known() {
		n, frames, err := stftFrames(int64(in[1].Size), step[0], window, length)
		if err != nil {
			return err
		}
		out[1], out[2] = graph.Dim{Size: frames}, graph.Dim{Size: n}
		if c.Attrs().Bool("onesided", true) {
			out[2].Size = n/2 + 1
		}
	}
	c.SetTensor(0, c.DType(0), out)
	return nil
}

func evalSTFT(e *Eval) error {
	x := e.T(0)
	if x.Rank() == 2 {
		var err error
		if x, err = x.Reshape(x.Dim(0), x.Dim(1), 1); err != nil {
			return err
		}
	}
	if x.Rank() != 3 || x.Dim(2) != 1 && x.Dim(2) != 2 {
		return fmt.Errorf("signal must be [batch,samples,1 or 2], it is %v", x)
	}
	samples, parts := x.Dim(1), x.Dim(2)
	window, length := int64(-1), int64(-1)
	w := e.T(2)
	if w != nil {
		window = int64(w.Len())
	}
	if e.Has(3) {
		length = e.Int(3)
	}
	n, frames, err := stftFrames(int64(samples), e.Int(1), window, length)
	if err != nil {
		return err
	}
	bins := n
	if e.Attrs().Bool("onesided", true) {
		if parts == 2 {
			return fmt.Errorf("a onesided transform needs a real signal, it is %v", x)
		}
		bins = n/2 + 1
	}
	out := e.Result(0, x.DType(), x.Dim(0), frames, bins, 2)
	if err := checkFFT(n); err != nil {
		return err
	}
	step := int(min(e.Int(1), int64(samples)))
	signal := make([]complex128, n)
	for b := range x.Dim(0) {
		for f := range frames {
			for i := range signal {
				at := (b*samples + f*step + i) * parts
				v := complex(x.Float(at), 0)
				if parts == 2 {
					v = complex(x.Float(at), x.Float(at+1))
				}
				if w != nil {
					v *= complex(w.Float(i), 0)
				}
				signal[i] = v
			}
			for i, v := range fft(signal, false)[:bins] {
				at := ((b*frames+f)*bins + i) * 2
				out.SetFloat(at, real(v))
				out.SetFloat(at+1, imag(v))
			}
		}
	}
	return nil
}

func inferMelWeightMatrix(c *Infer) error {
	d, err := dtypeAttr(c.Attrs().Int("output_datatype", int64(tensor.Float32)))
	if err != nil {
		return err
	}
	out := unknownShape(2)
	if n, ok := c.KnownInts(1); ok && len(n) == 1 && n[0] >= 0 && n[0] < tensor.MaxElements {
		out[0] = graph.Dim{Size: int(n[0]/2) + 1}
	}
	if n, ok := c.KnownInts(0); ok && len(n) == 1 && n[0] >= 0 && n[0] < tensor.MaxElements {
		out[1] = graph.Dim{Size: int(n[0])}
	}
	c.SetTensor(0, d, out)
	return nil
}

// evalMelWeightMatrix makes triangular filters that are equally wide on the mel scale
// m = 2595·log10(1 + f/700).
func evalMelWeightMatrix(e *Eval) error {
	d, err := dtypeAttr(e.Attrs().Int("output_datatype", int64(tensor.Float32)))
	if err != nil {
		return err
	}
	bands, length, rate := e.Int(0), e.Int(1), e.Int(2)
	lo, hi := e.T(3).Float(0), e.T(4).Float(0)
	if bands < 0 || bands > 1<<24 || length < 1 || length > 1<<30 || rate < 1 || !(lo >= 0 && hi >= lo) {
		return fmt.Errorf("%d bands over a transform of %d at %d Hz from %v to %v Hz are not valid", bands, length, rate, lo, hi)
	}
	rows, cols := int(length)/2+1, int(bands)
	mel := func(hz float64) float64 { return 2595 * math.Log10(1+hz/700) }
	step := (mel(hi) - mel(lo)) / float64(bands+2)
	edge := make([]int, cols+2)
	for i := range edge {
		hz := 700 * (math.Pow(10, (mel(lo)+float64(i)*step)/2595) - 1)
		bin := math.Floor(float64(length+1) * hz / float64(rate))
		if !(bin < float64(rows)) {
			return fmt.Errorf("the band edge %.0f Hz is above half the sample rate %d", hz, rate)
		}
		edge[i] = int(bin)
	}
	out := e.Result(0, d, rows, cols)
	for i := range cols {
		left, centre, right := edge[i], edge[i+1], edge[i+2]
		if left == centre {
			out.SetFloat(centre*cols+i, 1)
		}
		for j := left; j <= centre && left < centre; j++ {
			out.SetFloat(j*cols+i, float64(j-left)/float64(centre-left))
		}
		for j := centre; j < right; j++ {
			out.SetFloat(j*cols+i, float64(right-j)/float64(right-centre))
		}
	}
	return nil
}

// windowOp defines the window a0 - a1·cos(2πn/N) + a2·cos(4πn/N), where N is the size
// for a periodic window and one less for a symmetric one.
func windowOp(name string, a0, a1, a2 float64) Def {
	resolve := func(a graph.Attrs) (tensor.DType, error) {
		return dtypeAttr(a.Int("output_datatype", int64(tensor.Float32)))
	}
	return Def{Name: name, In: "size", Out: "output", Attrs: "output_datatype:int periodic:int",
		Infer: func(c *Infer) error {
			d, err := resolve(c.Attrs())
			if err != nil {
				return err
			}
			out := unknownShape(1)
			if n, ok := c.KnownInts(0); ok && len(n) == 1 && n[0] >= 0 && n[0] <= tensor.MaxElements {
				out[0] = graph.Dim{Size: int(n[0])}
			}
			c.SetTensor(0, d, out)
			return nil
		},
		Eval: func(e *Eval) error {
			d, err := resolve(e.Attrs())
			if err != nil {
				return err
			}
			size := e.Int(0)
			if size < 0 || size > tensor.MaxElements {
				return fmt.Errorf("size %d is not valid", size)
			}
			out := e.Result(0, d, int(size))
			period := float64(size)
			if !e.Attrs().Bool("periodic", true) {
				period = max(period-1, 1)
			}
			for n := range out.Len() {
				t := 2 * math.Pi * float64(n) / period
				out.SetFloat(n, a0-a1*math.Cos(t)+a2*math.Cos(2*t))
			}
			return nil
		},
	}
}
