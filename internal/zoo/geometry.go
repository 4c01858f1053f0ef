package zoo

import "github.com/edgewise-ml/edgewise/internal/graph"

// geometry is that of a convolution or of pooling. Axes are height, width.
type geometry struct {
	outputs, groups int
	kernel, stride  [2]int
	before, after   [2]int // padding
}

// square has padding of half the kernel on every side.
func square(outputs, kernel, stride, groups int) geometry {
	pad := kernel / 2
	return geometry{outputs, groups, [2]int{kernel, kernel}, [2]int{stride, stride}, [2]int{pad, pad}, [2]int{pad, pad}}
}

// window is square, or for a signal [1,channels,width] of height one.
func (f feature) window(outputs, kernel, stride, groups int) geometry {
	g := square(outputs, kernel, stride, groups)
	if len(f.shape()) == 3 {
		g.kernel[0], g.stride[0], g.before[0], g.after[0] = 1, 1, 0, 0
	}
	return g
}

// output returns the size of the output for an input of the given size.
func (g geometry) output(height, width int) (int, int) {
	return (height+g.before[0]+g.after[0]-g.kernel[0])/g.stride[0] + 1,
		(width+g.before[1]+g.after[1]-g.kernel[1])/g.stride[1] + 1
}

// attrs are those of an operator with a window; rank is that of its input.
func (g geometry) attrs(rank int) graph.Attrs {
	first := 4 - rank // a signal has a width alone
	ints := func(lists ...[2]int) (out []int64) {
		for _, l := range lists {
			for _, v := range l[first:] {
				out = append(out, int64(v))
			}
		}
		return out
	}
	return graph.Attrs{"kernel_shape": ints(g.kernel), "strides": ints(g.stride), "pads": ints(g.before, g.after)}
}

// shape returns the shape of the output for an input of the given shape.
func (g geometry) shape(in []int) []int {
	if len(in) == 3 {
		_, width := g.output(1, in[2])
		return []int{1, g.outputs, width}
	}
	height, width := g.output(in[2], in[3])
	return []int{1, g.outputs, height, width}
}
