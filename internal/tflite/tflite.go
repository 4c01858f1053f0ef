// Package tflite reads TensorFlow Lite models.
//
// What comes out is a graph of ONNX operators with the meaning of the file. Inputs and
// outputs keep their types and channels-last shapes; operators that ONNX defines
// channels-first stand between two Transpose nodes, which rewrite.Simplify brings together
// and cancels. Weights are reordered once, here; what needs no other order is used where
// it lies in the file, which stays mapped for the life of the process.
//
// # Quantization
//
// A quantized tensor keeps its integer type. An operator on quantized tensors becomes
// DequantizeLinear → operator → QuantizeLinear with the parameters of the file, a form
// that any runtime evaluates and that rewrite.Legalize turns into integer operators. Results
// may differ from TensorFlow Lite's kernels by one step per operator, because those
// requantize in fixed point. Operators that only move data work on the integers themselves.
//
// Weights that are quantized while activations are not ("dynamic range") become
// DequantizeLinear of a constant in front of the float operator. TensorFlow Lite would
// quantize the activations too, anew for each inference; here they are not, which
// is nearer to the network that was trained. Weights in half precision become float32.
//
// # Limits
//
// Sizes are those of the file's tensors: a batch that the file leaves open has the size
// that the file was made with. Only the first signature is read. A
// model with state (variables, CALL_ONCE) is refused; the LSTM operator, whose
// state TensorFlow Lite carries from one inference to the next, starts from zero each time.
package tflite

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/mapfile"
)

// UnsupportedError names everything in a model that has no form here, all at once.
type UnsupportedError struct {
	File string // "" when the model was not read from a file
	Ops  []UnsupportedOp
}

// UnsupportedOp is an operator that is not known, or known but not in the form used.
type UnsupportedOp struct {
	Name   string // of the builtin operator; CUSTOM "name" for others
	Reason string // "" when the operator as such is not known
	Count  int    // how many nodes apply it
	First  string // the tensor that the first of them makes
}

func (e *UnsupportedError) Error() string {
	var b strings.Builder
	if e.File != "" {
		fmt.Fprintf(&b, "%s: ", e.File)
	}
	b.WriteString("unsupported operators: ")
	for i, o := range e.Ops {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%s (%d×", o.Name, o.Count)
		if o.First != "" {
			fmt.Fprintf(&b, ", first makes %s", o.First)
		}
		if o.Reason != "" {
			fmt.Fprintf(&b, ": %s", o.Reason)
		}
		b.WriteString(")")
	}
	return b.String()
}

// Sniff reports whether the first bytes of a file are those of a TensorFlow Lite model.
func Sniff(head []byte) bool {
	return len(head) >= 8 && bytes.Equal(head[4:8], []byte("TFL3"))
}

// Read reads the model at path.
func Read(path string) (*graph.Graph, error) {
	data, err := mapfile.Read(path)
	if err != nil {
		return nil, err
	}
	return decode(data, path)
}

// Decode reads a model from memory, which the graph goes on to use.
func Decode(data []byte) (*graph.Graph, error) { return decode(data, "") }

func decode(data []byte, file string) (*graph.Graph, error) {
	g, err := importModel(data)
	switch e := err.(type) {
	case nil:
		return g, nil
	case *UnsupportedError:
		e.File = file
		return nil, e
	}
	if file == "" {
		return nil, fmt.Errorf("tflite: %w", err)
	}
	return nil, fmt.Errorf("%s: %w", file, err)
}
