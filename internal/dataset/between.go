package dataset

import "slices"

// Between tells how the numbers that p makes of a sample become those of q: in channel c of
// p's input they are times scale[c], plus shift[c], and channels stand the other way round
// where reversed. Lists have one entry where all channels are alike, and are nil where
// nothing is to be done. How images are fitted is not looked at.
func (p Preprocess) Between(q Preprocess) (scale, shift []float32, reversed bool) {
	channels := 1
	if p.Layout != "" && q.Layout != "" {
		channels = max(p.Channels, 1)
	}
	reversed = p.BGR != q.BGR && channels == 3
	for c := range channels {
		to := c
		if reversed {
			to = channels - 1 - c
		}
		a, b := p.line(c)
		u, v := q.line(to)
		scale, shift = append(scale, float32(u/a)), append(shift, float32(v-u/a*b))
	}
	return reduced(scale, 1), reduced(shift, 0), reversed
}

// line returns slope and intercept of what p makes of stored values in a channel.
func (p Preprocess) line(c int) (slope, intercept float64) {
	if p.Stored {
		s := max(float64(p.QScale), 0)
		if s == 0 {
			s = 1
		}
		return s, -s * float64(p.QZero)
	}
	slope = 1
	if p.Scale != 0 {
		slope = float64(p.Scale)
		intercept = -slope * float64(p.Zero)
	}
	slope, intercept = slope/float64(p.Divide), intercept/float64(p.Divide)
	if len(p.Mean) > 0 {
		intercept -= float64(p.Mean[c%len(p.Mean)])
	}
	if len(p.Std) > 0 {
		s := float64(p.Std[c%len(p.Std)])
		slope, intercept = slope/s, intercept/s
	}
	return slope, intercept
}

// reduced shortens a list of equal entries to one, and of the given one to none.
func reduced(v []float32, nothing float32) []float32 {
	switch differ := slices.ContainsFunc(v, func(x float32) bool { return x != v[0] }); {
	case differ:
		return v
	case v[0] == nothing:
		return nil
	}
	return v[:1]
}

// PreparedBy returns the samples with p in place of what a specification says of how a model
// takes them, for one that takes them otherwise; nil leaves it to the model.
func (d *Dataset) PreparedBy(p *SpecPreprocess) *Dataset {
	if d.spec == nil && p == nil {
		return d
	}
	c, s := *d, Spec{}
	if d.spec != nil {
		s = *d.spec
	}
	s.Preprocess, s.LabelOffset = p, nil
	c.spec, c.close = &s, nil
	if d.train != nil {
		c.train = d.train.PreparedBy(p)
	}
	return &c
}
