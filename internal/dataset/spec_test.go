package dataset

import (
	"archive/zip"
	"bytes"
	"image/color"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/testdata"
	"github.com/edgewise-ml/edgewise/tensor"
)

func target(shape ...int) Target {
	return Target{Input: &graph.Value{Name: "x", Type: graph.TensorType(tensor.Float32, shape...)}}
}

func mustInfer(t *testing.T, tg Target, d *Dataset) []Preprocess {
	t.Helper()
	ps, err := Infer(tg, d)
	if err != nil {
		t.Fatal(err)
	}
	return ps
}

func TestSpecErrors(t *testing.T) {
	for text, want := range map[string]string{
		"nonsense: 1":                         `line 1: there is no key "nonsense" (keys: data, files, dtype,`,
		"label_ofset: 1":                      "is label_offset meant?",
		"\nmean: [1]":                         "line 2: there is no key \"mean\" here; mean belongs under preprocess",
		"preprocess: {label_offset: 1}":       "preprocess: there is no key \"label_offset\" here; label_offset belongs at the top",
		"preprocess: {standard: 1}":           "(keys: resize, crop, fit, mean,",
		"devide: 3":                           "divide belongs under preprocess (keys there: resize, crop, fit,",
		"scale: abc":                          `scale: "abc" is not a number`,
		"label_offset: one":                   `label_offset: "one" is not a whole number`,
		"shape: [a]":                          `shape: "a" is not a list of whole numbers, as [1, 2]`,
		"preprocess: {mean: [x]}":             `preprocess: mean: "x" is not a list of numbers`,
		"preprocess: {fill: 300}":             "from 0 to 255",
		"labels: {file: labels.csv}":          "labels: is not a text",
		"preprocess: 3":                       "preprocess: is not a list of keys and values",
		"[1, 2]":                              "is not a list of keys and values",
		"zero: 1\nzero: 2":                    "line 2: zero stands there twice",
		"preprocess: {layout: NHCW}":          "is not NCHW or NHWC",
		"preprocess: {divide: 0}":             "divide must not be 0",
		"preprocess: {std: [.nan]}":           `preprocess: std: ".nan" is not a list of numbers`,
		"scale: -1":                           "not positive",
		"zero: 3":                             "scale 0 is not positive",
		"a: b: c":                             "mapping values",
		"files: ../x":                         "leads out of the data",
		"preprocess: {order: rgb, orde: bgr}": "is order meant?",
	} {
		_, err := parseSpec([]byte(text))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: want an error with %q, got %v", text, want, err)
			continue
		}
		for _, internal := range []string{"dataset.", "float32", "unmarshal", "!!"} {
			if strings.Contains(err.Error(), internal) {
				t.Errorf("%q: %v speaks of Go", text, err)
			}
		}
	}
	for _, text := range []string{"", "# nothing\n", "preprocess:\n", "label_offset:\n", "preprocess: {mean: 127.5, std: 127.5}", "label_column: 3"} {
		if _, err := parseSpec([]byte(text)); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// A specification that says one thing leaves everything else to be found as without it.
func TestSpecAddsToWhatIsFound(t *testing.T) {
	dir := t.TempDir()
	for _, n := range []string{"table/a.png", "table/b.png", "classes/cat/1.png", "classes/dog/1.png", "parts/val/cat/1.png", "parts/val/dog/1.png", "parts/train/cat/2.png"} {
		write(t, dir, n, pngOf(t, 4, 4, red))
	}
	write(t, dir, "table/labels.csv", []byte("file,label\nb.png,7\na.png,3\n"))
	write(t, dir, "table/COPYRIGHT", []byte("of somebody"))
	write(t, dir, "table/README.md", []byte("read me"))
	for name, want := range map[string][]int{"table": {7, 3}, "classes": {0, 1}, "parts": {0, 1}} {
		for _, spec := range []string{"label_offset: 1\n", "preprocess: {order: bgr}\n"} {
			write(t, dir, "spec.yaml", []byte(spec))
			d := mustOpen(t, filepath.Join(dir, name), Options{Spec: filepath.Join(dir, "spec.yaml")})
			if diff := cmp.Diff(want, labels(d)); diff != "" || d.Kind() != Images {
				t.Errorf("%s with %q: %s %s", name, spec, d.Describe(), diff)
			}
			ps := mustInfer(t, target(1, 3, 4, 4), d)
			if len(ps) != 4 {
				t.Errorf("%s with %q: %d ways, but nothing says how pixels are scaled", name, spec, len(ps))
			}
			if p := ps[0]; p.LabelOffset != strings.Count(spec, "offset") || p.BGR != strings.Contains(spec, "bgr") {
				t.Errorf("%s with %q: %v", name, spec, p)
			}
			if (d.Calibration() != nil) != (name == "parts") {
				t.Errorf("%s with %q: calibration part %v", name, spec, d.Calibration())
			}
		}
	}
	// The same, lying in the folder.
	write(t, dir, "table/dataset.yaml", []byte("label_offset: 1\n"))
	if d := mustOpen(t, filepath.Join(dir, "table"), Options{}); d.Len() != 2 || d.Label(0) != 7 {
		t.Error(d.Describe())
	}
}

func TestSpecLiesElsewhere(t *testing.T) {
	dir := t.TempDir()
	for _, n := range []string{"pictures/in/cat/1.png", "pictures/in/dog/1.png"} {
		write(t, dir, n, pngOf(t, 4, 4, red))
	}
	write(t, dir, "specs/relative.yaml", []byte("data: ../pictures\nlabel_offset: 1\n"))
	write(t, dir, "specs/absolute.yaml", []byte("data: "+filepath.Join(dir, "pictures")+"\nfiles: in\n"))
	write(t, dir, "specs/missing.yaml", []byte("data: ../absent\n"))
	write(t, dir, "specs/dataset.yaml", []byte("data: ../pictures\n"))
	write(t, dir, "set/dataset.yaml", []byte("data: in\n"))
	write(t, dir, "set/in/x/1.png", pngOf(t, 4, 4, red))
	write(t, dir, "set/in/y/1.png", pngOf(t, 4, 4, red))
	for name, want := range map[string]string{"specs/relative.yaml": "cat", "specs/absolute.yaml": "cat", "specs/dataset.yaml": "cat", "set": "x"} {
		d := mustOpen(t, filepath.Join(dir, name), Options{})
		if d.Len() != 2 || len(d.Classes()) != 2 || d.Classes()[0] != want {
			t.Errorf("%s: %s, classes %v", name, d.Describe(), d.Classes())
		}
	}
	for name, want := range map[string]string{"specs": "leads out of the folder", "specs/missing.yaml": filepath.Join(dir, "absent")} {
		if _, err := Open(filepath.Join(dir, name), Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: want an error with %q, got %v", name, want, err)
		}
	}
}

// Specifications that name themselves or each other come to an end.
func TestSpecCycles(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "1.png", pngOf(t, 4, 4, red))
	for name, c := range map[string]struct {
		spec string
		ok   bool
	}{
		"calibration": {"calibration: a.yaml\n", true}, "files": {"files: a.yaml\n", false}, "data": {"data: a.yaml\n", false},
		"folder": {"data: .\n", true}, "calibration folder": {"calibration: .\n", true},
	} {
		write(t, dir, "a.yaml", []byte(c.spec))
		d, err := Open(filepath.Join(dir, "a.yaml"), Options{})
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
		if d != nil {
			d.Close()
		}
	}
}

