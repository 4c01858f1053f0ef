package engine

import (
	"fmt"
	"math"
	"slices"
	"unsafe"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/kernel"
	"github.com/edgewise-ml/edgewise/internal/mapfile"
	"github.com/edgewise-ml/edgewise/internal/op"
	"github.com/edgewise-ml/edgewise/tensor"
)

func init() {
	conv := func(l *lowerer, n *graph.Node) string { return lowerQuantLinear(l, &group{nodes: []*graph.Node{n}}) }
	lowers(conv, "", "QLinearConv", "QLinearMatMul")
	lowers(conv, graph.DomainMicrosoft, "QGemm")
	pair := func(l *lowerer, n *graph.Node) string { return lowerQuantPair(l, &group{nodes: []*graph.Node{n}}) }
	lowers(pair, graph.DomainMicrosoft, "QLinearAdd", "QLinearMul")
	lowers(lowerQuantPool, graph.DomainMicrosoft, "QLinearAveragePool", "QLinearGlobalAveragePool")
	lowers(lowerQuantConcat, graph.DomainMicrosoft, "QLinearConcat")
}

// Eight-bit tensors are stored as uint8 throughout: int8 has 128 added, and so have its
// zero points and bounds. Steps then know only one kind of byte.

func isByte(d tensor.DType) bool { return d == tensor.Uint8 || d == tensor.Int8 }

// offset is what the storage of an 8-bit type adds.
func offset(d tensor.DType) int64 {
	if d == tensor.Int8 {
		return 128
	}
	return 0
}

// quantized is the scale and stored zero point of one tensor.
type quantized struct {
	scale float64
	zero  uint8
}

// perTensor reads constant parameters of an 8-bit tensor of type d from inputs i, i+1.
func perTensor(n *graph.Node, i int, d tensor.DType) (quantized, string) {
	s, z := n.In(i), n.In(i+1)
	switch {
	case !isByte(d):
		return quantized{}, fmt.Sprintf("%v is not an 8-bit type", d)
	case s == nil || s.Const == nil || s.Const.Len() != 1 || s.Const.DType() != tensor.Float32:
		return quantized{}, "a scale is not one constant"
	case z != nil && (z.Const == nil || z.Const.Len() != 1 || z.Const.DType() != d):
		return quantized{}, "a zero point is not one constant"
	}
	q := quantized{scale: float64(s.Const.F32()[0]), zero: uint8(offset(d))}
	if z != nil {
		q.zero = uint8(z.Const.Int(0) + offset(d))
	}
	if !(q.scale > 0) || math.IsInf(q.scale, 0) {
		return q, "a scale is not a positive number"
	}
	return q, ""
}

// byteBounds reads the bounds of an 8-bit Clip as stored.
func byteBounds(n *graph.Node) (lo, hi uint8, ok bool) {
	d := n.In(0).Type.DType
	lo, hi = 0, 255
	for i, b := range []*uint8{&lo, &hi} {
		v := n.In(1 + i)
		if v == nil {
			continue
		}
		if v.Const == nil || v.Const.Len() != 1 || v.Const.DType() != d {
			return 0, 0, false
		}
		*b = uint8(v.Const.Int(0) + offset(d))
	}
	return lo, hi, lo <= hi
}

// quantChain is a quantized linear operator or sum, followed by any of: a clip of its
// bytes, a quantized sum with a tensor of the same shape, a clip of that.
func (l *lowerer) quantChain(n *graph.Node) *group {
	g := &group{nodes: []*graph.Node{n}, lower: lowerQuantLinear}
	pair := n.Op == "QLinearAdd" || n.Op == "QLinearMul"
	if pair {
		g.lower = lowerQuantPair
	}
	clip := func(slot **graph.Node) {
		m := l.next(g.out())
		if m == nil || !m.Is("Clip") || m.In(0) != g.out() || !isByte(m.In(0).Type.DType) || !l.on(ruleQuantClip) {
			return
		}
		if _, _, ok := byteBounds(m); ok {
			*slot = m
			g.take(m, ruleQuantClip)
		}
	}
	clip(&g.clip)
	m := l.next(g.out())
	if pair || m == nil || m.Op != "QLinearAdd" || m.Domain != graph.DomainMicrosoft || !l.on(ruleQuantAdd) {
		return g
	}
	other := m.In(0)
	if other == g.out() {
		other = m.In(3)
	}
	a, okA := g.out().Type.Static()
	b, okB := other.Type.Static()
	if !okA || !okB || !slices.Equal(a, b) || other.Const != nil || other == g.out() {
		return g
	}
	g.residual, g.add = other, m
	g.take(m, ruleQuantAdd)
	clip(&g.addClip)
	return g
}

