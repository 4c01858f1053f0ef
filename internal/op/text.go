package op

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// textOps work on strings.
func textOps() []Def {
	return []Def{
		{Name: "StringConcat", In: "X Y", Out: "Z", Infer: inferBroadcast(tensor.String), Eval: evalStringConcat},
		{Name: "StringSplit", In: "X", Out: "Y Z", Attrs: "delimiter:string maxsplit:int", Infer: inferStringSplit, Eval: evalStringSplit},
		{Name: "StringNormalizer", In: "X", Out: "Y", Attrs: "case_change_action:string is_case_sensitive:int locale:string stopwords:strings", Infer: inferStringNormalizer, Eval: evalStringNormalizer},
		{Name: "RegexFullMatch", In: "X", Out: "Y", Attrs: "pattern:string", Infer: inferRegexFullMatch, Eval: evalRegexFullMatch},
		{Name: "TfIdfVectorizer", In: "X", Out: "Y",
			Attrs: "max_gram_length:int! max_skip_count:int! min_gram_length:int! mode:string! ngram_counts:ints! ngram_indexes:ints! pool_int64s:ints pool_strings:strings weights:floats",
			Infer: inferTfIdf, Eval: evalTfIdf},
	}
}

// strings returns input i, which must hold strings.
func (e *Eval) strings(i int) []string {
	t := e.T(i)
	if t.DType() != tensor.String {
		e.Fail("input %s is %v, want strings", e.inputName(i), t)
	}
	return t.Strings()
}

func evalStringConcat(e *Eval) error {
	x, y := e.strings(0), e.strings(1)
	e.pairwise(tensor.String, func(out *tensor.Tensor, i, ix, iy int) {
		out.Strings()[i] = x[ix] + y[iy]
	})
	return nil
}

func inferStringSplit(c *Infer) error {
	var y graph.Shape
	if s := c.Shape(0); s != nil {
		y = append(s.Clone(), graph.Unknown)
	}
	c.SetTensor(0, tensor.String, y)
	c.SetTensor(1, tensor.Int64, c.Shape(0))
	return nil
}

func evalStringSplit(e *Eval) error {
	in := e.strings(0)
	limit := -1
	if e.Attrs().Has("maxsplit") {
		limit = int(min(e.Attrs().Int("maxsplit", -1), 1<<30))
	}
	delimiter := e.Attrs().String("delimiter", "")
	counts := e.Result(1, tensor.Int64, e.T(0).Shape()...).I64()
	parts := make([][]string, len(in))
	most := 0
	for i, s := range in {
		switch {
		case delimiter == "":
			parts[i] = splitSpace(s, limit)
		case limit < 0:
			parts[i] = strings.Split(s, delimiter)
		default:
			parts[i] = strings.SplitN(s, delimiter, limit+1)
		}
		counts[i] = int64(len(parts[i]))
		most = max(most, len(parts[i]))
	}
	out := e.Result(0, tensor.String, append(slices.Clone(e.T(0).Shape()), most)...).Strings()
	for i, p := range parts {
		copy(out[i*most:], p)
	}
	return nil
}

// splitSpace splits at runs of white space, at most limit times when limit is not
// negative; what follows the last split keeps its trailing space.
func splitSpace(s string, limit int) []string {
	if limit < 0 {
		return strings.Fields(s)
	}
	var out []string
	const space = " \t\n\v\f\r"
	for s = strings.TrimLeft(s, space); s != ""; {
		i := strings.IndexAny(s, space)
		if i < 0 || len(out) == limit {
			return append(out, s)
		}
		out = append(out, s[:i])
		s = strings.TrimLeft(s[i:], space)
	}
	return out
}

func inferStringNormalizer(c *Infer) error {
	s := c.Shape(0).Clone()
	if len(s) > 2 || s != nil && len(s) == 0 {
		return fmt.Errorf("input must be [C] or [1,C], its shape is %v", s)
	}
	if len(s) > 0 {
		s[len(s)-1] = graph.Unknown
	}
	c.SetTensor(0, tensor.String, s)
	return nil
}

func evalStringNormalizer(e *Eval) error {
	x := e.T(0)
	if x.Rank() != 1 && (x.Rank() != 2 || x.Dim(0) != 1) {
		return fmt.Errorf("input must be [C] or [1,C], it is %v", x)
	}
	var change func(string) string
	switch action := e.Attrs().String("case_change_action", "NONE"); action {
	case "NONE":
		change = func(s string) string { return s }
	case "LOWER":
		change = strings.ToLower
	case "UPPER":
		change = strings.ToUpper
	default:
		return fmt.Errorf("case_change_action %q is not one of NONE, LOWER, UPPER", action)
	}
	fold := strings.ToLower
	if e.Attrs().Bool("is_case_sensitive", false) {
		fold = func(s string) string { return s }
	}
	stop := map[string]bool{}
	for _, w := range e.Attrs().Strings("stopwords") {
		stop[fold(w)] = true
	}
	var kept []string
	for _, s := range e.strings(0) {
		if !stop[fold(s)] {
			kept = append(kept, change(s))
		}
	}
	if len(kept) == 0 {
		kept = []string{""}
	}
	shape := []int{len(kept)}
	if x.Rank() == 2 {
		shape = []int{1, len(kept)}
	}
	e.Set(0, tensor.OfStrings(kept, shape...))
	return nil
}

func inferRegexFullMatch(c *Infer) error {
	c.SetTensor(0, tensor.Bool, c.Shape(0))
	return nil
}

// evalRegexFullMatch matches whole strings; the standard's pattern language, that of
// RE2, is Go's.
func evalRegexFullMatch(e *Eval) error {
	re, err := regexp.Compile(`\A(?:` + e.Attrs().String("pattern", "") + `)\z`)
	if err != nil {
		return fmt.Errorf("attribute pattern: %w", err)
	}
	in := e.strings(0)
	out := tensor.Data[bool](e.Result(0, tensor.Bool, e.T(0).Shape()...))
	for i, s := range in {
		out[i] = re.MatchString(s)
	}
	return nil
}
