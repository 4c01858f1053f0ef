package dataset

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/edgewise-ml/edgewise/tensor"
)

// Spec is the content of a dataset.yaml, as docs/dataset.md describes it. Every field is
// optional and adds to what is found without it. Paths are relative to the data and may
// not leave it, but for Data.
type Spec struct {
	Data        string          `yaml:"data"`         // folder, archive or file, relative to the yaml
	Files       string          `yaml:"files"`        // which files of it are samples: a pattern, a folder or a file
	DType       string          `yaml:"dtype"`        // of raw tensors
	Shape       []int           `yaml:"shape"`        // of one raw tensor, without the batch
	Scale       float32         `yaml:"scale"`        // real = (stored - zero) * scale
	Zero        int             `yaml:"zero"`         //
	Labels      string          `yaml:"labels"`       // the table that names files and classes
	FileColumn  string          `yaml:"file_column"`  // title or 1-based number
	LabelColumn string          `yaml:"label_column"` // title or 1-based number
	LabelOffset *int            `yaml:"label_offset"` // class of the model = label + offset
	Calibration string          `yaml:"calibration"`  // another folder, archive or yaml
	Preprocess  *SpecPreprocess `yaml:"preprocess"`
}

// SpecPreprocess overrides what would be inferred, key by key; Divide, Mean and Std are
// one: a pixel becomes (v/divide - mean)/std as soon as any of them is there.
type SpecPreprocess struct {
	Resize *int      `yaml:"resize"`
	Crop   int       `yaml:"crop"`
	Fit    string    `yaml:"fit"` // crop, stretch or letterbox
	Mean   []float32 `yaml:"mean"`
	Std    []float32 `yaml:"std"`
	Divide *float32  `yaml:"divide"`
	Order  string    `yaml:"order"`  // rgb or bgr
	Layout string    `yaml:"layout"` // NCHW or NHWC
	Fill   *uint8    `yaml:"fill"`
	Rate   int       `yaml:"rate"` // Hz, of audio
}

// scales reports whether s says how values become numbers.
func (s *SpecPreprocess) scales() bool {
	return s != nil && (s.Divide != nil || s.Mean != nil || s.Std != nil)
}

// columns returns what of s holds for another source of the same kind.
func (s *Spec) columns() *Spec {
	if s == nil {
		return nil
	}
	c := *s
	c.Data, c.Files, c.Labels, c.Calibration = "", "", "", ""
	return &c
}

const maxSpecBytes = 1 << 20

func parseSpec(b []byte) (*Spec, error) {
	s := &Spec{}
	var doc yaml.Node
	if err := yaml.Unmarshal(b, &doc); err != nil {
		return nil, errors.New(strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if len(doc.Content) > 0 && doc.Content[0].Tag != "!!null" {
		if err := decodeKeys(doc.Content[0], s, ""); err != nil {
			return nil, err
		}
	}
	if s.DType != "" {
		d, err := tensor.ParseDType(s.DType)
		if err != nil {
			return nil, err
		}
		if d.Bits() < 8 || d.IsComplex() {
			return nil, fmt.Errorf("dtype %v cannot be read from raw files", d)
		}
	}
	if _, err := tensor.NumElements(s.Shape); err != nil {
		return nil, fmt.Errorf("shape: %w", err)
	}
	if !finite(s.Scale) || s.Scale < 0 || s.Scale == 0 && s.Zero != 0 {
		return nil, fmt.Errorf("scale %v is not positive: real = (stored - zero) * scale", s.Scale)
	}
	for _, p := range []string{s.Files, s.Labels, s.Calibration} {
		if p != "" && !filepath.IsLocal(filepath.FromSlash(p)) {
			return nil, fmt.Errorf("path %q leads out of the data; `data:` may name another folder", p)
		}
	}
	if p := s.Preprocess; p != nil {
		if p.Fit != "" && p.Fit != string(Crop) && p.Fit != string(Stretch) && p.Fit != string(Letterbox) {
			return nil, fmt.Errorf("fit %q is not crop, stretch or letterbox", p.Fit)
		}
		if p.Layout != "" && p.Layout != "NCHW" && p.Layout != "NHWC" {
			return nil, fmt.Errorf("layout %q is not NCHW or NHWC", p.Layout)
		}
		if p.Order != "" && p.Order != "rgb" && p.Order != "bgr" {
			return nil, fmt.Errorf("order %q is not rgb or bgr", p.Order)
		}
		if p.Divide != nil && (*p.Divide == 0 || !finite(*p.Divide)) {
			return nil, fmt.Errorf("divide must not be %v", *p.Divide)
		}
		if p.Resize != nil && *p.Resize < 0 || p.Crop < 0 || p.Rate < 0 {
			return nil, errors.New("resize, crop and rate must not be negative")
		}
		for _, v := range p.Std {
			if v == 0 || !finite(v) {
				return nil, fmt.Errorf("std must not be %v", v)
			}
		}
		for _, v := range p.Mean {
			if !finite(v) {
				return nil, fmt.Errorf("mean must not be %v", v)
			}
		}
	}
	return s, nil
}

func finite(v float32) bool { return v-v == 0 }

// specNames are those under which data carries its own specification.
var specNames = []string{"dataset.yaml", "dataset.yml"}

func readSpec(name string) (*Spec, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("specification %s: %w", name, plainError(err))
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxSpecBytes+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxSpecBytes {
		return nil, fmt.Errorf("%s: is too large for a specification", filepath.Base(name))
	}
	s, err := parseSpec(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Base(name), err)
	}
	return s, nil
}

// attach gives d the specification, and opens the part for calibration that it names.
func (s *Spec) attach(d *Dataset, part func(name string) (*Dataset, error)) (err error) {
	d.spec = s
	if s.Calibration != "" {
		if d.train != nil {
			d.train.Close()
		}
		if d.train, err = part(s.Calibration); err != nil {
			d.train = nil
			d.Close()
			return fmt.Errorf("calibration %s: %w", s.Calibration, err)
		}
		d.adoptClasses()
	}
	if d.train != nil && d.train.spec == nil {
		d.train.spec = s
	}
	return nil
}

// typed turns raw files into tensors of the specified type and shape.
func (d *Dataset) typed(s *Spec) {
	if s == nil || s.DType == "" || d.kind != Raw {
		return
	}
	dt, _ := tensor.ParseDType(s.DType)
	load := d.load
	d.kind = Tensors
	d.load = func(i int) (*sample, error) {
		r, err := load(i)
		if err != nil {
			return nil, err
		}
		shape := s.Shape
		if len(shape) == 0 {
			shape = []int{len(r.raw) * 8 / dt.Bits()}
		}
		t, err := tensor.FromBytes(dt, shape, r.raw)
		if err != nil {
			return nil, fmt.Errorf("%s: by dtype and shape of the specification: %w", r.name, err)
		}
		return &sample{t: t, name: r.name}, nil
	}
}
