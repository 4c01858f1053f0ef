package onnx

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/edgewise-ml/edgewise/tensor"
)

// sparseFloor is the dense size in bytes up to which a sparse tensor is always taken;
// above it, the dense form may be at most sparseRatio times as large as the sparse one.
const (
	sparseFloor = 16 << 20
	sparseRatio = 512
)

// shape checks sizes from a file.
func shapeOf(dims []uint64) ([]int, error) {
	shape := make([]int, len(dims))
	for i, d := range dims {
		if int64(d) < 0 || d > tensor.MaxElements {
			return nil, fmt.Errorf("size %d of dimension %d is not possible", int64(d), i)
		}
		shape[i] = int(d)
	}
	if _, err := tensor.NumElements(shape); err != nil {
		return nil, err
	}
	return shape, nil
}

// decode returns the tensor. Raw data is used where it lies.
func (p *tensorProto) decode(ext *externalData) (*tensor.Tensor, error) {
	t, err := p.decodeUnnamed(ext)
	if err != nil {
		return nil, fmt.Errorf("tensor %q: %w", p.name, err)
	}
	return t, nil
}

func (p *tensorProto) decodeUnnamed(ext *externalData) (*tensor.Tensor, error) {
	dt := tensor.DType(p.dtype)
	if p.dtype <= 0 || p.dtype > 255 || !dt.Valid() {
		return nil, fmt.Errorf("element type %d is not known", p.dtype)
	}
	shape, err := shapeOf(p.dims)
	if err != nil {
		return nil, err
	}
	if p.segment {
		return nil, errors.New("tensors in segments are not supported")
	}
	n, err := tensor.NumElements(shape)
	if err != nil {
		return nil, err
	}
	if p.location == 1 {
		if dt == tensor.String {
			return nil, errors.New("strings cannot be external data")
		}
		data, err := ext.load(p.external, int64(dt.Bytes(n)))
		if err != nil {
			return nil, err
		}
		return tensor.FromBytes(dt, shape, data)
	}
	if dt == tensor.String {
		if p.hasRaw || len(p.strings) != n {
			return nil, fmt.Errorf("%v%s needs %d strings, the file holds %d", dt, tensor.FormatShape(shape), n, len(p.strings))
		}
		return tensor.OfStrings(p.strings, shape...), nil
	}
	if p.hasRaw {
		return tensor.FromBytes(dt, shape, p.raw)
	}
	return p.typed(dt, shape, n)
}

// typed reads the *_data fields.
func (p *tensorProto) typed(dt tensor.DType, shape []int, n int) (*tensor.Tensor, error) {
	switch dt {
	case tensor.Float32, tensor.Complex64:
		return tensor.FromBytes(dt, shape, p.floats)
	case tensor.Float64, tensor.Complex128:
		return tensor.FromBytes(dt, shape, p.doubles)
	}
	// Every other type has one integer per element, or per byte of packed elements.
	width, count := dt.Bits()/8, n
	if width == 0 {
		width, count = 1, dt.Bytes(n)
	}
	if len(p.ints) != count {
		return nil, fmt.Errorf("%v%s needs %d values, the file holds %d", dt, tensor.FormatShape(shape), count, len(p.ints))
	}
	data := tensor.AlignedBytes(width * count)
	for i, v := range p.ints {
		switch width {
		case 1:
			data[i] = byte(v)
		case 2:
			binary.LittleEndian.PutUint16(data[2*i:], uint16(v))
		case 4:
			binary.LittleEndian.PutUint32(data[4*i:], uint32(v))
		case 8:
			binary.LittleEndian.PutUint64(data[8*i:], v)
		}
	}
	if dt == tensor.Bool {
		for i, v := range p.ints {
			if v != 0 {
				data[i] = 1
			}
		}
	}
	return tensor.FromBytes(dt, shape, data)
}

// decode returns the dense form.
func (p *sparseProto) decode(ext *externalData) (*tensor.Tensor, error) {
	values, err := p.values.decode(ext)
	if err != nil {
		return nil, err
	}
	indices, err := p.indices.decode(ext)
	if err != nil {
		return nil, err
	}
	t, err := densify(values, indices, p.dims)
	if err != nil {
		return nil, fmt.Errorf("sparse tensor %q: %w", p.values.name, err)
	}
	return t, nil
}

func densify(values, indices *tensor.Tensor, dims []uint64) (*tensor.Tensor, error) {
	shape, err := shapeOf(dims)
	if err != nil {
		return nil, err
	}
	n, err := tensor.NumElements(shape)
	if err != nil {
		return nil, err
	}
	nnz, dt := values.Len(), values.DType()
	switch {
	case dt == tensor.String || dt.Bits() < 8:
		return nil, fmt.Errorf("sparse tensors of %v are not supported", dt)
	case values.Rank() != 1 || indices.DType() != tensor.Int64:
		return nil, fmt.Errorf("values %v with indices %v are not a sparse tensor", values, indices)
	case dt.Bytes(n) > max(sparseFloor, sparseRatio*(values.SizeBytes()+indices.SizeBytes())):
		return nil, fmt.Errorf("the dense form %v%s would be too large for %d stored values", dt, tensor.FormatShape(shape), nnz)
	}
	linear := indices.Rank() == 1
	if !(linear && indices.Len() == nnz) &&
		!(indices.Rank() == 2 && indices.Dim(0) == nnz && indices.Dim(1) == len(shape)) {
		return nil, fmt.Errorf("indices %v do not fit %d values of rank %d", indices, nnz, len(shape))
	}
	out, err := tensor.Make(dt, shape)
	if err != nil {
		return nil, err
	}
	idx, strides, width := indices.I64(), tensor.Strides(shape), dt.Bits()/8
	for i := range nnz {
		at := 0
		if linear {
			if idx[i] < 0 || idx[i] >= int64(n) {
				return nil, fmt.Errorf("index %d is outside %s", idx[i], tensor.FormatShape(shape))
			}
			at = int(idx[i])
		} else {
			for d, size := range shape {
				k := idx[i*len(shape)+d]
				if k < 0 || k >= int64(size) {
					return nil, fmt.Errorf("index %d of dimension %d is outside %s", k, d, tensor.FormatShape(shape))
				}
				at += int(k) * strides[d]
			}
		}
		copy(out.Bytes()[at*width:(at+1)*width], values.Bytes()[i*width:])
	}
	return out, nil
}
