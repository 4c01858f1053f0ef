package recipe

import (
	"slices"
	"sync/atomic"

	"github.com/edgewise-ml/edgewise/internal/dataset"
	"github.com/edgewise-ml/edgewise/internal/train"
	"github.com/edgewise-ml/edgewise/tensor"
)

// keptBytes bounds the decoded samples that one part of the data keeps in memory; those
// beyond are decoded anew in every epoch.
const keptBytes = 1 << 30

// samples hands out prepared samples, to several goroutines at once. What has been decoded
// once is kept in the form in which it was stored, bytes for pictures.
type samples struct {
	data   *dataset.Dataset
	pre    dataset.Preprocess
	stored dataset.Preprocess
	expand func(dst []float32, stored *tensor.Tensor)

	most  int64 // bytes to keep
	cache []atomic.Pointer[tensor.Tensor]
	held  atomic.Int64
}

func newSamples(d *dataset.Dataset, p dataset.Preprocess) *samples {
	s := &samples{data: d, pre: p, most: keptBytes, cache: make([]atomic.Pointer[tensor.Tensor], d.Len())}
	s.stored, s.expand = p.Compact(d)
	return s
}

func (s *samples) Len() int { return s.data.Len() }

// bound lowers how many bytes are kept. Nobody may be reading.
func (s *samples) bound(n int64) {
	if s.most = min(s.most, n); s.held.Load() > s.most {
		clear(s.cache)
		s.held.Store(0)
	}
}

// keeps is how many bytes of samples are kept at most.
func (s *samples) keeps() int {
	if s.Len() == 0 {
		return 0
	}
	t, err := s.get(0)
	if err != nil {
		return 0 // it is told of when it is used
	}
	return int(min(s.most, int64(s.Len())*int64(t.SizeBytes())))
}

// get returns sample i as it is kept.
func (s *samples) get(i int) (*tensor.Tensor, error) {
	if t := s.cache[i].Load(); t != nil {
		return t, nil
	}
	t, err := s.data.Sample(i, s.stored)
	if err != nil {
		return nil, err
	}
	if n := int64(t.SizeBytes()); s.held.Add(n) <= s.most {
		s.cache[i].Store(t)
	} else {
		s.held.Add(-n)
	}
	return t, nil
}

// fill writes the input that sample i makes.
func (s *samples) fill(x *tensor.Tensor, i int) error {
	t, err := s.get(i)
	if err != nil {
		return err
	}
	s.expand(x.F32(), t)
	return nil
}

// Sample returns sample i for training.
func (s *samples) Sample(i int, into *tensor.Tensor) (train.Sample, error) {
	x := into
	if !slices.Equal(x.Shape(), s.pre.Shape) {
		x = tensor.New(tensor.Float32, s.pre.Shape...)
	}
	if err := s.fill(x, i); err != nil {
		return train.Sample{}, err
	}
	sample := train.Sample{X: x, Label: s.label(i)}
	switch t := s.target(i); {
	case s.data.TargetIsInput():
		sample.Target = x
	case t != nil:
		sample.Target = tensor.Of(t, len(t))
	}
	return sample, nil
}

// label returns the class of sample i as the network numbers it, -1 where there is none.
func (s *samples) label(i int) int {
	if !s.data.HasLabels() {
		return -1
	}
	return s.data.Label(i) + s.pre.LabelOffset
}

// target returns the values that the network should give for sample i, nil where it should
// tell a class or give back its input.
func (s *samples) target(i int) []float32 {
	if !s.data.HasTargets() {
		return nil
	}
	return s.data.Target(i)
}

// judged reports whether anything tells what the network should answer.
func (s *samples) judged() bool { return s.data.HasLabels() || s.data.HasTargets() }
