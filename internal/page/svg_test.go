package page

import (
	"math"
	"strconv"
	"testing"

	"pgregory.net/rapid"
)

// Ticks are as far apart in print as they are in the picture.
func TestTicksAreEven(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lo := rapid.Float64Range(-50, 100).Draw(t, "lo")
		all := Ticks(lo, lo+math.Pow(10, rapid.Float64Range(-2, 3).Draw(t, "span")), rapid.IntRange(3, 8).Draw(t, "n"))
		for _, v := range all {
			got, err := strconv.ParseFloat(TickText(v, StepOf(all)), 64)
			if err != nil || math.Abs(got-v) > 1e-6*math.Max(1, math.Abs(v)) {
				t.Fatalf("%v is written %q (%v)", v, TickText(v, StepOf(all)), err)
			}
		}
	})
}

// A tick that is alone keeps its digits too.
func TestLoneTickIsExact(t *testing.T) {
	all := Ticks(-16.375, -16.375+math.Pow(10, -0.4375), 3)
	if len(all) != 1 || TickText(all[0], StepOf(all)) != "-16.2" {
		t.Fatalf("%v is written %q", all, TickText(all[0], StepOf(all)))
	}
}

// Labels of points that crowd do not cover each other.
func TestLabelsApart(t *testing.T) {
	frame := Box{0, 0, 600, 300}
	var taken []Box
	for range 6 {
		b := Place(taken, frame, 300, 150, 90)
		for _, o := range taken {
			if b.Meets(o) {
				t.Errorf("%v covers %v", b, o)
			}
		}
		if b.X0 < frame.X0 || b.X1 > frame.X1 || b.Y0 < frame.Y0 || b.Y1 > frame.Y1 {
			t.Errorf("%v leaves the frame", b)
		}
		taken = append(taken, b)
	}
}
