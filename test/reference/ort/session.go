package ort

import (
	"fmt"

	"github.com/edgewise-ml/edgewise/test/reference/native"
	"github.com/edgewise-ml/edgewise/test/reference/npz"
	"github.com/edgewise-ml/edgewise/test/reference/session"
)

// Session is one model in ONNX Runtime.
type Session struct {
	lib     *Library
	handle  uintptr
	inputs  []session.Port
	outputs []session.Port

	names   []*native.Block // C strings behind inNames and outNames
	inNames *native.Block
	inVals  *native.Block
	outName *native.Block
	outVals *native.Block
	buffers []*native.Block // memory of the bound inputs
}

var optimizationLevels = map[string]uintptr{"": 99, "all": 99, "extended": 2, "basic": 1, "none": 0}

// Open creates a session on the model file; external data is found beside it.
func (l *Library) Open(model string, o session.Options) (session.Session, error) {
	level, ok := optimizationLevels[o.Optimize]
	if !ok {
		return nil, fmt.Errorf("unknown optimization level %q", o.Optimize)
	}
	if err := l.start(); err != nil {
		return nil, err
	}
	options, err := l.get(fnCreateSessionOptions)
	if err != nil {
		return nil, err
	}
	defer l.release(fnReleaseOptions, options)
	for _, set := range [][2]uintptr{{fnSetIntraOpThreads, uintptr(o.Threads)}, {fnSetInterOpThreads, 1}, {fnSetOptimizationLevel, level}} {
		if err := l.call(int(set[0]), options, set[1]); err != nil {
			return nil, err
		}
	}
	path := native.CString(model)
	defer path.Free()
	handle, err := l.get(fnCreateSession, l.env, path.Addr(), options)
	if err != nil {
		return nil, err
	}
	s := &Session{lib: l, handle: handle}
	if s.inputs, s.inNames, err = s.ports(fnInputCount, fnInputName, fnInputTypeInfo); err == nil {
		s.outputs, s.outName, err = s.ports(fnOutputCount, fnOutputName, fnOutputTypeInfo)
	}
	if err != nil {
		s.Close()
		return nil, err
	}
	s.inVals = native.Alloc(8 * len(s.inputs))
	s.outVals = native.Alloc(8 * len(s.outputs))
	return s, nil
}

// ports reads the inputs or outputs and a C array of their names.
func (s *Session) ports(count, nameOf, typeOf int) ([]session.Port, *native.Block, error) {
	n, err := s.lib.get(count, s.handle)
	if err != nil {
		return nil, nil, err
	}
	ports := make([]session.Port, n)
	names := native.Alloc(8 * int(n))
	s.names = append(s.names, names)
	for i := range ports {
		c, err := s.lib.get(nameOf, s.handle, uintptr(i), s.lib.allocator)
		if err != nil {
			return nil, nil, err
		}
		ports[i].Name = native.String(c)
		if err := s.lib.call(fnAllocatorFree, s.lib.allocator, c); err != nil {
			return nil, nil, err
		}
		own := native.CString(ports[i].Name)
		s.names = append(s.names, own)
		names.SetWord(i, own.Addr())
		info, err := s.lib.get(typeOf, s.handle, uintptr(i))
		if err != nil {
			return nil, nil, err
		}
		err = s.lib.describe(info, &ports[i])
		s.lib.release(fnReleaseTypeInfo, info)
		if err != nil {
			return nil, nil, fmt.Errorf("%q: %w", ports[i].Name, err)
		}
	}
	return ports, names, nil
}

// describe fills the port's dtype and shape from an OrtTypeInfo.
func (l *Library) describe(info uintptr, p *session.Port) error {
	tensor, err := l.get(fnCastToTensorInfo, info)
	if err != nil {
		return err
	}
	if tensor == 0 {
		kind, err := l.get(fnONNXType, info)
		p.DType = name(valueTypes, kind)
		return err
	}
	if p.DType, p.Shape, err = l.typeAndShape(tensor); err != nil || len(p.Shape) == 0 {
		return err
	}
	symbols := native.Alloc(8 * len(p.Shape))
	defer symbols.Free()
	if err := l.call(fnSymbolicDimensions, tensor, symbols.Addr(), uintptr(len(p.Shape))); err != nil {
		return err
	}
	for i := range p.Shape {
		p.Symbols = append(p.Symbols, native.String(symbols.Word(i)))
	}
	return nil
}

