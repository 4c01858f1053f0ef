package op

import (
	"fmt"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// blockShape checks the input of DepthToSpace and SpaceToDepth.
func blockShape(in graph.Shape, block int64, depth bool) error {
	if block < 1 || block > 1<<15 {
		return fmt.Errorf("blocksize %d is not valid", block)
	}
	if in == nil {
		return nil
	}
	if len(in) != 4 {
		return fmt.Errorf("input must be [N,C,H,W], its shape is %v", in)
	}
	bad := func(d graph.Dim, by int64) bool { return d.Known() && int64(d.Size)%by != 0 }
	if depth && bad(in[1], block*block) || !depth && (bad(in[2], block) || bad(in[3], block)) {
		return fmt.Errorf("blocksize %d does not divide shape %v", block, in)
	}
	return nil
}

func scaleDim(d graph.Dim, mul, div int) graph.Dim {
	if !d.Known() {
		return graph.Unknown
	}
	return graph.Dim{Size: d.Size * mul / div}
}

func inferDepthToSpace(c *Infer) error {
	in, b := c.Shape(0), c.Attrs().Int("blocksize", 0)
	if err := blockShape(in, b, true); err != nil {
		return err
	}
	out := unknownShape(4)
	if n := int(b); in != nil {
		out = graph.Shape{in[0], scaleDim(in[1], 1, n*n), scaleDim(in[2], n, 1), scaleDim(in[3], n, 1)}
	}
	c.SetTensor(0, c.DType(0), out)
	return nil
}

func evalDepthToSpace(e *Eval) error {
	x, block := e.T(0), e.Attrs().Int("blocksize", 0)
	if err := blockShape(graph.Dims(x.Shape()...), block, true); err != nil {
		return err
	}
	b := int(block)
	n, c, h, w := x.Dim(0), x.Dim(1)/(b*b), x.Dim(2), x.Dim(3)
	split, perm := []int{n, b, b, c, h, w}, []int{0, 3, 4, 1, 5, 2}
	switch mode := e.Attrs().String("mode", "DCR"); mode {
	case "DCR":
	case "CRD":
		split, perm = []int{n, c, b, b, h, w}, []int{0, 1, 4, 2, 5, 3}
	default:
		return fmt.Errorf("mode %q is not one of DCR, CRD", mode)
	}
	return e.shuffle(x, split, perm, n, c, h*b, w*b)
}

func inferSpaceToDepth(c *Infer) error {
	in, b := c.Shape(0), c.Attrs().Int("blocksize", 0)
	if err := blockShape(in, b, false); err != nil {
		return err
	}
	out := unknownShape(4)
	if n := int(b); in != nil {
		out = graph.Shape{in[0], scaleDim(in[1], n*n, 1), scaleDim(in[2], 1, n), scaleDim(in[3], 1, n)}
	}
	c.SetTensor(0, c.DType(0), out)
	return nil
}

func evalSpaceToDepth(e *Eval) error {
	x, block := e.T(0), e.Attrs().Int("blocksize", 0)
	if err := blockShape(graph.Dims(x.Shape()...), block, false); err != nil {
		return err
	}
	b := int(block)
	n, c, h, w := x.Dim(0), x.Dim(1), x.Dim(2)/b, x.Dim(3)/b
	return e.shuffle(x, []int{n, c, h, b, w, b}, []int{0, 3, 5, 1, 2, 4}, n, c*b*b, h, w)
}

// shuffle views x as shape split, permutes its axes and views the result as out.
func (e *Eval) shuffle(x *tensor.Tensor, split, perm []int, out ...int) error {
	s := tensor.Strides(split)
	shape, stride := make([]int, len(perm)), make([]int, len(perm))
	for i, p := range perm {
		shape[i], stride[i] = split[p], s[p]
	}
	copyStrided(e.Result(0, x.DType(), out...), x, shape, stride, 0)
	return nil
}
