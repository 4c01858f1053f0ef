package dataset

import (
	"fmt"
	"strings"
	"testing"
)

// What is set apart shares no row, series or person with the rest, and hardly anything is
// lost.
func TestApart(t *testing.T) {
	table := func(series, rows int) string {
		s := "who,v\n"
		for g := range series {
			for i := range rows {
				s += fmt.Sprintf("%d,%d\n", g, i)
			}
		}
		return s
	}
	for _, c := range []struct{ series, rows, window, stride, rest, apart int }{
		{1, 400, 30, 1, 371 - 37 - 29, 37},
		{2, 400, 30, 1, 2 * (371 - 37 - 29), 2 * 37},
		{20, 50, 5, 2, 18 * 23, 2 * 23},
		{1, 100, 1, 1, 90, 10},
	} {
		d := opened(t, map[string]string{"m.csv": table(c.series, c.rows),
			"my.yaml": fmt.Sprintf("data: m.csv\ngroup: who\nwindow: %d\nstride: %d\n", c.window, c.stride)})
		rest, apart, how, err := d.Apart(0.1, 3)
		if err != nil {
			t.Fatal(err)
		}
		if rest.Len() != c.rest || apart.Len() != c.apart {
			t.Errorf("%+v: %d and %d samples, %s", c, rest.Len(), apart.Len(), how)
		}
		seen := map[[2]int32]bool{}
		for _, w := range rest.windows {
			for k := range int32(c.window) {
				seen[[2]int32{w.group, w.end - k}] = true
			}
		}
		for _, w := range apart.windows {
			for k := range int32(c.window) {
				if seen[[2]int32{w.group, w.end - k}] {
					t.Fatalf("%+v: row %d of series %d is in both parts", c, w.end-k, w.group)
				}
			}
		}
	}
	d := opened(t, map[string]string{"m.csv": table(1, 12), "my.yaml": "data: m.csv\ngroup: who\nwindow: 8\n"})
	if _, _, _, err := d.Apart(0.5, 3); err == nil || !strings.Contains(err.Error(), "share no rows") {
		t.Errorf("five windows that all overlap: %v", err)
	}

	d, err := Open("builtin:heartbeat-1200", Options{})
	if err != nil {
		t.Fatal(err)
	}
	train := d.Calibration()
	rest, apart, _, err := train.Apart(0.05, 8)
	if err != nil || rest.Len() != 1140 || apart.Len() != 60 {
		t.Fatalf("%d and %d, %v; want 5 of 100 persons", rest.Len(), apart.Len(), err)
	}
	of := map[int]bool{}
	for _, p := range rest.persons {
		of[p] = true
	}
	for _, p := range apart.persons {
		if of[p] {
			t.Errorf("person %d is in both parts", p)
		}
	}
}
