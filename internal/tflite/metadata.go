package tflite

import (
	"archive/zip"
	"bytes"
	"io"
	"math"
	"strconv"
	"strings"

	"github.com/edgewise-ml/edgewise/internal/graph"
)

// Keys of graph.Graph.Meta under which facts from the file's metadata stand. Lists of
// numbers hold one when all are equal; else they are separated by spaces.
const (
	MetaName        = "tflite.name"
	MetaDescription = "tflite.description"
	MetaVersion     = "tflite.version"
	MetaAuthor      = "tflite.author"
	MetaLicense     = "tflite.license"
	MetaLabels      = "tflite.labels"             // one class a line, in the order of the outputs
	MetaMean        = "tflite.normalization.mean" // of the first input: (x − mean) / std
	MetaStd         = "tflite.normalization.std"
	MetaColor       = "tflite.color" // of the first input: "rgb" or "grayscale"
)

const (
	maxMetaText  = 64 << 10
	maxMetaLabel = 1 << 20 // bytes of a label file
)

// readMetadata copies what is useful from the TFLITE_METADATA buffer, a flatbuffer of its
// own (metadata_schema.fbs), and from the label file in the zip archive that packers append
// to the model. Metadata is a courtesy: broken metadata is left out, not an error.
func readMetadata(g *graph.Graph, m *model, data []byte) {
	set := func(key, text string) {
		if text != "" && len(text) <= max(maxMetaText, maxMetaLabel) {
			g.Meta[key] = strings.ToValidUTF8(text, "\uFFFD")
		}
	}
	set(MetaDescription, m.description)
	i, ok := m.metadata["TFLITE_METADATA"]
	if !ok {
		return
	}
	f := newFlat(m.buffers[i])
	root := f.root()
	facts := map[string]string{
		MetaName: root.string(0), MetaDescription: root.string(1), MetaVersion: root.string(2),
		MetaAuthor: root.string(4), MetaLicense: root.string(5),
	}
	labels := labelFile(root)
	if subs := root.subs(3); len(subs) > 0 {
		if inputs := subs[0].subs(2); len(inputs) > 0 {
			normalization(inputs[0], facts)
		}
		for _, out := range subs[0].subs(3) {
			if labels == "" {
				labels = labelFile(out)
			}
		}
	}
	if f.err != nil {
		return
	}
	for k, v := range facts {
		set(k, v)
	}
	if labels != "" {
		set(MetaLabels, readLabels(data, labels))
	}
}

// normalization reads the process units of a TensorMetadata and its colour space.
func normalization(t table, facts map[string]string) {
	for _, unit := range t.subs(4) {
		if options := unit.sub(1); unit.u8(0, 0) == 1 && options.ok() {
			facts[MetaMean], facts[MetaStd] = numbers(options.f32s(0)), numbers(options.f32s(1))
			break
		}
	}
	if content := t.sub(3); content.u8(0, 0) == 2 {
		switch content.sub(1).u8(0, 0) {
		case 1:
			facts[MetaColor] = "rgb"
		case 2:
			facts[MetaColor] = "grayscale"
		}
	}
}

func numbers(v []float32) string {
	same := len(v) <= 64
	for _, x := range v {
		if math.IsNaN(float64(x)) || math.IsInf(float64(x), 0) {
			return ""
		}
		same = same && x == v[0]
	}
	if len(v) > 64 {
		return ""
	}
	if same && len(v) > 1 {
		v = v[:1]
	}
	var parts []string
	for _, x := range v {
		parts = append(parts, strconv.FormatFloat(float64(x), 'g', -1, 32))
	}
	return strings.Join(parts, " ")
}

// labelFile returns the name of the first associated file that holds the labels of a
// tensor's axis or values.
func labelFile(t table) string {
	field := 6 // of both ModelMetadata and TensorMetadata
	for _, a := range t.subs(field) {
		if kind := a.u8(2, 0); kind == 2 || kind == 3 {
			return a.string(0)
		}
	}
	return ""
}

func readLabels(data []byte, name string) string {
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return ""
	}
	for _, f := range z.File {
		if f.Name != name || f.UncompressedSize64 > maxMetaLabel {
			continue
		}
		r, err := f.Open()
		if err != nil {
			return ""
		}
		defer r.Close()
		text, err := io.ReadAll(io.LimitReader(r, maxMetaLabel))
		if err != nil {
			return ""
		}
		return strings.TrimRight(strings.ReplaceAll(string(text), "\r\n", "\n"), "\n")
	}
	return ""
}
