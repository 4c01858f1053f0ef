package onnx

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// maxMessages bounds how many messages (nodes, tensors, attributes, types ...) one file
// may hold. Each costs a few hundred bytes here and can cost as few as two in a file.
const maxMessages = 1 << 22

// maxDepth bounds the nesting of graphs within graphs and of types within types.
const maxDepth = 48

// scanner walks protobuf messages. It never copies a bytes field: what it hands out
// aliases the file.
type scanner struct {
	messages int
	depth    int
}

// field is one field of a message. Which of bits and bytes counts follows from typ.
type field struct {
	num   fieldNumber
	typ   wireType
	bits  uint64
	bytes []byte
}

// message calls f for every field of data in order.
func (s *scanner) message(data []byte, f func(field) error) error {
	if s.messages++; s.messages > maxMessages {
		return fmt.Errorf("the file holds more than %d messages", maxMessages)
	}
	if s.depth++; s.depth > 4*maxDepth {
		return errors.New("messages are nested too deeply")
	}
	defer func() { s.depth-- }()
	for len(data) > 0 {
		num, typ, rest, err := takeTag(data)
		if err != nil {
			return err
		}
		fl := field{num: num, typ: typ}
		switch typ {
		case varintType:
			fl.bits, data, err = takeVarint(rest)
		case fixed64Type:
			fl.bits, data, err = takeFixed(rest, 8)
		case fixed32Type:
			fl.bits, data, err = takeFixed(rest, 4)
		case bytesType:
			fl.bytes, data, err = takeBytes(rest)
		default: // groups are not part of any ONNX message
			return fmt.Errorf("field %d has the unexpected wire type %d", num, typ)
		}
		if err != nil {
			return fmt.Errorf("field %d: %w", num, err)
		}
		if err := f(fl); err != nil {
			return err
		}
	}
	return nil
}

// want checks the wire type, so that a field that lies about it is not read as zero.
func (f field) want(t wireType) error {
	if f.typ != t {
		return fmt.Errorf("field %d has wire type %d, want %d", f.num, f.typ, t)
	}
	return nil
}

func (f field) string(dst *string) error {
	if err := f.want(bytesType); err != nil {
		return err
	}
	*dst = string(f.bytes)
	return nil
}

func (f field) raw(dst *[]byte) error {
	*dst = f.bytes
	return f.want(bytesType)
}

func (f field) int(dst *int64) error {
	*dst = int64(f.bits)
	return f.want(varintType)
}

func (f field) float(dst *float32) error {
	*dst = math.Float32frombits(uint32(f.bits))
	return f.want(fixed32Type)
}

// varints appends a repeated integer field, packed or not.
func (f field) varints(dst *[]uint64) error {
	if f.typ == varintType {
		*dst = append(*dst, f.bits)
		return nil
	}
	if err := f.want(bytesType); err != nil {
		return err
	}
	if cap(*dst) == 0 {
		count := 0
		for _, b := range f.bytes {
			if b < 0x80 {
				count++
			}
		}
		*dst = make([]uint64, 0, count)
	}
	for b := f.bytes; len(b) > 0; {
		v, rest, err := takeVarint(b)
		if err != nil {
			return fmt.Errorf("field %d: %w", f.num, err)
		}
		*dst = append(*dst, v)
		b = rest
	}
	return nil
}

// fixed appends a repeated fixed-width field, packed or not, as little-endian bytes. One
// packed run is not copied.
func (f field) fixed(dst *[]byte, width int) error {
	switch f.typ {
	case bytesType:
		if len(f.bytes)%width != 0 {
			return fmt.Errorf("field %d: %d bytes are not a whole number of elements of %d bytes", f.num, len(f.bytes), width)
		}
		if *dst == nil {
			*dst = f.bytes[:len(f.bytes):len(f.bytes)]
		} else {
			*dst = append(*dst, f.bytes...)
		}
	case fixed32Type:
		if width != 4 {
			return f.want(fixed64Type)
		}
		*dst = binary.LittleEndian.AppendUint32(*dst, uint32(f.bits))
	case fixed64Type:
		if width != 8 {
			return f.want(fixed32Type)
		}
		*dst = binary.LittleEndian.AppendUint64(*dst, f.bits)
	default:
		return f.want(bytesType)
	}
	return nil
}