func TestSpecInArchive(t *testing.T) {
	for _, at := range []string{"", "top/"} {
		var b bytes.Buffer
		z := zip.NewWriter(&b)
		for name, data := range map[string]string{"dataset.yaml": "files: clips\ndtype: int8\nscale: 2\nlabels: y.csv\n", "clips/a.bin": "\x01\xff", "clips/b.bin": "\x02\x00", "y.csv": "b;4\na;9\n"} {
			w, err := z.Create(at + name)
			if err != nil {
				t.Fatal(err)
			}
			w.Write([]byte(data))
		}
		z.Close()
		dir := t.TempDir()
		write(t, dir, "a.zip", b.Bytes())
		d := mustOpen(t, filepath.Join(dir, "a.zip"), Options{})
		if diff := cmp.Diff([]int{4, 9}, labels(d)); diff != "" {
			t.Errorf("%s %s", d.Describe(), diff)
		}
		x, err := d.Sample(1, mustInfer(t, target(1, 2), d)[0])
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]float32{2, -2}, x.F32()); diff != "" {
			t.Error(diff)
		}
	}
}

// Folders under the one in which a pattern begins are the classes, and numbers count as such.
func TestSpecPatterns(t *testing.T) {
	dir := t.TempDir()
	for _, n := range []string{"clips/10/a.i8", "clips/2/b.i8", "clips/2/COPYRIGHT", "clips/notes.txt", "other/3/c.i8"} {
		write(t, dir, n, []byte{1, 2})
	}
	for _, pattern := range []string{"clips/*/*.i8", "clips/*/*", "*/*/[ab].i8"} {
		write(t, dir, "dataset.yaml", []byte("files: \""+pattern+"\"\ndtype: int8\n"))
		d := mustOpen(t, dir, Options{})
		if pattern[0] == '*' {
			if d.Len() != 2 {
				t.Errorf("%s: %s", pattern, d.Describe())
			}
			continue
		}
		if diff := cmp.Diff([]int{10, 2}, labels(d)); diff != "" {
			t.Errorf("%s: %s %s", pattern, d.Describe(), diff)
		}
	}
}

