package page

import (
	"encoding/xml"
	"errors"
	"io"
	"math"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// Whatever the figures are, a chart is well-formed and no point of it lies outside.
func TestChartHoldsItsPoints(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 40).Draw(t, "points")
		y := rapid.SliceOfN(rapid.OneOf(rapid.Float64Range(-1e6, 1e6), rapid.Float64Range(0, 1), rapid.Just(math.NaN()), rapid.Just(math.Inf(1))), n, n).Draw(t, "y")
		x := make([]float64, n)
		for i := range x {
			x[i] = float64(i + 1)
		}
		shown := 0
		for _, v := range y {
			if finite(v) {
				shown++
			}
		}
		chart := Chart("a chart", "epoch", "<%>", []Series{{"loss & <more>", "a", x, y}})
		if shown == 0 {
			if chart != "" {
				t.Fatal("a chart of nothing")
			}
			return
		}
		d := xml.NewDecoder(strings.NewReader(string(chart)))
		circles := 0
		for {
			tok, err := d.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			e, ok := tok.(xml.StartElement)
			if !ok || e.Name.Local != "circle" {
				continue
			}
			circles++
			for _, a := range e.Attr {
				v, err := strconv.ParseFloat(a.Value, 64)
				switch {
				case a.Name.Local == "cx" && (err != nil || v < 62 || v > 546), a.Name.Local == "cy" && (err != nil || v < 14 || v > 206.1):
					t.Fatalf("%s=%s lies outside of the axes", a.Name.Local, a.Value)
				}
			}
		}
		if circles != shown {
			t.Fatalf("%d marks for %d points", circles, shown)
		}
	})
}
