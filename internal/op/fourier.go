package op

import (
	"fmt"
	"math"
	"math/bits"
	"math/cmplx"
	"slices"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

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

// checkFFT refuses lengths whose odd part, which is summed by the definition, makes a
// transform practically endless.
func checkFFT(n int) error {
	odd := n >> bits.TrailingZeros(uint(n))
	if int64(n) > maxTransform/int64(odd) {
		return fmt.Errorf("a transform of length %d with the odd factor %d is too costly; pad it to a power of two", n, odd)
	}
	return nil
}

const maxTransform = 1 << 34

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
	if err := checkFFT(p.length); err != nil {
		return err
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
