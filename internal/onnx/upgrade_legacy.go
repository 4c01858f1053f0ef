package onnx

import (
	"errors"
	"math"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// Operators of the first opsets that were later removed, put together from others.

// affine: alpha*x + beta.
func affine(u *upgrader) error {
	x, err := u.need(0)
	if err != nil {
		return err
	}
	a := u.n.Attrs
	scaled := u.add("Mul", "_scaled", nil, x, u.scalar("_alpha", a.Float("alpha", 1), x))
	return u.replace("Add", nil, scaled, u.scalar("_beta", a.Float("beta", 0), x))
}

// parametricSoftplus: alpha * log(exp(beta*x) + 1).
func parametricSoftplus(u *upgrader) error {
	x, err := u.need(0)
	if err != nil {
		return err
	}
	a := u.n.Attrs
	soft := u.add("Softplus", "_softplus", nil, u.add("Mul", "_scaled", nil, x, u.scalar("_beta", a.Float("beta", 1), x)))
	return u.replace("Mul", nil, soft, u.scalar("_alpha", a.Float("alpha", 1), x))
}

// scaledTanh: alpha * tanh(beta*x).
func scaledTanh(u *upgrader) error {
	x, err := u.need(0)
	if err != nil {
		return err
	}
	a := u.n.Attrs
	t := u.add("Tanh", "_tanh", nil, u.add("Mul", "_scaled", nil, x, u.scalar("_beta", a.Float("beta", 1), x)))
	return u.replace("Mul", nil, t, u.scalar("_alpha", a.Float("alpha", 1), x))
}

// imageScaler: scale*x + bias[channel] on NCHW.
func imageScaler(u *upgrader) error {
	x, err := u.need(0)
	if err != nil {
		return err
	}
	a := u.n.Attrs
	bias := a.Floats("bias")
	scaled := u.add("Mul", "_scaled", nil, x, u.scalar("_scale", a.Float("scale", 1), x))
	return u.replace("Add", nil, scaled, u.g.Constant(u.base()+"_bias", tensor.Of(append([]float32{}, bias...), 1, len(bias), 1, 1)))
}

// crop removes a border (left, top, right, bottom) of NCHW images, or takes a size
// (height, width) from its top left corner on.
func crop(u *upgrader) error {
	x, err := u.need(0)
	if err != nil {
		return err
	}
	border, size := u.n.Attrs.Ints("border"), u.n.Attrs.Ints("scale")
	if len(border) != 4 || size != nil && len(size) != 2 {
		return errors.New("border needs four values and scale two")
	}
	ends := []int64{-border[3], -border[2]}
	for i, e := range ends {
		switch {
		case size != nil:
			ends[i] = border[1-i] + size[i]
		case e == 0:
			ends[i] = math.MaxInt64
		}
	}
	return u.replace("Slice", nil, x, u.ints("_starts", border[1], border[0]), u.ints("_ends", ends...), u.ints("_axes", 2, 3))
}

// batchedScan: Scan had a batch axis before the sequence axis, and scanned every batch by
// itself. That is today's Scan over the batch with today's Scan over the sequence inside.
func batchedScan(u *upgrader) error {
	n := u.n
	body := n.Attrs.Graph("body")
	scanned := n.Attrs.Int("num_scan_inputs", 0)
	switch {
	case body == nil:
		return errors.New("attribute body is missing")
	case n.In(0) != nil:
		return errors.New("the input sequence_lens has no equivalent")
	case len(n.Inputs) < 2 || scanned < 1 || scanned > int64(len(n.Inputs)-1):
		return errors.New("num_scan_inputs does not fit the inputs")
	}
	data := n.Inputs[1:]
	for _, v := range data {
		if v == nil {
			return errors.New("an input is absent")
		}
	}
	states := len(data) - int(scanned)
	attrs := graph.Attrs{"body": body, "num_scan_inputs": scanned}
	if d := n.Attrs.Ints("directions"); d != nil {
		attrs["scan_input_directions"] = d
	}
	batch := u.g.NewBody(body.Name + "_batch")
	body.Outer = batch
	inner := &graph.Node{Name: u.base() + "_sequence", Op: "Scan", Attrs: attrs}
	for _, v := range data {
		inner.Inputs = append(inner.Inputs, batch.Input(v.Name+"_item", graph.Type{DType: v.Type.DType}))
	}
	for i := range body.Outputs {
		v := batch.NewValue(u.base()+"_item", graph.Type{})
		v.Def = inner
		inner.Outputs = append(inner.Outputs, v)
		_ = i
	}
	if len(body.Outputs) < states {
		return errors.New("the body has fewer outputs than states")
	}
	batch.Nodes = []*graph.Node{inner}
	batch.Output(inner.Outputs...)
	n.Inputs = data
	n.Attrs = graph.Attrs{"body": batch, "num_scan_inputs": int64(len(data))}
	return nil
}
