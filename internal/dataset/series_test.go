package dataset

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/edgewise-ml/edgewise/internal/testdata"
	"github.com/edgewise-ml/edgewise/tensor"
)

// inFolder writes files, of which my.yaml is opened.
func inFolder(t *testing.T, files map[string]string) (*Dataset, error) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		write(t, dir, name, []byte(text))
	}
	d, err := Open(filepath.Join(dir, "my.yaml"), Options{})
	if err == nil {
		t.Cleanup(func() { d.Close() })
	}
	return d, err
}

func opened(t *testing.T, files map[string]string) *Dataset {
	t.Helper()
	d, err := inFolder(t, files)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func allTargets(d *Dataset) (out [][]float32) {
	for i := range d.Len() {
		out = append(out, d.Target(i))
	}
	return out
}

func sampleOf(t *testing.T, d *Dataset, i int, shape ...int) []float32 {
	t.Helper()
	x, err := d.Sample(i, mustInfer(t, target(shape...), d)[0])
	if err != nil {
		t.Fatal(err)
	}
	return x.F32()
}

func TestWindows(t *testing.T) {
	const rows = "who,a,b,load,state\nx,1,10,100,run\ny,7,70,700,run\nx,2,20,200,run\nx,3,30,300,rest\ny,8,80,800,rest\nx,4,40,400,rest\nx,5,50,500,run\n"
	d := opened(t, map[string]string{"m.csv": rows, "my.yaml": "data: m.csv\ngroup: who\ntarget: [load, b]\nlabel_column: state\nwindow: 2\nstride: 2\ntarget_limit: 350\n"})
	if diff := cmp.Diff([][]float32{{200, 20}, {350, 40}, {350, 80}}, allTargets(d)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]int{1, 0, 0}, labels(d)); diff != "" {
		t.Error("labels at the ends of windows:", diff)
	}
	if diff := cmp.Diff([]float32{3, 4}, sampleOf(t, d, 1, 1, 1, 2)); diff != "" {
		t.Error(diff)
	}
	for i, want := range []string{"x", "x", "y"} {
		if got, _ := d.Series(i); got != want {
			t.Errorf("sample %d is of series %q, want %q", i, got, want)
		}
	}
	// Without the columns that other keys name, a is the only feature. With both named:
	d = opened(t, map[string]string{"m.csv": rows, "my.yaml": "data: m.csv\ngroup: who\ncolumns: [b, a]\nwindow: 2\n"})
	if diff := cmp.Diff([]float32{10, 20, 1, 2}, sampleOf(t, d, 0, 1, 2, 2)); diff != "" {
		t.Error("columns first:", diff)
	}
	d = opened(t, map[string]string{"m.csv": rows, "my.yaml": "data: m.csv\ngroup: who\ncolumns: [b, a]\nwindow: 3\n"})
	if diff := cmp.Diff([]float32{10, 1, 20, 2, 30, 3}, sampleOf(t, d, 0, 1, 3, 2)); diff != "" {
		t.Error("rows first:", diff)
	}
	if diff := cmp.Diff([]float32{20, 2, 30, 3, 40, 4}, sampleOf(t, d, 1, 1, 6)); diff != "" {
		t.Error("flat:", diff)
	}
	if !strings.Contains(d.Describe(), "1 of 2 series are shorter than a window") {
		t.Error(d.Describe())
	}
	if _, err := Infer(target(1, 3, 3), d); err == nil || !strings.Contains(err.Error(), "3 rows of 2 columns") {
		t.Errorf("an input of another size: %v", err)
	}
}

