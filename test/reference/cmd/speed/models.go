package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// file returns the path of a model, which is made where it is not there yet:
//
//	zoo:NAME        a built-in network, written as ONNX
//	data:FILE       a file in the folder of real models
//	onnx:MODEL      another model, written as ONNX
//	int8:MODEL      its static 8-bit form with QuantizeLinear and DequantizeLinear
//	dynamic:MODEL   its dynamic 8-bit form
//	matmul:N        a product of float32 [N,N] with a constant of that shape
//	matmul2:N       the same, of two inputs
func (t *tools) file(spec string) (string, error) {
	kind, rest, ok := strings.Cut(spec, ":")
	if !ok {
		return spec, nil
	}
	switch kind {
	case "zoo":
		return t.converted(spec)
	case "data":
		if t.Data == "" {
			return "", errors.New("no folder of real models; give -data")
		}
		return filepath.Join(t.Data, "models", rest), nil
	case "onnx":
		model, err := t.file(rest)
		if err != nil {
			return "", err
		}
		return t.converted(model)
	case "int8", "dynamic":
		model, err := t.file(rest)
		if err != nil {
			return "", err
		}
		args := []string{"--mode", "dynamic"}
		if kind == "int8" {
			args = []string{"--random", "--samples", "16"}
		}
		return t.made(kind+"-"+base(model), append([]string{"quantize", model}, args...)...)
	case "matmul", "matmul2":
		n, err := strconv.Atoi(rest)
		if err != nil {
			return "", err
		}
		path := filepath.Join(t.Dir, kind+"-"+rest+".onnx")
		return path, os.WriteFile(path, matMul(n, kind == "matmul"), 0o666)
	}
	return "", fmt.Errorf("no model %q", spec)
}

func (t *tools) converted(model string) (string, error) {
	return t.made(base(model), "convert", model)
}

// base returns a name for what is made of a model.
func base(model string) string {
	name := filepath.Base(strings.TrimPrefix(model, "zoo:"))
	for _, ending := range []string{".onnx", ".tflite"} {
		name = strings.TrimSuffix(name, ending)
	}
	return name
}

func (t *tools) made(name string, args ...string) (string, error) {
	path := filepath.Join(t.Dir, name+".onnx")
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return path, err
	}
	argv := append(append([]string{t.Edgewise}, args...), "-q", "-o", path)
	_, err := output(nil, argv...)
	return path, err
}

// matMul writes the model of one MatMul in ONNX's protobuf form.
func matMul(n int, constant bool) []byte {
	square := func(name string) []byte { // ValueInfoProto
		dim := field(1, varint(uint64(n)))                                         // Dimension.dim_value
		shape := append(message(1, dim), message(1, dim)...)                       // TensorShapeProto.dim
		tensor := append(field(1, varint(1)), message(2, shape)...)                // elem_type float, shape
		return append(message(1, []byte(name)), message(2, message(1, tensor))...) // name, type.tensor_type
	}
	node := append(message(1, []byte("a")), message(1, []byte("b"))...)
	node = append(append(node, message(2, []byte("y"))...), message(4, []byte("MatMul"))...)
	graph := append(message(1, node), message(2, []byte("matmul"))...)
	if constant {
		rng := rand.New(rand.NewPCG(1, 0))
		raw := make([]byte, 4*n*n)
		for i := range n * n {
			binary.LittleEndian.PutUint32(raw[4*i:], math.Float32bits(rng.Float32()*2-1))
		}
		size := field(1, varint(uint64(n)))
		b := append(append(size, size...), field(2, varint(1))...) // dims, data_type float
		b = append(append(b, message(8, []byte("b"))...), message(9, raw)...)
		graph = append(graph, message(5, b)...)
	}
	graph = append(graph, message(11, square("a"))...)
	if !constant {
		graph = append(graph, message(11, square("b"))...)
	}
	graph = append(graph, message(12, square("y"))...)
	opset := field(2, varint(13))
	model := append(field(1, varint(8)), message(7, graph)...) // ir_version, graph
	return append(model, message(8, opset)...)
}

func varint(v uint64) []byte { return binary.AppendUvarint(nil, v) }

// field is a protobuf field of varint type, message one with a length.
func field(number int, value []byte) []byte {
	return append(varint(uint64(number)<<3), value...)
}

func message(number int, value []byte) []byte {
	return append(append(varint(uint64(number)<<3|2), varint(uint64(len(value)))...), value...)
}
