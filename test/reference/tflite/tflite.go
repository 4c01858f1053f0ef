// Package tflite drives the TensorFlow Lite C library, with its built-in
// kernels or with its XNNPACK delegate.
package tflite

import (
	"errors"
	"fmt"
	"math"
	"os"
	"strings"

	"github.com/edgewise-ml/edgewise/test/reference/native"
	"github.com/edgewise-ml/edgewise/test/reference/npz"
	"github.com/edgewise-ml/edgewise/test/reference/session"
)

// Library is the C library with its functions looked up by name.
type Library struct {
	fn      map[string]uintptr
	xnnpack bool
	report  uintptr // the error reporter, callable from C
	errors  []string
}

var functions = []string{
	"ModelCreateFromFile", "ModelDelete",
	"InterpreterOptionsCreate", "InterpreterOptionsDelete", "InterpreterOptionsSetNumThreads",
	"InterpreterOptionsSetErrorReporter", "InterpreterOptionsAddDelegate",
	"InterpreterCreate", "InterpreterDelete", "InterpreterAllocateTensors", "InterpreterInvoke",
	"InterpreterResizeInputTensor", "InterpreterResetVariableTensors",
	"InterpreterGetInputTensorCount", "InterpreterGetInputTensor",
	"InterpreterGetOutputTensorCount", "InterpreterGetOutputTensor",
	"TensorName", "TensorType", "TensorNumDims", "TensorDim", "TensorByteSize", "TensorData",
	"TensorQuantizationParams", "XNNPackDelegateCreate", "XNNPackDelegateDelete",
}

// types names TfLiteType.
var types = []string{
	"none", "float32", "int32", "uint8", "int64", "string", "bool", "int16", "complex64", "int8",
	"float16", "float64", "complex128", "uint64", "resource", "variant", "uint32", "uint16", "int4",
}

// Load opens libtensorflowlite_c.so.
func Load(path string, xnnpack bool) (*Library, error) {
	l, err := native.Open(path)
	if err != nil {
		return nil, err
	}
	t := &Library{fn: map[string]uintptr{}, xnnpack: xnnpack}
	for _, f := range functions {
		if t.fn[f], err = l.Symbol("TfLite" + f); err != nil {
			return nil, err
		}
	}
	t.report = native.Callback(func(_, format, args uintptr) uintptr {
		t.errors = append(t.errors, strings.TrimSpace(native.Format(format, args)))
		return 0
	})
	return t, nil
}

func (l *Library) call(fn string, args ...uintptr) uintptr {
	return native.Call(l.fn[fn], args...)
}

// ok calls a function that returns a TfLiteStatus, a C int.
func (l *Library) ok(fn string, args ...uintptr) bool {
	return int32(l.call(fn, args...)) == 0
}

// count calls a function that returns an int32 count.
func (l *Library) count(fn string, args ...uintptr) int {
	return int(int32(l.call(fn, args...)))
}

// failure is an error with what the library reported since the last one.
func (l *Library) failure(what string) error {
	msgs := l.errors
	l.errors = nil
	if len(msgs) == 0 {
		return errors.New(what)
	}
	return fmt.Errorf("%s: %s", what, strings.Join(msgs, "; "))
}

// Session is one interpreter.
type Session struct {
	lib                          *Library
	model, delegate, interpreter uintptr
	inputs, outputs              []session.Port
}

// Open reads the model and allocates its tensors.
func (l *Library) Open(model string, o session.Options) (session.Session, error) {
	l.errors = nil
	if _, err := os.Stat(model); err != nil {
		return nil, err
	}
	path := native.CString(model)
	defer path.Free()
	s := &Session{lib: l}
	if s.model = l.call("ModelCreateFromFile", path.Addr()); s.model == 0 {
		return nil, l.failure("not a TFLite model")
	}
	options := l.call("InterpreterOptionsCreate")
	defer l.call("InterpreterOptionsDelete", options)
	l.call("InterpreterOptionsSetNumThreads", options, uintptr(o.Threads))
	l.call("InterpreterOptionsSetErrorReporter", options, l.report, 0)
	if l.xnnpack {
		// TfLiteXNNPackDelegateOptions: int32 threads, uint32 flags, and
		// pointers that may be null. Flags: signed and unsigned 8-bit kernels.
		const int8Kernels = 1 | 2
		x := native.Alloc(64)
		defer x.Free()
		x.SetWord(0, uintptr(o.Threads)|int8Kernels<<32)
		s.delegate = l.call("XNNPackDelegateCreate", x.Addr())
		l.call("InterpreterOptionsAddDelegate", options, s.delegate)
	}
	if s.interpreter = l.call("InterpreterCreate", s.model, options); s.interpreter == 0 {
		defer s.Close()
		return nil, l.failure("create interpreter")
	}
	if !l.ok("InterpreterAllocateTensors", s.interpreter) {
		defer s.Close()
		return nil, l.failure("allocate tensors")
	}
	for i := range l.count("InterpreterGetInputTensorCount", s.interpreter) {
		s.inputs = append(s.inputs, l.port(s.input(i)))
	}
	for i := range l.count("InterpreterGetOutputTensorCount", s.interpreter) {
		s.outputs = append(s.outputs, l.port(s.output(i)))
	}
	return s, nil
}