// Files are series each, and what is held out may be one of them or the end of all.
func TestHoldOut(t *testing.T) {
	files := map[string]string{"logs/a.csv": "v\n1\n2\n3\n4\n", "logs/b.csv": "v\n11\n12\n13\n14\n"}
	for rule, want := range map[string]struct {
		judged []float32
		train  int
	}{
		"b.csv":   {[]float32{11, 12, 12, 13, 13, 14}, 3},
		"50%":     {[]float32{2, 3, 3, 4, 12, 13, 13, 14}, 2},
		"[c, b*]": {[]float32{11, 12, 12, 13, 13, 14}, 3},
	} {
		files["my.yaml"] = fmt.Sprintf("files: logs\nwindow: 2\ntarget: input\nnormalize: standard\nhold_out: %s\n", rule)
		d := opened(t, files)
		var got []float32
		p := mustInfer(t, target(1, 2), d)[0]
		for i := range d.Len() {
			x, err := d.Sample(i, p)
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range x.F32() {
				got = append(got, v*p.Std[0]+p.Mean[0])
			}
		}
		if diff := cmp.Diff(want.judged, got); diff != "" || d.Calibration().Len() != want.train || !d.TargetIsInput() {
			t.Errorf("%s: %s: %s", rule, d.Describe(), diff)
		}
		if rule == "b.csv" && (p.Mean[0] != 2.5 || p.Std[0]*p.Std[0] < 1.249 || p.Std[0]*p.Std[0] > 1.251) {
			t.Errorf("mean %v and deviation %v are not those of the training part 1, 2, 3, 4", p.Mean, p.Std)
		}
	}
}

func TestHeldShareOfPlainSamples(t *testing.T) {
	files := map[string]string{"my.yaml": "files: '*.wav'\nhold_out: 30%\n"}
	for i := range 10 {
		files[fmt.Sprintf("%d_ann_1.wav", i)] = string(wavFile(1, 16, make([]byte, 16)))
	}
	d := opened(t, files)
	all := append(labels(d), labels(d.Calibration())...)
	slices.Sort(all)
	if diff := cmp.Diff([]int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, all); diff != "" || d.Len() != 3 {
		t.Errorf("%s: %s", d.Describe(), diff)
	}
}

func TestEpisodes(t *testing.T) {
	var rows strings.Builder
	rows.WriteString("at,v\n")
	for i := range 10 {
		fmt.Fprintf(&rows, "2026-01-01 00:%02d:00,%d\n", 5*i, i)
	}
	d := opened(t, map[string]string{"m.csv": rows.String(), "faults.json": `{"other/m.csv": [["2026-01-01 00:31:00.000000", "2026-01-01 00:40:00"], ["2026-01-01 00:00:00", "2026-01-01 00:02:00"]]}`,
		"my.yaml": "data: m.csv\ntime: at\nwindow: 3\nhold_out: 50%\nanomalies: faults.json\n"})
	e, known := d.Episodes()
	want := []Episode{{"m.csv", "2026-01-01 00:31:00.000000", "2026-01-01 00:40:00", []int{2, 3}}}
	if diff := cmp.Diff(want, e); diff != "" || !known {
		t.Error("the one that lies in the training part counts nothing:", diff)
	}
	if _, at := d.Series(2); at != "2026-01-01 00:35:00" {
		t.Errorf("time %q", at)
	}
}

func TestTargetArray(t *testing.T) {
	dir := t.TempDir()
	f, err := os.Create(filepath.Join(dir, "d.npz"))
	if err != nil {
		t.Fatal(err)
	}
	err = tensor.WriteNPZ(f, map[string]*tensor.Tensor{"x": tensor.Of([]float32{1, 2, 3, 4}, 2, 2), "depth": tensor.Of([]float64{0.5, 9}, 2)})
	if err != nil || f.Close() != nil {
		t.Fatal(err)
	}
	write(t, dir, "my.yaml", []byte("data: d.npz\ntarget: depth\ntarget_limit: 2\n"))
	d := mustOpen(t, filepath.Join(dir, "my.yaml"), Options{})
	if diff := cmp.Diff([][]float32{{0.5}, {2}}, allTargets(d)); diff != "" || d.HasLabels() {
		t.Error(diff)
	}
	if diff := cmp.Diff([][]float32{{2}}, allTargets(d.Subset([]int{1}))); diff != "" {
		t.Error("of a part:", diff)
	}
	write(t, dir, "my.yaml", []byte("data: d.npz\ntarget: width\n"))
	if _, err := Open(filepath.Join(dir, "my.yaml"), Options{}); err == nil || !strings.Contains(err.Error(), `no array "width" (arrays: depth, x)`) {
		t.Error(err)
	}
}

