package cli

import (
	"fmt"
	"math"

	"github.com/edgewise-ml/edgewise/tensor"
)

// equalSQNR stands for the infinite ratio of equal outputs, which JSON cannot write.
const equalSQNR = 999

// add takes one pair of outputs into the report. A number that only one of the two has
// finite counts as an infinite difference; two NaNs are equal, as are equal infinities.
func (d *differenceReport) add(a, b *tensor.Tensor, atol, rtol float64) error {
	if a.Len() != b.Len() {
		return fmt.Errorf("output %s: the shapes are %s and %s", d.Name, tensor.FormatShape(a.Shape()), tensor.FormatShape(b.Shape()))
	}
	if a.DType() == tensor.String || b.DType() == tensor.String || a.DType().IsComplex() || b.DType().IsComplex() {
		return d.addText(a, b)
	}
	var zeroRef float64 // greatest difference where b is 0
	for i := range a.Len() {
		x, y := a.Float(i), b.Float(i)
		if !math.IsNaN(y) && !math.IsInf(y, 0) {
			d.largest = max(d.largest, math.Abs(y))
		}
		if x == y || math.IsNaN(x) && math.IsNaN(y) {
			d.signal += square(y)
			continue
		}
		diff := math.Abs(x - y)
		if math.IsNaN(diff) || math.IsInf(diff, 0) {
			diff = math.MaxFloat64
		}
		d.MaxAbs = max(d.MaxAbs, diff)
		if y == 0 {
			zeroRef = max(zeroRef, diff)
		} else if rel := diff / math.Abs(y); !math.IsNaN(rel) {
			d.MaxRel = max(d.MaxRel, min(rel, math.MaxFloat64))
		}
		if !(diff <= atol+rtol*math.Abs(y)) {
			d.Exceeding++
		}
		d.signal += square(y)
		d.noise += square(diff)
	}
	if zeroRef > 0 && d.largest > 0 {
		d.MaxRel = max(d.MaxRel, zeroRef/d.largest)
	} else if zeroRef > 0 {
		d.MaxRel = math.MaxFloat64
	}
	ra, rb := argmax(a), argmax(b)
	if a.Rank() == 0 || b.Rank() == 0 || a.Dim(-1) != b.Dim(-1) {
		ra, rb = nil, nil
	}
	for i := range ra {
		d.rows++
		if ra[i] == rb[i] {
			d.agreed++
		}
	}
	d.Elements += a.Len()
	return nil
}

// square returns the square of a finite number, 0 for others.
func square(x float64) float64 {
	if math.IsNaN(x) || math.Abs(x) > 1e150 {
		return 0
	}
	return x * x
}

// addText compares what has no order: elements are equal or not.
func (d *differenceReport) addText(a, b *tensor.Tensor) error {
	if a.DType() != b.DType() {
		return fmt.Errorf("output %s: the types are %v and %v", d.Name, a.DType(), b.DType())
	}
	equal := func(i int) bool { return a.Strings()[i] == b.Strings()[i] }
	if a.DType() != tensor.String {
		size := a.DType().Bytes(1)
		equal = func(i int) bool { return string(a.Bytes()[i*size:(i+1)*size]) == string(b.Bytes()[i*size:(i+1)*size]) }
	}
	for i := range a.Len() {
		d.Elements++
		d.rows++
		if equal(i) {
			d.agreed++
			continue
		}
		d.Exceeding++
		d.MaxAbs, d.MaxRel = math.MaxFloat64, math.MaxFloat64
	}
	return nil
}

// finish turns sums into figures.
func (d *differenceReport) finish() {
	d.Agreement = 1
	if d.rows > 0 {
		d.Agreement = float64(d.agreed) / float64(d.rows)
	}
	switch {
	case d.MaxAbs == 0:
		d.SQNR = equalSQNR
	case d.noise > 0 && d.signal > 0:
		d.SQNR = 10 * math.Log10(d.signal/d.noise)
	}
	if d.largest > 0 {
		d.ScaledMax = min(d.MaxAbs/d.largest, math.MaxFloat64)
	}
}

func (a *app) printCompare(r *compareReport, bounded bool) {
	fmt.Fprintf(a.out, "a: %s\nb: %s\n%s\n\n", r.A, r.B, counted(r.Samples, "sample"))
	t := &table{head: []string{"output", "elements", "max_abs", "max_rel", "max_abs/max|b|", "SQNR dB", "same argmax"}}
	if bounded {
		t.head = append(t.head, "exceeding")
	}
	for _, d := range r.Outputs {
		name := d.Name
		if d.NameB != "" {
			name += " / " + d.NameB
		}
		sqnr := fmt.Sprintf("%.1f", d.SQNR)
		if d.SQNR == equalSQNR {
			sqnr = "equal"
		}
		cells := []any{name, d.Elements, fmt.Sprintf("%.3g", d.MaxAbs), fmt.Sprintf("%.3g", d.MaxRel), fmt.Sprintf("%.3g", d.ScaledMax), sqnr,
			fmt.Sprintf("%.2f %%", 100*d.Agreement)}
		if bounded {
			cells = append(cells, d.Exceeding)
		}
		t.add(cells...)
	}
	t.write(a.out)
}
