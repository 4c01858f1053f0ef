package dataset

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// Fit says how an image of another size comes to the model's.
type Fit string

// Ways to fit an image.
const (
	Crop      Fit = "crop"      // scale the shorter side, cut the centre
	Stretch   Fit = "stretch"   // scale both sides independently
	Letterbox Fit = "letterbox" // scale to fit inside, fill the rest
)

// MetaKey is the metadata key under which a model file carries its Preprocess as JSON.
const MetaKey = "edgewise.preprocess"

// Preprocess turns a sample into the model's input. A stored value v (a pixel 0..255, a
// tensor element, an audio sample) becomes real = (v/Divide - Mean)/Std, where samples are
// stored integers of a Scale with (v - Zero)*Scale in place of v; where the model's input
// is an integer type, real is quantized by QScale and QZero.
type Preprocess struct {
	Shape  []int  `json:"shape"` // of the model input, batch 1 included
	DType  string `json:"dtype"`
	Layout string `json:"layout,omitempty"` // NCHW or NHWC, for images; NCW or NWC, for rows of tables
	Width  int    `json:"width,omitempty"`  // of an image; rows of a window
	Height int    `json:"height,omitempty"`
	// Channels is 1 (luma) or 3; columns of a table.
	Channels int       `json:"channels,omitempty"`
	Fit      Fit       `json:"fit,omitempty"`
	Resize   int       `json:"resize,omitempty"` // shorter side before cropping, 0 = as small as covers
	Fill     uint8     `json:"fill,omitempty"`
	BGR      bool      `json:"bgr,omitempty"`
	Divide   float32   `json:"divide"`
	Mean     []float32 `json:"mean,omitempty"` // one per channel, or one for all
	Std      []float32 `json:"std,omitempty"`
	Rate     int       `json:"rate,omitempty"`   // Hz, for audio
	From     string    `json:"from,omitempty"`   // element type of raw files, where it is not the input's
	Scale    float32   `json:"scale,omitempty"`  // of stored integers, 0 = none
	Zero     int       `json:"zero,omitempty"`   // of stored integers
	QScale   float32   `json:"qscale,omitempty"` // integer inputs: q = real/QScale + QZero
	QZero    int       `json:"qzero,omitempty"`
	Stored   bool      `json:"stored,omitempty"` // samples already lie on the integer input's grid

	LabelOffset int      `json:"label_offset,omitempty"`
	Why         []string `json:"why,omitempty"` // where each fact comes from
}

// layouts lists those of an input, "" where it has none to speak of.
var layouts = []string{"", "NCHW", "NHWC", "NCW", "NWC"}

// image and rows report of what the layout is.
func (p *Preprocess) image() bool { return p.Layout == "NCHW" || p.Layout == "NHWC" }
func (p *Preprocess) rows() bool  { return p.Layout == "NCW" || p.Layout == "NWC" }

// Columns returns how many values a step of time has where samples are rows of tables, 0
// where they are not.
func (p *Preprocess) Columns() int {
	if p.rows() {
		return p.Channels
	}
	return 0
}

// maxRate bounds the rate in Hz that a model may ask for.
const maxRate = 1 << 20

// scaling is one of the customary ways to bring pixels to numbers.
type scaling struct {
	name      string
	divide    float32
	mean, std []float32
}

var scalings = []scaling{
	{"x/127.5-1", 127.5, []float32{1}, nil},
	{"x/255", 255, nil, nil},
	{"raw 0..255", 1, nil, nil},
	{"ImageNet mean and std", 255, []float32{0.485, 0.456, 0.406}, []float32{0.229, 0.224, 0.225}},
}

// String describes the preprocessing in one line.
func (p Preprocess) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s%s", p.DType, tensor.FormatShape(p.Shape))
	if p.rows() {
		fmt.Fprintf(&b, " %s, %d rows of %d columns", p.Layout, p.Width, p.Channels)
	}
	if p.image() {
		order := "RGB"
		if p.BGR {
			order = "BGR"
		}
		if p.Channels == 1 {
			order = "grey"
		}
		fmt.Fprintf(&b, " %s %s, %s", p.Layout, order, p.Fit)
		if p.Resize > 0 {
			fmt.Fprintf(&b, " after shorter side to %d", p.Resize)
		}
	}
	fmt.Fprintf(&b, ", %s", p.formula())
	if p.Rate > 0 {
		fmt.Fprintf(&b, ", %d Hz", p.Rate)
	}
	if p.LabelOffset != 0 {
		fmt.Fprintf(&b, ", model class = label%+d", p.LabelOffset)
	}
	return b.String()
}

