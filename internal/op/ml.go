package op

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// mlOps are operators of the domain ai.onnx.ml.
func mlOps() []Def {
	return []Def{
		{Name: "ArrayFeatureExtractor", Domain: graph.DomainML, In: "X Y", Out: "Z", Infer: inferFeatureExtractor, Eval: evalFeatureExtractor},
		{Name: "Binarizer", Domain: graph.DomainML, In: "X", Out: "Y", Attrs: "threshold:float", Infer: inferLike(0), Eval: evalBinarizer},
		{Name: "LabelEncoder", Domain: graph.DomainML, In: "X", Out: "Y",
			Attrs: "default_float:float default_int64:int default_string:string default_tensor:tensor keys_floats:floats keys_int64s:ints keys_strings:strings keys_tensor:tensor values_floats:floats values_int64s:ints values_strings:strings values_tensor:tensor",
			Infer: inferLabelEncoder, Eval: evalLabelEncoder},
		{Name: "TreeEnsemble", Domain: graph.DomainML, In: "X", Out: "Y",
			Attrs: "aggregate_function:int leaf_targetids:ints! leaf_weights:tensor! membership_values:tensor n_targets:int nodes_falseleafs:ints! nodes_falsenodeids:ints! nodes_featureids:ints! nodes_hitrates:tensor nodes_missing_value_tracks_true:ints nodes_modes:tensor! nodes_splits:tensor! nodes_trueleafs:ints! nodes_truenodeids:ints! post_transform:int tree_roots:ints!",
			Infer: inferTreeEnsemble, Eval: evalTreeEnsemble},
	}
}

func inferFeatureExtractor(c *Infer) error {
	s := c.Shape(0)
	if s == nil {
		c.SetTensor(0, c.DType(0), nil)
		return nil
	}
	n := graph.Unknown
	if y := c.Shape(1); y != nil {
		n = productDim(y)
	}
	if len(s) < 2 {
		s = graph.Dims(1, 1)
	}
	c.SetTensor(0, c.DType(0), append(s[:len(s)-1].Clone(), n))
	return nil
}

// evalFeatureExtractor selects columns of the last axis; a vector counts as one row.
func evalFeatureExtractor(e *Eval) error {
	x, idx := e.T(0), e.Ints(1)
	if x.Rank() == 0 {
		return errors.New("input must not be a scalar")
	}
	lead, size := x.Shape()[:x.Rank()-1], x.Dim(-1)
	if x.Rank() == 1 {
		lead = []int{1}
	}
	out := e.Result(0, x.DType(), append(slices.Clone(lead), len(idx))...)
	if out.Len() == 0 {
		return nil
	}
	for r := range sizeOf(lead) {
		for i, k := range idx {
			copyElement(out, r*len(idx)+i, x, r*size+e.index(k, size))
		}
	}
	return nil
}

func evalBinarizer(e *Eval) error {
	x := e.T(0)
	limit := float64(e.Attrs().Float("threshold", 0))
	out := e.Result(0, x.DType(), x.Shape()...)
	for i := range x.Len() {
		if x.Float(i) > limit {
			out.SetInt(i, 1)
		}
	}
	return nil
}

// labels are LabelEncoder's attributes as tensors.
type labels struct{ keys, values, fallback *tensor.Tensor }

func newLabels(a graph.Attrs) (*labels, error) {
	pick := func(name string) *tensor.Tensor {
		if t := a.Tensor(name + "_tensor"); t != nil {
			return t
		}
		if v := a.Floats(name + "_floats"); v != nil {
			return tensor.Of(v, len(v))
		}
		if v := a.Ints(name + "_int64s"); v != nil {
			return tensor.Of(v, len(v))
		}
		if v := a.Strings(name + "_strings"); v != nil {
			return tensor.OfStrings(v, len(v))
		}
		return nil
	}
	l := &labels{keys: pick("keys"), values: pick("values"), fallback: a.Tensor("default_tensor")}
	if l.keys == nil || l.values == nil || l.keys.Len() != l.values.Len() {
		return nil, fmt.Errorf("keys %v and values %v must be given in pairs", l.keys, l.values)
	}
	if l.fallback == nil {
		switch l.values.DType() {
		case tensor.String:
			l.fallback = tensor.OfStrings([]string{a.String("default_string", "_Unused")})
		case tensor.Float32:
			l.fallback = tensor.Scalar(a.Float("default_float", float32(math.Copysign(0, -1))))
		default:
			l.fallback = tensor.New(l.values.DType())
			if l.values.DType().IsInt() {
				l.fallback.SetInt(0, a.Int("default_int64", -1))
			}
		}
	}
	if l.fallback.DType() != l.values.DType() || l.fallback.Len() < 1 {
		return nil, fmt.Errorf("default %v does not fit values %v", l.fallback, l.values)
	}
	return l, nil
}

func inferLabelEncoder(c *Infer) error {
	l, err := newLabels(c.Attrs())
	if err != nil {
		return err
	}
	c.SetTensor(0, l.values.DType(), c.Shape(0))
	return nil
}

// labelKey makes element i comparable; every NaN is the same key.
func labelKey(t *tensor.Tensor, i int) any {
	switch d := t.DType(); {
	case d == tensor.String:
		return t.Strings()[i]
	case d.IsFloat():
		v := t.Float(i)
		if v != v {
			return "NaN"
		}
		return v
	}
	return t.Int(i)
}

func evalLabelEncoder(e *Eval) error {
	l, err := newLabels(e.Attrs())
	if err != nil {
		return err
	}
	x := e.T(0)
	if x.DType() != l.keys.DType() {
		return fmt.Errorf("input %v and keys %v differ in type", x, l.keys)
	}
	at := map[any]int{} // one more than the index, the first of equal keys
	for i := range l.keys.Len() {
		if k := labelKey(l.keys, i); at[k] == 0 {
			at[k] = i + 1
		}
	}
	out := e.Result(0, l.values.DType(), x.Shape()...)
	for i := range x.Len() {
		if k := at[labelKey(x, i)]; k > 0 {
			copyElement(out, i, l.values, k-1)
		} else {
			copyElement(out, i, l.fallback, 0)
		}
	}
	return nil
}
