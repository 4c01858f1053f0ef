package dataset

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

// Apart sets about a share of the samples apart, so that nothing of them is in the rest:
// whole series or persons, where the share is at least half of one; otherwise of each
// series the last windows, leaving out those that share rows with them; of samples that have
// nothing to do with each other a choice by the seed. how says which.
func (d *Dataset) Apart(share float64, seed uint64) (rest, apart *Dataset, how string, err error) {
	origin := d.origins()
	var of []int // the different ones
	if origin != nil {
		of = slices.Compact(slices.Sorted(slices.Values(origin)))
	}
	var in, out []int
	put := func(i int, held bool) {
		if held {
			out = append(out, i)
		} else {
			in = append(in, i)
		}
	}
	switch n := int(math.Round(share * float64(len(of)))); {
	case n > 0 && n < len(of):
		rand.New(rand.NewPCG(seed, 0x5eed)).Shuffle(len(of), func(i, k int) { of[i], of[k] = of[k], of[i] })
		held := map[int]bool{}
		for _, o := range of[:n] {
			held[o] = true
		}
		for i, o := range origin {
			put(i, held[o])
		}
		how = fmt.Sprintf("%d of %d %s", n, len(of), d.originName())
	case d.series != nil:
		first := d.lastRows(share)
		for i, w := range d.windows {
			switch row, known := first[w.group]; {
			case !known || int(w.end) < row:
				in = append(in, i)
			case int(w.end)-d.series.window+1 >= row:
				out = append(out, i)
			}
		}
		how = "the last windows of each series"
	default:
		chosen := d.Spread(max(int(float64(d.n)*share), 1), seed)
		for i := range d.n {
			_, held := slices.BinarySearch(chosen, i)
			put(i, held)
		}
		how = "a choice"
	}
	if len(in) == 0 || len(out) == 0 {
		return nil, nil, "", errors.New("so few windows cannot be divided into two parts that share no rows")
	}
	return d.Subset(in), d.Subset(out), fmt.Sprintf("%s: %d samples", how, len(out)), nil
}

// lastRows returns the first row that the last share of windows of each series takes in; series
// with too few windows have none.
func (d *Dataset) lastRows(share float64) map[int32]int {
	ends := map[int32][]int{}
	for _, w := range d.windows {
		ends[w.group] = append(ends[w.group], int(w.end))
	}
	first := map[int32]int{}
	for g, e := range ends {
		slices.Sort(e)
		if n := int(math.Round(share * float64(len(e)))); n > 0 {
			first[g] = e[len(e)-n] - d.series.window + 1
		}
	}
	return first
}

// origins tells of each sample what it shares with others: the number of its series or
// person. It is nil where samples have nothing to do with each other.
func (d *Dataset) origins() []int {
	if d.series == nil {
		return d.persons
	}
	out := make([]int, d.n)
	for i, w := range d.windows {
		out[i] = int(w.group)
	}
	return out
}

func (d *Dataset) originName() string {
	if d.series == nil {
		return "persons"
	}
	return "series"
}
