package op

import (
	"slices"
	"testing"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

func TestStringSplit(t *testing.T) {
	for _, c := range []struct {
		in, delimiter string
		limit         int64
		want          []string
	}{
		{" a  b c ", "", -1, []string{"a", "b", "c"}},
		{" a  b c ", "", 1, []string{"a", "b c "}},
		{"a,,b", ",", -1, []string{"a", "", "b"}},
		{"a,,b", ",", 1, []string{"a", ",b"}},
		{"", ",", -1, []string{""}},
	} {
		out, err := run(t, "", "StringSplit", graph.Attrs{"delimiter": c.delimiter, "maxsplit": c.limit}, 2, tensor.OfStrings([]string{c.in}, 1))
		if err != nil {
			t.Fatal(err)
		}
		if got := out[0].(*tensor.Tensor).Strings(); !slices.Equal(got, c.want) {
			t.Errorf("%q by %q at most %d times: %q, want %q", c.in, c.delimiter, c.limit, got, c.want)
		}
		want1 := int64(len(c.want))
		want(t, out[1].(*tensor.Tensor), []int{1}, want1)
	}
}

func TestTfIdf(t *testing.T) {
	// Pool: the words 2 and 3, then the pairs (5,4) and (5,6).
	attrs := graph.Attrs{"mode": "TFIDF", "min_gram_length": int64(1), "max_gram_length": int64(2), "max_skip_count": int64(1),
		"ngram_counts": []int64{0, 2}, "ngram_indexes": []int64{0, 1, 2, 3}, "pool_int64s": []int64{2, 3, 5, 4, 5, 6}, "weights": []float32{1, 1, 10, 100}}
	near(t, one(t, "TfIdfVectorizer", attrs, ints(2, 5, 4, 6, 2)), 2, 0, 10, 100)
	attrs["ngram_counts"] = []int64{0, 9}
	if _, err := run(t, "", "TfIdfVectorizer", attrs, 1, ints(2)); err == nil {
		t.Error("ngram_counts beyond the pool were accepted")
	}
}

func TestRegexFullMatch(t *testing.T) {
	x := tensor.OfStrings([]string{"ab", "abc", "b\nab"}, 3)
	want(t, one(t, "RegexFullMatch", graph.Attrs{"pattern": "a.|x"}, x), []int{3}, 1, 0, 0)
	if _, err := run(t, "", "RegexFullMatch", graph.Attrs{"pattern": "("}, 1, x); err == nil {
		t.Error("a broken pattern was accepted")
	}
}

func TestTreeEnsemble(t *testing.T) {
	// x0 <= 1 ? (x1 in {2,4} ? 10 : 20) : 30, written as two nodes and three leaves.
	attrs := graph.Attrs{
		"nodes_modes": tensor.Of([]uint8{0, 6}, 2), "nodes_splits": tensor.Of([]float32{1, 0}, 2), "nodes_featureids": []int64{0, 1},
		"nodes_truenodeids": []int64{1, 0}, "nodes_trueleafs": []int64{0, 1}, "nodes_falsenodeids": []int64{2, 1}, "nodes_falseleafs": []int64{1, 1},
		"leaf_targetids": []int64{0, 0, 0}, "leaf_weights": tensor.Of([]float32{10, 20, 30}, 3), "tree_roots": []int64{0}, "n_targets": int64(1),
		"membership_values": one(t, "Concat", graph.Attrs{"axis": int64(0)}, tensor.Of([]float32{2, 4}, 2), one(t, "Cast", graph.Attrs{"to": int64(1)}, tensor.OfStrings([]string{"NaN"}, 1))),
	}
	x := tensor.Of([]float32{0, 4, 0, 3, 2, 4}, 3, 2)
	get := func() (*tensor.Tensor, error) {
		out, err := run(t, graph.DomainML, "TreeEnsemble", attrs, 1, x)
		if err != nil {
			return nil, err
		}
		return out[0].(*tensor.Tensor), nil
	}
	y, err := get()
	if err != nil {
		t.Fatal(err)
	}
	near(t, y, 10, 20, 30)
	attrs["nodes_truenodeids"], attrs["nodes_trueleafs"] = []int64{0, 0}, []int64{0, 0}
	if _, err := get(); err == nil {
		t.Error("a tree with a cycle was walked")
	}
}
