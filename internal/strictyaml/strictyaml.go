// Package strictyaml reads what people write in YAML into structs: unknown and repeated
// keys are refused, and errors name the line, the key and the keys there are, where a
// general decoder would speak of Go types.
package strictyaml

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/edgewise-ml/edgewise/internal/spelling"
)

// MaxBytes bounds a file: what a person writes is shorter.
const MaxBytes = 1 << 20

// Texter is a struct that may also be written as one word; SetText takes that.
type Texter interface{ SetText(text string) error }

// Decode stores the mapping of a document into the struct that to points to, by its yaml
// tags; what the document does not name stays. Fields are numbers, texts, lists, maps by
// name, structs, pointers to structs, and structs whose keys stand beside the others
// (yaml:",inline"). An empty document changes nothing.
func Decode(document []byte, to any) error {
	if len(document) > MaxBytes {
		return fmt.Errorf("is larger than %d bytes, which nobody writes by hand", MaxBytes)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(document, &doc); err != nil {
		return errors.New(strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if len(doc.Content) == 0 || doc.Content[0].Tag == "!!null" {
		return nil
	}
	d := &decoder{root: reflect.TypeOf(to).Elem()}
	return d.mapping(doc.Content[0], reflect.ValueOf(to).Elem(), "")
}

type decoder struct{ root reflect.Type }

// mapping stores n into struct v; in names the keys above it, each with a colon.
func (d *decoder) mapping(n *yaml.Node, v reflect.Value, in string) error {
	n = followed(n)
	if n.Kind != yaml.MappingNode {
		return fmt.Errorf("line %d: %sis not a list of keys and values, as `%s: …`", n.Line, in, Keys(v.Type())[0])
	}
	known := Keys(v.Type())
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, val := n.Content[i], followed(n.Content[i+1])
		f, ok := field(v, key.Value)
		switch {
		case !ok:
			return fmt.Errorf("line %d: %s", key.Line, d.unknown(in, key.Value, known))
		case seen[key.Value]:
			return fmt.Errorf("line %d: %s%s stands there twice", key.Line, in, key.Value)
		}
		seen[key.Value] = true
		if err := d.value(val, f, in+key.Value+": "); err != nil {
			return err
		}
	}
	return nil
}

// value stores n into f. Nothing written after a key leaves f as it is.
func (d *decoder) value(n *yaml.Node, f reflect.Value, in string) error {
	if n.Tag == "!!null" {
		return nil
	}
	if f.Kind() == reflect.Pointer && f.Type().Elem().Kind() == reflect.Struct {
		f.Set(reflect.New(f.Type().Elem()))
		f = f.Elem()
	}
	if t, ok := f.Addr().Interface().(Texter); ok && n.Kind == yaml.ScalarNode {
		if err := t.SetText(n.Value); err != nil {
			return fmt.Errorf("line %d: %s%w", n.Line, in, err)
		}
		return nil
	}
	switch {
	case f.Kind() == reflect.Struct:
		return d.mapping(n, f, in)
	case f.Kind() == reflect.Slice:
		return d.list(n, f, in)
	case f.Kind() == reflect.Map && n.Kind == yaml.MappingNode:
		return d.named(n, f, in)
	}
	if err := n.Decode(f.Addr().Interface()); err != nil || !finite(f) {
		return fmt.Errorf("line %d: %s%sis not %s", n.Line, in, quoted(n), wanted(f.Type()))
	}
	return nil
}

// list stores a list, or one value in place of a list of one.
func (d *decoder) list(n *yaml.Node, f reflect.Value, in string) error {
	items := n.Content
	if n.Kind != yaml.SequenceNode {
		items = []*yaml.Node{n}
	}
	s := reflect.MakeSlice(f.Type(), len(items), len(items))
	for i, item := range items {
		item = followed(item)
		err := d.value(item, s.Index(i), in)
		if err != nil && s.Index(i).Kind() != reflect.Struct {
			return fmt.Errorf("line %d: %s%sis not %s", item.Line, in, quoted(item), wanted(f.Type()))
		}
		if err != nil {
			return err
		}
	}
	f.Set(s)
	return nil
}

// named stores a mapping whose keys are names that the user chooses.
func (d *decoder) named(n *yaml.Node, f reflect.Value, in string) error {
	m := reflect.MakeMap(f.Type())
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := reflect.ValueOf(n.Content[i].Value)
		if m.MapIndex(key).IsValid() {
			return fmt.Errorf("line %d: %s%s stands there twice", n.Content[i].Line, in, key)
		}
		v := reflect.New(f.Type().Elem()).Elem()
		if err := d.value(followed(n.Content[i+1]), v, in+key.String()+": "); err != nil {
			return err
		}
		m.SetMapIndex(key, v)
	}
	f.Set(m)
	return nil
}

func followed(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

// field returns the field of struct v that a key means.
func field(v reflect.Value, key string) (reflect.Value, bool) {
	for i := range v.NumField() {
		switch tag := v.Type().Field(i).Tag.Get("yaml"); {
		case tag == ",inline":
			if f, ok := field(v.Field(i), key); ok {
				return f, true
			}
		case tag == key && key != "" && key != "-":
			return v.Field(i), true
		}
	}
	return reflect.Value{}, false
}

// Keys lists the keys of struct t, in its order.
func Keys(t reflect.Type) []string {
	var out []string
	for i := range t.NumField() {
		switch tag := t.Field(i).Tag.Get("yaml"); tag {
		case ",inline":
			out = append(out, Keys(t.Field(i).Type)...)
		case "", "-":
		default:
			out = append(out, tag)
		}
	}
	return out
}

// place is where keys stand, as "under preprocess".
type place struct {
	name string
	keys []string
}

// places lists t and all that stands in it.
func places(t reflect.Type, name string) []place {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Map {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil
	}
	out := []place{{name, Keys(t)}}
	for i := range t.NumField() {
		switch tag := t.Field(i).Tag.Get("yaml"); tag {
		case ",inline":
			out = append(out, places(t.Field(i).Type, name)[1:]...)
		case "", "-":
		default:
			out = append(out, places(t.Field(i).Type, "under "+tag)...)
		}
	}
	return out
}

func (d *decoder) unknown(in, key string, known []string) string {
	s := fmt.Sprintf("%sthere is no key %q", in, key)
	near, least := nearest(key, known)
	for _, p := range places(d.root, "at the top") {
		if k, e := nearest(key, p.keys); e < least && !slices.Equal(p.keys, known) {
			return s + fmt.Sprintf(" here; %s belongs %s (keys there: %s)", k, p.name, strings.Join(p.keys, ", "))
		}
	}
	if near != "" {
		s += fmt.Sprintf("; is %s meant?", near)
	}
	return s + " (keys: " + strings.Join(known, ", ") + ")"
}

// maxKey bounds the keys that are compared with others.
const maxKey = 64

// nearest returns the word that key is probably a misspelling of, "" where none is near,
// and how far that is.
func nearest(key string, words []string) (near string, distance int) {
	distance = 3
	if len(key) > maxKey {
		return "", distance
	}
	for _, k := range words {
		if d := spelling.Distance(key, k); d < distance && d < len(k)-1 {
			near, distance = k, d
		}
	}
	return near, distance
}

// finite reports whether f is no number beyond all bounds.
func finite(f reflect.Value) bool {
	return f.Kind() != reflect.Float32 && f.Kind() != reflect.Float64 || !math.IsNaN(f.Float()) && !math.IsInf(f.Float(), 0)
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
	case reflect.Map:
		return "names with values, as {name: value}"
	case reflect.Pointer:
		return wanted(t.Elem())
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Uint8:
		return "a whole number from 0 to 255"
	case reflect.Uint64:
		return "a whole number that is not negative"
	case reflect.Int, reflect.Int64:
		return "a whole number"
	case reflect.Bool:
		return "true or false"
	default:
		return "a text"
	}
}
