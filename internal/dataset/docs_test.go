package dataset

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/edgewise-ml/edgewise/internal/strictyaml"
)

// The examples of the documentation are opened as they stand there, over data such as they
// speak of.
func TestDocumentedExamples(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join("..", "..", "docs", "dataset.md"))
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllSubmatch(doc, -1)
	img, clip := pngOf(t, 300, 260, red), wavFile(1, 16, make([]byte, 1600))
	cases := []struct {
		files map[string][]byte
		in    Target
		want  Preprocess
		label []int
		train int
	}{
		{
			map[string][]byte{"pictures/ant/1.png": img, "pictures/bee/1.png": img, "pictures/COPYRIGHT": nil}, target(1, 3, 224, 224),
			Preprocess{Shape: []int{1, 3, 224, 224}, Layout: "NCHW", Width: 224, Height: 224, Channels: 3, Fit: Crop, Resize: 256, Divide: 255,
				Mean: []float32{0.485, 0.456, 0.406}, Std: []float32{0.229, 0.224, 0.225}, LabelOffset: 1}, []int{0, 1}, 0,
		},
		{
			map[string][]byte{"a.bin": make([]byte, 490), "b.bin": make([]byte, 490), "y_labels.csv": []byte("b.bin,12,7\na.bin,12,2\n")}, target(1, 49, 10, 1),
			Preprocess{Shape: []int{1, 49, 10, 1}, Divide: 1, From: "int8", Scale: 0.584703, Zero: 83}, []int{7, 2}, 0,
		},
		{
			map[string][]byte{"walks.csv": []byte("x,activity,y\n1,run,2\n3,sit,4\n"), "more.csv": []byte("x;activity;y\n1;run;2\n")}, target(1, 2),
			Preprocess{Shape: []int{1, 2}, Divide: 1}, []int{0, 1}, 1,
		},
		{
			map[string][]byte{"heard/yes/1.wav": clip, "heard/no/1.wav": clip, "practice/yes/2.wav": clip, "practice/zero/3.wav": clip}, target(1, 1600),
			Preprocess{Shape: []int{1, 1600}, Divide: 1, Rate: 16000}, []int{0, 1}, 2,
		},
		{
			map[string][]byte{"clips/3_ann_0.wav": clip, "clips/3_ann_5.wav": clip, "clips/7_ann_12.wav": clip, "clips/7_bob_4.wav": clip}, target(1, 1600),
			Preprocess{Shape: []int{1, 1600}, Divide: 1, Rate: 8000}, []int{3, 7}, 2,
		},
		{
			map[string][]byte{"seen.txt": []byte("unit heat pressure \n1 9 1\n1 9 2\n1 8 3 \n"), "left.txt": []byte("cycles\n  20\n"),
				"failed.txt": []byte("unit heat pressure\n1 0 1\n1 5 1\n2 1 4\n1 10 2\n1 10 3\n2 1 5\n2 2 6\n")}, target(1, 2, 3),
			Preprocess{Shape: []int{1, 2, 3}, Layout: "NCW", Width: 3, Channels: 2, Divide: 1, Mean: []float32{3.5, 5}, Std: []float32{2.5, 5}}, nil, 3,
		},
		{
			map[string][]byte{"sensor.csv": []byte("timestamp,value\n2026-01-01 00:00:00,1\n2026-01-01 00:05:00,3\n2026-01-01 00:10:00,9\n2026-01-01 00:15:00,1\n2026-01-01 00:20:00,1\n"),
				"faults.csv": []byte("start,end\n2026-01-01 00:09:00,2026-01-01 00:12:00\n")}, target(1, 2),
			Preprocess{Shape: []int{1, 2}, Layout: "NCW", Width: 2, Channels: 1, Divide: 1, Mean: []float32{2}, Std: []float32{1}}, nil, 1,
		},
	}
	if len(blocks) != len(cases) {
		t.Fatalf("%d examples, %d are known here", len(blocks), len(cases))
	}
	for i, c := range cases {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			dir := t.TempDir()
			for name, data := range c.files {
				write(t, dir, name, data)
			}
			write(t, dir, "my.yaml", blocks[i][1])
			d := mustOpen(t, filepath.Join(dir, "my.yaml"), Options{})
			if diff := cmp.Diff(c.label, labels(d)); diff != "" {
				t.Errorf("%s: %s", d.Describe(), diff)
			}
			n := 0
			if tr := d.Calibration(); tr != nil {
				n = tr.Len()
				if i == 3 && tr.Label(0) != 1 {
					t.Errorf("calibration numbers classes otherwise: %d", tr.Label(0))
				}
			}
			if n != c.train {
				t.Errorf("%d samples for calibration, want %d", n, c.train)
			}
			ps := mustInfer(t, c.in, d)
			c.want.DType = "float32"
			if len(ps) != 1 || !ps[0].SameInput(c.want) || ps[0].LabelOffset != c.want.LabelOffset {
				t.Errorf("%v, want %v", ps, c.want)
			}
			if _, err := d.Sample(0, ps[0]); err != nil {
				t.Error(err)
			}
		})
	}
}

// Every key there is stands in the documentation.
func TestDocumentedKeys(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join("..", "..", "docs", "dataset.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range append(strictyaml.Keys(reflect.TypeFor[Spec]()), strictyaml.Keys(reflect.TypeFor[SpecPreprocess]())...) {
		if !regexp.MustCompile("(?m)^\\|[^|]*`" + k + "`").Match(doc) {
			t.Errorf("docs/dataset.md has no row for %s", k)
		}
	}
}
