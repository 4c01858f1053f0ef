package train

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"sync"

	"github.com/edgewise-ml/edgewise/tensor"
)

// Sample is one example. Label is the class of a classification; Target, where it is not
// nil, is what the output should be instead; where it is X itself, it is varied along with it.
type Sample struct {
	X      *tensor.Tensor // [1, ...] float32
	Label  int
	Target *tensor.Tensor
}

// Source gives samples by number. Several goroutines may ask at the same time.
type Source interface {
	Len() int

	// Sample returns sample i. Its X may be into, which is as large as the network's input for
	// one sample and is used again for the next one, or memory that the source keeps.
	Sample(i int, into *tensor.Tensor) (Sample, error)
}

// batch is what one step takes. Its tensors are used again after the next batch is asked for.
type batch struct {
	x, target *tensor.Tensor
	one       *tensor.Tensor // sample that is being varied
	seen      int            // samples
}

// loader assembles batches ahead of the step that runs.
type loader struct {
	source  Source
	augment Augment
	seed    uint64
	classes int // of a soft target; 0 for labels
	size    int
	workers int
	x, y    []int // shapes of a batch
	dtype   tensor.DType

	untaught bool // targets are not looked at and stay zero
}

// ahead is how many batches are made before they are asked for.
const ahead = 3

// shuffled returns the order of an epoch, which depends on the seed and the epoch alone.
func shuffled(n int, seed uint64, epoch int) []int {
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	rand.New(rand.NewPCG(seed, uint64(epoch)<<32|0x5f)).Shuffle(n, func(i, j int) { order[i], order[j] = order[j], order[i] })
	return order
}

// epoch yields the batches of an epoch from the given one on; what does not fill a last
// batch is left out, other samples in every epoch. Samples are varied by random numbers
// of their own, so that the number of workers changes nothing.
func (l *loader) epoch(ctx context.Context, epoch, from int) iter.Seq2[*batch, error] {
	return func(yield func(*batch, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		order := shuffled(l.source.Len(), l.seed, epoch)
		count := len(order) / l.size
		type made struct {
			b   *batch
			err error
		}
		// Every batch has a slot of its own, so that they come in order however long each takes.
		slots := make([]chan made, max(count-from, 0))
		for i := range slots {
			slots[i] = make(chan made, 1)
		}
		free := make(chan *batch, ahead+1)
		for range ahead + 1 {
			free <- l.empty()
		}
		var next int
		var mu sync.Mutex
		var wg sync.WaitGroup
		for range max(l.workers, 1) {
			wg.Go(func() {
				for {
					mu.Lock()
					k := next
					var b *batch
					if k < len(slots) {
						select { // taken under the lock: earlier batches get memory first
						case b = <-free:
						case <-ctx.Done():
						}
					}
					next++
					mu.Unlock()
					if b == nil {
						return
					}
					first := (from + k) * l.size
					err := l.fill(b, order[first:first+l.size], epoch)
					slots[k] <- made{b, err}
					if err != nil {
						return
					}
				}
			})
		}
		defer wg.Wait()
		defer cancel()
		for _, slot := range slots {
			select {
			case m := <-slot:
				if !yield(m.b, m.err) || m.err != nil {
					return
				}
				free <- m.b
			case <-ctx.Done():
				yield(nil, context.Cause(ctx))
				return
			}
		}
	}
}

func (l *loader) empty() *batch {
	one := append([]int{1}, l.x[1:]...)
	return &batch{x: tensor.New(tensor.Float32, l.x...), one: tensor.New(tensor.Float32, one...), target: tensor.New(l.dtype, l.y...), seen: l.size}
}

// fill loads and varies the samples of a batch.
func (l *loader) fill(b *batch, index []int, epoch int) error {
	x := b.x.F32()
	n := len(x) / l.size
	for k, i := range index {
		s, err := l.source.Sample(i, b.one)
		if err != nil {
			return fmt.Errorf("sample %d: %w", i, err)
		}
		if s.X == nil || s.X.DType() != tensor.Float32 || s.X.Len() != n {
			return fmt.Errorf("sample %d is %v, the network takes %v for each", i, s.X, tensor.FormatShape(l.x[1:]))
		}
		rng := rand.New(rand.NewPCG(l.seed^uint64(i)<<20, uint64(epoch)))
		var restored []float32
		if s.Target == s.X && !l.untaught && l.dtype == tensor.Float32 && b.target.Len() == len(x) {
			restored = b.target.F32()[k*n:][:n]
		}
		if err := l.augment.apply(rng, x[k*n:][:n], restored, s.X); err != nil {
			return fmt.Errorf("sample %d: %w", i, err)
		}
		if restored != nil {
			continue
		}
		if err := l.target(b, k, s); err != nil {
			return fmt.Errorf("sample %d: %w", i, err)
		}
	}
	if l.augment.Mixup > 0 {
		l.mixup(b, rand.New(rand.NewPCG(l.seed^uint64(index[0]), uint64(epoch)<<32|0xa1)))
	}
	return nil
}

var errNoTarget = errors.New("it has no target of the output's size")

// target writes the target of sample k.
func (l *loader) target(b *batch, k int, s Sample) error {
	n := b.target.Len() / l.size
	switch {
	case l.untaught:
	case s.Target != nil:
		if s.Target.Len() != n {
			return fmt.Errorf("%w: %v", errNoTarget, s.Target)
		}
		for i := range n {
			if l.dtype == tensor.Int64 {
				b.target.SetInt(k*n+i, s.Target.Int(i))
			} else {
				b.target.SetFloat(k*n+i, s.Target.Float(i))
			}
		}
	case l.classes > 0:
		if s.Label < 0 || s.Label >= l.classes {
			return fmt.Errorf("label %d is outside the %d classes", s.Label, l.classes)
		}
		row := b.target.F32()[k*n:][:n]
		clear(row)
		row[s.Label] = 1
	case l.dtype == tensor.Int64 && n == 1:
		b.target.SetInt(k, int64(s.Label))
	default:
		return errNoTarget
	}
	return nil
}

// mixup mixes every sample of a batch with another one, and their targets alike.
func (l *loader) mixup(b *batch, rng *rand.Rand) {
	share := float32(l.augment.mix(rng))
	other := rng.Perm(l.size)
	for _, v := range [][]float32{b.x.F32(), b.target.F32()} {
		n := len(v) / l.size
		old := slices.Clone(v)
		for k, o := range other {
			for i := range n {
				v[k*n+i] = share*old[k*n+i] + (1-share)*old[o*n+i]
			}
		}
	}
}
