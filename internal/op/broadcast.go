package op

import (
	"fmt"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// BroadcastShape returns the common shape of multidirectional broadcasting (ONNX
// "Broadcasting in ONNX"): shapes are aligned at the right, sizes 1 stretch.
func BroadcastShape(shapes ...[]int) ([]int, error) {
	rank := 0
	for _, s := range shapes {
		rank = max(rank, len(s))
	}
	out := make([]int, rank)
	for i := range out {
		out[i] = 1
	}
	for _, s := range shapes {
		off := rank - len(s)
		for i, d := range s {
			switch {
			case out[off+i] == 1:
				out[off+i] = d
			case d != 1 && d != out[off+i]:
				return nil, fmt.Errorf("shapes %v do not broadcast together", shapes)
			}
		}
	}
	return out, nil
}

// BroadcastDims is BroadcastShape for shapes that may be partly unknown.
func BroadcastDims(shapes ...graph.Shape) (graph.Shape, error) {
	rank := 0
	for _, s := range shapes {
		if s == nil {
			return nil, nil
		}
		rank = max(rank, len(s))
	}
	out := make(graph.Shape, rank)
	for i := range out {
		out[i] = graph.Dim{Size: 1}
	}
	for _, s := range shapes {
		off := rank - len(s)
		for i, d := range s {
			o := &out[off+i]
			switch {
			case o.Known() && o.Size == 1:
				*o = d
			case d.Known() && d.Size == 1, o.Same(d):
			case o.Known() && d.Known():
				return nil, fmt.Errorf("shapes %v do not broadcast together", shapes)
			case d.Known():
				*o = d // the unknown one must be 1 or equal
			case o.Known():
			default:
				*o = graph.Unknown
			}
		}
	}
	return out, nil
}

// broadcastIndex yields, for every element of shape in row-major order, the flat
// index into an operand of shape in. It serves reference code: clear before fast.
type broadcastIndex struct {
	shape, idx, stride []int
	at                 int
}

func newBroadcastIndex(in, shape []int) *broadcastIndex {
	b := &broadcastIndex{shape: shape, idx: make([]int, len(shape)), stride: make([]int, len(shape))}
	s := tensor.Strides(in)
	off := len(shape) - len(in)
	for i, d := range in {
		if d != 1 {
			b.stride[off+i] = s[i]
		}
	}
	return b
}

// next returns the operand index of the current element and advances.
func (b *broadcastIndex) next() int {
	at := b.at
	for k := len(b.idx) - 1; k >= 0; k-- {
		b.idx[k]++
		b.at += b.stride[k]
		if b.idx[k] < b.shape[k] {
			break
		}
		b.at -= b.stride[k] * b.shape[k]
		b.idx[k] = 0
	}
	return at
}
