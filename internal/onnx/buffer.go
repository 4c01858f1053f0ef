package onnx

import (
	"io"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// buffer builds a protobuf message as a list of pieces, so that tensor data is written
// from where it lies and never copied.
type buffer struct {
	pieces [][]byte
	tail   []byte // the piece being appended to
	size   int64
}

// share adds b without copying it.
func (b *buffer) share(p []byte) {
	if len(p) < 512 {
		b.put(p)
		return
	}
	b.flush()
	b.pieces = append(b.pieces, p)
	b.size += int64(len(p))
}

func (b *buffer) put(p []byte) {
	b.tail = append(b.tail, p...)
	b.size += int64(len(p))
}

func (b *buffer) flush() {
	if len(b.tail) > 0 {
		b.pieces = append(b.pieces, b.tail)
		b.tail = nil
	}
}

func (b *buffer) varint(v uint64) { b.put(protowire.AppendVarint(nil, v)) }

func (b *buffer) tag(num protowire.Number, t protowire.Type) {
	b.varint(protowire.EncodeTag(num, t))
}

func (b *buffer) int(num protowire.Number, v int64) {
	b.tag(num, protowire.VarintType)
	b.varint(uint64(v))
}

func (b *buffer) float(num protowire.Number, v float32) {
	b.tag(num, protowire.Fixed32Type)
	b.put(protowire.AppendFixed32(nil, math.Float32bits(v)))
}

// text writes a string field; an empty one too.
func (b *buffer) text(num protowire.Number, s string) {
	b.tag(num, protowire.BytesType)
	b.varint(uint64(len(s)))
	b.put([]byte(s))
}

// optional writes a string field unless it is empty.
func (b *buffer) optional(num protowire.Number, s string) {
	if s != "" {
		b.text(num, s)
	}
}

func (b *buffer) raw(num protowire.Number, p []byte) {
	b.tag(num, protowire.BytesType)
	b.varint(uint64(len(p)))
	b.share(p)
}

// packed writes a repeated integer field.
func (b *buffer) packed(num protowire.Number, vs []int64) {
	var p []byte
	for _, v := range vs {
		p = protowire.AppendVarint(p, uint64(v))
	}
	b.raw(num, p)
}

// message writes what fill puts into a nested message.
func (b *buffer) message(num protowire.Number, fill func(*buffer)) {
	var in buffer
	fill(&in)
	in.flush()
	b.tag(num, protowire.BytesType)
	b.varint(uint64(in.size))
	for _, p := range in.pieces {
		b.share(p)
	}
}

// WriteTo writes the message.
func (b *buffer) WriteTo(w io.Writer) (int64, error) {
	b.flush()
	var total int64
	for _, p := range b.pieces {
		n, err := w.Write(p)
		total += int64(n)
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

func (b *buffer) bytes() []byte {
	b.flush()
	out := make([]byte, 0, b.size)
	for _, p := range b.pieces {
		out = append(out, p...)
	}
	return out
}