func (p Preprocess) formula() string {
	if p.Stored {
		return "stored integers as they are"
	}
	s := "x"
	if p.Scale != 0 {
		switch {
		case p.Zero < 0:
			s = fmt.Sprintf("(x + %d)", -p.Zero)
		case p.Zero > 0:
			s = fmt.Sprintf("(x - %d)", p.Zero)
		}
		s += "·" + number(p.Scale)
	}
	if p.Divide != 1 {
		s += "/" + number(p.Divide)
	}
	if slices.ContainsFunc(p.Mean, func(m float32) bool { return m != 0 }) {
		if len(p.Mean) == 1 && p.Mean[0] < 0 {
			s += " + " + number(-p.Mean[0])
		} else {
			s += " - " + list(p.Mean)
		}
	}
	if slices.ContainsFunc(p.Std, func(d float32) bool { return d != 1 }) {
		if strings.Contains(s, " ") {
			s = "(" + s + ")"
		}
		s += " / " + list(p.Std)
	}
	if p.QScale == 1 && p.QZero == 0 {
		s += ", rounded to the integer input"
	} else if p.QScale != 0 {
		s += fmt.Sprintf(", quantized by scale %s zero %d", number(p.QScale), p.QZero)
	}
	return s
}

func number(v float32) string { return strconv.FormatFloat(float64(v), 'g', -1, 32) }

// list writes one value alone, those of several channels in brackets.
func list(v []float32) string {
	if len(v) == 1 {
		return number(v[0])
	}
	s := make([]string, len(v))
	for i, x := range v {
		s[i] = number(x)
	}
	return "[" + strings.Join(s, " ") + "]"
}

// YAML returns p as the part of a dataset.yaml that states it, for data of the same kind.
func (p Preprocess) YAML() string {
	var b strings.Builder
	fmt.Fprintf(&b, "label_offset: %d\n", p.LabelOffset)
	if p.From != "" {
		fmt.Fprintf(&b, "dtype: %s\n", p.From)
	}
	if p.Scale != 0 {
		fmt.Fprintf(&b, "scale: %s\nzero: %d\n", number(p.Scale), p.Zero)
	}
	if p.Stored {
		return b.String() // bytes that need nothing
	}
	b.WriteString("preprocess:\n")
	if p.rows() {
		fmt.Fprintf(&b, "  layout: %s\n", p.Layout)
	}
	if p.image() {
		order := "rgb"
		if p.BGR {
			order = "bgr"
		}
		fmt.Fprintf(&b, "  layout: %s\n  order: %s\n  resize: %d\n  fit: %s\n", p.Layout, order, p.Resize, p.Fit)
		if p.Fit == Letterbox {
			fmt.Fprintf(&b, "  fill: %d\n", p.Fill)
		}
	}
	if p.Rate > 0 {
		fmt.Fprintf(&b, "  rate: %d\n", p.Rate)
	}
	fmt.Fprintf(&b, "  divide: %s\n", number(p.Divide))
	for _, v := range []struct {
		key    string
		values []float32
	}{{"mean", p.Mean}, {"std", p.Std}} {
		if len(v.values) > 0 {
			fmt.Fprintf(&b, "  %s: [%s]\n", v.key, strings.ReplaceAll(strings.Trim(list(v.values), "[]"), " ", ", "))
		}
	}
	return b.String()
}

// SameInput reports whether p and q make the same input of every sample.
func (p Preprocess) SameInput(q Preprocess) bool {
	p.LabelOffset, p.Why, q.LabelOffset, q.Why = 0, nil, 0, nil
	return p.JSON() == q.JSON()
}

// JSON returns the form that Meta carries under MetaKey.
func (p Preprocess) JSON() string {
	b, err := json.Marshal(p)
	if err != nil {
		panic(err) // plain fields
	}
	return string(b)
}

