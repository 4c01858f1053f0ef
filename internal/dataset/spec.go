package dataset

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"

	"github.com/edgewise-ml/edgewise/internal/strictyaml"
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
	HoldOut     []string        `yaml:"hold_out"`     // what is judged, the rest is for training: see split
	Columns     []string        `yaml:"columns"`      // of a table: those that are features
	Target      []string        `yaml:"target"`       // columns of a table or array of an npz; "input"; "remaining"
	TargetLimit float32         `yaml:"target_limit"` // what is greater counts as this; 0 = no limit
	Remaining   string          `yaml:"remaining"`    // table of what remains after the last row of each series
	Group       string          `yaml:"group"`        // column that tells one series from another
	Time        string          `yaml:"time"`         // column of time
	Window      int             `yaml:"window"`       // rows of a sample
	Stride      int             `yaml:"stride"`       // rows from a sample to the next, 1 if 0
	Windows     string          `yaml:"windows"`      // of the part that is judged: all, or the last of each series
	Normalize   string          `yaml:"normalize"`    // columns by the training part: min-max or standard
	Anomalies   string          `yaml:"anomalies"`    // table or JSON of the stretches of time that are none of the normal
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
	Layout string    `yaml:"layout"` // NCHW or NHWC; NCW or NWC of a series
	Fill   *uint8    `yaml:"fill"`
	Rate   int       `yaml:"rate"` // Hz, of audio
}

// scales reports whether s says how values become numbers.
func (s *SpecPreprocess) scales() bool {
	return s != nil && (s.Divide != nil || s.Mean != nil || s.Std != nil)
}

// ScaleGiven reports whether a specification says how values become numbers.
func (d *Dataset) ScaleGiven() bool {
	return d.spec != nil && (d.spec.Preprocess.scales() || d.spec.Scale != 0)
}

// OffsetGiven reports whether a specification says how the model numbers classes.
func (d *Dataset) OffsetGiven() bool { return d.spec != nil && d.spec.LabelOffset != nil }

// columns returns what of s holds for another source of the same kind.
func (s *Spec) columns() *Spec {
	if s == nil {
		return nil
	}
	c := *s
	c.Data, c.Files, c.Labels, c.Calibration = "", "", "", ""
	c.HoldOut, c.Anomalies, c.Remaining, c.Windows = nil, "", "", ""
	return &c
}

// over returns the keys of s, and for those that it leaves out the ones of base. Keys that
// together say one thing come from one of them. s may be nil.
func (s *Spec) over(base *Spec) (*Spec, error) {
	if s == nil {
		return base, nil
	}
	c, old := *s, *base
	if pre := base.Preprocess; pre != nil {
		own, under := SpecPreprocess{}, *pre
		if s.Preprocess != nil {
			own = *s.Preprocess
		}
		if own.scales() || s.Normalize != "" {
			under.Divide, under.Mean, under.Std = nil, nil, nil
		}
		fill(&own, &under)
		c.Preprocess = &own
	}
	if s.Preprocess.scales() {
		old.Normalize = ""
	}
	fill(&c, &old)
	return &c, c.Validate()
}

// fill sets those fields of dst that are zero to those of src.
func fill[T any](dst, src *T) {
	d, s := reflect.ValueOf(dst).Elem(), reflect.ValueOf(src).Elem()
	for i := range d.NumField() {
		if d.Field(i).IsZero() {
			d.Field(i).Set(s.Field(i))
		}
	}
}

// tabular reports whether s says of a table what is features, target and window.
func (s *Spec) tabular() bool {
	return s != nil && (s.Window > 0 || s.Columns != nil || s.Target != nil || s.Group != "" || s.Time != "" || s.Normalize != "")
}

const maxSpecBytes = strictyaml.MaxBytes

func parseSpec(b []byte) (*Spec, error) {
	s := &Spec{}
	if err := strictyaml.Decode(b, s); err != nil {
		return nil, err
	}
	return s, s.Validate()
}

// Validate checks what can be checked without the data.
func (s *Spec) Validate() error {
	if s.DType != "" {
		d, err := tensor.ParseDType(s.DType)
		if err != nil {
			return err
		}
		if d.Bits() < 8 || d.IsComplex() {
			return fmt.Errorf("dtype %v cannot be read from raw files", d)
		}
	}
	if _, err := tensor.NumElements(s.Shape); err != nil {
		return fmt.Errorf("shape: %w", err)
	}
	if !finite(s.Scale) || s.Scale < 0 || s.Scale == 0 && s.Zero != 0 {
		return fmt.Errorf("scale %v is not positive: real = (stored - zero) * scale", s.Scale)
	}
	for _, p := range []string{s.Files, s.Labels, s.Calibration, s.Remaining, s.Anomalies} {
		if p != "" && !filepath.IsLocal(filepath.FromSlash(p)) {
			return fmt.Errorf("path %q leads out of the data; `data:` may name another folder", p)
		}
	}
	if err := s.checkSeries(); err != nil {
		return err
	}
	if p := s.Preprocess; p != nil {
		if p.Fit != "" && p.Fit != string(Crop) && p.Fit != string(Stretch) && p.Fit != string(Letterbox) {
			return fmt.Errorf("fit %q is not crop, stretch or letterbox", p.Fit)
		}
		if !slices.Contains(layouts, p.Layout) {
			return fmt.Errorf("layout %q is not NCHW or NHWC, NCW or NWC", p.Layout)
		}
		if p.Order != "" && p.Order != "rgb" && p.Order != "bgr" {
			return fmt.Errorf("order %q is not rgb or bgr", p.Order)
		}
		if p.Divide != nil && (*p.Divide == 0 || !finite(*p.Divide)) {
			return fmt.Errorf("divide must not be %v", *p.Divide)
		}
		if p.Resize != nil && *p.Resize < 0 || p.Crop < 0 || p.Rate < 0 {
			return errors.New("resize, crop and rate must not be negative")
		}
		for _, v := range p.Std {
			if v == 0 || !finite(v) {
				return fmt.Errorf("std must not be %v", v)
			}
		}
		for _, v := range p.Mean {
			if !finite(v) {
				return fmt.Errorf("mean must not be %v", v)
			}
		}
	}
	return nil
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

// beside gives access to what lies with the data: other parts of it, and tables.
type beside struct {
	part func(name string) (*Dataset, error)
	read func(name string) ([]byte, error)
}

// attach gives d the specification with all that it says beyond one source of samples: the
// part for training, what is known of series, and the numbers by which columns are
// normalized. It closes d when it fails.
func (s *Spec) attach(d *Dataset, o beside) (err error) {
	defer func() {
		if err != nil {
			d.Close()
		}
	}()
	d.spec = s
	if s.Calibration != "" {
		if d.train != nil {
			d.train.Close()
		}
		if d.train, err = o.part(s.Calibration); err != nil {
			d.train = nil
			return fmt.Errorf("calibration %s: %w", s.Calibration, err)
		}
		d.adoptClasses()
	}
	if err := s.attachSeries(d, o); err != nil {
		return err
	}
	if s.HoldOut != nil {
		if err := d.split(s.HoldOut); err != nil {
			return fmt.Errorf("hold_out: %w", err)
		}
	}
	if s.Windows == "last" {
		if err := d.lastWindows(); err != nil {
			return err
		}
	}
	if d.train != nil && d.train.spec == nil {
		d.train.spec = s
	}
	return d.normalize(s.Normalize)
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
