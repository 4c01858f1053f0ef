package dataset

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
)

// columnScale brings the columns of a table to a common size: (v - mean) / std.
type columnScale struct {
	mean, std []float32
	why       string
}

// normalize finds the scale of each column from the part for training alone, so that what is
// judged stays unseen; from d itself where there is no such part. Rows that several windows
// share count once.
func (d *Dataset) normalize(how string) error {
	if how == "" {
		return nil
	}
	of := d
	if d.train != nil {
		of = d.train
	}
	if d.series == nil || of.series == nil {
		return errors.New("normalize: the samples are not rows of tables")
	}
	if d.series.columns != of.series.columns {
		return fmt.Errorf("normalize: %d columns are judged, %d trained on", d.series.columns, of.series.columns)
	}
	z := of.series
	n := z.columns
	lo, hi := slices.Repeat([]float64{math.Inf(1)}, n), slices.Repeat([]float64{math.Inf(-1)}, n)
	count := 0
	mean, square := make([]float64, n), make([]float64, n) // Welford 1962
	seen := make([][]bool, len(z.groups))
	for _, w := range of.windows {
		g := z.groups[w.group]
		if seen[w.group] == nil {
			seen[w.group] = make([]bool, g.len())
		}
		for r := int(w.end) + 1 - z.window; r <= int(w.end); r++ {
			if seen[w.group][r] {
				continue
			}
			seen[w.group][r] = true
			count++
			for c, v := range g.rows.F32()[r*n:][:n] {
				x := float64(v)
				lo[c], hi[c] = min(lo[c], x), max(hi[c], x)
				off := x - mean[c]
				mean[c] += off / float64(count)
				square[c] += float64(off * (x - mean[c]))
			}
		}
	}
	s := &columnScale{mean: make([]float32, n), std: make([]float32, n), why: how + " of the columns of the training part"}
	var still []string
	for c := range n {
		m, dev := mean[c], math.Sqrt(square[c]/float64(count))
		if how == "min-max" {
			m, dev = (lo[c]+hi[c])/2, (hi[c]-lo[c])/2
		}
		if lo[c] == hi[c] || float32(dev) == 0 {
			m, dev = lo[c], 1
			still = append(still, z.titles[c])
		}
		s.mean[c], s.std[c] = float32(m), float32(dev)
	}
	d.scale = s
	if d.train != nil {
		d.train.scale = s
	}
	if still != nil {
		d.notes = append(d.notes, "the same value everywhere in columns "+strings.Join(still, ", "))
	}
	return nil
}

// rowsInto lays rows of tables out as the model's input has them: [1, columns, window] as
// NCW, [1, window, columns] as NWC, or all of a row before the next in one dimension.
func (p *Preprocess) rowsInto(d *Dataset) error {
	z := d.series
	var s []int // without sizes of 1
	for _, n := range p.Shape {
		if n != 1 {
			s = append(s, n)
		}
	}
	fits := func(want ...int) bool {
		return slices.Equal(s, slices.DeleteFunc(want, func(n int) bool { return n == 1 }))
	}
	switch {
	case fits(z.columns, z.window):
		p.Layout = "NCW"
	case fits(z.window, z.columns), fits(z.window * z.columns):
		p.Layout = "NWC"
	default:
		return fmt.Errorf("a window of %d rows of %d columns does not fill the model's input %v; hint: `window` and `columns` of a dataset.yaml", z.window, z.columns, p.Shape)
	}
	p.Width, p.Channels = z.window, z.columns
	if d.scale != nil {
		p.Mean, p.Std = d.scale.mean, d.scale.std
		p.Why = append(p.Why, d.scale.why)
	}
	return nil
}