// Infer lists the ways in which samples of d may become inputs of the model, the most
// likely first. One candidate means that the model or a specification tells; several
// should be tried on labelled samples. Those that differ in LabelOffset only give the same
// inputs, so that one inference judges them all (see Preprocess.SameInput).
func Infer(t Target, d *Dataset) ([]Preprocess, error) {
	shape := inputShape(t.Input.Type.Shape)
	if shape == nil {
		return nil, fmt.Errorf("input %s: its rank is not known, so samples cannot be shaped for it", t.Input)
	}
	base := Preprocess{Shape: shape, DType: t.Input.Type.DType.String(), Divide: 1}
	integer := t.Input.Type.DType == tensor.Int8 || t.Input.Type.DType == tensor.Uint8
	if integer {
		base.QScale, base.QZero = t.Scale, t.Zero
	}
	if s := t.Meta[MetaKey]; s != "" {
		var p Preprocess
		if err := json.Unmarshal([]byte(s), &p); err == nil && p.valid() == nil && slices.Equal(p.Shape, shape) {
			p.Why = []string{"the model file carries it"}
			p.DType = base.DType
			if err := p.override(d.spec); err != nil {
				return nil, err
			}
			return []Preprocess{p}, p.valid()
		}
	}
	var out []Preprocess
	var err error
	switch d.kind {
	case Images:
		out, err = inferImages(base, t, d, integer)
	case Audio:
		out, err = base.audio(t, d)
	default:
		out, err = base.arrays(d, integer)
	}
	if err != nil {
		return nil, err
	}
	for i := range out {
		if err := out[i].override(d.spec); err != nil {
			return nil, err
		}
		if err := out[i].valid(); err != nil {
			return nil, err
		}
	}
	if d.spec != nil && d.spec.Preprocess.scales() {
		out = out[:1] // the others differ in what the specification states
	}
	if d.spec != nil && d.spec.LabelOffset != nil {
		return out, nil
	}
	return withOffsets(out, t, d), nil
}

// withOffsets returns every way with every label offset that the numbers of outputs and
// classes allow, the likelier first. Data need not hold the last classes of a model, so
// that outputs to spare tell nothing, but for the 1001 of networks that put a background
// before the classes of ImageNet.
func withOffsets(ways []Preprocess, t Target, d *Dataset) []Preprocess {
	classes := d.NumClasses()
	offsets := []int{0}
	switch {
	case d.labels == nil || t.Outputs <= max(classes, 2):
		return ways
	case t.Outputs == 1001:
		offsets = []int{1, 0}
	default:
		offsets = []int{0, 1}
	}
	out := make([]Preprocess, 0, len(offsets)*len(ways))
	for _, p := range ways {
		for _, o := range offsets {
			q := p
			q.LabelOffset = o
			q.Why = slices.Clone(p.Why)
			if o == offsets[0] && o != 0 {
				q.Why = append(q.Why, fmt.Sprintf("label offset %d: %d outputs for labels up to %d, so class 0 is taken for a background", o, t.Outputs, classes-1))
			}
			out = append(out, q)
		}
	}
	return out
}

// inputShape replaces unknown sizes: 1 for the batch, 224 for image sides.
func inputShape(s graph.Shape) []int {
	if s == nil {
		return nil
	}
	out := make([]int, len(s))
	for i, d := range s {
		switch {
		case i == 0 && len(s) > 1:
			out[i] = 1
		case d.Known():
			out[i] = d.Size
		case len(s) == 4 && i == 1:
			out[i] = 3
		case len(s) == 4:
			out[i] = 224
		default:
			out[i] = 1
		}
	}
	return out
}