// What a preprocessing says of itself as YAML gives the same preprocessing.
func TestPreprocessAsYAML(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "img/a/1.png", pngOf(t, 300, 280, color.RGBA{9, 99, 199, 255}))
	write(t, dir, "img/b/1.png", pngOf(t, 300, 280, red))
	write(t, dir, "raw/1.bin", []byte{1, 2, 3, 4})
	for _, c := range []struct {
		data string
		in   Target
		spec string
	}{
		{"img", target(1, 3, 224, 224), "preprocess: {resize: 250, mean: [1, 2, 3], std: [4, 5, 6], divide: 2, order: bgr}\nlabel_offset: 1\n"},
		{"img", target(1, 224, 224, 3), "preprocess: {fit: letterbox, fill: 114, divide: 1}\n"},
		{"img", target(1, 3, 224, 224), "preprocess: {divide: 255, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225]}\n"},
		{"raw", target(1, 4), "dtype: int8\nscale: 0.584703\nzero: 83\n"},
		{"raw", target(1, 4), "dtype: uint8\n"},
	} {
		write(t, dir, "s.yaml", []byte(c.spec))
		o := Options{Spec: filepath.Join(dir, "s.yaml")}
		p := mustInfer(t, c.in, mustOpen(t, filepath.Join(dir, c.data), o))[0]
		write(t, dir, "s.yaml", []byte(p.YAML()))
		q := mustInfer(t, c.in, mustOpen(t, filepath.Join(dir, c.data), o))[0]
		if !p.SameInput(q) || p.LabelOffset != q.LabelOffset {
			t.Errorf("%s: %v becomes\n%s which gives %v", c.spec, p, p.YAML(), q)
		}
	}
}

func TestFormula(t *testing.T) {
	for want, p := range map[string]Preprocess{
		"x":                                 {Divide: 1},
		"x/255":                             {Divide: 255, Mean: []float32{0}, Std: []float32{1}},
		"x/127.5 - 1":                       {Divide: 127.5, Mean: []float32{1}},
		"(x - 127.5) / 127.5":               {Divide: 1, Mean: []float32{127.5}, Std: []float32{127.5}},
		"x + 128":                           {Divide: 1, Mean: []float32{-128}},
		"x/255 / 2":                         {Divide: 255, Std: []float32{2}},
		"(x/255 - [1 2 3]) / [4 5 6]":       {Divide: 255, Mean: []float32{1, 2, 3}, Std: []float32{4, 5, 6}},
		"(x - 83)·0.584703":                 {Divide: 1, Scale: 0.584703, Zero: 83},
		"(x + 5)·0.5":                       {Divide: 1, Scale: 0.5, Zero: -5},
		"x·0.5":                             {Divide: 1, Scale: 0.5},
		"stored integers as they are":       {Divide: 1, Stored: true},
		"x, rounded to the integer input":   {Divide: 1, QScale: 1},
		"x, quantized by scale 1 zero -128": {Divide: 1, QScale: 1, QZero: -128},
	} {
		if got := p.formula(); got != want {
			t.Errorf("%+v: %q, want %q", p, got, want)
		}
	}
}