// quantAdd returns the arithmetic of a QLinearAdd node with first as its A.
func quantAdd(n *graph.Node, first *graph.Value, clip *graph.Node) (q kernel.QuantAdd, reason string) {
	ia, ib := 0, 3
	if n.In(0) != first {
		ia, ib = 3, 0
	}
	a, r1 := perTensor(n, ia+1, n.In(ia).Type.DType)
	b, r2 := perTensor(n, ib+1, n.In(ib).Type.DType)
	c, r3 := perTensor(n, 6, n.Outputs[0].Type.DType)
	for _, r := range []string{r1, r2, r3} {
		if r != "" {
			return q, r
		}
	}
	q = kernel.QuantAdd{AZero: a.zero, BZero: b.zero, AMult: op.Multiplier(a.scale, 1, c.scale), BMult: op.Multiplier(b.scale, 1, c.scale), OutZero: c.zero, Lo: 0, Hi: 255}
	if clip != nil {
		q.Lo, q.Hi, _ = byteBounds(clip)
	}
	return q, ""
}

// quantLinear is the common reading of QLinearConv, QLinearMatMul and QGemm.
type quantLinear struct {
	x, w, bias *graph.Value
	in         quantized
	scales     []float64 // of the weights: 1 or one per channel
	zeros      []int32   // of the weights as signed bytes; nil: 0
	outScale   float64
	float      bool // QGemm without output parameters gives float32
	quant      kernel.QuantConv
}

func readQuantLinear(n *graph.Node, channels int) (q quantLinear, reason string) {
	q.x, q.w = n.In(0), n.In(3)
	y, bias := 6, 8
	if n.Op == "QGemm" {
		y, bias = 7, 6
	}
	q.bias = n.In(bias)
	if q.in, reason = perTensor(n, 1, q.x.Type.DType); reason != "" {
		return q, reason
	}
	ws, wz := n.In(4), n.In(5)
	switch {
	case q.w.Const == nil || !isByte(q.w.Const.DType()):
		return q, "the weights are not a constant of 8 bits"
	case ws == nil || ws.Const == nil || ws.Const.DType() != tensor.Float32 || ws.Const.Len() != 1 && ws.Const.Len() != channels:
		return q, "the weights' scales are not constants per channel"
	case wz != nil && (wz.Const == nil || wz.Const.Len() != 1 && wz.Const.Len() != channels):
		return q, "the weights' zero points are not constants per channel"
	case q.bias != nil && (q.bias.Const == nil || q.bias.Const.DType() != tensor.Int32 || q.bias.Const.Len() != channels && q.bias.Const.Len() != 1):
		return q, "the bias is not a constant per channel"
	}
	q.scales = ws.Const.Floats()
	shift := int32(0)
	if q.w.Const.DType() == tensor.Uint8 {
		shift = 128
	}
	zeros, some := []int32{-shift}, shift != 0
	if wz != nil {
		zeros = zeros[:0]
		for _, z := range wz.Const.Ints() {
			zeros = append(zeros, int32(z)-shift)
		}
	}
	for _, z := range zeros {
		some = some || z != 0
	}
	if some {
		q.zeros = zeros
	}
	q.quant = kernel.QuantConv{InZero: q.in.zero, WeightZero: q.zeros, Lo: 0, Hi: 255}
	if q.bias != nil {
		b := make([]int32, channels)
		for i := range b {
			b[i] = int32(q.bias.Const.Int(i % q.bias.Const.Len()))
		}
		q.quant.Bias = b
	}
	if q.float = n.Op == "QGemm" && n.In(7) == nil; q.float {
		return q, ""
	}
	out, reason := perTensor(n, y, n.Outputs[0].Type.DType)
	if reason != "" {
		return q, reason
	}
	q.outScale, q.quant.OutZero = out.scale, out.zero
	alpha := float64(n.Attrs.Float("alpha", 1))
	for _, s := range q.scales {
		q.quant.Mult = append(q.quant.Mult, op.Multiplier(alpha*q.in.scale, s, out.scale))
	}
	return q, ""
}

