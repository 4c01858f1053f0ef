package recipe

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"reflect"

	"github.com/edgewise-ml/edgewise/internal/dataset"
)

// parts are the samples of a training: disjoint sets, of which judge and test may be nil.
type parts struct {
	train *dataset.Dataset
	judge *dataset.Dataset // chooses the epoch
	test  *dataset.Dataset
	notes []string
	whole *dataset.Dataset // as opened, with all classes; what is to be closed
}

func (p *parts) close() { p.whole.Close() }

// openData opens what the recipe learns from and divides it.
func (r *Recipe) openData() (*parts, error) {
	whole, err := r.openWhole()
	if err != nil {
		return nil, err
	}
	p, err := r.divide(whole)
	if err != nil {
		whole.Close()
	}
	return p, err
}

// openWhole opens the data: the test part with the training part behind it, or the one
// there is.
func (r *Recipe) openWhole() (*dataset.Dataset, error) {
	spec := r.Data.Spec
	spec.Data = ""
	o := dataset.Options{}
	if !reflect.ValueOf(spec).IsZero() {
		o.Given = &spec
	}
	switch d := r.Data; {
	case d.Train == "" && d.Spec.Data == "":
		return nil, errors.New("there is nothing to learn from: name it by data in the recipe, or by --data")
	case d.Train == "":
		return dataset.Open(r.at(d.Spec.Data), o)
	case d.Test == "":
		return dataset.Open(r.at(d.Train), o)
	}
	return dataset.OpenParts(r.at(r.Data.Train), r.at(r.Data.Test), o.Given)
}

// divide takes the data apart by the seed.
func (r *Recipe) divide(d *dataset.Dataset) (*parts, error) {
	p := &parts{whole: d}
	if len(r.Data.Classes) > 0 {
		var err error
		if d, err = d.OfClasses(r.Data.Classes); err != nil {
			return nil, err
		}
	}
	switch t := d.Calibration(); {
	case t != nil:
		p.train, p.test = t, d
	default:
		p.train = d
		p.notes = append(p.notes, "the data has no test part, so nothing tells how the network does on samples that it has not seen; hold_out: 20% under data sets some apart")
	}
	if p.train.TargetIsInput() {
		normal, left := p.train.Normal()
		if p.train = normal; left > 0 {
			p.notes = append(p.notes, fmt.Sprintf("%d samples of the training part lie in labelled anomalies and are left out: neither learned nor counted for the threshold", left))
		}
	}
	if r.Data.Validation > 0 && p.train.Len() > 0 {
		rest, apart, how, err := p.train.Apart(r.Data.Validation, r.Seed+1)
		if err != nil {
			return nil, fmt.Errorf("data: validation: %w", err)
		}
		p.train, p.judge = rest, apart
		p.notes = append(p.notes, "validation part: "+how)
	}
	for _, part := range []*dataset.Dataset{p.train, p.judge, p.test} {
		if part != nil && part.Len() == 0 {
			return nil, errors.New("a part of the data holds no samples")
		}
	}
	if p.train.Len() < r.Batch {
		return nil, fmt.Errorf("%d samples to train on do not fill a batch of %d", p.train.Len(), r.Batch)
	}
	updates := r.Epochs * (p.train.Len() / r.Batch) / max(r.Accumulate, 1)
	if updates > 0 && r.Schedule.Warmup >= updates {
		p.notes = append(p.notes, fmt.Sprintf("schedule: the warm-up of %d updates is longer than the training, which has %d: the learning rate is never reached", r.Schedule.Warmup, updates))
	}
	return p, nil
}

// identity tells these samples from others: their number, order and labels, and the
// contents of some.
func (s *samples) identity() (string, error) {
	h := sha256.New()
	fmt.Fprintln(h, s.data.Len(), s.pre.JSON())
	for i := range s.data.Len() {
		fmt.Fprintln(h, s.label(i), s.target(i))
	}
	for _, i := range s.data.Spread(64, 1) {
		x, err := s.get(i)
		if err != nil {
			return "", err
		}
		h.Write(x.Bytes())
	}
	return fmt.Sprintf("%x", h.Sum(nil)), nil
}
