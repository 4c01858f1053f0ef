package dataset

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// decodeKeys stores the mapping n into the struct that to points to, by its yaml tags.
// Its errors name line and key and tell the keys there are, where the decoder's own would
// speak of Go types.
func decodeKeys(n *yaml.Node, to any, in string) error {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Kind != yaml.MappingNode {
		return fmt.Errorf("line %d: %sis not a list of keys and values, as `label_offset: 1`", n.Line, in)
	}
	v := reflect.ValueOf(to).Elem()
	fields := keysOf(v.Type())
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, val := n.Content[i], n.Content[i+1]
		k := slices.Index(fields, key.Value)
		switch {
		case k < 0:
			return fmt.Errorf("line %d: %s", key.Line, unknownKey(in, key.Value, fields))
		case seen[key.Value]:
			return fmt.Errorf("line %d: %s%s stands there twice", key.Line, in, key.Value)
		}
		seen[key.Value] = true
		f := v.Field(k)
		if f.Kind() == reflect.Pointer && val.Tag != "!!null" {
			f.Set(reflect.New(f.Type().Elem()))
			f = f.Elem()
		}
		if f.Kind() == reflect.Struct {
			if err := decodeKeys(val, f.Addr().Interface(), key.Value+": "); err != nil {
				return err
			}
			continue
		}
		if f.Kind() == reflect.Slice && val.Kind == yaml.ScalarNode && val.Tag != "!!null" {
			val = &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq", Line: val.Line, Content: []*yaml.Node{val}}
		}
		if err := val.Decode(f.Addr().Interface()); err != nil {
			return fmt.Errorf("line %d: %s%s: %sis not %s", key.Line, in, key.Value, quoted(val), wanted(f.Type()))
		}
	}
	return nil
}

func keysOf(t reflect.Type) []string {
	var out []string
	for i := range t.NumField() {
		out = append(out, t.Field(i).Tag.Get("yaml"))
	}
	return out
}

func unknownKey(in, key string, known []string) string {
	s := fmt.Sprintf("%sthere is no key %q", in, key)
	other, place := keysOf(reflect.TypeFor[SpecPreprocess]()), "under preprocess"
	if in != "" {
		other, place = keysOf(reflect.TypeFor[Spec]()), "at the top"
	}
	near, d := nearest(key, known)
	if k, e := nearest(key, other); e < d {
		return s + fmt.Sprintf(" here; %s belongs %s (keys there: %s)", k, place, strings.Join(other, ", "))
	}
	if near != "" {
		s += fmt.Sprintf("; is %s meant?", near)
	}
	return s + " (keys: " + strings.Join(known, ", ") + ")"
}

// nearest returns the word that key is probably a misspelling of, "" where none is near,
// and how far that is.
func nearest(key string, words []string) (near string, distance int) {
	distance = 3
	for _, k := range words {
		if d := editDistance(key, k); d < distance && d < len(k)-1 {
			near, distance = k, d
		}
	}
	return near, distance
}

// editDistance is that of Levenshtein, in bytes.
func editDistance(a, b string) int {
	if len(a) > 64 {
		return len(a)
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			d := diagonal
			if a[i] != b[j] {
				d++
			}
			diagonal = row[j+1]
			row[j+1] = min(d, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

func quoted(n *yaml.Node) string {
	if n.Kind == yaml.ScalarNode {
		return fmt.Sprintf("%q ", n.Value)
	}
	return ""
}

// wanted says in words what a key of type t takes.
func wanted(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Slice:
		return "a list of " + strings.TrimPrefix(wanted(t.Elem()), "a ") + "s, as [1, 2]"
	case reflect.Float32:
		return "a number"
	case reflect.Uint8:
		return "a whole number from 0 to 255"
	case reflect.Int:
		return "a whole number"
	default:
		return "a text"
	}
}
