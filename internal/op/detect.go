package op

import (
	"fmt"
	"slices"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// detectOps choose among boxes.
func detectOps() []Def {
	return []Def{
		{Name: "NonMaxSuppression", In: "boxes scores max_output_boxes_per_class? iou_threshold? score_threshold?", Out: "selected_indices",
			Attrs: "center_point_box:int", Infer: inferNonMaxSuppression, Eval: evalNonMaxSuppression},
	}
}

func inferNonMaxSuppression(c *Infer) error {
	c.SetTensor(0, tensor.Int64, graph.Shape{graph.Unknown, graph.Dim{Size: 3}})
	return nil
}

// box is a rectangle with ordered corners.
type box struct{ x0, y0, x1, y1 float64 }

// iou is the area of the intersection over that of the union.
func (a box) iou(b box) float64 {
	w, h := min(a.x1, b.x1)-max(a.x0, b.x0), min(a.y1, b.y1)-max(a.y0, b.y0)
	if w <= 0 || h <= 0 {
		return 0
	}
	inter := w * h
	union := (a.x1-a.x0)*(a.y1-a.y0) + (b.x1-b.x0)*(b.y1-b.y0) - inter
	if union <= 0 {
		return 0
	}
	return inter / union
}

// readBox takes four numbers: centre, width and height, or two opposite corners given y
// first in any order.
func readBox(t *tensor.Tensor, at int, center bool) box {
	a, b, c, d := t.Float(at), t.Float(at+1), t.Float(at+2), t.Float(at+3)
	if center {
		return box{a - c/2, b - d/2, a + c/2, b + d/2}
	}
	return box{min(b, d), min(a, c), max(b, d), max(a, c)}
}

// evalNonMaxSuppression takes, for each batch and class, the boxes in order of falling
// score, leaving out those that overlap one already taken too much.
func evalNonMaxSuppression(e *Eval) error {
	boxes, scores := e.T(0), e.T(1)
	if boxes.Rank() != 3 || scores.Rank() != 3 || boxes.Dim(2) != 4 || boxes.Dim(0) != scores.Dim(0) || boxes.Dim(1) != scores.Dim(2) {
		return fmt.Errorf("boxes %v must be [N,B,4] and scores %v [N,C,B]", boxes, scores)
	}
	limit := int64(0)
	if e.Has(2) && e.T(2).Len() > 0 {
		limit = e.Int(2)
	}
	number := func(i int) float64 {
		if t := e.T(i); t != nil && t.Len() > 0 {
			return t.Float(0)
		}
		return 0
	}
	overlap, least, bounded := number(3), number(4), e.Has(4) && e.T(4).Len() > 0
	center := e.Attrs().Bool("center_point_box", false)
	var picked []int64
	n, classes := boxes.Dim(1), scores.Dim(1)
	if n == 0 {
		classes = 0
	}
	for b := range boxes.Dim(0) {
		for c := range classes {
			score := func(i int) float64 { return scores.Float((b*classes+c)*n + i) }
			var order []int
			for i := range n {
				if !bounded || score(i) > least {
					order = append(order, i)
				}
			}
			slices.SortStableFunc(order, func(i, j int) int {
				switch x, y := score(i), score(j); {
				case x > y:
					return -1
				case x < y:
					return 1
				}
				return 0
			})
			var taken []box
			for _, i := range order {
				if int64(len(taken)) >= limit {
					break
				}
				r := readBox(boxes, (b*n+i)*4, center)
				if !slices.ContainsFunc(taken, func(t box) bool { return t.iou(r) > overlap }) {
					taken = append(taken, r)
					picked = append(picked, int64(b), int64(c), int64(i))
				}
			}
		}
	}
	e.Set(0, tensor.Of(picked, len(picked)/3, 3))
	return nil
}
