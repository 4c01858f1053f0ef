package recipe

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/edgewise-ml/edgewise/internal/dataset"
	"github.com/edgewise-ml/edgewise/tensor"
)

// pupil is a recipe by which another small network learns from the one that text trains,
// whose file says how it takes its input: otherwise than the student.
const pupil = `
distill: {teacher: out/model.onnx, losses: [{kind: dkd, beta: 1, warmup: 12}, {kind: hint, teacher: relu, student: relu, weight: 0.1}]}
data: {data: DATA, preprocess: {divide: 1, mean: [100], std: [60]}}
output: learnt
seed: 9
`

// school trains the teacher and returns the folder.
func school(t *testing.T) string {
	t.Helper()
	r := folder(t, text)
	run(t, r, Options{})
	return r.dir
}

func write(t *testing.T, dir, name, text string) *Recipe {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	r, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestDistilling(t *testing.T) {
	dir := school(t)
	var notes []string
	r := write(t, dir, "pupil.yaml", with(strings.Replace(pupil, "DATA", "bright.npz", 1)))
	result := run(t, r, Options{Progress: func(e Event) { notes = append(notes, e.Note) }})
	if result.Test == nil || *result.Test.Accuracy < 0.95 {
		t.Errorf("test %+v, want 0.95", result.Test)
	}
	if all := strings.Join(notes, "\n"); !strings.Contains(all, "teacher: out/model.onnx") {
		t.Errorf("the notes do not name the teacher:\n%s", all)
	}
	// The teacher's own preprocessing holds for it, not that of the recipe.
	j := &job{r: r, threads: 1}
	var err error
	if j.out, err = openOutput(r); err != nil {
		t.Fatal(err)
	}
	defer j.out.close()
	if err := j.prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer j.parts.close()
	teacher, err := r.openTeacher()
	if err != nil {
		t.Fatal(err)
	}
	d, err := j.distillation(t.Context(), teacher)
	if err != nil {
		t.Fatal(err)
	}
	// (v/255 - 0.4)/0.2 of (v - 100)/60
	if s, o := d.Input.Scale[0], d.Input.Shift[0]; s < 1.17 || s > 1.18 || o > -0.03 || o < -0.04 {
		t.Errorf("the teacher's input is the student's times %v, plus %v; want 1.176 and -0.039", s, o)
	}
}

// TestATeacherWithoutMetadata takes the original, which says nothing of its input, as a
// teacher: what data says of the student does not hold for it.
func TestATeacherWithoutMetadata(t *testing.T) {
	r := folder(t, with(strings.Replace(strings.Replace(pupil, "out/model.onnx", "small.onnx", 1), "DATA", "bright.npz", 1)))
	for _, c := range []struct {
		given *dataset.SpecPreprocess
	}{{nil}, {&dataset.SpecPreprocess{Mean: []float32{10}, Std: []float32{30}, Divide: new(float32(1))}}} {
		r.Distill.Preprocess = c.given
		j := &job{r: r, threads: 1}
		var err error
		if j.out, err = openOutput(r); err != nil {
			t.Fatal(err)
		}
		if err := j.prepare(t.Context()); err != nil {
			t.Fatal(err)
		}
		teacher, err := r.openTeacher()
		if err != nil {
			t.Fatal(err)
		}
		d, err := j.distillation(t.Context(), teacher)
		if err != nil {
			t.Fatal(err)
		}
		if s := d.Input.Scale; c.given == nil && s == nil || c.given != nil && (s == nil || s[0] < 1.99 || s[0] > 2.01) {
			t.Errorf("%+v: the teacher's input is the student's times %v", c.given, s)
		}
		j.parts.close()
		j.out.close()
	}
}

// TestDistillingIntoIntegers lets a network in integers learn from its original in floating
// point, which is its teacher and its beginning.
func TestDistillingIntoIntegers(t *testing.T) {
	dir := school(t)
	r := write(t, dir, "integers.yaml", with(`
model: out/model.onnx
distill: {teacher: out/model.onnx, losses: [kd], hard: 0}
quantize: {weights: 4}
optimizer: {kind: adam, rate: 1e-3}
epochs: 2
output: integers
`))
	got := run(t, r, Options{})
	if got.Quantization == nil || got.Quantization.Bits != 4 || *got.Test.Accuracy < 0.95 {
		t.Errorf("%+v with %+v, want 4 bits and 95 %%", got, got.Quantization)
	}
	if first, last := got.History[0].Loss, got.History[len(got.History)-1].Loss; last > first {
		t.Errorf("the distance from the teacher rose from %v to %v", first, last)
	}
}

func TestDistillingWithoutLabels(t *testing.T) {
	dir := school(t)
	x, _ := bright(4, 150)
	var npz bytes.Buffer
	if err := tensor.WriteNPZ(&npz, map[string]*tensor.Tensor{"x": x}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "unlabelled.npz"), npz.Bytes(), 0o666); err != nil {
		t.Fatal(err)
	}
	text := with(strings.Replace(pupil, "DATA", "unlabelled.npz", 1))
	r := write(t, dir, "pupil.yaml", text)
	if result := run(t, r, Options{}); result.Test != nil || result.History[3].Loss >= result.History[0].Loss {
		t.Errorf("history %+v: the loss against the teacher did not fall", result.History)
	}
	r = write(t, dir, "wanting.yaml", strings.Replace(text, "losses:", "hard: 0.5, losses:", 1))
	if _, err := Run(t.Context(), r, Options{}); err == nil || !strings.Contains(err.Error(), "no labels") {
		t.Errorf("error %v does not say that labels are wanting", err)
	}
}

