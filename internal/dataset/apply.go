package dataset

import (
	"context"
	"fmt"
	"image"
	"iter"
	"math"
	"sync"

	"github.com/edgewise-ml/edgewise/tensor"
)

// Sample reads sample i and returns it as the model's input, batch dimension included.
func (d *Dataset) Sample(i int, p Preprocess) (*tensor.Tensor, error) {
	s, err := d.load(i)
	if err != nil {
		return nil, fmt.Errorf("sample %d: %w", i, err)
	}
	t, err := p.apply(s)
	switch {
	case err == nil:
		return t, nil
	case s.name != "":
		return nil, fmt.Errorf("%s: %w", s.name, err)
	default:
		return nil, fmt.Errorf("sample %d: %w", i, err)
	}
}

// Image returns img as the model's input.
func (p Preprocess) Image(img image.Image) (*tensor.Tensor, error) { return p.apply(&sample{img: img}) }

// PCM returns audio as the model's input.
func (p Preprocess) PCM(pcm []float32, rate int) (*tensor.Tensor, error) {
	return p.apply(&sample{pcm: pcm, rate: rate})
}

func (p Preprocess) apply(s *sample) (*tensor.Tensor, error) {
	dt, err := tensor.ParseDType(p.DType)
	if err != nil {
		return nil, err
	}
	out, err := tensor.Make(dt, p.Shape)
	if err != nil {
		return nil, err
	}
	switch {
	case s.img != nil:
		if !p.image() {
			return nil, fmt.Errorf("an image cannot fill the input %v", p.Shape)
		}
		return out, p.applyImage(out, s.img)
	case s.pcm != nil:
		pcm := resampled(s.pcm, s.rate, p.Rate)
		for i := range min(out.Len(), len(pcm)) {
			p.store(out, i, 0, pcm[i])
		}
		return out, nil
	case s.raw != nil:
		return p.applyRaw(out, s.raw)
	}
	if s.t.Len() != out.Len() {
		return nil, fmt.Errorf("%v does not fill the input %v", s.t, p.Shape)
	}
	if p.rows() {
		p.applyRows(out, s)
		return out, nil
	}
	if p.Stored || s.t.DType() == dt && p.plain() {
		if s.t.DType() != dt {
			return nil, fmt.Errorf("stored %v is not the input's %v", s.t, dt)
		}
		return s.t.Reshape(p.Shape...)
	}
	for i := range out.Len() {
		p.store(out, i, 0, float32(s.t.Float(i)))
	}
	return out, nil
}

// applyRows stores rows of columns, each column by its own scale. Arrays that are no rows of
// a table lie as the model has them.
func (p Preprocess) applyRows(out *tensor.Tensor, s *sample) {
	for r := range p.Width {
		for c := range p.Channels {
			from := r*p.Channels + c
			to := from
			if p.Layout == "NCW" {
				to = c*p.Width + r
			}
			if !s.rows {
				from = to
			}
			p.store(out, to, c, float32(s.t.Float(from)))
		}
	}
}

// plain reports whether values pass unchanged.
func (p Preprocess) plain() bool {
	return p.Scale == 0 && p.Divide == 1 && len(p.Mean) == 0 && len(p.Std) == 0 && p.QScale == 0
}

// applyRaw takes bytes for the type that is stated, else for what the input's size makes
// of them: the input's own type, or float32.
func (p Preprocess) applyRaw(out *tensor.Tensor, raw []byte) (*tensor.Tensor, error) {
	switch n := out.Len(); {
	case p.From != "":
		from, err := tensor.ParseDType(p.From)
		if err != nil {
			return nil, err
		}
		t, err := tensor.FromBytes(from, p.Shape, raw)
		if err != nil {
			return nil, err
		}
		for i := range n {
			p.store(out, i, 0, float32(t.Float(i)))
		}
		return out, nil
	case len(raw) == out.DType().Bytes(n) && (p.Stored || p.plain()):
		return tensor.FromBytes(out.DType(), p.Shape, raw)
	case len(raw) == 4*n:
		t, err := tensor.FromBytes(tensor.Float32, p.Shape, raw)
		if err != nil {
			return nil, err
		}
		for i, v := range t.F32() {
			p.store(out, i, 0, v)
		}
		return out, nil
	default:
		return nil, fmt.Errorf("%d bytes do not fill the input %v%v, which takes %d; hint: `dtype` of a dataset.yaml (--spec) tells what they are, `scale` and `zero` what stored integers mean",
			len(raw), out.DType(), tensor.FormatShape(p.Shape), out.SizeBytes())
	}
}

