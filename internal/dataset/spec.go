package dataset

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/edgewise-ml/edgewise/tensor"
)

// Spec is the content of a dataset.yaml: what the files alone do not tell. Every field is
// optional. Paths are relative to the yaml's folder and may not leave it.
//
//	files: "clips/*.bin"        # which files are samples; a folder or archive means all in it
//	dtype: int8                 # of raw tensors
//	shape: [49, 10]             # of one sample, without the batch
//	scale: 0.584703             # real = (stored - zero) * scale
//	zero: 83
//	labels: y_labels.csv        # the table that names files (or features) and classes
//	file_column: 1              # title or 1-based number
//	label_column: 3
//	label_offset: 1             # model class = label + offset
//	calibration: train          # another folder, archive or yaml
//	preprocess: {resize: 256, crop: 224, fit: crop, mean: [123.7, 116.3, 103.5], std: [58.4, 57.1, 57.4], divide: 1, order: rgb, layout: NCHW, rate: 16000}
type Spec struct {
	Files       string          `yaml:"files"`
	DType       string          `yaml:"dtype"`
	Shape       []int           `yaml:"shape"`
	Scale       float32         `yaml:"scale"`
	Zero        int             `yaml:"zero"`
	Labels      string          `yaml:"labels"`
	FileColumn  string          `yaml:"file_column"`
	LabelColumn string          `yaml:"label_column"`
	LabelOffset *int            `yaml:"label_offset"`
	Calibration string          `yaml:"calibration"`
	Preprocess  *SpecPreprocess `yaml:"preprocess"`
}

// SpecPreprocess overrides what would be inferred. A pixel becomes (v/divide - mean)/std.
type SpecPreprocess struct {
	Resize int       `yaml:"resize"`
	Crop   int       `yaml:"crop"`
	Fit    string    `yaml:"fit"` // crop, stretch or letterbox
	Mean   []float32 `yaml:"mean"`
	Std    []float32 `yaml:"std"`
	Divide float32   `yaml:"divide"`
	Order  string    `yaml:"order"`  // rgb or bgr
	Layout string    `yaml:"layout"` // NCHW or NHWC
	Fill   uint8     `yaml:"fill"`
	Rate   int       `yaml:"rate"` // Hz, of audio
}

const maxSpecBytes = 1 << 20

func parseSpec(b []byte) (*Spec, error) {
	s := &Spec{}
	d := yaml.NewDecoder(bytes.NewReader(b))
	d.KnownFields(true)
	if err := d.Decode(s); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
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
		return nil, err
	}
	for _, p := range []string{s.Files, s.Labels, s.Calibration} {
		if p != "" && !filepath.IsLocal(filepath.FromSlash(p)) {
			return nil, fmt.Errorf("path %q leads out of the folder", p)
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
		for _, v := range p.Std {
			if v == 0 {
				return nil, errors.New("std must not be 0")
			}
		}
	}
	return s, nil
}

// specNames are those under which data carries its own specification.
var specNames = []string{"dataset.yaml", "dataset.yml"}

func readSpec(name string) (*Spec, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
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

// openSpec opens the data that the yaml file describes.
func openSpec(dir, name string) (*Dataset, error) {
	s, err := readSpec(name)
	if err != nil {
		return nil, err
	}
	d, err := s.open(dir)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Base(name), err)
	}
	return d, s.attach(d, func(train string) (*Dataset, error) {
		return open(filepath.Join(dir, filepath.FromSlash(train)), Options{})
	})
}

// openWithSpec opens a single file; the specification says what it holds, not where.
func openWithSpec(name, spec string) (*Dataset, error) {
	s, err := readSpec(spec)
	if err != nil {
		return nil, err
	}
	if s.Files != "" || s.Labels != "" {
		return nil, fmt.Errorf("%s: files and labels have no meaning for a single file", filepath.Base(spec))
	}
	d, err := open(name, Options{})
	if err != nil {
		return nil, err
	}
	return d, s.attach(d, func(train string) (*Dataset, error) {
		return open(filepath.Join(filepath.Dir(name), filepath.FromSlash(train)), Options{})
	})
}

