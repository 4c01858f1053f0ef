package engine

import (
	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

func init() {
	lowers(lowerDepthToSpace, "", "DepthToSpace")
	lowers(lowerSpaceToDepth, "", "SpaceToDepth")
}

// Both operators are one move between tensors of six dimensions: those of an image whose
// rows and columns are counted by blocks and within them.

// lowerDepthToSpace takes a block from b·b groups of channels, or from b·b neighbours of
// each channel in mode CRD.
func lowerDepthToSpace(l *lowerer, n *graph.Node) string {
	b := int(n.Attrs.Int("blocksize", 0))
	in, out, reason := l.blockOperands(n)
	if reason != "" {
		return reason
	}
	c := out.shape[1]
	group, channel := c, 1
	if n.Attrs.String("mode", "DCR") == "CRD" {
		group, channel = 1, b*b
	}
	i, o := in.strides, out.strides
	shape := []int{in.shape[0], c, in.shape[2], b, in.shape[3], b}
	l.move(n.Label(), out.view(shape, []int{o[0], o[1], b * o[2], o[2], b * o[3], o[3]}, 0),
		in.view(shape, []int{i[0], channel * i[1], i[2], b * group * i[1], i[3], group * i[1]}, 0))
	return ""
}

func lowerSpaceToDepth(l *lowerer, n *graph.Node) string {
	b := int(n.Attrs.Int("blocksize", 0))
	in, out, reason := l.blockOperands(n)
	if reason != "" {
		return reason
	}
	c := in.shape[1]
	i, o := in.strides, out.strides
	shape := []int{in.shape[0], c, out.shape[2], b, out.shape[3], b}
	l.move(n.Label(), out.view(shape, []int{o[0], o[1], o[2], b * c * o[1], o[3], c * o[1]}, 0),
		in.view(shape, []int{i[0], i[1], b * i[2], i[2], b * i[3], i[3]}, 0))
	return ""
}

// blockOperands returns the input in the form it has and makes the output in the same
// memory order.
func (l *lowerer) blockOperands(n *graph.Node) (in, out *ref, reason string) {
	x, y := n.In(0), n.Outputs[0]
	in = l.first(x)
	if len(in.shape) != 4 {
		return nil, nil, "only four dimensions have a kernel"
	}
	if in.biased != (x.Type.DType == tensor.Int8) {
		in = l.plainBytes(x)
	}
	if _, ok := in.channelsLast(); ok && !in.plain() {
		out, _ = l.makeChannelsLast(y)
		return in, out, ""
	}
	s, _ := y.Type.Static()
	return in, l.make(y, tensor.Strides(s), nil), ""
}
