package engine

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"hash/fnv"
	"maps"
	"slices"
	"strings"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// A sealed plan is a file that holds what compiling a model makes: the graph as it was
// lowered, without the weights that operators have packed, and the packed weights, which
// are used where the file is mapped. 8-bit weights are stored as they were and packed anew.
// Steps are not stored: the same program lowers the same graph to the same steps, which
// takes little time without weights. For any other program the file also holds the model
// itself.
//
//	bytes 0–7    "EDGEPLAN"
//	      8–11   form of the file, sealForm
//	      12–15  CRC-32 of bytes 16 … start of the model
//	      16–47  start and length of the description, start and length of the model
//	      64 …   contents of tensors and packed weights, each at a multiple of 64
//	             the description, the model
//
// All numbers are little-endian. The description is read by unseal.go.
const (
	sealMagic  = "EDGEPLAN"
	sealForm   = 2
	sealHeader = 64
)

// errUnsealable is why a plan has no sealed form.
var errUnsealable = errors.New("this plan cannot be sealed")

// Seal returns the plan as a file. model, which may be any format that the caller can
// read again, is what the plan was compiled from. Only a program of the same build will
// use the plan.
func (p *Plan) Seal(model []byte) ([]byte, error) {
	build := BuildID()
	if build == "" {
		return nil, fmt.Errorf("%w: this program does not carry the number of its build", errUnsealable)
	}
	s := &sealer{buf: make([]byte, sealHeader), spans: map[*tensor.Tensor]uint64{}}
	hollow := p.hollow()
	g, err := graph.Encode(p.graph, func(t *tensor.Tensor) uint64 {
		if hollow[t] {
			return 0
		}
		return s.content(t)
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUnsealable, err)
	}
	var blobs []span
	for _, b := range p.packing.Blobs() {
		blobs = append(blobs, s.append(b))
	}
	s.align()
	at := len(s.buf)
	digest := sha256.Sum256(model)
	for _, text := range []string{build, p.level.String(), string(digest[:]), strings.Join(p.disabled, ","), p.print()} {
		s.text(text)
	}
	s.table(s.contents)
	s.table(blobs)
	s.number(len(p.choices))
	for _, name := range slices.Sorted(maps.Keys(p.choices)) {
		s.text(name)
		s.text(p.choices[name])
	}
	s.number(len(p.notes))
	for _, n := range p.notes {
		s.text(n.Node)
		s.text(n.Op)
		s.text(n.Reason)
	}
	s.text(string(g))
	length := len(s.buf) - at
	s.align()
	copy(s.buf, sealMagic)
	binary.LittleEndian.PutUint32(s.buf[8:], sealForm)
	for i, n := range []int{at, length, len(s.buf), len(model)} {
		binary.LittleEndian.PutUint64(s.buf[16+8*i:], uint64(n))
	}
	binary.LittleEndian.PutUint32(s.buf[12:], crc32.ChecksumIEEE(s.buf[16:]))
	return append(s.buf, model...), nil
}

// hollow returns the constants whose contents are needed no more: every use of them is by
// an operator that packed them.
func (p *Plan) hollow() map[*tensor.Tensor]bool {
	uses := map[*tensor.Tensor]int{}
	use := func(list []*graph.Value, k int) {
		for _, v := range list {
			if v != nil && v.Const != nil {
				uses[v.Const] += k
			}
		}
	}
	use(p.graph.Outputs, 1)
	p.graph.Walk(func(_ *graph.Graph, n *graph.Node) {
		use(n.Inputs, 1)
		for _, b := range n.Bodies() {
			use(b.Outputs, 1)
		}
	})
	use(p.taken, -1)
	out := map[*tensor.Tensor]bool{}
	for _, v := range p.taken {
		out[v.Const] = uses[v.Const] == 0
	}
	return out
}

// print is a fingerprint of the steps: a program that lowers the graph to others must not
// use the packed weights.
func (p *Plan) print() string {
	h := fnv.New64a()
	for _, st := range p.steps {
		fmt.Fprintln(h, st.name, st.op, st.kernel, st.units, st.scratch)
	}
	return fmt.Sprintf("%d %x", len(p.steps), h.Sum64())
}

// span is a part of the file.
type span struct{ at, length int }

type sealer struct {
	buf      []byte
	contents []span
	spans    map[*tensor.Tensor]uint64 // number of a tensor's contents, from 1
}

// content stores a tensor's contents and returns their number.
func (s *sealer) content(t *tensor.Tensor) uint64 {
	n, ok := s.spans[t]
	if !ok {
		s.contents = append(s.contents, s.append(t.Bytes()))
		n = uint64(len(s.contents))
		s.spans[t] = n
	}
	return n
}

func (s *sealer) align() { s.buf = append(s.buf, make([]byte, align(len(s.buf))-len(s.buf))...) }

func (s *sealer) append(b []byte) span {
	s.align()
	at := len(s.buf)
	s.buf = append(slices.Grow(s.buf, len(b)), b...)
	return span{at, len(b)}
}

func (s *sealer) number(n int) { s.buf = binary.AppendUvarint(s.buf, uint64(n)) }

func (s *sealer) text(t string) {
	s.number(len(t))
	s.buf = append(s.buf, t...)
}

func (s *sealer) table(spans []span) {
	s.number(len(spans))
	for _, p := range spans {
		s.number(p.at)
		s.number(p.length)
	}
}