// signedWeights returns 8-bit weights as signed bytes in the order in which kernels pack
// them: those of a convolution [M, C/group, spatial...] as [M, spatial..., C/group], a
// matrix [K, N] as [N, K], with ordered as they lie. They are only read, and only until the
// next weights are asked for.
func (l *lowerer) signedWeights(w *tensor.Tensor, conv, ordered bool) []int8 {
	src := tensor.Data[int8](w)
	if w.DType() == tensor.Uint8 {
		l.signed = slices.Grow(l.signed[:0], w.Len())[:w.Len()]
		kernel.OffsetU8(unsafe.Slice((*uint8)(unsafe.Pointer(unsafe.SliceData(l.signed))), len(l.signed)), w.Bytes())
		src = l.signed
	}
	rows, cols, matrices := w.Dim(0), w.Dim(1), 1
	if conv {
		matrices, rows, cols = w.Dim(0), w.Dim(1), w.Len()/max(w.Dim(0)*w.Dim(1), 1)
	}
	if ordered || rows == 1 || cols == 1 {
		return src
	}
	l.turned = slices.Grow(l.turned[:0], len(src))[:len(src)]
	for i, n := 0, rows*cols; i < matrices; i++ {
		kernel.Transpose(l.turned[i*n:(i+1)*n], src[i*n:(i+1)*n], rows, cols)
	}
	return l.turned
}

// lowerQuantLinear makes one step of a quantized convolution or product with constant
// weights and what follows it.
func lowerQuantLinear(l *lowerer, g *group) string {
	n := g.head()
	for _, m := range g.nodes {
		if r := l.unfit(m); r != "" {
			return r
		}
	}
	xs, _ := n.In(0).Type.Static()
	ys, _ := n.Outputs[0].Type.Static()
	ws, _ := n.In(3).Type.Static()
	conv := n.Op == "QLinearConv"
	transB := n.Attrs.Int("transB", 0) != 0
	channels := ys[len(ys)-1]
	if conv {
		channels = ys[1]
	} else if len(ws) != 2 || len(xs) < 2 || n.Attrs.Int("transA", 0) != 0 {
		return "the product's form has no kernel"
	}
	q, reason := readQuantLinear(n, channels)
	if reason != "" {
		return reason
	}
	var win *window
	if conv {
		if win, reason = newWindow(n.Attrs, xs, ys, ws[2:]); reason != "" {
			return reason
		}
	}
	if g.clip != nil {
		q.quant.Lo, q.quant.Hi, _ = byteBounds(g.clip)
	}
	if g.add != nil {
		before := n.Outputs[0]
		if g.clip != nil {
			before = g.clip.Outputs[0]
		}
		add, reason := quantAdd(g.add, before, g.addClip)
		if reason != "" {
			return reason
		}
		q.quant.Residual = &add
	}
	weights := l.signedWeights(q.w.Const, conv, transB && !conv)
	var s kernel.ConvShape
	var in, out, res *ref
	if conv {
		var inPixel int
		in, inPixel = l.channelsLast(q.x)
		s = win.shape(xs, ys, inPixel, ys[1], int(n.Attrs.Int("group", 1)))
		if g.residual != nil {
			res, s.ResStride = l.channelsLast(g.residual)
		}
		out, s.OutStride = l.makeChannelsLast(g.out())
	} else {
		k := xs[len(xs)-1]
		rows := q.x.Type.Shape
		m := 1
		for _, d := range rows[:len(rows)-1] {
			m *= d.Size
		}
		s = rowsShape(m, k, channels)
		in = l.plainBytes(q.x)
		if g.residual != nil {
			res, s.ResStride = l.plainBytes(g.residual), channels
		}
		out = l.make(g.out(), tensor.Strides(ys), nil)
	}
	k, err := kernel.NewConvU8(l.level, s, weights, q.quant, l.choice(g))
	if err != nil {
		return l.refusal(g, err)
	}
	l.note(g)
	mapfile.Drop(q.w.Const.Bytes())
	l.plan.weights += len(weights) + 4*(len(q.quant.Bias)+len(q.quant.Mult))
	st := &step{name: g.last().Label(), op: opNames(g.nodes...), kernel: k.Name(), kernels: k, macs: macs(n),
		reads: []*ref{in}, writes: []*ref{out}, units: k.Units(), scratch: k.ScratchBytes()}
	switch {
	case q.float:
		mult := make([]float32, len(q.scales))
		alpha := float64(n.Attrs.Float("alpha", 1))
		for i, sc := range q.scales {
			mult[i] = op.Multiplier(alpha*q.in.scale, sc, 1)
		}
		zero := q.in.zero
		st.run = func(s *Session, worker, lo, hi int) {
			k.RunF32(s.f32(out), s.bytes(in), zero, mult, nil, s.scratch[worker], lo, hi)
		}
	case res != nil:
		// The residual is added to finished bytes of the output, so it cannot lie there.
		st.reads = append(st.reads, res)
		st.run = func(s *Session, worker, lo, hi int) {
			k.Run(s.bytes(out), s.bytes(in), s.bytes(res), s.scratch[worker], lo, hi)
		}
	default:
		st.run = func(s *Session, worker, lo, hi int) {
			k.Run(s.bytes(out), s.bytes(in), nil, s.scratch[worker], lo, hi)
		}
	}
	l.add(st)
	return ""
}