func TestDistillingSomeClasses(t *testing.T) {
	dir := school(t)
	r := write(t, dir, "pupil.yaml", with(strings.Replace(strings.Replace(pupil, "data: DATA", "data: bright.npz, classes: [2, 0]", 1), "{kind: dkd, beta: 1, warmup: 12}", "kd", 1)))
	r.Model = "zoo:resnet8"
	if _, err := Run(t.Context(), r, Options{}); err == nil || !strings.Contains(err.Error(), "does not fill the input [1 3 32 32]") {
		t.Errorf("a network for colours learns from grey: %v", err)
	}
	r.Model = "small.onnx"
	if _, err := Run(t.Context(), r, Options{}); err == nil || !strings.Contains(err.Error(), "do not compare") {
		t.Errorf("error %v: three scores do not compare with two", err)
	}
	j := &job{r: r}
	var err error
	if j.parts, err = r.openData(); err != nil {
		t.Fatal(err)
	}
	defer j.parts.close()
	if got, err := j.taught(1); err != nil || len(got) != 2 || got[0] != 3 || got[1] != 1 {
		t.Errorf("the teacher's classes are %v, %v; want 3 and 1", got, err)
	}
}

func TestDistillSections(t *testing.T) {
	for keys, want := range map[string]string{
		"distill: {losses: [kd]}":                                                        "no teacher is named",
		"distill: {teacher: t.onnx, losses: [kdd]}":                                      `"kdd" is not one of kd`,
		"distill: {teacher: t.onnx, losses: [{kind: kd, temprature: 4}]}":                "temperature",
		"distill: {teacher: t.onnx, losses: [{kind: hint}]}":                             "name one of the teacher",
		"distill: {teacher: t.onnx, hard: -1}":                                           "is no weight",
		"distill: {teacher: t.onnx, losses: [{kind: dkd, alpha: .inf}]}":                 "alpha",
		"distill: {teacher: t.onnx, losses: [{kind: attention, teacher: a, weight: q}]}": "weight",
	} {
		path := filepath.Join(t.TempDir(), "r.yaml")
		if err := os.WriteFile(path, []byte(with(keys)), 0o666); err != nil {
			t.Fatal(err)
		}
		if _, err := Read(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v does not say %q", keys, err, want)
		}
	}
}
