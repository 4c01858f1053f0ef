package strictyaml

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

type inner struct {
	Rate  float64 `yaml:"rate"`
	Small uint8   `yaml:"small"`
}

type shared struct {
	Path string `yaml:"path"`
}

type word struct {
	Kind   string `yaml:"kind"`
	Amount int    `yaml:"amount"`
}

func (w *word) SetText(text string) error {
	if text == "nothing" {
		return errors.New("is not a kind")
	}
	w.Kind = text
	return nil
}

type outer struct {
	shared `yaml:",inline"`

	Name   string           `yaml:"name"`
	Seed   uint64           `yaml:"seed"`
	On     bool             `yaml:"on"`
	Sizes  []int            `yaml:"sizes"`
	Inner  inner            `yaml:"inner"`
	Maybe  *inner           `yaml:"maybe"`
	List   []word           `yaml:"list"`
	Update word             `yaml:"update"`
	Layers map[string]inner `yaml:"layers"`

	hidden int
}

func TestDecode(t *testing.T) {
	got := outer{Seed: 3, Inner: inner{Rate: 2}}
	err := Decode([]byte(`
path: a
name: "7"
on: true
sizes: 4
inner: {small: 9}
maybe: &m {rate: 5e-4}
list: [first, {kind: second, amount: 2}]
update: lora
layers: {conv*: {rate: 1}, x: *m}
seed:
`), &got)
	if err != nil {
		t.Fatal(err)
	}
	want := outer{shared: shared{"a"}, Name: "7", Seed: 3, On: true, Sizes: []int{4}, Inner: inner{2, 9}, Maybe: &inner{Rate: 5e-4},
		List: []word{{"first", 0}, {"second", 2}}, Update: word{Kind: "lora"}, Layers: map[string]inner{"conv*": {Rate: 1}, "x": {Rate: 5e-4}}}
	if d := cmp.Diff(want, got, cmp.AllowUnexported(outer{}, shared{})); d != "" {
		t.Error(d)
	}
}

func TestRefused(t *testing.T) {
	for text, want := range map[string]string{
		"nome: x":                        `line 1: there is no key "nome"; is name meant? (keys: path, name, seed,`,
		"hidden: 1":                      `there is no key "hidden"`,
		"rate: 1":                        "line 1: there is no key \"rate\" here; rate belongs under inner",
		"inner: {nmae: 1}":               "inner: there is no key \"nmae\" here; name belongs at the top",
		"list: [{amuont: 1}]":            "list: there is no key \"amuont\"; is amount meant? (keys: kind, amount)",
		"on: true\non: false":            "line 2: on stands there twice",
		"layers: {a: {}, a: {}}":         "stands there twice",
		"layers: 3":                      `layers: "3" is not names with values`,
		"layers: {a: 3}":                 "layers: a: is not a list of keys and values",
		"seed: -1":                       `seed: "-1" is not a whole number that is not negative`,
		"inner: {rate: .nan}":            "inner: rate: \".nan\" is not a number",
		"inner: {rate: 1e999}":           "is not a number",
		"inner: {small: 256}":            "is not a whole number from 0 to 255",
		"on: 3":                          `on: "3" is not true or false`,
		"sizes: [1, a]":                  `sizes: "a" is not a list of whole numbers, as [1, 2]`,
		"sizes: [[1]]":                   "sizes: is not a list of whole numbers",
		"sizes: &a [*a]":                 "is not a list",
		"maybe: 3":                       "maybe: is not a list of keys and values",
		"update: nothing":                "line 1: update: is not a kind",
		"a: *b":                          "unknown anchor",
		"<<: {name: a}":                  `there is no key "<<"`,
		"[1]":                            "is not a list of keys and values",
		"name: [":                        "line 1:",
		strings.Repeat("x", 100) + ": 1": "there is no key",
		strings.Repeat(" ", MaxBytes+1):  "is larger than",
	} {
		if err := Decode([]byte(text), &outer{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v, want %q", text, err, want)
		}
	}
}

// Nobody's file makes the decoder panic or run away.
func FuzzDecode(f *testing.F) {
	for _, s := range []string{"name: x\nlist: [a, {kind: b}]", "layers: &a {x: *a}", "maybe: &m {rate: 1}\ninner: *m", "a: &a [*a, *a]", "!!binary x", "? {a: b}\n: c", "---\n---"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(_ *testing.T, text []byte) { _ = Decode(text, &outer{}) })
}