// lowerQuantPair is a quantized sum or product of two tensors with broadcasting, and a
// clip of its bytes.
func lowerQuantPair(l *lowerer, g *group) string {
	n := g.head()
	for _, m := range g.nodes {
		if r := l.unfit(m); r != "" {
			return r
		}
	}
	a, b, y := n.In(0), n.In(3), g.out()
	if a.Const != nil && b.Const != nil {
		return "both operands are constant"
	}
	as, _ := a.Type.Static()
	ys, _ := y.Type.Static()
	if !slices.Equal(as, ys) {
		a, b = b, a
	}
	lo, hi := uint8(0), uint8(255)
	if g.clip != nil {
		lo, hi, _ = byteBounds(g.clip)
	}
	// The arithmetic with the operands in either order: broadcasting may need both.
	prepare := func(first *graph.Value, swap bool) (*kernel.BinaryU8, string) {
		if n.Op == "QLinearAdd" {
			q, reason := quantAdd(n, first, g.clip)
			if swap {
				q.AZero, q.BZero, q.AMult, q.BMult = q.BZero, q.AZero, q.BMult, q.AMult
			}
			if reason != "" {
				return nil, reason
			}
			k, err := kernel.NewAddU8(l.level, q)
			return k, errText(err)
		}
		ia, ib := 0, 3
		if n.In(0) != first {
			ia, ib = 3, 0
		}
		qa, r1 := perTensor(n, ia+1, n.In(ia).Type.DType)
		qb, r2 := perTensor(n, ib+1, n.In(ib).Type.DType)
		qc, r3 := perTensor(n, 6, n.Outputs[0].Type.DType)
		for _, r := range []string{r1, r2, r3} {
			if r != "" {
				return nil, r
			}
		}
		if swap {
			qa, qb = qb, qa
		}
		k, err := kernel.NewMulU8(l.level, kernel.QuantMul{AZero: qa.zero, BZero: qb.zero, Mult: op.Multiplier(qa.scale, qb.scale, qc.scale),
			OutZero: qc.zero, Lo: lo, Hi: hi})
		return k, errText(err)
	}
	forward, reason := prepare(a, false)
	if reason != "" {
		return reason
	}
	backward, reason := prepare(a, true)
	if reason != "" {
		return reason
	}
	l.note(g)
	ra, rb, out := l.operands(a, b, y)
	p := newPair(ra, rb, out)
	l.add(&step{name: g.last().Label(), op: opNames(g.nodes...), kernel: "binary u8", reads: []*ref{ra, rb}, writes: []*ref{out},
		inPlace: sameStrides(ra, out) && ra.len() == out.len() && (ra.buf != rb.buf || ra.same(rb)), units: p.units,
		run: func(s *Session, _, lo, hi int) {
			runPair(p, byteBinary{forward, backward}, s.bytes(out), s.bytes(ra), s.bytes(rb), lo, hi)
		}})
	return ""
}

