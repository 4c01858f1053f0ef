package onnx

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"

	"github.com/edgewise-ml/edgewise/internal/atomicfile"
	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// Options says how a model is written. The zero value writes one file that as many
// runtimes as possible load.
type Options struct {
	// Opset is the operator set to write, from MinOpset to graph.Opset; 0 means the
	// least that can express the graph.
	Opset int

	// ExternalData puts tensors of at least ExternalThreshold bytes (0: 1024) into a
	// second file beside the model. It happens without being asked for when the model
	// would not fit into the 2 GiB that one protobuf message can have.
	ExternalData      bool
	ExternalThreshold int

	Producer string            // "" means edgewise
	Metadata map[string]string // added to, and overriding, the graph's Meta
}

const (
	defaultThreshold = 1024

	// maxInline is the size of initializers up to which they may stand in the model
	// file; the rest of the message needs room too.
	maxInline = math.MaxInt32 - 64<<20

	// pageAlign is the offset alignment of large external tensors, so that other
	// runtimes can map them.
	pageAlign = 4096
)

// defaultProducer is eight bytes long, as SniffOwn has it.
const defaultProducer = "edgewise"

// Write writes g to path. The file appears complete or not at all; anything at path but
// a regular file is refused.
func Write(path string, g *graph.Graph, o Options) error {
	e, g, err := prepare(g, o)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	var data *dataFile
	if o.ExternalData || inlineBytes(g) > maxInline {
		data = &dataFile{name: filepath.Base(path) + ".data", threshold: int64(o.ExternalThreshold)}
		if data.threshold <= 0 {
			data.threshold = defaultThreshold
		}
		if _, err := os.Lstat(filepath.Join(filepath.Dir(path), data.name)); err == nil {
			// A model that is already there may need that file until it is replaced.
			data.name = fmt.Sprintf("%s.%s.data", filepath.Base(path), digest(g))
		}
		e.external = data.place
	}
	msg := e.model(g)
	if e.err != nil {
		return fmt.Errorf("%s: %w", path, e.err)
	}
	if data != nil && len(data.tensors) > 0 {
		if err := writeFile(filepath.Join(filepath.Dir(path), data.name), data); err != nil {
			return err
		}
	}
	if msg.size > math.MaxInt32 {
		return fmt.Errorf("%s: the model needs %d bytes, more than a file can hold; hint: write it with external data", path, msg.size)
	}
	return writeFile(path, msg)
}

// Encode returns the bytes of a model file with everything in it.
func Encode(g *graph.Graph, o Options) ([]byte, error) {
	e, g, err := prepare(g, o)
	if err != nil {
		return nil, err
	}
	msg := e.model(g)
	if e.err == nil && msg.size > math.MaxInt32 {
		e.err = fmt.Errorf("the model needs %d bytes, more than one message can hold", msg.size)
	}
	if e.err != nil {
		return nil, e.err
	}
	return msg.bytes(), nil
}

// prepare returns an encoder and a copy of g in the form of the target opset.
func prepare(g *graph.Graph, o Options) (*encoder, *graph.Graph, error) {
	if err := g.Verify(); err != nil {
		return nil, nil, err
	}
	opset := int64(o.Opset)
	if opset == 0 {
		opset = LeastOpset(g)
	}
	if opset < MinOpset || opset > graph.Opset {
		return nil, nil, fmt.Errorf("opset %d cannot be written, only %d to %d", opset, MinOpset, graph.Opset)
	}
	g = g.Clone()
	if err := toOpset(g, opset); err != nil {
		return nil, nil, err
	}
	e := &encoder{opset: opset, producer: o.Producer, meta: map[string]string{}}
	if e.producer == "" {
		e.producer = defaultProducer
	}
	maps.Copy(e.meta, g.Meta)
	maps.Copy(e.meta, o.Metadata)
	return e, g, nil
}

func inlineBytes(g *graph.Graph) int64 {
	var n int64
	for _, v := range g.Constants() {
		n += int64(v.Const.SizeBytes())
	}
	return n
}

// digest names the contents of all constants.
func digest(g *graph.Graph) string {
	h := sha256.New()
	for _, v := range g.Constants() {
		h.Write(v.Const.Bytes())
	}
	return hex.EncodeToString(h.Sum(nil)[:4])
}

// dataFile collects the tensors of an external data file.
type dataFile struct {
	name      string
	threshold int64
	tensors   []*tensor.Tensor
	offsets   []int64
	end       int64
}

// place gives t a place in the file if it is large enough.
func (d *dataFile) place(t *tensor.Tensor) (string, int64, bool) {
	size := int64(t.SizeBytes())
	if size < d.threshold {
		return "", 0, false
	}
	align := int64(tensor.Alignment)
	if size >= pageAlign {
		align = pageAlign
	}
	at := (d.end + align - 1) / align * align
	d.tensors, d.offsets, d.end = append(d.tensors, t), append(d.offsets, at), at+size
	return d.name, at, true
}

func (d *dataFile) WriteTo(w io.Writer) (int64, error) {
	var at int64
	for i, t := range d.tensors {
		for at < d.offsets[i] {
			n, err := w.Write(make([]byte, d.offsets[i]-at))
			at += int64(n)
			if err != nil {
				return at, err
			}
		}
		n, err := w.Write(t.Bytes())
		at += int64(n)
		if err != nil {
			return at, err
		}
	}
	return at, nil
}

func writeFile(path string, from io.WriterTo) error {
	return atomicfile.Write(path, func(w io.Writer) error {
		_, err := from.WriteTo(w)
		return err
	})
}
