package op

import (
	"fmt"
	"math"
	"math/cmplx"
	"slices"

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

// fft returns the discrete Fourier transform of x: halving while the length is even
// (Cooley and Tukey, 1965), the definition for odd lengths.
func fft(x []complex128, inverse bool) []complex128 {
	n := len(x)
	sign := -2.0
	if inverse {
		sign = 2
	}
	turn := func(k int) complex128 { return cmplx.Rect(1, sign*math.Pi*float64(k)/float64(n)) }
	out := make([]complex128, n)
	if n == 1 || n%2 == 1 {
		for k := range out {
			for i, v := range x {
				out[k] += v * turn(int(uint64(k)*uint64(i)%uint64(n)))
			}
		}
		return out
	}
	even, odd := make([]complex128, n/2), make([]complex128, n/2)
	for i := range even {
		even[i], odd[i] = x[2*i], x[2*i+1]
	}
	even, odd = fft(even, inverse), fft(odd, inverse)
	for k := range even {
		t := turn(k) * odd[k]
		out[k], out[k+n/2] = even[k]+t, even[k]-t
	}
	return out
}

// dftPlan is the geometry of one DFT.
type dftPlan struct {
	axis, length      int
	bins, parts       int // sizes of the transformed axis and of the last one in the result
	inverse, onesided bool
}

// wholeAxis stands for a dft_length that is not given.
const wholeAxis = math.MinInt64

// newDFTPlan resolves the attributes; given is dft_length, or wholeAxis, and size
// the size of the axis.
func newDFTPlan(a graph.Attrs, rank int, axis, given int64, size, lastDim int) (*dftPlan, error) {
	k, err := ResolveAxis(axis, rank)
	if err != nil || k == rank-1 {
		return nil, fmt.Errorf("axis %d does not name a signal axis of rank %d", axis, rank)
	}
	p := &dftPlan{axis: k, length: size, parts: 2, inverse: a.Bool("inverse", false), onesided: a.Bool("onesided", false)}
	if p.inverse && p.onesided {
		p.length, p.parts = 2*(size-1), 1
	}
	if given != wholeAxis {
		p.length = int(min(max(given, 0), tensor.MaxElements))
	}
	if p.length < 1 {
		return nil, fmt.Errorf("a transform of length %d is not possible", p.length)
	}
	if p.onesided && (lastDim == 2) != p.inverse {
		return nil, fmt.Errorf("a onesided transform goes from real to complex, or back by the inverse; the input has %d parts", lastDim)
	}
	p.bins = p.length
	if p.onesided && !p.inverse {
		p.bins = p.length/2 + 1
	}
	return p, nil
}

func inferDFT(c *Infer) error {
	in := c.Shape(0)
	axis, length := int64(-2), int64(wholeAxis)
	unknown := in == nil
	if c.Has(2) {
		v, ok := c.KnownInts(2)
		if unknown = unknown || !ok || len(v) != 1; !unknown {
			axis = v[0]
		}
	}
	if unknown {
		var s graph.Shape
		if in != nil {
			s = unknownShape(len(in))
		}
		c.SetTensor(0, c.DType(0), s)
		return nil
	}
	k, err := ResolveAxis(axis, len(in))
	if err != nil {
		return err
	}
	size := in[k]
	if c.Has(1) {
		size = graph.Unknown
		if v, ok := c.KnownInts(1); ok && len(v) == 1 {
			length, size = v[0], graph.Dim{Size: 1}
		}
	}
	out := in.Clone()
	out[k] = graph.Unknown
	inverse, onesided := c.Attrs().Bool("inverse", false), c.Attrs().Bool("onesided", false)
	last := in[len(in)-1]
	if !last.Known() {
		last.Size = 1
		if inverse && onesided {
			last.Size = 2
		}
	}
	out[len(in)-1] = graph.Dim{Size: 2}
	if inverse && onesided {
		out[len(in)-1].Size = 1
	}
	if size.Known() {
		p, err := newDFTPlan(c.Attrs(), len(in), axis, length, size.Size, last.Size)
		if err != nil {
			return err
		}
		out[k] = graph.Dim{Size: p.bins}
	}
	c.SetTensor(0, c.DType(0), out)
	return nil
}

func evalDFT(e *Eval) error {
	x := e.T(0)
	if x.Rank() < 2 || x.Dim(-1) != 1 && x.Dim(-1) != 2 {
		return fmt.Errorf("input must end in an axis of 1 or 2 parts, it is %v", x)
	}
	axis, length := int64(-2), int64(wholeAxis)
	if e.Has(2) {
		axis = e.Int(2)
	}
	if e.Has(1) {
		length = e.Int(1)
	}
	k := e.Axis(axis, x.Rank())
	p, err := newDFTPlan(e.Attrs(), x.Rank(), axis, length, x.Dim(k), x.Dim(-1))
	if err != nil {
		return err
	}
	shape := slices.Clone(x.Shape())
	shape[k], shape[len(shape)-1] = p.bins, p.parts
	out := e.Result(0, x.DType(), shape...)
	if out.Len() == 0 {
		return nil
	}
	if p.length > MaxEvalBytes/64 {
		return fmt.Errorf("a transform of length %d is over the limit", p.length)
	}
	parts := x.Dim(-1)
	inner := sizeOf(shape[k+1 : len(shape)-1])
	signal := make([]complex128, p.length)
	for o := range sizeOf(shape[:k]) {
		for in := range inner {
			clear(signal)
			for i := range min(p.length, x.Dim(k)) {
				at := ((o*x.Dim(k)+i)*inner + in) * parts
				re, im := x.Float(at), 0.0
				if parts == 2 {
					im = x.Float(at + 1)
				}
				signal[i] = complex(re, im)
			}
			if p.inverse && p.onesided {
				mirror(signal, x.Dim(k))
			}
			for i, v := range fft(signal, p.inverse)[:p.bins] {
				if p.inverse {
					v /= complex(float64(p.length), 0)
				}
				at := ((o*p.bins+i)*inner + in) * p.parts
				out.SetFloat(at, real(v))
				if p.parts == 2 {
					out.SetFloat(at+1, imag(v))
				}
			}
		}
	}
	return nil
}

// mirror completes a one-sided spectrum by conjugate symmetry; the first and, for even
// lengths, the middle bin count as real. Bins beyond the half are replaced.
func mirror(s []complex128, given int) {
	n := len(s)
	s[0] = complex(real(s[0]), 0)
	for k := 1; k <= n/2; k++ {
		if k >= given {
			s[k] = 0
		}
		if 2*k == n {
			s[k] = complex(real(s[k]), 0)
			continue
		}
		s[n-k] = cmplx.Conj(s[k])
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