// typeAndShape reads an OrtTensorTypeAndShapeInfo.
func (l *Library) typeAndShape(info uintptr) (string, []int64, error) {
	elem, err := l.get(fnElementType, info)
	if err != nil {
		return "", nil, err
	}
	rank, err := l.get(fnDimensionCount, info)
	if err != nil {
		return "", nil, err
	}
	dims := native.Alloc(8 * int(rank))
	defer dims.Free()
	if err := l.call(fnDimensions, info, dims.Addr(), rank); err != nil {
		return "", nil, err
	}
	shape := make([]int64, rank)
	for i := range shape {
		shape[i] = int64(dims.Word(i))
	}
	return name(elementTypes, elem), shape, nil
}

// Inputs describes the model's inputs.
func (s *Session) Inputs() []session.Port { return s.inputs }

// Outputs describes the model's outputs.
func (s *Session) Outputs() []session.Port { return s.outputs }

// Bind copies the inputs to C memory and wraps them as OrtValues.
func (s *Session) Bind(inputs map[string]*npz.Array) error {
	arrays, err := session.Match(s.inputs, inputs)
	if err != nil {
		return err
	}
	s.unbind()
	for i, a := range arrays {
		p := s.inputs[i]
		data := native.Alloc(len(a.Data))
		copy(data.Bytes(), a.Data)
		s.buffers = append(s.buffers, data)
		shape := native.Alloc(8 * len(a.Shape))
		for k, d := range a.Shape {
			shape.SetWord(k, uintptr(d))
		}
		elem := uintptr(0)
		for k, n := range elementTypes {
			if n == p.DType {
				elem = uintptr(k)
			}
		}
		v, err := s.lib.get(fnCreateTensor, s.lib.memory, data.Addr(), uintptr(len(a.Data)),
			shape.Addr(), uintptr(len(a.Shape)), elem)
		shape.Free()
		if err != nil {
			return fmt.Errorf("input %q: %w", p.Name, err)
		}
		s.inVals.SetWord(i, v)
	}
	return nil
}

// Invoke runs the session on the bound inputs.
func (s *Session) Invoke() error {
	return s.lib.call(fnRun, s.handle, 0,
		s.inNames.Addr(), s.inVals.Addr(), uintptr(len(s.inputs)),
		s.outName.Addr(), uintptr(len(s.outputs)), s.outVals.Addr())
}

// Fetch copies the outputs.
func (s *Session) Fetch() (map[string]*npz.Array, error) {
	arrays := make(map[string]*npz.Array, len(s.outputs))
	for i, p := range s.outputs {
		a, err := s.lib.array(s.outVals.Word(i))
		if err != nil {
			return nil, fmt.Errorf("output %q: %w", p.Name, err)
		}
		arrays[p.Name] = a
	}
	return arrays, nil
}

// array copies a tensor value.
func (l *Library) array(value uintptr) (*npz.Array, error) {
	if value == 0 {
		return nil, fmt.Errorf("no value")
	}
	if is, err := l.get(fnIsTensor, value); err != nil || is == 0 {
		return nil, fmt.Errorf("not a tensor: %w", err)
	}
	info, err := l.get(fnTypeAndShape, value)
	if err != nil {
		return nil, err
	}
	defer l.release(fnReleaseShapeInfo, info)
	dtype, shape, err := l.typeAndShape(info)
	if err != nil {
		return nil, err
	}
	a, err := session.NewArray(dtype, shape, nil)
	if err != nil {
		return nil, err
	}
	n, err := l.get(fnElementCount, info)
	if err != nil {
		return nil, err
	}
	data, err := l.get(fnTensorData, value)
	if err != nil {
		return nil, err
	}
	if n > 0 {
		a.Data = append([]byte(nil), native.Bytes(data, int(n)*a.ItemSize())...)
	}
	return a, nil
}

// Discard releases the outputs of the last Invoke.
func (s *Session) Discard() { s.releaseValues(s.outVals) }

// Reset does nothing: an ONNX model has no variables, its state goes through
// inputs and outputs.
func (s *Session) Reset() error { return nil }

// Close frees everything the session owns.
func (s *Session) Close() {
	s.unbind()
	s.Discard()
	for _, b := range append(s.names, s.inVals, s.outVals) {
		if b != nil {
			b.Free()
		}
	}
	s.lib.release(fnReleaseSession, s.handle)
}

func (s *Session) unbind() {
	s.releaseValues(s.inVals)
	for _, b := range s.buffers {
		b.Free()
	}
	s.buffers = s.buffers[:0]
}

func (s *Session) releaseValues(values *native.Block) {
	if values == nil {
		return
	}
	for i := range values.Len() / 8 {
		s.lib.release(fnReleaseValue, values.Word(i))
		values.SetWord(i, 0)
	}
}
