package dataset

import (
	"errors"
	"fmt"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"
)

// split divides d into a part that is judged and one for training. Each rule is a pattern
// (path.Match) of what is judged: names of files, with or without their folder, or of series;
// or a percentage, which is the last part of every series and of other samples a choice.
func (d *Dataset) split(rules []string) error {
	if d.train != nil {
		return errors.New("the data is already divided into a part for training and one that is judged")
	}
	for _, r := range rules {
		if _, err := path.Match(r, ""); err != nil {
			return fmt.Errorf("%q: %w", r, err)
		}
	}
	name := func(i int) string { return "" }
	share, err := percentage(rules)
	switch {
	case err != nil:
		return err
	case share > 0 && d.series == nil:
		chosen := d.Spread(int(math.Round(share*float64(d.n))), 1)
		return d.part(rules, func(i int) bool { _, ok := slices.BinarySearch(chosen, i); return ok })
	case d.series != nil:
		name = func(i int) string { return d.series.groups[d.windows[i].group].name }
	case d.names != nil:
		name = func(i int) string { return d.names[i] }
	default:
		return errors.New("the samples have no names of files or series to choose by")
	}
	return d.part(rules, func(i int) bool {
		if share > 0 {
			w := d.windows[i]
			n := d.series.groups[w.group].len()
			return int(w.end) >= n-int(math.Round(share*float64(n)))
		}
		for _, r := range rules {
			for _, s := range []string{name(i), path.Base(name(i))} {
				if ok, _ := path.Match(r, s); ok {
					return true
				}
			}
		}
		return false
	})
}

// part leaves in d what is held and gives it the rest for training.
func (d *Dataset) part(rules []string, held func(i int) bool) error {
	var judged, rest []int
	for i := range d.n {
		if held(i) {
			judged = append(judged, i)
		} else {
			rest = append(rest, i)
		}
	}
	if judged == nil || rest == nil {
		return fmt.Errorf("%s keeps %d of %d samples, which leaves nothing to %s", strings.Join(rules, ", "), len(judged), d.n,
			map[bool]string{true: "judge", false: "train on"}[judged == nil])
	}
	train, part := d.Subset(rest), d.Subset(judged)
	part.close = d.close
	*d = *part
	d.train = train
	d.notes = append(d.notes, fmt.Sprintf("judged are %s, the other %d are for training", strings.Join(rules, ", "), train.n))
	return nil
}

// percentage returns the share that a single rule as "85%" means, 0 where there is none.
func percentage(rules []string) (float64, error) {
	for _, r := range rules {
		number, ok := strings.CutSuffix(r, "%")
		if !ok {
			continue
		}
		v, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
		if err != nil || !(v > 0 && v < 100) || len(rules) > 1 {
			return 0, fmt.Errorf("%q is not one percentage between 0%% and 100%%", strings.Join(rules, ", "))
		}
		return v / 100, nil
	}
	return 0, nil
}

// lastWindows keeps the last sample of every series.
func (d *Dataset) lastWindows() error {
	if d.series == nil {
		return errors.New("windows: the samples are not of series")
	}
	last := map[int32]int{}
	var order []int32
	for i, w := range d.windows {
		if k, ok := last[w.group]; !ok {
			order = append(order, w.group)
			last[w.group] = i
		} else if w.end > d.windows[k].end {
			last[w.group] = i
		}
	}
	keep := make([]int, len(order))
	for i, g := range order {
		keep[i] = last[g]
	}
	part := d.Subset(keep)
	part.train, part.close = d.train, d.close
	*d = *part
	d.notes = append(d.notes, "judged is the last window of each")
	return nil
}
