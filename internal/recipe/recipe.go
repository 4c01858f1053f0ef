// Package recipe carries out trainings that a YAML file describes: a network, data, and how
// the one learns from the other. It opens both, drives package train, judges the network
// as it is deployed and writes a folder with everything that came of it.
//
// recipe.go holds the file's keys, data.go and network.go open what they name, run.go is the
// way through a training, output.go what it leaves behind.
package recipe

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/edgewise-ml/edgewise"
	"github.com/edgewise-ml/edgewise/internal/dataset"
	"github.com/edgewise-ml/edgewise/internal/strictyaml"
	"github.com/edgewise-ml/edgewise/internal/train"
	"github.com/edgewise-ml/edgewise/internal/zoo"
)

// Recipe is the content of a recipe file, as docs/training.md describes it. Paths are
// relative to the file.
type Recipe struct {
	Model      string `yaml:"model"`      // a file that Edgewise reads, or zoo:NAME
	Weights    string `yaml:"weights"`    // random or given; by default given by a file and random for the zoo
	Classes    int    `yaml:"classes"`    // of the output; 0 for as many as the network or the data have
	Resolution int    `yaml:"resolution"` // of images that a network of the zoo takes; 0 for its own
	Data       Data   `yaml:"data"`

	Seed       uint64          `yaml:"seed"`
	Epochs     int             `yaml:"epochs"`
	Batch      int             `yaml:"batch"`
	Loss       train.Loss      `yaml:"loss"`
	Optimizer  train.Optimizer `yaml:"optimizer"`
	Schedule   train.Schedule  `yaml:"schedule"`
	Augment    train.Augment   `yaml:"augment"`
	Accumulate int             `yaml:"accumulate"` // batches whose gradients are added up before an update
	Clip       float64         `yaml:"clip"`       // bound of the norm of all gradients together; 0 for none
	Average    float64         `yaml:"average"`    // decay of a moving average of the weights, which is kept then; 0 for none

	Freeze     []string     `yaml:"freeze"`     // patterns of names of weights that stay as they are
	Train      []string     `yaml:"train"`      // or of those that alone are trained
	Statistics string       `yaml:"statistics"` // of batch normalizations: train or frozen
	Update     train.Update `yaml:"update"`     // which numbers move: all, bias or lora
	Distill    *Distill     `yaml:"distill"`    // another network that teaches

	Alarm    float64   `yaml:"alarm"`    // error of a restored input that is an alarm, as a multiple of the greatest in training; 0 for none
	Quantize *Quantize `yaml:"quantize"` // train for integers; absent for floating point

	RAM     Size   `yaml:"ram"`     // bound of what the training holds in memory, as in 512MB; 0 for none
	Threads int    `yaml:"threads"` // 0 for all usable cores
	Output  string `yaml:"output"`  // folder; NAME of NAME.yaml, in the working directory, by default

	name string // of the file, without its ending
	dir  string // that paths are relative to
	text string // of the file
}

// Data says what is learned from: the name of anything that --data takes, or a mapping with
// the keys of a dataset.yaml and those here.
type Data struct {
	dataset.Spec `yaml:",inline"`

	Train      string   `yaml:"train"`      // the parts one by one, each anything that --data takes
	Test       string   `yaml:"test"`       //
	Classes    []string `yaml:"classes"`    // only these classes, numbered in this order
	Validation float64  `yaml:"validation"` // share of the training part by which the epoch is chosen
}

// Size is a number of bytes, in a recipe with a unit behind it.
type Size int

// SetText takes a number with KB, MB or GB, powers of ten, or KiB, MiB or GiB, of two.
func (s *Size) SetText(text string) error {
	number, unit := strings.TrimSpace(text), 1.0
	for name, v := range map[string]float64{"KB": 1e3, "MB": 1e6, "GB": 1e9, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30} {
		if n, ok := strings.CutSuffix(number, name); ok {
			number, unit = strings.TrimSpace(n), v
			break
		}
	}
	v, err := strconv.ParseFloat(number, 64)
	if err != nil || !(v >= 0) || v*unit > 1<<50 {
		return fmt.Errorf("%q is no size such as 512MB", text)
	}
	*s = Size(v * unit)
	return nil
}

