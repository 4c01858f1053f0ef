package onnx

import (
	"encoding/binary"
	"errors"
	"io"
	"math"
)

// The wire format of protocol buffers, as far as ONNX uses it. The official package reads
// the whole program's file when a process starts, which no verb should pay for.

// fieldNumber names a field within its message.
type fieldNumber int32

// wireType says how a field's value is written.
type wireType uint8

const (
	varintType  wireType = 0
	fixed64Type wireType = 1
	bytesType   wireType = 2
	fixed32Type wireType = 5
)

var (
	errVarint = errors.New("a number is longer than 64 bits")
	errNumber = errors.New("a field has an invalid number")
)

// takeVarint reads a number and returns the bytes after it.
func takeVarint(b []byte) (v uint64, rest []byte, err error) {
	v, n := binary.Uvarint(b)
	switch {
	case n == 0:
		return 0, nil, io.ErrUnexpectedEOF
	case n < 0:
		return 0, nil, errVarint
	}
	return v, b[n:], nil
}

// takeTag reads what stands before a field.
func takeTag(b []byte) (num fieldNumber, typ wireType, rest []byte, err error) {
	v, rest, err := takeVarint(b)
	if err != nil {
		return 0, 0, nil, err
	}
	if v>>3 < 1 || v>>3 > 1<<29-1 {
		return 0, 0, nil, errNumber
	}
	return fieldNumber(v >> 3), wireType(v & 7), rest, nil
}

// takeBytes reads a length and so many bytes, which are not copied.
func takeBytes(b []byte) (v, rest []byte, err error) {
	n, b, err := takeVarint(b)
	switch {
	case err != nil:
		return nil, nil, err
	case n > uint64(len(b)):
		return nil, nil, io.ErrUnexpectedEOF
	}
	return b[:n], b[n:], nil
}

// takeFixed reads a number of a fixed width of 4 or 8 bytes.
func takeFixed(b []byte, width int) (v uint64, rest []byte, err error) {
	if len(b) < width {
		return 0, nil, io.ErrUnexpectedEOF
	}
	if width == 4 {
		return uint64(binary.LittleEndian.Uint32(b)), b[4:], nil
	}
	return binary.LittleEndian.Uint64(b), b[8:], nil
}

func appendFloat(b []byte, v float32) []byte {
	return binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
}
