// Package dataset opens everything that `--data` takes: image folders, archives of them,
// idx, npz, npy and csv files, wav folders, raw tensors listed by a csv, and a
// dataset.yaml that says what cannot be guessed. It turns samples into model inputs by a
// Preprocess that is inferred where the model tells and listed as candidates where it
// does not.
//
// Everything read is hostile until checked: archives are bounded in members and bytes,
// paths cannot leave their folder, images are bounded in pixels before they are decoded.
package dataset

import (
	"fmt"
	"image"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/edgewise-ml/edgewise/tensor"
)

// Kind tells what samples are before preprocessing.
type Kind uint8

// Kinds of samples.
const (
	Images  Kind = iota + 1
	Tensors      // numbers in a known shape
	Raw          // bytes whose type and shape the model's input decides
	Audio        // mono samples in -1..1
)

func (k Kind) String() string {
	return [...]string{"nothing", "images", "tensors", "raw tensors", "audio clips"}[k]
}

// Options steer Open.
type Options struct {
	Spec   string // path of a dataset.yaml; "" uses the one inside the folder or archive, if any
	Given  *Spec  // what such a file would say; Spec is "" then
	Single bool   // the data is one file to be prepared: what Spec says of others does not count
	Limit  int    // use at most so many samples, spread evenly; 0 = all
}

// Dataset is an indexed set of samples, labelled or not. It is safe for concurrent use.
type Dataset struct {
	kind    Kind
	name    string
	n       int
	labels  []int // nil when there are none
	classes []string
	byName  bool // labels number the class names in sorted order, as nothing else gave a number
	load    func(i int) (*sample, error)
	names   []string // of files, of which each is a sample; nil where samples have none
	targets *targets // nil when there are none
	series  *series  // nil where samples are no windows of a series
	windows []window // of the series, one a sample
	persons []int    // whom each sample is of; nil where that is not known
	scale   *columnScale
	train   *Dataset
	spec    *Spec
	notes   []string
	close   func() error
}

// sample is one item as stored; exactly one of img, t, raw, pcm is set.
type sample struct {
	name string // of the file, "" where there is none of its own
	img  image.Image
	t    *tensor.Tensor
	rows bool // t is rows of columns, whatever the model's layout
	raw  []byte
	pcm  []float32
	rate int
}

// targets gives the values that a model should give.
type targets struct {
	size  int
	input bool // the sample itself, preprocessed
	of    func(i int) []float32
}

// Len returns the number of samples.
func (d *Dataset) Len() int { return d.n }

// Kind returns what samples are.
func (d *Dataset) Kind() Kind { return d.kind }

// HasLabels reports whether every sample has a class.
func (d *Dataset) HasLabels() bool { return d.labels != nil }

// Label returns the class of sample i as the data numbers it; the model may number
// classes with an offset (Preprocess.LabelOffset).
func (d *Dataset) Label(i int) int { return d.labels[i] }

// HasTargets reports whether samples have values that a model should give for them.
func (d *Dataset) HasTargets() bool { return d.targets != nil }

// TargetSize returns how many values Target gives, 0 where the target is the input itself.
func (d *Dataset) TargetSize() int { return d.targets.size }

// TargetIsInput reports whether a model should give its input back.
func (d *Dataset) TargetIsInput() bool { return d.targets != nil && d.targets.input }

// Target returns the values that a model should give for sample i, in the unit of the data;
// nil where that is the input itself.
func (d *Dataset) Target(i int) []float32 { return d.targets.of(i) }

// Classes returns class names where they are known, indexed by label.
func (d *Dataset) Classes() []string { return d.classes }

// NumClasses returns one more than the largest label, or the number of names if larger.
func (d *Dataset) NumClasses() int {
	n := len(d.classes)
	for _, l := range d.labels {
		n = max(n, l+1)
	}
	return n
}

// Calibration returns the disjoint training part of the source, nil when it has none.
func (d *Dataset) Calibration() *Dataset { return d.train }

// Close releases open archives.
func (d *Dataset) Close() error {
	if d.train != nil {
		_ = d.train.Close()
	}
	if d.close != nil {
		return d.close()
	}
	return nil
}

// Describe says in one line what was found and how labels were assigned.
func (d *Dataset) Describe() string {
	s := fmt.Sprintf("%s: %d %s", d.name, d.n, d.kind)
	switch {
	case d.labels != nil:
		s += fmt.Sprintf(" in %d classes", d.distinct())
	case d.HasTargets():
	default:
		s += " without labels"
	}
	for _, n := range d.notes {
		s += "; " + n
	}
	return s
}

func (d *Dataset) distinct() int {
	seen := map[int]bool{}
	for _, l := range d.labels {
		seen[l] = true
	}
	return len(seen)
}

// Subset returns a view of the given samples, in that order.
func (d *Dataset) Subset(index []int) *Dataset {
	c, load := *d, d.load
	c.train, c.close = nil, nil
	c.n = len(index)
	c.load = func(i int) (*sample, error) { return load(index[i]) }
	if d.labels != nil {
		c.labels = make([]int, len(index))
		for i, k := range index {
			c.labels[i] = d.labels[k]
		}
	}
	if d.names != nil {
		c.names = make([]string, len(index))
		for i, k := range index {
			c.names[i] = d.names[k]
		}
	}
	if d.windows != nil {
		c.windows = make([]window, len(index))
		for i, k := range index {
			c.windows[i] = d.windows[k]
		}
	}
	if d.persons != nil {
		c.persons = make([]int, len(index))
		for i, k := range index {
			c.persons[i] = d.persons[k]
		}
	}
	if d.targets != nil {
		t := d.targets.of
		c.targets = &targets{d.targets.size, d.targets.input, func(i int) []float32 { return t(index[i]) }}
	}
	return &c
}

// Spread returns n indices spread evenly over the samples after a seeded shuffle, in
// ascending order: a fair, reproducible selection.
func (d *Dataset) Spread(n int, seed uint64) []int {
	p := rand.New(rand.NewPCG(seed, 0x5eed)).Perm(d.n)
	p = p[:min(n, d.n)]
	slices.Sort(p)
	return p
}

// Open reads the index of the data at path; samples are read when asked for.
func Open(name string, o Options) (*Dataset, error) {
	d, err := openGiven(name, o)
	if err != nil {
		return nil, fmt.Errorf("data %s: %w", name, err)
	}
	d.name = filepath.Base(name)
	if d.n == 0 {
		return nil, fmt.Errorf("data %s: holds no samples", name)
	}
	if d.n == 1 {
		d.notes = append(d.notes, "a single sample proves little")
	}
	if o.Limit > 0 && o.Limit < d.n {
		train, cl := d.train, d.close
		d = d.Subset(d.Spread(o.Limit, 1))
		d.train, d.close = train, cl
	}
	return d, nil
}

func hasSuffix(s string, list ...string) bool {
	return slices.ContainsFunc(list, func(x string) bool { return strings.HasSuffix(s, x) })
}

// adoptClasses gives both parts one numbering when each was numbered by the names that
// occur in it.
func (d *Dataset) adoptClasses() {
	if !d.byName || !d.train.byName || slices.Equal(d.classes, d.train.classes) {
		return
	}
	all, number, _ := numbered(slices.Concat(d.classes, d.train.classes))
	for _, p := range []*Dataset{d, d.train} {
		own := number[:len(p.classes)]
		number = number[len(p.classes):]
		for i, l := range p.labels {
			p.labels[i] = own[l]
		}
		p.classes = all
	}
}

func fileExists(p string) bool {
	info, err := os.Stat(p)
	return err == nil && info.Mode().IsRegular()
}
