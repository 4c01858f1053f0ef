package engine

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"

	"github.com/edgewise-ml/edgewise/internal/cpu"
	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/kernel"
	"github.com/edgewise-ml/edgewise/internal/op"
	"github.com/edgewise-ml/edgewise/tensor"
)

// Sealed is a sealed plan that has been read. Its data stay in use while plans made of it
// live.
type Sealed struct {
	graph   *graph.Graph // some constants hollow
	level   cpu.Level
	disable []string
	choices map[string]string
	print   string
	notes   []Note
	blobs   [][]byte
}

// SniffSealed reports whether a file that starts with head is a sealed plan.
func SniffSealed(head []byte) bool { return bytes.HasPrefix(head, []byte(sealMagic)) }

// Unseal reads a sealed plan. Nothing in data is believed before it is checked; the error
// says why this program cannot use the plan: damage, another build of the program, or
// instructions that this machine lacks. SealedModel may then still find the model.
func Unseal(data []byte) (*Sealed, error) {
	s, err := unseal(data)
	if err != nil {
		return nil, fmt.Errorf("sealed plan: %w", err)
	}
	return s, nil
}

func unseal(data []byte) (*Sealed, error) {
	meta, model, err := sealParts(data)
	if err != nil {
		return nil, err
	}
	if form := binary.LittleEndian.Uint32(data[8:]); form != sealForm {
		return nil, fmt.Errorf("it has form %d, this program reads %d", form, sealForm)
	}
	if crc32.ChecksumIEEE(data[16:model.at]) != binary.LittleEndian.Uint32(data[12:]) {
		return nil, errors.New("the checksum is wrong: the file is damaged")
	}
	r := &sealReader{file: data[:model.at], data: data[meta.at : meta.at+meta.length]}
	s := &Sealed{}
	build, level, _ := r.text(), r.text(), r.text()
	disable := r.text()
	s.print = r.text()
	if id := BuildID(); r.err == nil && (id == "" || build != id) {
		return nil, errors.New("it was made by another build of this program")
	}
	contents, blobs := r.table(), r.table()
	s.choices = map[string]string{}
	for range r.count() {
		name := r.text()
		s.choices[name] = r.text()
	}
	for range r.count() {
		s.notes = append(s.notes, Note{Node: r.text(), Op: r.text(), Reason: r.text()})
	}
	encoded := r.bytes()
	if r.err != nil {
		return nil, r.err
	}
	if s.level, err = cpu.ParseLevel(level); err != nil {
		return nil, err
	}
	if s.level != cpu.Best() {
		return nil, fmt.Errorf("it was made for %v, this machine runs %v", s.level, cpu.Best())
	}
	if disable != "" {
		s.disable = strings.Split(disable, ",")
	}
	s.blobs = blobs
	room := len(r.file) // for what hollow constants stand for: their packed form is in the file
	s.graph, err = graph.Decode(encoded, func(n uint64, d tensor.DType, shape []int) (*tensor.Tensor, error) {
		switch {
		case n == 0:
			t, err := tensor.Hollow(d, shape)
			if err == nil {
				// Sizes that cost nothing must not make a lowering ask for all memory there is.
				if room -= d.Bytes(t.Len()); room < 0 {
					err = errors.New("constants without contents are larger than the file")
				}
			}
			return t, err
		case n > uint64(len(contents)):
			return nil, fmt.Errorf("contents %d of %d", n, len(contents))
		}
		return tensor.FromBytes(d, shape, contents[n-1])
	})
	return s, err
}

// SealedModel returns the model inside a sealed plan, whatever became of the rest.
func SealedModel(data []byte) ([]byte, error) {
	meta, model, err := sealParts(data)
	if err != nil {
		return nil, fmt.Errorf("sealed plan: %w", err)
	}
	r := &sealReader{data: data[meta.at : meta.at+meta.length]}
	_, _, digest := r.text(), r.text(), r.text()
	m := data[model.at : model.at+model.length]
	if d := sha256.Sum256(m); r.err != nil || string(d[:]) != digest {
		return nil, errors.New("sealed plan: the model in it is damaged")
	}
	return m, nil
}

// sealParts finds the description and the model in a file.
func sealParts(data []byte) (meta, model span, err error) {
	if len(data) < sealHeader || !SniffSealed(data) {
		return span{}, span{}, errors.New("the file is cut short")
	}
	part := func(i int) span {
		at, n := binary.LittleEndian.Uint64(data[i:]), binary.LittleEndian.Uint64(data[i+8:])
		if at < sealHeader || at > uint64(len(data)) || n > uint64(len(data))-at {
			err = errors.New("the file is cut short or damaged")
			return span{}
		}
		return span{int(at), int(n)}
	}
	meta, model = part(16), part(32)
	if err == nil && meta.at+meta.length > model.at {
		err = errors.New("the file is damaged: its parts overlap")
	}
	return meta, model, err
}

// Graph returns the inputs, outputs and metadata of the model with the sizes that were
// sealed. Its nodes are those of the lowered graph; constants may be hollow.
func (s *Sealed) Graph() *graph.Graph { return s.graph }

// Level returns the instruction set level that the plan is for.
func (s *Sealed) Level() cpu.Level { return s.level }

