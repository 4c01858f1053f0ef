package onnx

import (
	"encoding/binary"
	"io"
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

func (b *buffer) varint(v uint64) { b.put(binary.AppendUvarint(nil, v)) }

func (b *buffer) tag(num fieldNumber, t wireType) {
	b.varint(uint64(num)<<3 | uint64(t))
}

func (b *buffer) int(num fieldNumber, v int64) {
	b.tag(num, varintType)
	b.varint(uint64(v))
}

func (b *buffer) float(num fieldNumber, v float32) {
	b.tag(num, fixed32Type)
	b.put(appendFloat(nil, v))
}

// text writes a string field; an empty one too.
func (b *buffer) text(num fieldNumber, s string) {
	b.tag(num, bytesType)
	b.varint(uint64(len(s)))
	b.put([]byte(s))
}

// optional writes a string field unless it is empty.
func (b *buffer) optional(num fieldNumber, s string) {
	if s != "" {
		b.text(num, s)
	}
}

func (b *buffer) raw(num fieldNumber, p []byte) {
	b.tag(num, bytesType)
	b.varint(uint64(len(p)))
	b.share(p)
}

// packed writes a repeated integer field.
func (b *buffer) packed(num fieldNumber, vs []int64) {
	var p []byte
	for _, v := range vs {
		p = binary.AppendUvarint(p, uint64(v))
	}
	b.raw(num, p)
}

// message writes what fill puts into a nested message.
func (b *buffer) message(num fieldNumber, fill func(*buffer)) {
	var in buffer
	fill(&in)
	in.flush()
	b.tag(num, bytesType)
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