// SetText takes the short form of Data.
func (d *Data) SetText(text string) error {
	d.Spec.Data = text
	return nil
}

// Read reads a recipe. What the file leaves out takes its default.
func Read(file string) (*Recipe, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("recipe: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, strictyaml.MaxBytes+1))
	if err != nil {
		return nil, fmt.Errorf("recipe %s: %w", file, err)
	}
	r := New()
	base := filepath.Base(file)
	r.text = string(text)
	r.dir, r.name = filepath.Dir(file), strings.TrimSuffix(base, filepath.Ext(base))
	r.Optimizer.Momentum = math.NaN() // which no file can say
	if err := strictyaml.Decode(text, r); err != nil {
		return nil, fmt.Errorf("recipe %s: %w", file, err)
	}
	if math.IsNaN(r.Optimizer.Momentum) {
		r.Optimizer.Momentum = momentum[r.Optimizer.Kind]
	}
	if err := r.Validate(); err != nil {
		return nil, fmt.Errorf("recipe %s: %w", file, err)
	}
	return r, nil
}

// New returns the recipe of an empty file: all defaults, for flags to change. Paths are
// relative to the working directory.
func New() *Recipe {
	return &Recipe{Seed: 1, Epochs: 10, Batch: 32, Loss: train.Loss{Kind: train.CrossEntropy},
		Optimizer: train.Optimizer{Kind: "sgd", Rate: 0.01, Momentum: momentum["sgd"]}, Statistics: "train", name: "training"}
}

// momentum holds that of the kinds of optimizers where a recipe says nothing of it: the
// others have none.
var momentum = map[string]float64{"sgd": 0.9, "lars": 0.9}

// Bounds of what a recipe may ask for.
const (
	maxEpochs   = 1 << 20
	maxBatch    = 1 << 16
	maxClasses  = 1 << 16
	maxThreads  = 1024
	maxPatterns = 1000
)

// Validate checks what can be checked without the network and the data.
func (r *Recipe) Validate() error {
	within := func(key string, v, lo, hi int) error {
		if v < lo || v > hi {
			return fmt.Errorf("%s: %d is not within %d..%d", key, v, lo, hi)
		}
		return nil
	}
	share := func(key string, v float64) error {
		if !(v >= 0 && v < 1) {
			return fmt.Errorf("%s: %v is no share: want 0 or more, and less than 1", key, v)
		}
		return nil
	}
	if err := cmp.Or(
		within("epochs", r.Epochs, 1, maxEpochs), within("batch", r.Batch, 1, maxBatch), within("accumulate", r.Accumulate, 0, maxBatch), within("classes", r.Classes, 0, maxClasses),
		within("resolution", r.Resolution, 0, 4096), within("threads", r.Threads, 0, maxThreads),
		share("average", r.Average), share("data: validation", r.Data.Validation),
	); err != nil {
		return err
	}
	if err := errors.Join(r.Loss.Validate(), r.Optimizer.Validate(), r.Schedule.Validate(), r.Augment.Validate(), r.Update.Validate(), r.Quantize.validate()); err != nil {
		return err
	}
	switch {
	case r.Model == "":
		return errors.New("model: there is none; name a file, or zoo:NAME")
	case r.Weights != "" && r.Weights != "random" && r.Weights != "given":
		return fmt.Errorf("weights: %q is not random or given", r.Weights)
	case r.Weights == "random" && !r.zoo():
		return errors.New("weights: a file has its own; random ones are for networks of the zoo")
	case r.Weights == "given" && r.zoo() && !zoo.Trained(strings.TrimPrefix(r.Model, edgewise.ZooPrefix)):
		return fmt.Errorf("weights: %s has none but random ones; hint: leave the key out to train from these", r.Model)
	case r.Statistics != "train" && r.Statistics != "frozen":
		return fmt.Errorf("statistics: %q is not train or frozen", r.Statistics)
	case !(r.Alarm >= 0 && r.Alarm <= math.MaxFloat32):
		return fmt.Errorf("alarm: %v is negative", r.Alarm)
	case r.Alarm > 0 && !slices.Equal(r.Data.Spec.Target, []string{"input"}):
		return errors.New("alarm: it is for networks that restore their input (data: {target: input})")
	case !(r.Clip >= 0 && r.Clip <= math.MaxFloat32):
		return fmt.Errorf("clip: %v is not a number from 0", r.Clip)
	case len(r.Freeze) > 0 && len(r.Train) > 0:
		return errors.New("freeze and train: only one of them can say which weights stay")
	case len(r.Freeze)+len(r.Train)+len(r.Data.Classes) > maxPatterns:
		return fmt.Errorf("freeze, train and classes: more than %d entries", maxPatterns)
	case r.Data.Test != "" && r.Data.Train == "":
		return errors.New("data: test is named but train is not")
	case r.Data.Test != "" && (r.Data.HoldOut != nil || r.Data.Calibration != ""):
		return errors.New("data: hold_out and calibration divide data; train and test are divided already")
	case r.Data.Train != "" && r.Data.Spec.Data != "":
		return errors.New("data: either data names all, or train and test its parts")
	}
	for _, p := range append(r.Freeze, r.Train...) {
		if _, err := path.Match(p, ""); err != nil {
			return fmt.Errorf("%q is no pattern: %w", p, err)
		}
	}
	if err := r.Data.Spec.Validate(); err != nil {
		return fmt.Errorf("data: %w", err)
	}
	switch updated := r.Update.Kind != "" && r.Update.Kind != train.UpdateAll; {
	case updated && r.Quantize != nil:
		return fmt.Errorf("update: %s does not go with quantize, which moves all weights on their channels' scales", r.Update.Kind)
	case r.Resolution != 0 && !r.fresh():
		return errors.New("resolution: that of a trained network cannot be changed; weights: random begins anew at any")
	case r.Distill != nil && slices.ContainsFunc(r.Data.Classes, func(c string) bool { return strings.Contains(c, "=") }):
		return errors.New("data: classes: a teacher's scores are those of single classes, so groups as NAME=FROM-TO do not go with distill")
	}
	return r.Distill.validate()
}

// zoo reports whether the network is a built-in one.
func (r *Recipe) zoo() bool { return strings.HasPrefix(r.Model, edgewise.ZooPrefix) }

// fresh reports whether training starts from random weights.
func (r *Recipe) fresh() bool { return r.zoo() && r.Weights != "given" }

// at returns where a path of the recipe leads.
func (r *Recipe) at(p string) string {
	if p = filepath.FromSlash(p); filepath.IsAbs(p) || strings.HasPrefix(p, dataset.BuiltinPrefix) {
		return p
	}
	return filepath.Join(r.dir, p)
}

// SetName names a training that no file names; the folder to write is called so by default.
func (r *Recipe) SetName(name string) { r.name = name }

// SetModel replaces the network by zoo:NAME or a file relative to the working directory.
func (r *Recipe) SetModel(p string) (err error) {
	if !strings.HasPrefix(p, edgewise.ZooPrefix) {
		p, err = filepath.Abs(p)
	}
	r.Model = p
	return err
}

// SetData replaces what the recipe learns from by data relative to the working directory;
// what the recipe says of how to read it stays.
func (r *Recipe) SetData(p string) error {
	whole, err := p, error(nil)
	if !strings.HasPrefix(p, dataset.BuiltinPrefix) {
		whole, err = filepath.Abs(p)
	}
	r.Data.Spec.Data, r.Data.Train, r.Data.Test = whole, "", ""
	return err
}

// SetOutput names the folder to write, relative to the working directory.
func (r *Recipe) SetOutput(p string) error {
	whole, err := filepath.Abs(p)
	r.Output = whole
	return err
}

// Folder returns the folder to write.
func (r *Recipe) Folder() string {
	if r.Output == "" {
		return r.name
	}
	return r.at(r.Output)
}

// Digest identifies what the recipe does, wherever data and output lie.
func (r *Recipe) Digest() string {
	c := *r
	c.Output, c.Data.Spec.Data, c.Data.Train, c.Data.Test, c.Threads, c.RAM = "", "", "", "", 0, 0
	if !c.zoo() {
		c.Model = filepath.Base(c.Model)
	}
	c.Distill = c.Distill.portable()
	b, err := json.Marshal(c)
	if err != nil { // infinities, which Validate lets pass nowhere
		b = []byte(c.text + err.Error())
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
