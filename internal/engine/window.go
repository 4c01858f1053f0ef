package engine

import (
	"fmt"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/kernel"
)

// window is how a kernel moves over one or two spatial dimensions of [N, C, spatial...].
// One dimension counts as the horizontal one of a single row.
type window struct {
	kernel, stride, dilation, lo, hi [2]int
}

// newWindow reads the attributes of a convolution or pool. x and y are the shapes of
// input and output, kernel the kernel's spatial sizes.
func newWindow(a graph.Attrs, x, y, kernelSize []int) (*window, string) {
	n := len(x) - 2
	if n < 1 || n > 2 {
		return nil, fmt.Sprintf("kernels for %d spatial dimensions are missing", n)
	}
	if len(kernelSize) != n {
		return nil, "the kernel's rank does not fit the input"
	}
	w := &window{kernel: [2]int{1, 1}, stride: [2]int{1, 1}, dilation: [2]int{1, 1}}
	off := 2 - n
	strides, dilations, pads := a.Ints("strides"), a.Ints("dilations"), a.Ints("pads")
	auto := a.String("auto_pad", "NOTSET")
	for i := range n {
		k := off + i
		w.kernel[k] = kernelSize[i]
		if len(strides) == n {
			w.stride[k] = int(strides[i])
		}
		if len(dilations) == n {
			w.dilation[k] = int(dilations[i])
		}
		switch {
		case auto == "SAME_UPPER" || auto == "SAME_LOWER":
			total := max(0, (y[2+i]-1)*w.stride[k]+(w.kernel[k]-1)*w.dilation[k]+1-x[2+i])
			w.lo[k] = total / 2
			if auto == "SAME_LOWER" {
				w.lo[k] = total - total/2
			}
			w.hi[k] = total - w.lo[k]
		case auto == "VALID":
		case len(pads) == 2*n:
			w.lo[k], w.hi[k] = int(pads[i]), int(pads[n+i])
		}
	}
	return w, ""
}

// shape puts the window over tensors of shapes x and y with the given elements from one
// position to the next.
func (w *window) shape(x, y []int, inPixel, outPixel, groups int) kernel.ConvShape {
	return kernel.ConvShape{
		Batch: x[0], InH: height(x), InW: x[len(x)-1], InC: x[1], OutH: height(y), OutW: y[len(y)-1], OutC: y[1],
		KernelH: w.kernel[0], KernelW: w.kernel[1], StrideH: w.stride[0], StrideW: w.stride[1],
		DilationH: w.dilation[0], DilationW: w.dilation[1], PadTop: w.lo[0], PadLeft: w.lo[1], Groups: groups,
		InStride: inPixel, OutStride: outPixel,
	}
}

func height(shape []int) int {
	if len(shape) == 3 {
		return 1
	}
	return shape[2]
}