func TestLabelTablesAreNotPassedOver(t *testing.T) {
	for name, c := range map[string]struct {
		csv, file string
		want      []int
		says      string // in the description, or the error where want is nil
	}{
		"semicolons":        {"file;label\na.png;3\nb.png;1\n", "labels.csv", []int{3, 1}, "column \"label\""},
		"tabs":              {"a.png\t3\nb.png\t1\n", "labels.csv", []int{3, 1}, "column 2"},
		"with a mark":       {"\ufefffile,label\na.png,3\nb.png,1\n", "labels.csv", []int{3, 1}, "column \"label\""},
		"no endings":        {"file,label\na,3\nb,1\n", "labels.csv", []int{3, 1}, ""},
		"other folders":     {"file,label\nset/a.png,3\nset\\b.png,1\n", "labels.csv", []int{3, 1}, ""},
		"floating point":    {"file,label\na.png,10.0\nb.png,2.0\n", "labels.csv", []int{10, 2}, ""},
		"fewer":             {"file,label\nb.png,1\nx.png,2\n", "labels.csv", []int{1}, "names 1 of the 2 files, the others are left out; 1 of the 2 rows of labels.csv name no file; a single sample"},
		"none":              {"picture,label\nx.png,3\ny.png,1\n", "labels.csv", nil, `labels.csv names none of the files: none of its 2 rows names one of the 2 files (first row: "picture, label")`},
		"no table":          {"nothing\n", "labels.csv", nil, "has no rows"},
		"ragged":            {"file,label\na.png\n", "labels.csv", nil, "row 2 has 1 fields, the first has 2"},
		"word":              {"file,label\na.png,1\nb.png,two\n", "labels.csv", nil, `row 3: label "two" is not a class number`},
		"something else":    {"x,y\n1,2\n", "measured.csv", []int{}, "measured.csv names none of the files"},
		"words are counted": {"file,label\na.png,yes\nb.png,no\n", "labels.csv", []int{1, 0}, "words in sorted order (0 = no)"},
	} {
		dir := t.TempDir()
		write(t, dir, "a.png", pngOf(t, 4, 4, red))
		write(t, dir, "b.png", pngOf(t, 4, 4, red))
		write(t, dir, c.file, []byte(c.csv))
		d, err := Open(dir, Options{})
		if c.want == nil {
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%s: want an error with %q, got %v", name, c.says, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var got []int
		if d.HasLabels() {
			got = labels(d)
		}
		if len(got) != len(c.want) || len(got) > 0 && !cmp.Equal(c.want, got) || !strings.Contains(d.Describe(), c.says) {
			t.Errorf("%s: %s with labels %v, want %v and %q", name, d.Describe(), got, c.want, c.says)
		}
		d.Close()
	}
}

func TestErrorsNameFiles(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "broken/a/1.png", []byte("no picture"))
	write(t, dir, "broken/b/1.png", []byte("no picture"))
	write(t, dir, "raw/1.bin", []byte{1, 2, 3})
	write(t, dir, "y/1.png", pngOf(t, 4, 4, red))
	write(t, dir, "y/dataset.yaml", []byte("labels: y.csv\n"))
	write(t, dir, "n/1.png", pngOf(t, 4, 4, red))
	write(t, dir, "n/dataset.yaml", []byte("files: \"*.jpg\"\n"))
	for name, want := range map[string]string{
		"broken": "a/1.png: ", "raw": "1.bin: 3 bytes do not fill the input float32[1x3x4x4], which takes 192",
		"y": "there is no file y.csv", "n": `files "*.jpg" match none of the 2 files`, "absent": filepath.Join(dir, "absent") + ": no such file",
	} {
		d, err := Open(filepath.Join(dir, name), Options{})
		if err == nil {
			var ps []Preprocess
			if ps, err = Infer(target(1, 3, 4, 4), d); err == nil {
				_, err = d.Sample(0, ps[0])
			}
			d.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "openat") {
			t.Errorf("%s: want an error with %q, got %v", name, want, err)
		}
	}
}

func TestReadClassNames(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"lines.txt": "ant\r\nbee\r\ncat\r\n", "labels.csv": "file,label,name\n1.png,2,cat\n2.png,0,ant\n3.png,1,bee\n", "names.csv": "ant\nbee\ncat\n",
	} {
		write(t, dir, name, []byte(text))
		got, err := ReadClassNames(filepath.Join(dir, name))
		if diff := cmp.Diff([]string{"ant", "bee", "cat"}, got); err != nil || diff != "" {
			t.Errorf("%s: %v %s", name, err, diff)
		}
	}
	write(t, dir, "odd.csv", []byte("a,b\nc,d\n"))
	if _, err := ReadClassNames(filepath.Join(dir, "odd.csv")); err == nil || !strings.Contains(err.Error(), "columns: a, b") {
		t.Error(err)
	}
	names, err := ReadClassNames(testdata.Path(t, "imagenet", "labels.csv"))
	if err != nil || len(names) < 999 || names[0] != "tench" || names[2] != "great_white_shark" {
		t.Errorf("%d names, %v", len(names), err)
	}
}

