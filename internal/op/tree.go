package op

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// treeEnsemble is TreeEnsemble's attributes, checked: every index within them is valid.
type treeEnsemble struct {
	splits, weights                  *tensor.Tensor
	modes                            []int64
	features, yes, no, yesLeaf       []int64
	noLeaf, target, roots, nanIsTrue []int64
	members                          []map[float64]bool // by node, nil unless a set test
	targets                          int
	aggregate, post                  int64
}

// Comparisons of TreeEnsemble's nodes_modes.
const (
	branchLeq = iota
	branchLt
	branchGte
	branchGt
	branchEq
	branchNeq
	branchMember
)

func newTreeEnsemble(a graph.Attrs) (*treeEnsemble, error) {
	t := &treeEnsemble{
		splits: a.Tensor("nodes_splits"), weights: a.Tensor("leaf_weights"), modes: a.Tensor("nodes_modes").Ints(),
		features: a.Ints("nodes_featureids"), yes: a.Ints("nodes_truenodeids"), no: a.Ints("nodes_falsenodeids"),
		yesLeaf: a.Ints("nodes_trueleafs"), noLeaf: a.Ints("nodes_falseleafs"), target: a.Ints("leaf_targetids"),
		roots: a.Ints("tree_roots"), nanIsTrue: a.Ints("nodes_missing_value_tracks_true"),
		aggregate: a.Int("aggregate_function", 1), post: a.Int("post_transform", 0),
	}
	n, leaves := len(t.modes), len(t.target)
	if t.splits.Len() != n || len(t.features) != n || len(t.yes) != n || len(t.no) != n || len(t.yesLeaf) != n || len(t.noLeaf) != n ||
		t.nanIsTrue != nil && len(t.nanIsTrue) != n || t.weights.Len() != leaves {
		return nil, errors.New("nodes_* or leaf_* attributes differ in length")
	}
	most := int64(-1)
	for _, k := range t.target {
		if most = max(most, k); k < 0 || k > 1<<24 {
			return nil, fmt.Errorf("leaf_targetids has %d", k)
		}
	}
	targets := a.Int("n_targets", most+1)
	if targets <= most || targets < 1 || targets > 1<<24 {
		return nil, fmt.Errorf("n_targets is %d, leaves name target %d", targets, most)
	}
	t.targets = int(targets)
	inside := func(k int64, leaf int64) bool {
		if leaf != 0 {
			return k >= 0 && k < int64(leaves)
		}
		return k >= 0 && k < int64(n)
	}
	for i := range n {
		if !inside(t.yes[i], t.yesLeaf[i]) || !inside(t.no[i], t.noLeaf[i]) || t.modes[i] < 0 || t.modes[i] > branchMember || t.features[i] < 0 {
			return nil, fmt.Errorf("node %d of the tree is not valid", i)
		}
	}
	for _, r := range t.roots {
		if !inside(r, 0) {
			return nil, fmt.Errorf("tree root %d is out of range", r)
		}
	}
	return t, t.readMembers(a.Tensor("membership_values"))
}

// readMembers deals the sets, each ended by NaN, to the set tests in order.
func (t *treeEnsemble) readMembers(values *tensor.Tensor) error {
	t.members = make([]map[float64]bool, len(t.modes))
	at := 0
	for i, m := range t.modes {
		if m != branchMember {
			continue
		}
		set := map[float64]bool{}
		for ; ; at++ {
			if values == nil || at >= values.Len() {
				return fmt.Errorf("membership_values has no set for node %d", i)
			}
			v := values.Float(at)
			if v != v {
				at++
				break
			}
			set[v] = true
		}
		t.members[i] = set
	}
	return nil
}

func inferTreeEnsemble(c *Infer) error {
	t, err := newTreeEnsemble(c.Attrs())
	if err != nil {
		return err
	}
	n := graph.Unknown
	if s := c.Shape(0); len(s) == 2 {
		n = s[0]
	}
	c.SetTensor(0, c.DType(0), graph.Shape{n, graph.Dim{Size: t.targets}})
	return nil
}

// test decides node i for feature value v.
func (t *treeEnsemble) test(i int64, v float64) bool {
	if v != v && t.nanIsTrue != nil && t.nanIsTrue[i] != 0 {
		return true
	}
	split := t.splits.Float(int(i))
	switch t.modes[i] {
	case branchLeq:
		return v <= split
	case branchLt:
		return v < split
	case branchGte:
		return v >= split
	case branchGt:
		return v > split
	case branchEq:
		return v == split
	case branchNeq:
		return v != split
	}
	return t.members[i][v]
}

// leaf walks one tree for one row of features.
func (t *treeEnsemble) leaf(root int64, feature func(int64) (float64, error)) (int64, error) {
	node := root
	for range len(t.modes) + 1 {
		v, err := feature(t.features[node])
		if err != nil {
			return 0, err
		}
		next, isLeaf := t.no[node], t.noLeaf[node]
		if t.test(node, v) {
			next, isLeaf = t.yes[node], t.yesLeaf[node]
		}
		if isLeaf != 0 {
			return next, nil
		}
		node = next
	}
	return 0, fmt.Errorf("the tree with root %d has a cycle", root)
}

func evalTreeEnsemble(e *Eval) error {
	t, err := newTreeEnsemble(e.Attrs())
	if err != nil {
		return err
	}
	x := e.T(0)
	if x.Rank() != 2 {
		return fmt.Errorf("input must be [N,F], it is %v", x)
	}
	out := e.Result(0, x.DType(), x.Dim(0), t.targets)
	scores := make([]float64, t.targets)
	start := map[int64]float64{0: 0, 1: 0, 2: math.MaxFloat32, 3: -math.MaxFloat32}
	first, ok := start[t.aggregate]
	if !ok {
		return fmt.Errorf("aggregate_function %d is not one of 0..3", t.aggregate)
	}
	for r := range x.Dim(0) {
		for k := range scores {
			scores[k] = first
		}
		for _, root := range t.roots {
			leaf, err := t.leaf(root, func(f int64) (float64, error) {
				if f >= int64(x.Dim(1)) {
					return 0, fmt.Errorf("feature %d of %v does not exist", f, x)
				}
				return x.Float(r*x.Dim(1) + int(f)), nil
			})
			if err != nil {
				return err
			}
			w, s := t.weights.Float(int(leaf)), &scores[t.target[leaf]]
			switch t.aggregate {
			case 0:
				*s += w / float64(len(t.roots))
			case 1:
				*s += w
			case 2:
				*s = min(*s, w)
			case 3:
				*s = max(*s, w)
			}
		}
		if err := postTransform(t.post, scores); err != nil {
			return err
		}
		for k, s := range scores {
			out.SetFloat(r*t.targets+k, s)
		}
	}
	return nil
}

// postTransform applies the standard's transform of raw scores in place.
func postTransform(kind int64, s []float64) error {
	switch kind {
	case 0:
	case 1, 3: // softmax; the second leaves scores of exactly 0 alone
		top := slices.Max(s)
		sum := 0.0
		for i, v := range s {
			if kind == 3 && v == 0 {
				continue
			}
			s[i] = math.Exp(v - top)
			sum += s[i]
		}
		for i := range s {
			if sum > 0 {
				s[i] /= sum
			}
		}
	case 2:
		for i, v := range s {
			s[i] = 1 / (1 + math.Exp(-v))
		}
	case 4:
		for i, v := range s {
			s[i] = math.Sqrt2 * math.Erfinv(2*v-1)
		}
	default:
		return fmt.Errorf("post_transform %d is not one of 0..4", kind)
	}
	return nil
}
