package dataset

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// OfClasses returns the samples of the given classes alone, which are named or numbered,
// and renumbers them in that order; the training part follows.
func (d *Dataset) OfClasses(classes []string) (*Dataset, error) {
	if d.labels == nil {
		return nil, fmt.Errorf("data %s has no labels to select classes by", d.name)
	}
	labels, err := d.Labels(classes)
	if err != nil {
		return nil, err
	}
	to := map[int]int{}
	for k, label := range labels {
		if _, twice := to[label]; twice {
			return nil, fmt.Errorf("class %q is named twice", classes[k])
		}
		to[label] = k
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
		c.classes, c.byName = slices.Clone(classes), false
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
		label := slices.Index(d.classes, name)
		if n, err := strconv.Atoi(name); label < 0 && err == nil && n >= 0 && n < d.NumClasses() {
			label = n
		}
		if label < 0 {
			known := "0 to " + strconv.Itoa(d.NumClasses()-1)
			if len(d.classes) > 0 {
				known = strings.Join(d.classes[:min(len(d.classes), 50)], ", ")
			}
			return nil, fmt.Errorf("data %s has no class %q (it has %s)", d.name, name, known)
		}
		labels[k] = label
	}
	return labels, nil
}