// store puts the preprocessed form of v, of channel c, into element i.
func (p Preprocess) store(out *tensor.Tensor, i, c int, v float32) {
	if p.Scale != 0 {
		v = (v - float32(p.Zero)) * p.Scale
	}
	v /= p.Divide
	if len(p.Mean) > 0 {
		v -= p.Mean[c%len(p.Mean)]
	}
	if len(p.Std) > 0 {
		v /= p.Std[c%len(p.Std)]
	}
	if out.DType() == tensor.Float32 {
		out.F32()[i] = v
		return
	}
	if !out.DType().IsInt() {
		out.SetFloat(i, float64(v))
		return
	}
	x := float64(v)
	if p.QScale != 0 {
		x = math.RoundToEven(float64(v/p.QScale)) + float64(p.QZero)
	}
	lo, hi := out.DType().IntRange()
	out.SetInt(i, int64(min(max(x, float64(lo)), float64(hi))))
}

func (p Preprocess) applyImage(out *tensor.Tensor, img image.Image) error {
	rgba, err := fitted(img, &p)
	if err != nil {
		return err
	}
	plane := p.Width * p.Height
	at := func(pixel, c int) int {
		if p.Layout == "NCHW" {
			return c*plane + pixel
		}
		return pixel*p.Channels + c
	}
	// 256 stored values per channel: the arithmetic is done once for each.
	var table [3]*tensor.Tensor
	for c := range p.Channels {
		table[c] = tensor.New(out.DType(), 256)
		for v := range 256 {
			p.store(table[c], v, c, float32(v))
		}
	}
	size := out.DType().Bits() / 8
	for i := range plane {
		px := rgba.Pix[4*i : 4*i+3]
		for c := range p.Channels {
			v := px[c]
			switch {
			case p.Channels == 1:
				v = luma(px)
			case p.BGR:
				v = px[2-c]
			}
			k := at(i, c) * size
			copy(out.Bytes()[k:k+size], table[c].Bytes()[int(v)*size:])
		}
	}
	return nil
}

// luma is ITU-R BT.601, the weights of JPEG's own conversion; grey passes unchanged.
func luma(px []byte) uint8 {
	return uint8((19595*uint32(px[0]) + 38470*uint32(px[1]) + 7471*uint32(px[2]) + 1<<15) >> 16)
}

// Item is a prepared sample.
type Item struct {
	Index int // into the dataset
	Label int // -1 when there is none
	Input *tensor.Tensor
	Err   error
}

// Prepared yields the samples of order in that order, decoded ahead by workers. A failure is
// yielded as an item with Err and ends the sequence. Memory is bounded by the number of
// workers, and no goroutine outlives the loop.
func (d *Dataset) Prepared(ctx context.Context, order []int, p Preprocess, workers int) iter.Seq[Item] {
	return func(yield func(Item) bool) {
		workers := min(max(workers, 1), max(len(order), 1))
		ctx, cancel := context.WithCancel(ctx)
		slots := make([]chan Item, 2*workers) // item k travels through slot k mod len
		for i := range slots {
			slots[i] = make(chan Item, 1)
		}
		var wg sync.WaitGroup
		defer wg.Wait()
		defer cancel()
		// Worker w makes items w, w+workers, ...; a slot is refilled only after it was read.
		free := make([]chan struct{}, len(slots))
		for i := range free {
			free[i] = make(chan struct{}, 1)
			free[i] <- struct{}{}
		}
		for w := range workers {
			wg.Go(func() {
				for k := w; k < len(order); k += workers {
					select {
					case <-free[k%len(slots)]:
					case <-ctx.Done():
						return
					}
					it := Item{Index: order[k], Label: -1}
					if d.labels != nil {
						it.Label = d.labels[order[k]]
					}
					it.Input, it.Err = d.Sample(order[k], p)
					slots[k%len(slots)] <- it
				}
			})
		}
		for k := range order {
			select {
			case it := <-slots[k%len(slots)]:
				free[k%len(slots)] <- struct{}{}
				if !yield(it) || it.Err != nil {
					return
				}
			case <-ctx.Done():
				yield(Item{Index: order[k], Label: -1, Err: ctx.Err()})
				return
			}
		}
	}
}