func inferImages(base Preprocess, t Target, d *Dataset, integer bool) ([]Preprocess, error) {
	s := base.Shape
	p := base
	channels := func(n int) bool { return n == 1 || n == 3 }
	switch {
	case len(s) == 4 && channels(s[1]) && !(channels(s[3]) && s[3] < s[1]):
		p.Layout, p.Channels, p.Height, p.Width = "NCHW", s[1], s[2], s[3]
	case len(s) == 4 && channels(s[3]):
		p.Layout, p.Channels, p.Height, p.Width = "NHWC", s[3], s[1], s[2]
	case len(s) == 3 && channels(s[0]):
		p.Layout, p.Channels, p.Height, p.Width = "NCHW", s[0], s[1], s[2]
	default:
		return nil, fmt.Errorf("input %s does not look like an image (want N×C×H×W or N×H×W×C with 1 or 3 channels)", t.Input)
	}
	p.Why = append(p.Why, p.Layout+" from the input's shape")
	p.Fit = Crop
	if first, err := d.load(0); err != nil {
		return nil, err
	} else if b := first.img.Bounds(); b.Dx() != p.Width || b.Dy() != p.Height {
		short := min(b.Dx(), b.Dy())
		switch want := max(p.Width, p.Height); {
		case p.Width != p.Height:
			p.Fit = Stretch
		case want >= 64 && short > want:
			p.Resize = int(math.Round(float64(want) / 0.875))
			p.Why = append(p.Why, "centre crop of 87.5 %, the custom for classifiers")
		}
	}
	set := func(c scaling, why string) Preprocess {
		q := p
		q.Divide, q.Mean, q.Std = c.divide, c.mean, c.std
		if p.Channels == 1 && len(q.Mean) == 3 {
			q.Mean, q.Std = []float32{0.1307}, []float32{0.3081} // MNIST's own
		}
		q.Why = append(slices.Clone(p.Why), why)
		return q
	}
	if m, err := strconv.ParseFloat(t.Meta["tflite.normalization.mean"], 32); err == nil {
		if sd, err := strconv.ParseFloat(t.Meta["tflite.normalization.std"], 32); err == nil && sd != 0 && !integer {
			return []Preprocess{set(scaling{"", 1, []float32{float32(m)}, []float32{float32(sd)}}, "mean and std from the file's metadata")}, nil
		}
	}
	if t.Scale > 0 {
		lo, hi := float64(-t.Zero)*float64(t.Scale), float64(255-t.Zero)*float64(t.Scale)
		if t.Input.Type.DType == tensor.Int8 {
			lo, hi = float64(-128-t.Zero)*float64(t.Scale), float64(127-t.Zero)*float64(t.Scale)
		}
		near := func(a, b float64) bool { return math.Abs(lo-a) < 0.03*(b-a) && math.Abs(hi-b) < 0.03*(b-a) }
		why := fmt.Sprintf("the input's quantization covers %.3g..%.3g", lo, hi)
		switch {
		case integer && (near(-1, 1) || near(0, 1) || near(0, 255) || near(-128, 127)):
			// Its 256 steps are the 256 pixel values: rounding through real numbers would
			// only blur them.
			p.QScale, p.QZero = 1, 0
			if t.Input.Type.DType == tensor.Int8 {
				p.QZero = -128
			}
			return []Preprocess{set(scalings[2], why+", one step a pixel value")}, nil
		case near(-1, 1):
			return []Preprocess{set(scalings[0], why)}, nil
		case near(0, 1):
			return []Preprocess{set(scalings[1], why)}, nil
		case near(0, 255):
			return []Preprocess{set(scalings[2], why)}, nil
		case near(-128, 127):
			return []Preprocess{set(scaling{"", 1, []float32{128}, nil}, why)}, nil
		}
	}
	if integer && t.Scale <= 0 {
		p.QScale, p.QZero = 1, 0
		if t.Input.Type.DType == tensor.Int8 {
			p.QZero = -128
		}
		return []Preprocess{set(scalings[2], "integer input without a scale takes pixels as they are")}, nil
	}
	var out []Preprocess
	for _, c := range scalings {
		out = append(out, set(c, c.name))
	}
	return out, nil
}

func (p Preprocess) audio(t Target, d *Dataset) ([]Preprocess, error) {
	first, err := d.load(0)
	if err != nil {
		return nil, err
	}
	whose := "the files' own"
	p.Rate = first.rate
	if rate, err := strconv.Atoi(t.Meta[graph.MetaRate]); err == nil && rate > 0 && rate <= maxRate {
		whose, p.Rate = "the model's", rate
	}
	p.Why = append(p.Why, "samples in -1..1 at "+whose+" rate, cut or padded with silence to the input's length")
	return []Preprocess{p}, nil
}

