package zoo

import (
	"math"
	"math/rand/v2"
	"runtime"
	"sync"
)

// probe holds the activations of a few images at one place of a network, channels
// outermost: data[c][image][y][x]. A vector of features is one pixel high and wide. A
// probe of no images only keeps the number of channels.
type probe struct {
	data             []float32
	images, channels int
	height, width    int
}

func emptyProbe(images, channels, height, width int) probe {
	return probe{make([]float32, channels*images*height*width), images, channels, height, width}
}

// sized returns an empty probe of as many images.
func (p probe) sized(channels, height, width int) probe {
	return emptyProbe(p.images, channels, height, width)
}

// newProbe makes images with structure at several scales: waves of random direction and
// length that the channels share in part, an edge, and noise.
func newProbe(rng *rand.Rand, images, channels, height, width int) probe {
	p := emptyProbe(images, channels, height, width)
	const waves = 4
	size := float64(max(height, width))
	for image := range p.images {
		var fx, fy, phase [waves]float64
		for k := range waves {
			fx[k], fy[k], phase[k] = 8*rng.NormFloat64(), 8*rng.NormFloat64(), rng.Float64()
		}
		edge, light := rng.IntN(width), float64(0.5*rng.NormFloat64())
		for c := range channels {
			var level [waves]float64
			for k := range waves {
				level[k] = 0.3 + float64(0.2*rng.NormFloat64())
			}
			plane := p.plane(c, image)
			for i := range plane {
				y, x := i/width, i%width
				v := float64(0.1 * rng.NormFloat64())
				if x > edge {
					v += light
				}
				for k := range waves {
					turns := float64((float64(fx[k]*float64(x))+float64(fy[k]*float64(y)))/size) + phase[k]
					v += float64(level[k] * triangle(turns))
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

// pixels is the number of values a channel has, over all images.
func (p probe) pixels() int { return p.images * p.height * p.width }

func (p probe) channel(c int) []float32 {
	n := p.pixels()
	return p.data[c*n : (c+1)*n]
}

func (p probe) plane(channel, image int) []float32 {
	n := p.height * p.width
	at := (channel*p.images + image) * n
	return p.data[at : at+n]
}

// statistics returns mean and standard deviation of a channel.
func (p probe) statistics(channel int) (mean, deviation float64) {
	values := p.channel(channel)
	mean = average(values)
	var squares float64
	for _, v := range values {
		d := float64(v) - mean
		squares += float64(d * d)
	}
	return mean, math.Sqrt(squares / float64(len(values)))
}

// normalization returns the mean of every channel and the standard deviation to divide it
// by, which is that to expect of other images; what chance left too small would be
// amplified from layer to layer. So the part of the variance that lies between the few
// images is enlarged by what their mean took off, and where pixels are few the deviation
// of a channel counts beside that of all.
func (p probe) normalization() (means, deviations []float64) {
	const prior = 512 // pixels that the deviation of all channels stands for
	means, deviations = make([]float64, p.channels), make([]float64, p.channels)
	var all float64
	for c := range means {
		mean, deviation := p.statistics(c)
		var between float64
		for image := range p.images {
			d := average(p.plane(c, image)) - mean
			between += float64(d * d)
		}
		means[c] = mean
		deviations[c] = float64(deviation*deviation) + float64(between*2/float64(p.images*(p.images-1)))
		all += deviations[c]
	}
	all /= float64(p.channels)
	n := float64(p.pixels())
	for c, variance := range deviations {
		deviations[c] = math.Sqrt((float64(n*variance) + float64(prior*all)) / (n + prior))
	}
	return means, deviations
}

func average(values []float32) (mean float64) {
	for _, v := range values {
		mean += float64(v)
	}
	return mean / float64(len(values))
}

// affine replaces a channel by scale times itself plus shift.
func (p probe) affine(channel int, scale, shift float32) {
	values := p.channel(channel)
	for i, v := range values {
		values[i] = float32(v*scale) + shift
	}
}

// mapped returns f of every value.
func (p probe) mapped(f func(float32) float32) probe {
	q := p.sized(p.channels, p.height, p.width)
	for i, v := range p.data {
		q.data[i] = f(v)
	}
	return q
}

// conv applies weights [outputs][inputs/groups][kernel height][kernel width].
func (p probe) conv(w []float32, g geometry) probe {
	height, width := g.output(p.height, p.width)
	q := p.sized(g.outputs, height, width)
	inputs, outputs := p.channels/g.groups, g.outputs/g.groups
	fan := inputs * g.kernel[0] * g.kernel[1]
	if g.groups == 1 {
		columns := p.columns(0, inputs, g)
		parallel(outputs, func(c int) { accumulate(q.channel(c), columns, w[c*fan:(c+1)*fan]) })
		return q
	}
	parallel(g.groups, func(group int) {
		columns := p.columns(group*inputs, inputs, g)
		for c := group * outputs; c < (group+1)*outputs; c++ {
			accumulate(q.channel(c), columns, w[c*fan:(c+1)*fan])
		}
	})
	return q
}

// flat makes a channel of every pixel.
func (p probe) flat() probe {
	pixels := p.height * p.width
	q := p.sized(p.channels*pixels, 1, 1)
	for c := range q.channels {
		for image := range p.images {
			q.plane(c, image)[0] = p.plane(c/pixels, image)[c%pixels]
		}
	}
	return q
}

// columns returns the inputs of a convolution tap by tap: for each of the channels and
// each element of the kernel the value under it at every output pixel. Beyond the image
// its edge goes on, unlike in the network itself: the last planes of a probe are so small
// that borders of zeros would rule their statistics.
func (p probe) columns(first, channels int, g geometry) []float32 {
	if g.kernel == [2]int{1, 1} && g.stride == [2]int{1, 1} {
		n := p.pixels()
		return p.data[first*n : (first+channels)*n]
	}
	height, width := g.output(p.height, p.width)
	out := make([]float32, 0, channels*g.kernel[0]*g.kernel[1]*p.images*height*width)
	for c := first; c < first+channels; c++ {
		for dy := range g.kernel[0] {
			for dx := range g.kernel[1] {
				for image := range p.images {
					plane := p.plane(c, image)
					for y := range height {
						iy := min(max(y*g.stride[0]+dy-g.before[0], 0), p.height-1)
						for x := range width {
							ix := min(max(x*g.stride[1]+dx-g.before[1], 0), p.width-1)
							out = append(out, plane[iy*p.width+ix])
						}
					}
				}
			}
		}
	}
	return out
}

// accumulate adds to y the rows of x, one for each weight, in their order.
func accumulate(y, x, w []float32) {
	n := len(y)
	for ; len(w) >= 4; w = w[4:] {
		x0, x1, x2, x3 := x[:n], x[n:2*n], x[2*n:3*n], x[3*n:4*n]
		x = x[4*n:]
		for i, sum := range y {
			sum += float32(w[0] * x0[i])
			sum += float32(w[1] * x1[i])
			sum += float32(w[2] * x2[i])
			y[i] = sum + float32(w[3]*x3[i])
		}
	}
	for k, a := range w {
		for i, v := range x[k*n : (k+1)*n] {
			y[i] += float32(a * v)
		}
	}
}

// parallel calls f for 0 to n-1 from all processors.
func parallel(n int, f func(int)) {
	workers := min(n, runtime.GOMAXPROCS(0))
	var group sync.WaitGroup
	for k := range workers {
		group.Go(func() {
			for i := n * k / workers; i < n*(k+1)/workers; i++ {
				f(i)
			}
		})
	}
	group.Wait()
}