// byteBinary is a quantized function of two operands, prepared for both orders.
type byteBinary struct{ forward, backward *kernel.BinaryU8 }

func (k byteBinary) apply(y, a, b []uint8)   { k.forward.Run(y, a, b) }
func (k byteBinary) reverse(y, b, a []uint8) { k.backward.Run(y, b, a) }

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func lowerQuantPool(l *lowerer, n *graph.Node) string {
	x, y := n.In(0), n.Outputs[0]
	if n.Attrs.Int("channels_last", 0) != 0 {
		return "attribute channels_last has no kernel"
	}
	xs, _ := x.Type.Static()
	ys, _ := y.Type.Static()
	in, reason := perTensor(n, 1, x.Type.DType)
	out, r2 := perTensor(n, 3, y.Type.DType)
	if reason += r2; reason != "" {
		return reason
	}
	win := wholeWindow(xs)
	if n.Op == "QLinearAveragePool" {
		var size []int
		for _, k := range n.Attrs.Ints("kernel_shape") {
			size = append(size, int(k))
		}
		if win, reason = newWindow(n.Attrs, xs, ys, size); reason != "" {
			return reason
		}
		if n.Attrs.Int("count_include_pad", 0) != 0 && n.Attrs.Int("ceil_mode", 0) != 0 {
			return "count_include_pad with ceil_mode has no kernel"
		}
	} else if len(xs) > 4 {
		return "kernels for three spatial dimensions are missing"
	}
	rin, inPixel := l.channelsLast(x)
	q := kernel.QuantPool{CountInclude: n.Attrs.Int("count_include_pad", 0) != 0, InZero: in.zero, InScale: in.scale, OutScale: out.scale, OutZero: out.zero, Lo: 0, Hi: 255}
	s := win.shape(xs, ys, inPixel, ys[1], 1)
	op, err := kernel.NewPoolU8(l.level, s, q)
	if err != nil {
		return err.Error()
	}
	rout, pixel := l.makeChannelsLast(y)
	if pixel != ys[1] {
		s.OutStride = pixel
		if op, err = kernel.NewPoolU8(l.level, s, q); err != nil {
			panic("engine: a pool accepts one stride and not another: " + err.Error())
		}
	}
	l.addPoolU8(n, op, rout, rin)
	return ""
}

// lowerQuantConcat brings every piece to the scale of the whole on its way into it.
func lowerQuantConcat(l *lowerer, n *graph.Node) string {
	v := n.Outputs[0]
	s, _ := v.Type.Static()
	axis := int(n.Attrs.Int("axis", 1))
	if axis < 0 {
		axis += len(s)
	}
	out, reason := perTensor(n, 0, v.Type.DType)
	if reason != "" {
		return reason
	}
	var tables []*[256]uint8 // nil: a copy
	for i := 2; i < len(n.Inputs); i += 3 {
		d := n.In(i).Type.DType
		in, reason := perTensor(n, i+1, d)
		if reason != "" {
			return reason
		}
		if in == out && d == v.Type.DType {
			tables = append(tables, nil)
			continue
		}
		tables = append(tables, kernel.RequantTable(in.zero, kernel.Requant{Mult: float32(in.scale / out.scale), Zero: out.zero, Lo: 0, Hi: 255}))
	}
	strides := tensor.Strides(s)
	if first := l.first(n.In(2)); axis == 1 && !first.plain() {
		if _, ok := first.channelsLast(); ok {
			strides = channelsLastStrides(s, s[1])
		}
	}
	whole := l.make(v, strides, nil)
	at := 0
	for i, table := range tables {
		in := n.In(2 + 3*i)
		is, _ := in.Type.Static()
		part := whole.view(is, whole.strides, at*whole.strides[axis])
		at += is[axis]
		src := l.dense(in)
		if table != nil {
			mapped := &ref{dtype: v.Type.DType, biased: whole.biased, shape: is, strides: src.strides, buf: &buffer{name: in.Name}}
			mapped.buf.size = mapped.span()
			l.byteMap(n.Label(), n.Op, mapped, src, table)
			src = mapped
		}
		l.move(n.Label(), part, src)
	}
	return ""
}