// Keys given beside data go over those of its own specification one by one, and what they
// leave out of it counts: the part for training above all.
func TestGivenKeysGoOverItsOwn(t *testing.T) {
	two := 2
	one, half := float32(1), float32(0.5)
	own := Spec{DType: "uint8", Shape: []int{1}, Scale: 1, Zero: 1, LabelColumn: "a", LabelOffset: &two, Calibration: "c", Columns: []string{"a"},
		Target: []string{"input"}, Group: "g", Window: 3, Stride: 4, Normalize: "standard", Preprocess: &SpecPreprocess{Order: "bgr", Fit: "crop"}}
	for name, c := range map[string]struct{ given, want Spec }{
		"window":    {Spec{Window: 7}, func() Spec { w := own; w.Window = 7; return w }()},
		"hold_out":  {Spec{HoldOut: []string{"x"}}, func() Spec { w := own; w.HoldOut = []string{"x"}; return w }()},
		"columns":   {Spec{Columns: []string{"b", "c"}}, func() Spec { w := own; w.Columns = []string{"b", "c"}; return w }()},
		"normalize": {Spec{Normalize: "min-max"}, func() Spec { w := own; w.Normalize = "min-max"; return w }()},
		"preprocess": {Spec{Preprocess: &SpecPreprocess{Fit: "stretch", Divide: &half}}, func() Spec {
			w := own
			w.Normalize = ""
			w.Preprocess = &SpecPreprocess{Order: "bgr", Fit: "stretch", Divide: &half}
			return w
		}()},
	} {
		got, err := c.given.over(&own)
		if diff := cmp.Diff(&c.want, got); err != nil || diff != "" {
			t.Errorf("%s: %v %s", name, err, diff)
		}
	}
	scaled := Spec{Window: 1, Preprocess: &SpecPreprocess{Mean: []float32{3}, Std: []float32{4}, Order: "bgr"}}
	got, err := (&Spec{Preprocess: &SpecPreprocess{Divide: &one}}).over(&scaled)
	if err != nil || got.Preprocess.Mean != nil || got.Preprocess.Order != "bgr" || scaled.Preprocess.Mean == nil {
		t.Errorf("divide over mean and std, which are one: %+v, %v", got.Preprocess, err)
	}
	if _, err := (&Spec{Stride: 2}).over(&Spec{}); err == nil || !strings.Contains(err.Error(), "stride") {
		t.Errorf("a stride without window: %v", err)
	}
}

func TestGivenKeysOverEverySource(t *testing.T) {
	dir := t.TempDir()
	files := map[string]string{"judged/a.csv": "v,w\n1,2\n3,4\n", "learned/b.csv": "v,w\n5,6\n7,8\n9,10\n"}
	for name, text := range files {
		write(t, dir, "d/"+name, []byte(text))
	}
	const text = "files: judged\ncalibration: learned\ncolumns: [v]\nwindow: 1\n"
	write(t, dir, "d/dataset.yaml", []byte(text))
	write(t, dir, "my.yaml", []byte("data: d\n"+text))
	files["dataset.yaml"] = text
	var z bytes.Buffer
	w := zip.NewWriter(&z)
	for _, name := range []string{"judged/a.csv", "learned/b.csv", "dataset.yaml"} {
		m, err := w.Create(name)
		if err == nil {
			_, err = m.Write([]byte(files[name]))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	write(t, dir, "d.zip", z.Bytes())
	for _, name := range []string{"d", "my.yaml", "d/dataset.yaml", "d.zip"} {
		d, err := Open(filepath.Join(dir, name), Options{Given: &Spec{Normalize: "standard", Target: []string{"w"}}})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		defer d.Close()
		if c := d.Calibration(); c == nil || d.Len() != 2 || c.Len() != 3 || d.scale == nil || d.scale.mean[0] != 7 || !c.HasTargets() {
			t.Errorf("%s: %s, trained on %v", name, d.Describe(), c)
		}
		if d, err := Open(filepath.Join(dir, name), Options{Given: &Spec{HoldOut: []string{"20%"}}}); err == nil {
			d.Close()
			t.Errorf("%s: divided twice", name)
		} else if !strings.Contains(err.Error(), "already divided") {
			t.Error(err)
		}
	}
}
