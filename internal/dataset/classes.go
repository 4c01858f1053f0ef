package dataset

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// OfClasses returns the samples of the given classes alone, which are named or numbered,
// and renumbers them in that order; the training part follows. Several classes become one
// by "NAME=CLASS,CLASS", where a CLASS may be a range of numbers, as in "bird=7-24,80-100".
func (d *Dataset) OfClasses(classes []string) (*Dataset, error) {
	if d.labels == nil {
		return nil, fmt.Errorf("data %s has no labels to select classes by", d.name)
	}
	to, names := map[int]int{}, make([]string, len(classes))
	for k, text := range classes {
		name, members, several := strings.Cut(text, "=")
		if names[k] = name; !several || slices.Contains(d.classes, text) {
			names[k], members = text, text
		}
		parts := []string{members}
		if several && names[k] != text {
			parts = strings.Split(members, ",")
		}
		for _, part := range parts {
			first, last, err := d.classRange(strings.TrimSpace(part))
			if err != nil {
				return nil, err
			}
			for label := first; label <= last; label++ {
				if _, twice := to[label]; twice {
					return nil, fmt.Errorf("class %q of %q is named twice", d.className(label), text)
				}
				to[label] = k
			}
		}
	}
	part := func(d *Dataset) *Dataset {
		var index []int
		for i, l := range d.labels {
			if _, ok := to[l]; ok {
				index = append(index, i)
			}
		}
		c := d.Subset(index)
		for i, l := range c.labels {
			c.labels[i] = to[l]
		}
		c.classes, c.byName = slices.Clone(names), false
		return c
	}
	c := part(d)
	if c.close = d.close; d.train != nil && d.train.labels != nil {
		c.train = part(d.train)
		c.train.close = d.train.close
	}
	return c, nil
}

// Labels returns the labels of classes that are named or numbered.
func (d *Dataset) Labels(classes []string) ([]int, error) {
	labels := make([]int, len(classes))
	for k, name := range classes {
		first, last, err := d.classRange(name)
		if err == nil && first != last {
			err = fmt.Errorf("%q is not one class", name)
		}
		if err != nil {
			return nil, err
		}
		labels[k] = first
	}
	return labels, nil
}

// classRange finds the labels that a class, its number, or a range of numbers means. A
// range may go on beyond the last class.
func (d *Dataset) classRange(text string) (first, last int, err error) {
	if label := slices.Index(d.classes, text); label >= 0 {
		return label, label, nil
	}
	from, to, isRange := strings.Cut(text, "-")
	if !isRange {
		to = from
	}
	first, err = strconv.Atoi(from)
	last, err2 := strconv.Atoi(to)
	if n := d.NumClasses(); err == nil && err2 == nil && 0 <= first && first <= last && first < n {
		return first, min(last, n-1), nil
	}
	known := "0 to " + strconv.Itoa(d.NumClasses()-1)
	if len(d.classes) > 0 {
		known = strings.Join(d.classes[:min(len(d.classes), 50)], ", ")
	}
	return 0, 0, fmt.Errorf("data %s has no class %q (it has %s)", d.name, text, known)
}

func (d *Dataset) className(label int) string {
	if label < len(d.classes) {
		return d.classes[label]
	}
	return strconv.Itoa(label)
}
