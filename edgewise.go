// Package edgewise runs trained neural networks on small machines.
//
// Open reads a model file, of whatever supported format its contents show. A Session
// runs it:
//
//	m, err := edgewise.Open("model.onnx")
//	...
//	s, err := m.NewSession(edgewise.Options{})
//	...
//	defer s.Close()
//	out, err := s.Run(ctx, map[string]*tensor.Tensor{"input": x})
//
// A model is compiled when the shapes of its inputs are known: at NewSession if the file
// states them all, else at the first Run with such shapes. What is compiled is kept and
// shared by the sessions of a model, weights included.
package edgewise

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/edgewise-ml/edgewise/internal/engine"
	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/mapfile"
	"github.com/edgewise-ml/edgewise/internal/onnx"
	"github.com/edgewise-ml/edgewise/internal/tflite"
	"github.com/edgewise-ml/edgewise/internal/zoo"
)

// ZooPrefix marks a name that Open builds rather than reads, as "zoo:mobilenetv2".
const ZooPrefix = "zoo:"

// Open reads a model: an ONNX or TensorFlow Lite file, a sealed plan of one, or a built-in network by its name behind
// "zoo:". The format is found by looking at the contents, not at the name. Weights of a
// file stay mapped while the model lives, so the file must not be changed.
func Open(path string) (*Model, error) {
	if name, ok := strings.CutPrefix(path, ZooPrefix); ok {
		g, err := zoo.Build(name)
		if err != nil {
			return nil, err
		}
		return FromGraph(g), nil
	}
	head, err := readHead(path)
	if err != nil {
		return nil, err
	}
	if engine.SniffSealed(head) {
		return openSealed(path)
	}
	for _, f := range formats {
		if !f.is(head) {
			continue
		}
		g, err := f.read(path)
		if err != nil {
			return nil, err
		}
		m := FromGraph(g)
		m.file = path
		if f.whole {
			m.source = func() ([]byte, error) { return mapfile.Read(path) }
		}
		return m, nil
	}
	return nil, fmt.Errorf("open %s: the contents are of no known format (%s)", path, formatNames())
}

// format is one kind of model file.
type format struct {
	name  string
	is    func(head []byte) bool
	read  func(path string) (*graph.Graph, error)
	whole bool // one file holds all of a model
}

// formats are tried in order; those with a plain mark come first.
var formats = []format{
	{"TensorFlow Lite", tflite.Sniff, tflite.Read, true},
	{"ONNX", onnx.Sniff, func(path string) (*graph.Graph, error) { return onnx.Read(path, onnx.ReadOptions{}) }, false},
}

func formatNames() string {
	var names []string
	for _, f := range formats {
		names = append(names, f.name)
	}
	return strings.Join(names, ", ")
}

// headBytes is enough of a file to tell its format.
const headBytes = 64

func readHead(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	head := make([]byte, headBytes)
	n, err := io.ReadFull(f, head)
	switch {
	case err == io.EOF:
		return nil, fmt.Errorf("open %s: the file is empty", path)
	case err != nil && err != io.ErrUnexpectedEOF:
		return nil, err
	}
	return head[:n], nil
}