func (p Preprocess) arrays(d *Dataset, integer bool) ([]Preprocess, error) {
	first, err := d.load(0)
	if err != nil {
		return nil, err
	}
	stored := integer && (first.raw != nil || first.t != nil && (first.t.DType() == tensor.Int8 || first.t.DType() == tensor.Uint8))
	switch {
	case stored:
		p.Stored = true
		p.Why = append(p.Why, "samples and input are 8-bit integers")
	case d.series != nil:
		if err := p.rowsInto(d); err != nil {
			return nil, err
		}
	case d.spec != nil && d.spec.Scale != 0:
		p.Scale, p.Zero = d.spec.Scale, d.spec.Zero
		p.Why = append(p.Why, "scale and zero from dataset.yaml")
	default:
		p.Why = append(p.Why, "values as they are stored")
	}
	if d.spec != nil && d.spec.DType != "" && first.t != nil && first.t.DType().String() == d.spec.DType && d.spec.DType != p.DType {
		p.From = d.spec.DType
	}
	return []Preprocess{p}, nil
}

// override applies what dataset.yaml says.
func (p *Preprocess) override(s *Spec) error {
	if s == nil {
		return nil
	}
	if s.LabelOffset != nil {
		p.LabelOffset = *s.LabelOffset
	}
	o := s.Preprocess
	if o == nil {
		return nil
	}
	p.Why = append(p.Why, "preprocess from dataset.yaml")
	if o.Layout != "" && o.Layout != p.Layout {
		return fmt.Errorf("dataset.yaml says layout %s, but the model's input %v is %s", o.Layout, p.Shape, cmp.Or(p.Layout, "not that of an image"))
	}
	if o.Crop > 0 && (o.Crop != p.Width || o.Crop != p.Height) {
		return fmt.Errorf("dataset.yaml crops to %d, but the model's input is %dx%d", o.Crop, p.Width, p.Height)
	}
	if o.Resize != nil {
		p.Resize = *o.Resize
	}
	if o.Fill != nil {
		p.Fill = *o.Fill
	}
	if o.Order != "" {
		p.BGR = o.Order == "bgr"
	}
	if o.Fit != "" {
		if p.Fit = Fit(o.Fit); p.Fit != Crop && o.Resize == nil {
			p.Resize = 0
		}
	}
	if o.scales() {
		p.Divide, p.Mean, p.Std = 1, o.Mean, o.Std
		if o.Divide != nil {
			p.Divide = *o.Divide
		}
	}
	if o.Rate > 0 {
		p.Rate = o.Rate
	}
	return nil
}

func (p *Preprocess) valid() error {
	if _, err := tensor.NumElements(p.Shape); err != nil {
		return err
	}
	d, err := tensor.ParseDType(p.DType)
	if err != nil {
		return err
	}
	if d.Bits() < 8 || d.IsComplex() {
		return fmt.Errorf("an input of type %v cannot be fed from files", d)
	}
	for _, v := range [][]float32{p.Mean, p.Std} {
		if len(v) > 1 && len(v) != p.Channels {
			return fmt.Errorf("%d means or deviations for %d channels", len(v), p.Channels)
		}
	}
	if p.From != "" {
		if d, err := tensor.ParseDType(p.From); err != nil || d.Bits() < 8 || d.IsComplex() {
			return fmt.Errorf("samples of type %q cannot be read from raw files", p.From)
		}
	}
	if p.Divide == 0 || slices.Contains(p.Std, 0) {
		return fmt.Errorf("preprocessing divides by zero")
	}
	if !slices.Contains(layouts, p.Layout) || !slices.Contains([]Fit{"", Crop, Stretch, Letterbox}, p.Fit) {
		return fmt.Errorf("layout %q or fit %q is not known", p.Layout, p.Fit)
	}
	if p.rows() && (p.Width < 1 || p.Channels < 1 || p.Width*p.Channels != product(p.Shape)) {
		return fmt.Errorf("%d rows of %d columns do not fill the input %v", p.Width, p.Channels, p.Shape)
	}
	if p.image() {
		if n := p.Width * p.Height * p.Channels; p.Channels != 1 && p.Channels != 3 || n < 1 || n != product(p.Shape) {
			return fmt.Errorf("an image of %dx%dx%d does not fill the input %v", p.Width, p.Height, p.Channels, p.Shape)
		}
	}
	return nil
}

func product(s []int) int {
	n := 1
	for _, d := range s {
		n *= d
	}
	return n
}
