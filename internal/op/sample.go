package op

import (
	"fmt"
	"math"
	"slices"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// sampleOps read images at computed coordinates.
func sampleOps() []Def {
	return []Def{
		{Name: "GridSample", In: "X grid", Out: "Y", Attrs: "align_corners:int mode:string padding_mode:string", Infer: inferGridSample, Eval: evalGridSample},
		{Name: "AffineGrid", In: "theta size", Out: "grid", Attrs: "align_corners:int", Infer: inferAffineGrid, Eval: evalAffineGrid},
	}
}

func inferGridSample(c *Infer) error {
	x, g := c.Shape(0), c.Shape(1)
	if x == nil || g == nil {
		c.SetTensor(0, c.DType(0), nil)
		return nil
	}
	if len(x) < 3 || len(g) != len(x) || g[len(g)-1].Known() && g[len(g)-1].Size != len(x)-2 {
		return fmt.Errorf("grid %v does not fit X %v", g, x)
	}
	c.SetTensor(0, c.DType(0), slices.Concat(x[:2], g[1:len(g)-1]))
	return nil
}

func evalGridSample(e *Eval) error {
	x, grid := e.T(0), e.T(1)
	spatial := x.Rank() - 2
	if spatial < 1 || grid.Rank() != x.Rank() || grid.Dim(-1) != spatial || grid.Dim(0) != x.Dim(0) {
		return fmt.Errorf("grid %v does not fit X %v", grid, x)
	}
	gs := gridSampler{mode: e.Attrs().String("mode", "linear"), padding: e.Attrs().String("padding_mode", "zeros"), align: e.Attrs().Bool("align_corners", false)}
	if !slices.Contains([]string{"nearest", "linear", "cubic"}, gs.mode) {
		return fmt.Errorf("mode %q is not one of nearest, linear, cubic", gs.mode)
	}
	if !slices.Contains([]string{"zeros", "border", "reflection"}, gs.padding) {
		return fmt.Errorf("padding_mode %q is not one of zeros, border, reflection", gs.padding)
	}
	shape := slices.Concat(x.Shape()[:2], grid.Shape()[1:grid.Rank()-1])
	out := e.Result(0, x.DType(), shape...)
	if out.Len() == 0 {
		return nil
	}
	sizes := x.Shape()[2:]
	stride := tensor.Strides(sizes)
	plane, points, channels := sizeOf(sizes), sizeOf(shape[2:]), x.Dim(1)
	for n := range x.Dim(0) {
		for p := range points {
			terms := []tap{{0, 1}}
			for a, size := range sizes {
				// The grid holds coordinates in the order x, y, z: the last axis first.
				v := grid.Float((n*points+p)*spatial + spatial - 1 - a)
				var next []tap
				for _, t := range terms {
					for _, u := range gs.taps(v, size) {
						if t.at >= 0 && u.at >= 0 {
							next = append(next, tap{t.at + u.at*stride[a], t.w * u.w})
						}
					}
				}
				terms = next
			}
			for c := range channels {
				at := (n*channels + c) * plane
				to := (n*channels+c)*points + p
				if gs.mode == "nearest" {
					if len(terms) == 1 {
						copyElement(out, to, x, at+terms[0].at)
					}
					continue
				}
				sum := 0.0
				for _, t := range terms {
					sum += t.w * x.Float(at+t.at)
				}
				out.SetFloat(to, sum)
			}
		}
	}
	return nil
}

// gridSampler turns normalized coordinates into weighted indices of one axis.
type gridSampler struct {
	mode, padding string
	align         bool
}

// taps returns the terms for coordinate v, where -1..1 spans an axis of the given size.
func (g gridSampler) taps(v float64, size int) []tap {
	lo, hi := -0.5, float64(size)-0.5
	var at float64
	if g.align {
		lo, hi = 0, float64(size-1)
		at = float64((float32(v) + 1) / 2 * float32(size-1))
	} else {
		at = float64(((float32(v)+1)*float32(size) - 1) / 2)
	}
	if g.mode == "nearest" {
		at = math.RoundToEven(at)
	}
	if at < lo || at > hi {
		switch g.padding {
		case "border":
			at = min(max(at, 0), float64(size-1))
		case "reflection":
			at = reflect(at, lo, hi)
		}
	}
	if math.IsNaN(at) || math.Abs(at) > 1<<30 {
		return nil
	}
	base := math.Floor(at)
	ratio := at - base
	switch g.mode {
	case "nearest":
		return []tap{{g.index(base, size, lo, hi), 1}}
	case "linear":
		return []tap{{g.index(base, size, lo, hi), 1 - ratio}, {g.index(base+1, size, lo, hi), ratio}}
	}
	taps := make([]tap, 4)
	for i := range taps {
		d := float64(i - 1)
		taps[i] = tap{g.index(base+d, size, lo, hi), cubicKernel(d-ratio, -0.75)}
	}
	return taps
}

// index maps a neighbour that may lie outside to an element, -1 for zero.
func (g gridSampler) index(at float64, size int, lo, hi float64) int {
	if at >= 0 && at < float64(size) {
		return int(at)
	}
	switch g.padding {
	case "border":
		return int(min(max(at, 0), float64(size-1)))
	case "reflection":
		return int(min(max(reflect(at, lo, hi), 0), float64(size-1)))
	}
	return -1
}

// reflect folds v at lo and hi until it lies between them.
func reflect(v, lo, hi float64) float64 {
	span := hi - lo
	if span <= 0 {
		return lo
	}
	d := math.Mod(math.Abs(v-lo), 2*span)
	return lo + min(d, 2*span-d)
}

func inferAffineGrid(c *Infer) error {
	size, ok, err := c.dims(1)
	if err != nil {
		return err
	}
	if !ok {
		var s graph.Shape
		if n := c.Shape(1); len(n) == 1 && n[0].Known() {
			s = unknownShape(n[0].Size)
		}
		c.SetTensor(0, c.DType(0), s)
		return nil
	}
	if len(size) != 4 && len(size) != 5 {
		return fmt.Errorf("size %v must be [N,C,H,W] or [N,C,D,H,W]", size)
	}
	c.SetTensor(0, c.DType(0), slices.Concat(size[:1], size[2:], graph.Dims(len(size)-2)))
	return nil
}

func evalAffineGrid(e *Eval) error {
	theta, size := e.T(0), e.sizes(1)
	k := len(size) - 2
	if k != 2 && k != 3 || !slices.Equal(theta.Shape(), []int{size[0], k, k + 1}) {
		return fmt.Errorf("theta %v does not fit size %v", theta, size)
	}
	out := e.Result(0, theta.DType(), slices.Concat(size[:1], size[2:], []int{k})...)
	if out.Len() == 0 {
		return nil
	}
	align := e.Attrs().Bool("align_corners", false)
	// along[a][i] is the normalized coordinate of index i: centres of n cells over
	// -1..1, or n points from -1 to 1.
	along := make([][]float64, k)
	for a, n := range size[2:] {
		along[a] = make([]float64, n)
		for i := range n {
			switch {
			case !align:
				along[a][i] = float64(2*i+1)/float64(n) - 1
			case n > 1:
				along[a][i] = 2*float64(i)/float64(n-1) - 1
			}
		}
	}
	points := sizeOf(size[2:])
	stride := tensor.Strides(size[2:])
	for i := range out.Len() / k {
		n, p := i/points, i%points
		for r := range k {
			row := (n*k + r) * (k + 1)
			sum := theta.Float(row + k)
			for a := range k { // column 0 of theta belongs to x, the last axis
				sum += theta.Float(row+k-1-a) * along[a][p/stride[a]%size[2+a]]
			}
			out.SetFloat(i*k+r, sum)
		}
	}
	return nil
}