func (s *Session) input(i int) uintptr {
	return s.lib.call("InterpreterGetInputTensor", s.interpreter, uintptr(i))
}

func (s *Session) output(i int) uintptr {
	return s.lib.call("InterpreterGetOutputTensor", s.interpreter, uintptr(i))
}

func (l *Library) port(tensor uintptr) session.Port {
	p := session.Port{Name: native.String(l.call("TensorName", tensor)), DType: "unknown", Shape: l.shape(tensor)}
	if t := uint32(l.call("TensorType", tensor)); t < uint32(len(types)) {
		p.DType = types[t]
	}
	// A struct of float and int32, which both ABIs return in one integer register.
	q := uint64(l.call("TensorQuantizationParams", tensor))
	p.Scale, p.ZeroPoint = math.Float32frombits(uint32(q)), int32(q>>32)
	return p
}

func (l *Library) shape(tensor uintptr) []int64 {
	shape := make([]int64, max(l.count("TensorNumDims", tensor), 0))
	for i := range shape {
		shape[i] = int64(l.count("TensorDim", tensor, uintptr(i)))
	}
	return shape
}

// Inputs describes the model's inputs, with the shapes they have before Bind.
func (s *Session) Inputs() []session.Port { return s.inputs }

// Outputs describes the model's outputs.
func (s *Session) Outputs() []session.Port { return s.outputs }

// Bind copies the arrays into the input tensors.
func (s *Session) Bind(inputs map[string]*npz.Array) error {
	arrays, err := session.Match(s.inputs, inputs)
	if err != nil {
		return err
	}
	resized := false
	for i, a := range arrays {
		if fmt.Sprint(s.lib.shape(s.input(i))) == fmt.Sprint(a.Shape) {
			continue
		}
		dims := native.Alloc(4 * max(len(a.Shape), 2))
		for k, d := range a.Shape {
			copy(dims.Bytes()[4*k:], []byte{byte(d), byte(d >> 8), byte(d >> 16), byte(d >> 24)})
		}
		ok := s.lib.ok("InterpreterResizeInputTensor", s.interpreter, uintptr(i), dims.Addr(), uintptr(len(a.Shape)))
		dims.Free()
		if !ok {
			return s.lib.failure(fmt.Sprintf("resize input %q to %v", s.inputs[i].Name, a.Shape))
		}
		resized = true
	}
	if resized && !s.lib.ok("InterpreterAllocateTensors", s.interpreter) {
		return s.lib.failure("allocate tensors")
	}
	for i, a := range arrays {
		t := s.input(i)
		if n := int(s.lib.call("TensorByteSize", t)); n != len(a.Data) {
			return fmt.Errorf("input %q: %d bytes given, %d expected", s.inputs[i].Name, len(a.Data), n)
		}
		if len(a.Data) > 0 {
			copy(native.Bytes(s.lib.call("TensorData", t), len(a.Data)), a.Data)
		}
	}
	return nil
}

// Invoke runs the interpreter.
func (s *Session) Invoke() error {
	if !s.lib.ok("InterpreterInvoke", s.interpreter) {
		return s.lib.failure("invoke")
	}
	return nil
}

// Fetch copies the output tensors.
func (s *Session) Fetch() (map[string]*npz.Array, error) {
	arrays := make(map[string]*npz.Array, len(s.outputs))
	keys := session.Keys(s.outputs)
	for i, p := range s.outputs {
		t := s.output(i)
		a, err := session.NewArray(p.DType, s.lib.shape(t), nil)
		if err != nil {
			return nil, fmt.Errorf("output %q: %w", p.Name, err)
		}
		if n := int(s.lib.call("TensorByteSize", t)); n > 0 {
			a.Data = append([]byte(nil), native.Bytes(s.lib.call("TensorData", t), n)...)
		}
		arrays[keys[i]] = a
	}
	return arrays, nil
}

// Discard does nothing: outputs live in the interpreter's arena.
func (s *Session) Discard() {}

// Reset sets variable tensors to zero. Resource variables, which a model makes
// for itself, keep their values for as long as the session lives.
func (s *Session) Reset() error {
	if !s.lib.ok("InterpreterResetVariableTensors", s.interpreter) {
		return s.lib.failure("reset variable tensors")
	}
	return nil
}

// Close frees the interpreter, then the delegate and the model it refers to.
func (s *Session) Close() {
	if s.interpreter != 0 {
		s.lib.call("InterpreterDelete", s.interpreter)
	}
	if s.delegate != 0 {
		s.lib.call("XNNPackDelegateDelete", s.delegate)
	}
	if s.model != 0 {
		s.lib.call("ModelDelete", s.model)
	}
}
