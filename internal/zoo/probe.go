package zoo

import (
	"math"
	"math/rand/v2"
)

// probe holds the activations of probeImages images at one place of a network, channels
// outermost: data[c][image][y][x].
type probe struct {
	data     []float32
	channels int
	size     int
}

// newProbe makes images with structure at several scales: waves of random direction and
// length that the channels share in part, an edge, and noise.
func newProbe(rng *rand.Rand, channels int) probe {
	p := probe{make([]float32, channels*probeImages*probeSize*probeSize), channels, probeSize}
	const waves = 4
	for image := range probeImages {
		var fx, fy, phase [waves]float64
		for k := range waves {
			fx[k], fy[k], phase[k] = 8*rng.NormFloat64(), 8*rng.NormFloat64(), rng.Float64()
		}
		edge, light := rng.IntN(probeSize), float64(0.5*rng.NormFloat64())
		for c := range channels {
			var height [waves]float64
			for k := range waves {
				height[k] = 0.3 + float64(0.2*rng.NormFloat64())
			}
			plane := p.plane(c, image)
			for i := range plane {
				y, x := i/probeSize, i%probeSize
				v := float64(0.1 * rng.NormFloat64())
				if x > edge {
					v += light
				}
				for k := range waves {
					turns := float64((float64(fx[k]*float64(x))+float64(fy[k]*float64(y)))/probeSize) + phase[k]
					v += float64(height[k] * triangle(turns))
				}
				plane[i] = float32(min(max(v, -1), 1))
			}
		}
	}
	return p
}

// triangle is a wave of period one between -1 and 1.
func triangle(turns float64) float64 {
	return float64(4*math.Abs(turns-math.Floor(turns)-0.5)) - 1
}

func (p probe) plane(channel, image int) []float32 {
	n := p.size * p.size
	at := (channel*probeImages + image) * n
	return p.data[at : at+n]
}

// statistics returns mean and standard deviation of a channel.
func (p probe) statistics(channel int) (mean, deviation float64) {
	n := probeImages * p.size * p.size
	values := p.data[channel*n : (channel+1)*n]
	for _, v := range values {
		mean += float64(v)
	}
	mean /= float64(n)
	var squares float64
	for _, v := range values {
		d := float64(v) - mean
		squares += float64(d * d)
	}
	return mean, math.Sqrt(squares / float64(n))
}

// affine replaces a channel by scale times itself plus shift.
func (p probe) affine(channel int, scale, shift float32) {
	n := probeImages * p.size * p.size
	values := p.data[channel*n : (channel+1)*n]
	for i, v := range values {
		values[i] = float32(v*scale) + shift
	}
}

// conv applies weights [outputs][inputs][kernel][kernel], padded by half the kernel.
func (p probe) conv(w []float32, outputs, kernel, stride int, depthwise bool) probe {
	size := (p.size-1)/stride + 1
	q := probe{make([]float32, outputs*probeImages*size*size), outputs, size}
	inputs := p.channels
	if depthwise {
		inputs = 1
	}
	for c := range outputs {
		for i := range inputs {
			source := i
			if depthwise {
				source = c
			}
			k := w[(c*inputs+i)*kernel*kernel:][:kernel*kernel]
			if kernel == 1 && stride == 1 {
				n := probeImages * size * size
				axpy(q.data[c*n:(c+1)*n], p.data[source*n:(source+1)*n], k[0])
				continue
			}
			for image := range probeImages {
				convPlane(q.plane(c, image), p.plane(source, image), k, size, p.size, kernel, stride)
			}
		}
	}
	return q
}

// convPlane adds the convolution of one plane with one kernel to out.
func convPlane(out, in, k []float32, size, inSize, kernel, stride int) {
	for y := range size {
		for dy := range kernel {
			iy := y*stride + dy - kernel/2
			if iy < 0 || iy >= inSize {
				continue
			}
			row := in[iy*inSize : (iy+1)*inSize]
			for dx := range kernel {
				weight := k[dy*kernel+dx]
				for x := range size {
					if ix := x*stride + dx - kernel/2; ix >= 0 && ix < inSize {
						out[y*size+x] += float32(weight * row[ix])
					}
				}
			}
		}
	}
}

// axpy adds a·x to y.
func axpy(y, x []float32, a float32) {
	x = x[:len(y)]
	for i, v := range x {
		y[i] += float32(a * v)
	}
}

func dot(a, b []float32) float32 {
	var sum float32
	for i, v := range a {
		sum += float32(v * b[i])
	}
	return sum
}

// pool returns the means of the planes as [image][channel].
func (p probe) pool() []float32 {
	out := make([]float32, probeImages*p.channels)
	for c := range p.channels {
		for image := range probeImages {
			var sum float32
			for _, v := range p.plane(c, image) {
				sum += v
			}
			out[image*p.channels+c] = sum / float32(p.size*p.size)
		}
	}
	return out
}