// openTree opens an archive, which may hold a specification of its own.
func openTree(f files, o Options) (*Dataset, error) {
	top := unwrapped(f)
	var s *Spec
	var err error
	if o.Spec != "" {
		s, err = readSpec(o.Spec)
	} else if i := slices.IndexFunc(specNames, func(n string) bool { return slices.Contains(top.names(), n) }); i >= 0 {
		var b []byte
		if b, err = top.read(specNames[i]); err == nil {
			s, err = parseSpec(b[:min(len(b), maxSpecBytes)])
		}
	}
	if err != nil {
		f.close()
		return nil, err
	}
	if s == nil {
		return fromFiles(f)
	}
	d, err := s.fromFiles(top)
	if err != nil {
		return nil, err
	}
	return d, s.attach(d, func(train string) (*Dataset, error) {
		t, err := fromFiles(under(top, strings.TrimSuffix(train, "/")))
		if err == nil {
			t.close = nil // d closes the archive
		}
		return t, err
	})
}

// attach gives d the specification, and opens the part for calibration that it names.
func (s *Spec) attach(d *Dataset, part func(name string) (*Dataset, error)) (err error) {
	d.spec = s
	if s.Calibration == "" {
		return nil
	}
	if d.train, err = part(s.Calibration); err != nil {
		d.Close()
		return fmt.Errorf("calibration %s: %w", s.Calibration, err)
	}
	if d.train.spec == nil {
		d.train.spec = s
	}
	return nil
}

func (s *Spec) open(dir string) (*Dataset, error) {
	lower := strings.ToLower(s.Files)
	if s.Files != "" && !strings.ContainsAny(s.Files, "*?[") {
		p := filepath.Join(dir, filepath.FromSlash(s.Files))
		if hasSuffix(lower, ".csv", ".tsv") {
			return openCSV(p, s.LabelColumn)
		}
		if s.Labels == "" {
			if fi, err := os.Stat(p); err == nil && fi.IsDir() {
				f, err := openDir(p)
				if err != nil {
					return nil, err
				}
				return fromFiles(f)
			}
			return open(p, Options{})
		}
	}
	f, err := openDir(dir)
	if err != nil {
		return nil, err
	}
	return s.fromFiles(f)
}

// fromFiles makes a dataset of the files of a tree that the specification names.
func (s *Spec) fromFiles(f files) (*Dataset, error) {
	var list []string
	var err error
	for _, n := range f.names() {
		ok := s.Files == "" || strings.HasPrefix(n, strings.TrimSuffix(s.Files, "/")+"/")
		if !ok {
			ok, err = path.Match(s.Files, n)
			if err != nil {
				f.close()
				return nil, fmt.Errorf("files %q: %w", s.Files, err)
			}
		}
		base := strings.ToLower(path.Base(n))
		if ok && n != s.Labels && !hasSuffix(base, ".yaml", ".yml", ".txt", ".md", ".csv") {
			list = append(list, n)
		}
	}
	if len(list) == 0 {
		f.close()
		return nil, fmt.Errorf("files %q match nothing", s.Files)
	}
	d := &Dataset{kind: Raw, close: f.close}
	switch ext := strings.ToLower(path.Ext(list[0])); {
	case hasSuffix(ext, imageExt...):
		d.kind = Images
	case hasSuffix(ext, audioExt...):
		d.kind = Audio
	}
	if s.Labels != "" {
		b, err := f.read(s.Labels)
		if err == nil {
			var t *table
			if t, err = readTable(bytes.NewReader(b), s.Labels); err == nil {
				err = d.useTable(f, t, list, *s)
			}
		}
		if err != nil {
			f.close()
			return nil, fmt.Errorf("labels %s: %w", s.Labels, err)
		}
	} else {
		kind := d.kind
		d.labelFromNames(list)
		d.n, d.load = len(list), func(i int) (*sample, error) { return loadFile(f, kind, list[i]) }
	}
	if d.kind == Raw && s.DType != "" {
		d.typed(s)
	}
	return d, nil
}

// typed turns raw files into tensors of the specified type and shape.
func (d *Dataset) typed(s *Spec) {
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
			return nil, fmt.Errorf("sample %d: %w", i, err)
		}
		return &sample{t: t}, nil
	}
}