func TestSeriesRefused(t *testing.T) {
	const m = "at,who,v\n1,a,1\n2,a,2\n3,b,3\n"
	for _, c := range []struct{ yaml, want string }{
		{"window: 9\ncolumns: v", "no series is as long as a window of 9 rows"},
		{"window: -1", "must not be negative"},
		{"stride: 2", "`window: 32` gives the rows"},
		{"columns: [v, w]", `columns: there is no column "w" (columns: at, who, v)`},
		{"columns: [v, 3]", "stands there twice"},
		{"window: 1", `row 2, column "who": "a" is not a number; hint`},
		{"group: whose", `group: there is no column "whose"`},
		{"target: x", `target: there is no column "x"`},
		{"window: 1\ncolumns: v\nwindows: some", "is not all or last"},
		{"columns: v\nnormalize: max", "is not min-max or standard"},
		{"columns: v\nnormalize: standard\npreprocess: {divide: 2}", "keep one"},
		{"columns: v\ntarget: input\nremaining: m.csv", "belong to a target"},
		{"columns: v\ntarget: remaining\nremaining: ../m.csv", "leads out"},
		{"columns: v\ntarget: remaining\nremaining: m.csv", "has 3 rows for 1 series"},
		{"columns: v\ngroup: who\nhold_out: c", "keeps 0 of 3 samples, which leaves nothing to judge"},
		{"columns: v\ngroup: who\nhold_out: '*'", "nothing to train on"},
		{"columns: v\nhold_out: '120%'", "is not one percentage"},
		{"columns: v\nhold_out: '[x'", "syntax error in pattern"},
		{"columns: v\nhold_out: b\ncalibration: m.csv", "already divided"},
		{"columns: v\nwindow: 1\nanomalies: f.csv", "`time` names its column"},
		{"columns: v\nwindow: 1\ntime: at\nanomalies: m.csv", "has no columns start and end"},
		{"columns: v\nwindow: 1\ntime: who\nanomalies: f.csv", "neither a number nor a time"},
		{"columns: v\nwindow: 1\ntime: at\nanomalies: f.csv", "3 is after 2"},
		{"columns: v\nwindow: 1\ntime: at\nanomalies: f.json", "is not of the form"},
	} {
		_, err := inFolder(t, map[string]string{"m.csv": m, "f.csv": "start,end\n3,2\n", "f.json": "[1]", "my.yaml": "data: m.csv\n" + c.yaml + "\n"})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want %q", c.yaml, err, c.want)
		}
	}
	_, err := inFolder(t, map[string]string{"a.csv": m, "b.csv": "v\n1\nNaN\n", "my.yaml": "files: '*.csv'\nwindow: 1\ncolumns: v\n"})
	if err == nil || !strings.Contains(err.Error(), `b.csv: row 3, column "v": "NaN" is not a number`) {
		t.Error(err)
	}
	clip := wavFile(1, 16, make([]byte, 16))
	if _, err := inFolder(t, map[string]string{"a.wav": string(clip), "my.yaml": "files: '*.wav'\nanomalies: x.csv\nwindow: 2\ntime: t\n"}); err == nil {
		t.Error("sounds taken for a table")
	}
	if _, err := inFolder(t, map[string]string{"a.wav": string(clip), "my.yaml": "normalize: standard\n"}); err == nil {
		t.Error("sounds normalized by columns")
	}
}

// The turbofan set: 100 engines to train on, 100 that are judged by their last window.
func TestTurbofan(t *testing.T) {
	at := testdata.Path(t, "series", "cmapss")
	dir := t.TempDir()
	write(t, dir, "my.yaml", []byte(fmt.Sprintf(`data: %s
files: test_FD001.txt
calibration: train_FD001.txt
group: unit_number
columns: [s2, s3, s4, s7, s8, s9, s11, s12, s13, s14, s15, s17, s20, s21]
window: 30
windows: last
target: remaining
target_limit: 125
remaining: RUL_FD001.txt
normalize: min-max
`, at)))
	d := mustOpen(t, filepath.Join(dir, "my.yaml"), Options{})
	if d.Len() != 100 || d.Calibration().Len() != 20631-100*29 {
		t.Errorf("%s; %d for training", d.Describe(), d.Calibration().Len())
	}
	if got := d.Target(0)[0]; got != 112 {
		t.Errorf("engine 1 has %v cycles left, want 112", got)
	}
	x := sampleOf(t, d, 0, 1, 14, 30)
	for i, v := range x {
		if v < -1.5 || v > 1.5 {
			t.Fatalf("value %d is %v after min-max by the training part", i, v)
		}
	}
}
