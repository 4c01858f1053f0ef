// Package ort drives ONNX Runtime's CPU provider through its C API.
package ort

import (
	"errors"
	"fmt"

	"github.com/edgewise-ml/edgewise/test/reference/native"
)

// apiVersion is the oldest API that has every entry used here. The table is
// append-only, so an index below never changes its meaning.
const apiVersion = 17

// Indices into OrtApi, in the order of onnxruntime_c_api.h.
const (
	fnGetErrorMessage      = 2
	fnCreateEnv            = 3
	fnCreateSession        = 7
	fnRun                  = 9
	fnCreateSessionOptions = 10
	fnSetOptimizationLevel = 23
	fnSetIntraOpThreads    = 24
	fnSetInterOpThreads    = 25
	fnInputCount           = 30
	fnOutputCount          = 31
	fnInputTypeInfo        = 33
	fnOutputTypeInfo       = 34
	fnInputName            = 36
	fnOutputName           = 37
	fnCreateTensor         = 49
	fnIsTensor             = 50
	fnTensorData           = 51
	fnCastToTensorInfo     = 55
	fnONNXType             = 56
	fnElementType          = 60
	fnDimensionCount       = 61
	fnDimensions           = 62
	fnSymbolicDimensions   = 63
	fnElementCount         = 64
	fnTypeAndShape         = 65
	fnCPUMemoryInfo        = 69
	fnAllocatorFree        = 76
	fnDefaultAllocator     = 78
	fnReleaseStatus        = 93
	fnReleaseSession       = 95
	fnReleaseValue         = 96
	fnReleaseTypeInfo      = 98
	fnReleaseShapeInfo     = 99
	fnReleaseOptions       = 100
)

// elementTypes names ONNXTensorElementDataType.
var elementTypes = []string{
	"undefined", "float32", "uint8", "int8", "uint16", "int16", "int32", "int64",
	"string", "bool", "float16", "float64", "uint32", "uint64", "complex64", "complex128",
	"bfloat16", "float8e4m3fn", "float8e4m3fnuz", "float8e5m2", "float8e5m2fnuz", "uint4", "int4",
}

// valueTypes names ONNXType.
var valueTypes = []string{"unknown", "tensor", "sequence", "map", "opaque", "sparse tensor", "optional"}

func name(names []string, i uintptr) string {
	if i < uintptr(len(names)) {
		return names[i]
	}
	return fmt.Sprintf("type %d", i)
}

// Library is ONNX Runtime with one environment.
type Library struct {
	api       uintptr
	env       uintptr
	memory    uintptr
	allocator uintptr
}

// Load opens libonnxruntime.so. The environment is made on the first Open.
func Load(path string) (*Library, error) {
	l, err := native.Open(path)
	if err != nil {
		return nil, err
	}
	base, err := l.Symbol("OrtGetApiBase")
	if err != nil {
		return nil, err
	}
	getAPI := native.Word(native.Call(base), 0)
	api := native.Call(getAPI, apiVersion)
	if api == 0 {
		return nil, fmt.Errorf("%s does not offer C API %d", path, apiVersion)
	}
	return &Library{api: api}, nil
}

// call calls an API entry that returns an OrtStatus.
func (l *Library) call(fn int, args ...uintptr) error {
	status := native.Call(native.Word(l.api, fn), args...)
	if status == 0 {
		return nil
	}
	msg := native.String(native.Call(native.Word(l.api, fnGetErrorMessage), status))
	l.release(fnReleaseStatus, status)
	return errors.New(msg)
}

// get calls an entry whose last parameter is an out-pointer and returns what it
// stored there. Entries that store 32 bits leave the upper half zero.
func (l *Library) get(fn int, args ...uintptr) (uintptr, error) {
	out := native.Alloc(8)
	defer out.Free()
	err := l.call(fn, append(args, out.Addr())...)
	return out.Word(0), err
}

func (l *Library) release(fn int, object uintptr) {
	if object != 0 {
		native.Call(native.Word(l.api, fn), object)
	}
}

// start makes the environment and what every session shares.
func (l *Library) start() error {
	if l.env != 0 {
		return nil
	}
	id := native.CString("witness")
	defer id.Free()
	const logErrors = 3
	var err error
	if l.allocator, err = l.get(fnDefaultAllocator); err != nil {
		return err
	}
	const arenaAllocator, memDefault = 1, 0
	if l.memory, err = l.get(fnCPUMemoryInfo, arenaAllocator, memDefault); err != nil {
		return err
	}
	l.env, err = l.get(fnCreateEnv, logErrors, id.Addr())
	return err
}
