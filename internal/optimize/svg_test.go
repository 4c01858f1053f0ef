package optimize

import (
	"encoding/xml"
	"io"
	"math"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// scattered returns a report of points of the given latencies and accuracies, the first
// of them the original, the second picked.
func scattered(ms, accuracy []float64) *Report {
	r := &Report{Goal: Goal{Metric: metricTop1, MaxDrop: 1}, Picked: "int8"}
	for i := range ms {
		name := []string{"original", "int8", "float32", "int8-dynamic", "int8-weights", "int8-mixed"}[i]
		lo, hi := wilson(accuracy[i], 400)
		p := Point{Name: name, P50: figure(ms[i]), Accuracy: figure(accuracy[i]), Interval: []float64{lo, hi}, Samples: 400, Within: true}
		if i == 0 {
			r.Original = p
		} else {
			r.Points = append(r.Points, p)
		}
	}
	return r
}

// Whatever the points are: the picture is well-formed, nothing lies outside of it, and the
// whiskers of the original and of the picked point are whole.
func TestScatterHoldsWhiskers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, 6).Draw(t, "points")
		r := scattered(rapid.SliceOfN(rapid.Float64Range(0.01, 5), n, n).Draw(t, "ms"), rapid.SliceOfN(rapid.Float64Range(0, 1), n, n).Draw(t, "accuracy"))
		d := xml.NewDecoder(strings.NewReader(string(scatter(r))))
		whiskers := 0
		heights := map[string]float64{} // by x
		var marks []string              // x, in the order of the points
		for {
			tok, err := d.Token()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			e, ok := tok.(xml.StartElement)
			if !ok {
				continue
			}
			at := map[string]string{}
			for _, a := range e.Attr {
				at[a.Name.Local] = a.Value
				switch a.Name.Local {
				case "y", "y1", "y2", "cy":
					if v, err := strconv.ParseFloat(a.Value, 64); err != nil || v < -5 || v > 365 {
						t.Fatalf("%s=%s lies outside", a.Name.Local, a.Value)
					}
				}
			}
			if at["class"] == "whisker" {
				a, _ := strconv.ParseFloat(at["y1"], 64)
				b, _ := strconv.ParseFloat(at["y2"], 64)
				whiskers++
				heights[at["x1"]] = a - b
			}
			if e.Name.Local == "circle" {
				marks = append(marks, at["cx"])
			}
		}
		if whiskers != n || len(marks) != n {
			t.Fatalf("%d whiskers and %d marks for %d points", whiskers, len(marks), n)
		}
		if len(heights) < n {
			t.Skip("points above each other")
		}
		// On one scale, whole whiskers are as long as their intervals.
		span := func(p *Point) float64 { return p.Interval[1] - p.Interval[0] }
		o, p := heights[marks[0]], heights[marks[1]]
		if a, b := o*span(&r.Points[0]), p*span(&r.Original); math.Abs(a-b) > 0.02*math.Max(a, b)+0.3 {
			t.Fatalf("whiskers of %v and %v for intervals %v and %v", o, p, r.Original.Interval, r.Points[0].Interval)
		}
	})
}

func TestBars(t *testing.T) {
	r := &Report{Layers: []LayerInfo{
		{Name: "a", Op: "Conv", Bits: 8, Float: figure(2), Int8: figure(1), SQNR: figure(30)},
		{Name: "b", Op: "Conv", Bits: 32, Float: figure(1), Int8: figure(4), SQNR: figure(10)},
		{Name: "c", Op: "Relu", Bits: 8, Fused: "a"},
	}}
	b := timeBars(r)
	if len(b.Rows) != 2 || b.Unit != "ms" || b.Rows[0].Marks[0].Width != "50.0" || b.Rows[1].Marks[1] != (mark{"int8 unused", "100.0"}) || b.Rows[0].Value != "2.00 → 1.00" {
		t.Errorf("%+v", b)
	}
	if s := sqnrBars(r); len(s.Rows) != 2 || s.Rows[1].Marks[0].Class != "low" || s.Rows[0].Marks[0].Class != "int8" {
		t.Errorf("%+v", s)
	}
	if timeBars(&Report{}) != nil || sqnrBars(&Report{}) != nil {
		t.Error("bars of nothing")
	}
}
