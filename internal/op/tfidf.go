package op

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// tfIdf counts n-grams out of a pool.
type tfIdf struct {
	column  map[string]int // n-gram, spelled by gramKey, to its index in the pool
	indexes []int64        // output column of each n-gram of the pool
	weights []float32
	width   int
}

const maxTfIdfWidth = 1 << 28

func tfIdfWidth(a graph.Attrs) (int, error) {
	idx := a.Ints("ngram_indexes")
	if len(idx) == 0 || slices.Min(idx) < 0 || slices.Max(idx) >= maxTfIdfWidth {
		return 0, fmt.Errorf("ngram_indexes must name output columns from 0")
	}
	return int(slices.Max(idx)) + 1, nil
}

// gramKey appends the spelling of one item, such that different n-grams never spell
// alike.
func gramKey(key []byte, t *tensor.Tensor, i int) []byte {
	if t.DType() == tensor.String {
		return strconv.AppendQuote(key, t.Strings()[i])
	}
	return append(strconv.AppendInt(key, t.Int(i), 10), ' ')
}

func newTfIdf(a graph.Attrs) (*tfIdf, *tensor.Tensor, error) {
	width, err := tfIdfWidth(a)
	if err != nil {
		return nil, nil, err
	}
	v := &tfIdf{column: map[string]int{}, indexes: a.Ints("ngram_indexes"), weights: a.Floats("weights"), width: width}
	if v.weights != nil && len(v.weights) != len(v.indexes) {
		return nil, nil, fmt.Errorf("%d weights for %d n-grams", len(v.weights), len(v.indexes))
	}
	var pool *tensor.Tensor
	if ints := a.Ints("pool_int64s"); ints != nil {
		pool = tensor.Of(ints, len(ints))
	} else {
		words := a.Strings("pool_strings")
		pool = tensor.OfStrings(words, len(words))
	}
	// ngram_counts[n-1] is where the n-grams of length n start in the pool.
	starts := a.Ints("ngram_counts")
	id := 0
	for n := 1; n <= len(starts); n++ {
		from, to := starts[n-1], int64(pool.Len())
		if n < len(starts) {
			to = starts[n]
		}
		if from < 0 || to < from || to > int64(pool.Len()) {
			return nil, nil, fmt.Errorf("ngram_counts %v do not fit a pool of %d items", starts, pool.Len())
		}
		for at := int(from); at+n <= int(to); at += n {
			var key []byte
			for k := range n {
				key = gramKey(key, pool, at+k)
			}
			if id >= len(v.indexes) {
				return nil, nil, fmt.Errorf("the pool has more n-grams than the %d ngram_indexes", len(v.indexes))
			}
			v.column[string(key)] = id
			id++
		}
	}
	return v, pool, nil
}

func inferTfIdf(c *Infer) error {
	width, err := tfIdfWidth(c.Attrs())
	if err != nil {
		return err
	}
	s := c.Shape(0)
	if s != nil {
		s = append(s[:max(len(s)-1, 0)].Clone(), graph.Dim{Size: width})
	}
	c.SetTensor(0, tensor.Float32, s)
	return nil
}

func evalTfIdf(e *Eval) error {
	a := e.Attrs()
	v, pool, err := newTfIdf(a)
	if err != nil {
		return err
	}
	x := e.T(0)
	if x.Rank() > 2 {
		return fmt.Errorf("input must be [C] or [N,C], it is %v", x)
	}
	if (x.DType() == tensor.String) != (pool.DType() == tensor.String) {
		return fmt.Errorf("input %v and a pool of %v do not go together", x, pool.DType())
	}
	mode := a.String("mode", "")
	if !slices.Contains([]string{"TF", "IDF", "TFIDF"}, mode) {
		return fmt.Errorf("mode %q is not one of TF, IDF, TFIDF", mode)
	}
	rows, size := 1, x.Len()
	shape := []int{v.width}
	if x.Rank() == 2 {
		rows, size = x.Dim(0), x.Dim(1)
		shape = []int{rows, v.width}
	}
	out := e.Result(0, tensor.Float32, shape...).F32()
	if size == 0 {
		return nil
	}
	least, most := int(min(max(a.Int("min_gram_length", 1), 1), 1<<20)), int(min(a.Int("max_gram_length", 1), 1<<20))
	skips := int(min(max(a.Int("max_skip_count", 0), 0), int64(size)))
	for r := range rows {
		counts := v.count(x, r*size, size, least, most, skips)
		for id, n := range counts {
			w := float32(1)
			if v.weights != nil && mode != "TF" {
				w = v.weights[id]
			}
			if mode == "IDF" {
				n = 1
			}
			out[r*v.width+int(v.indexes[id])] += w * float32(n)
		}
	}
	return nil
}

// count returns how often each n-gram of the pool occurs among size items from base, its
// items standing 1 to skips+1 apart. Single items do not depend on the distance and are
// counted once.
func (v *tfIdf) count(x *tensor.Tensor, base, size, least, most, skips int) map[int]int {
	counts := map[int]int{}
	for step := 1; step <= skips+1; step++ {
		for start := range size {
			var key []byte
			for n := 1; n <= most && start+(n-1)*step < size; n++ {
				key = gramKey(key, x, base+start+(n-1)*step)
				if n < least || n == 1 && step > 1 {
					continue
				}
				if id, ok := v.column[string(key)]; ok {
					counts[id]++
				}
			}
		}
	}
	return counts
}
