package onnx

import (
	"fmt"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/op"
	"github.com/edgewise-ml/edgewise/tensor"
)

// DecodeTensor reads a TensorProto, the form in which test data comes.
func DecodeTensor(data []byte) (*tensor.Tensor, error) {
	var s scanner
	p, err := s.tensor(data)
	if err != nil {
		return nil, err
	}
	return p.decode(nil)
}

// DecodeValue reads a TensorProto, SequenceProto or OptionalProto, as the type says.
func DecodeValue(data []byte, t graph.Type) (op.Value, error) {
	var s scanner
	return s.runtimeValue(data, t)
}

func (s *scanner) runtimeValue(data []byte, t graph.Type) (op.Value, error) {
	elem := graph.Type{}
	if t.Elem != nil {
		elem = *t.Elem
	}
	switch t.Kind {
	case graph.KindSequence:
		seq := op.Sequence{DType: elem.DType}
		err := s.message(data, func(f field) error {
			if f.num > 3 {
				return fmt.Errorf("sequences of anything but tensors are not supported")
			}
			if f.num != 3 {
				return nil
			}
			p, err := nested(f, s.tensor, "element")
			if err != nil {
				return err
			}
			e, err := p.decode(nil)
			if err != nil {
				return err
			}
			if seq.DType == tensor.Invalid {
				seq.DType = e.DType()
			}
			seq.Elems = append(seq.Elems, e)
			return nil
		})
		return seq, err
	case graph.KindOptional:
		var o op.Optional
		err := s.message(data, func(f field) (err error) {
			switch f.num {
			case 3:
				o.Value, err = s.runtimeValue(f.bytes, graph.Type{})
			case 5:
				if elem.Kind != graph.KindSequence {
					elem = graph.SequenceOf(graph.Type{})
				}
				o.Value, err = s.runtimeValue(f.bytes, elem)
			case 4, 6, 7:
				err = fmt.Errorf("optionals of anything but tensors and sequences are not supported")
			}
			return err
		})
		return o, err
	}
	p, err := s.tensor(data)
	if err != nil {
		return nil, err
	}
	return p.decode(nil)
}
