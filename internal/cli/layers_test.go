package cli

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/zoo"
	"github.com/edgewise-ml/edgewise/tensor"
)

// TestLayOut draws random graphs and holds that boxes do not overlap, edges go down, and
// the picture is well-formed.
func TestLayOut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := graph.New("random <&>")
		values := []*graph.Value{g.Input("x", graph.TensorType(tensor.Float32, 1, 4)), g.Input("y", graph.Type{})}
		for i := range rapid.IntRange(1, 40).Draw(t, "nodes") {
			pick := func() *graph.Value { return values[rapid.IntRange(0, len(values)-1).Draw(t, "value")] }
			values = append(values, g.Add("Add", fmt.Sprintf("n%d \"'<>", i), nil, pick(), pick()))
		}
		g.Output(values[len(values)-1])
		checkDrawing(t, g)
	})
	checkDrawing(t, zoo.Heartbeat())
	checkDrawing(t, graph.New("empty"))
}

func checkDrawing(t rapid.TB, g *graph.Graph) {
	t.Helper()
	d := layOut(g)
	boxes := 0
	for _, l := range d.layers {
		for i, b := range l {
			if math.IsNaN(b.x) || b.x-b.w/2 < margin-1 || b.x+b.w/2 > d.width-margin+1 || b.y > d.height {
				t.Fatalf("%v stands outside the picture of %v×%v: %+v", b.label, d.width, d.height, b)
			}
			if i > 0 && l[i-1].x+l[i-1].w/2+gapX > b.x-b.w/2+1e-6 {
				t.Fatalf("%v and %v overlap", l[i-1].label, b.label)
			}
			for _, a := range b.above {
				if a.layer != b.layer-1 || a.y+a.h/2 > b.y-b.h/2 {
					t.Fatalf("the edge from %v to %v does not go down by one layer", a.label, b.label)
				}
			}
			if !b.bend() {
				boxes++
			}
		}
	}
	if want := len(g.Nodes) + len(g.Inputs) + len(g.Outputs); boxes != want {
		t.Fatalf("%d boxes, want %d", boxes, want)
	}
	var b bytes.Buffer
	if err := drawGraph(&b, g); err != nil {
		t.Fatal(err)
	}
	for dec := xml.NewDecoder(&b); ; {
		if _, err := dec.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatalf("the picture is not well-formed: %v", err)
		}
	}
}