// Disabled returns the lowering rules that the plan does without.
func (s *Sealed) Disabled() []string { return slices.Clone(s.disable) }

// Plan makes the plan for a number of threads. Plans of one Sealed share the weights.
func (s *Sealed) Plan(threads int) (p *Plan, err error) {
	defer func() {
		if r := recover(); r != nil {
			p, err = nil, fmt.Errorf("sealed plan: %v", r)
		}
	}()
	if threads > maxThreads {
		return nil, fmt.Errorf("sealed plan: %d threads are over the limit of %d", threads, maxThreads)
	}
	c := s.graph.Clone()
	if err := checkNodes(c); err != nil {
		return nil, fmt.Errorf("sealed plan: %w", err)
	}
	if _, err := inferAnew(c); err != nil {
		return nil, fmt.Errorf("sealed plan: %w", err)
	}
	p = newPlan(c, s.level, threads, s.notes)
	p.packing = kernel.Adopt(s.blobs)
	if err := p.build(Options{Disable: s.disable, Choices: s.choices}); err != nil {
		return nil, fmt.Errorf("sealed plan: %w", err)
	}
	if p.print() != s.print {
		return nil, errors.New("sealed plan: the steps are not those that were sealed")
	}
	hollow := p.hollow()
	for _, v := range c.Constants() {
		if v.Const.Hollow() && !hollow[v.Const] {
			return nil, fmt.Errorf("sealed plan: the contents of %v are missing", v)
		}
	}
	return p, nil
}

// checkNodes refuses operators that are not as their definitions say, and attributes
// without contents.
func checkNodes(g *graph.Graph) (err error) {
	g.Walk(func(_ *graph.Graph, n *graph.Node) {
		if err != nil {
			return
		}
		if err = op.Check(n); err != nil {
			err = fmt.Errorf("%v: %w", n, err)
			return
		}
		for name, a := range n.Attrs {
			tensors, _ := a.([]*tensor.Tensor)
			if t, ok := a.(*tensor.Tensor); ok {
				tensors = append(tensors, t)
			}
			for _, t := range tensors {
				if t.Hollow() {
					err = fmt.Errorf("%v: attribute %s has no contents", n, name)
				}
			}
		}
	})
	return err
}

// sealReader reads a description. After an error all it returns is empty.
type sealReader struct {
	file, data []byte
	err        error
}

func (r *sealReader) fail() {
	if r.err == nil {
		r.err, r.data = errors.New("the description is cut short"), nil
	}
}

func (r *sealReader) number() uint64 {
	n, size := binary.Uvarint(r.data)
	if size <= 0 {
		r.fail()
		return 0
	}
	r.data = r.data[size:]
	return n
}

// count reads the length of something of which each item takes a byte or more.
func (r *sealReader) count() int {
	n := r.number()
	if n > uint64(len(r.data)) {
		r.fail()
		return 0
	}
	return int(n)
}

func (r *sealReader) bytes() []byte {
	n := r.count()
	b := r.data[:n]
	r.data = r.data[n:]
	return b
}

func (r *sealReader) text() string { return string(r.bytes()) }

// table reads parts of the file.
func (r *sealReader) table() [][]byte {
	out := make([][]byte, r.count())
	for i := range out {
		at, n := r.number(), r.number()
		if at > uint64(len(r.file)) || n > uint64(len(r.file))-at {
			r.fail()
			return nil
		}
		out[i] = r.file[at : at+n : at+n]
	}
	return out
}

// VerifySealed reports whether a sealed plan computes what p, from which it was made, does:
// every output on made-up inputs, bit for bit.
func VerifySealed(ctx context.Context, data []byte, p *Plan) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s, err := Unseal(data)
	if err != nil {
		return err
	}
	again, err := s.Plan(p.threads)
	if err != nil {
		return err
	}
	var want []op.Value
	for _, plan := range []*Plan{p, again} {
		session, err := plan.NewSession()
		if err != nil {
			return err
		}
		got, err := session.Run(ctx, probe(plan))
		session.Close()
		if err != nil {
			return err
		}
		if plan == p {
			want = got
			continue
		}
		for i := range got {
			a, okA := want[i].(*tensor.Tensor)
			b, okB := got[i].(*tensor.Tensor)
			if okA && okB && !bytes.Equal(a.Bytes(), b.Bytes()) {
				return fmt.Errorf("sealed plan: output %s is not that of the model", p.outputs[i].Name)
			}
		}
	}
	return nil
}

// probe returns inputs of all kinds of bits that are no infinities: floats of either sign
// in -1..1, integers 0 and 1, which are valid where they are indices.
func probe(p *Plan) []op.Value {
	var out []op.Value
	seed := uint32(1)
	for _, in := range p.inputs {
		t, err := tensor.Make(in.Type.DType, in.Shape)
		if err != nil || !in.static() {
			out = append(out, nil)
			continue
		}
		for i := range t.Len() {
			seed = seed*1664525 + 1013904223
			switch d := in.Type.DType; {
			case d.IsFloat():
				t.SetFloat(i, float64(int32(seed))/(1<<31))
			case d.IsInt() || d == tensor.Bool:
				t.SetInt(i, int64(seed>>31))
			}
		}
		out = append(out, t)
	}
	return out
}
