package optimize

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/edgewise-ml/edgewise/internal/cpu"
	"github.com/edgewise-ml/edgewise/internal/dataset"
	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/onnx"
	"github.com/edgewise-ml/edgewise/internal/testdata"
	"github.com/edgewise-ml/edgewise/internal/witness"
	"github.com/edgewise-ml/edgewise/tensor"
)

// notes shows findings in the test's output.
type notes struct{ t *testing.T }

func (l notes) Update(e Event) {
	if e.Note != "" {
		l.t.Log(e.Note)
	}
}

// optimized runs cfg into a fresh folder and checks what holds for every run.
func optimized(t *testing.T, cfg Config) *Result {
	t.Helper()
	cfg.Progress, cfg.turn = notes{t}, time.Millisecond
	if cfg.Out == "" {
		cfg.Out = filepath.Join(t.TempDir(), "out")
	}
	r, err := Run(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	var table bytes.Buffer
	if err := r.Table(&table, 100, false); err != nil {
		t.Fatal(err)
	}
	t.Logf("\n%s", &table)
	for _, line := range strings.Split(table.String(), "\n") {
		if len([]rune(line)) > 100 && !strings.HasPrefix(line, "written to") {
			t.Errorf("line of the table is wider than the terminal: %q", line)
		}
	}
	checkFiles(t, r)
	return r
}

// checkFiles holds the written files against the result.
func checkFiles(t *testing.T, r *Result) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(r.Out, "report.json"))
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Original map[string]any   `json:"original"`
		Points   []map[string]any `json:"points"`
		Picked   string           `json:"picked"`
	}
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	found := false
	for _, p := range append(got.Points, got.Original) {
		for _, key := range []string{"name", "file", "accuracy", "samples", "latency_ms_p50", "latency_ms_p95", "size_bytes", "arena_bytes", "origin"} {
			if p[key] == nil {
				t.Errorf("report.json: point %v has no %s", p["name"], key)
			}
		}
		found = found || p["name"] == got.Picked
	}
	if !found {
		t.Errorf("report.json: there is no point %q", got.Picked)
	}
	for _, p := range got.Points {
		name := filepath.Join(r.Out, p["file"].(string))
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if float64(info.Size()) != p["size_bytes"] {
			t.Errorf("%s has %d bytes, the report says %v", name, info.Size(), p["size_bytes"])
		}
		if _, err := onnx.Read(name, onnx.ReadOptions{}); err != nil {
			t.Error(err)
		}
	}
	g, err := onnx.Read(filepath.Join(r.Out, "model.onnx"), onnx.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{dataset.MetaKey, MetaVersion, MetaHow, MetaProof} {
		if g.Meta[key] == "" {
			t.Errorf("model.onnx has no metadata %s", key)
		}
	}
	page, err := os.ReadFile(filepath.Join(r.Out, "report.html"))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{"http://", "https://", "src=", "@import"} {
		if bytes.Contains(page, []byte(s)) {
			t.Errorf("report.html refers to something outside by %s", s)
		}
	}
	for _, s := range []string{"<svg", "measured", "samples", "</html>"} {
		if !bytes.Contains(page, []byte(s)) {
			t.Errorf("report.html lacks %s", s)
		}
	}
	checkNoLeftovers(t, r.Out)
}

func checkNoLeftovers(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), stagePrefix) {
			t.Errorf("%s is left behind", e.Name())
		}
	}
}

// bounded checks that the int8 point and the picked one lose at most drop points.
func bounded(t *testing.T, r *Result, drop float64) {
	t.Helper()
	if !r.Report.Met {
		t.Error("the bound does not hold")
	}
	for _, name := range []string{"int8", r.Report.Picked} {
		if p := r.Report.Point(name); p == nil || *p.Drop > drop {
			t.Errorf("%s: %+v", name, p)
		}
	}
}

func TestExample(t *testing.T) {
	r := optimized(t, Config{MaxDrop: 0.5, Limit: 800})
	bounded(t, r, 0.5)
	o, p := r.Report.Original, r.Report.Point("int8")
	if *o.Accuracy < 0.95 || o.Samples != 800 {
		t.Errorf("original: %.3f of %d samples", *o.Accuracy, o.Samples)
	}
	if p.Size*2 > o.Size || p.Arena >= o.Arena {
		t.Errorf("int8 takes %d bytes and an arena of %d, the original %d and %d", p.Size, p.Arena, o.Size, o.Arena)
	}
	if len(r.Report.Layers) < 13 || r.Report.Confusion == nil {
		t.Errorf("%d layers, confusion %v", len(r.Report.Layers), r.Report.Confusion)
	}
	agrees(t, r, 100)
}

// agrees checks that ONNX Runtime decides as Edgewise did on the first n samples.
func agrees(t *testing.T, r *Result, n int) {
	t.Helper()
	w, err := witness.Locate()
	if err != nil && !testdata.Required() {
		t.Logf("not compared with ONNX Runtime: %v", err)
		return
	}
	_ = w
	c := witness.Find(t)
	f := r.job.eval
	n = min(n, f.len())
	same := 0
	out := r.Graph.Outputs[r.job.task.output].Name
	want := r.picked.score.decisions
	for i := range n {
		x, err := f.get(i)
		if err != nil {
			t.Fatal(err)
		}
		y, err := c.Run(witness.ORT, filepath.Join(r.Out, "model.onnx"), map[string]*tensor.Tensor{f.input: x})
		if err != nil {
			t.Fatal(err)
		}
		if int32(decide(y[out])) == want[i] {
			same++
		}
	}
	t.Logf("ONNX Runtime decides alike on %d of %d samples", same, n)
	if same*100 < n*99 {
		t.Errorf("ONNX Runtime decides alike on only %d of %d samples", same, n)
	}
}

func TestRealModels(t *testing.T) {
	for _, c := range []struct {
		model, data string
		drop        float64
		limit       int
		least       float64 // accuracy of the original
	}{
		{"mobilenet_v1_0.25_224_float.tflite", "imagenet", 3, 200, 0.45},
		{"resnet8_cifar10_float.tflite", "cifar10", 0.5, 1000, 0.7},
		{"mnist_cnn.onnx", "mnist", 0.1, 2000, 0.97},
	} {
		t.Run(c.model, func(t *testing.T) {
			if testing.Short() {
				t.Skip("long")
			}
			model, data := testdata.Path(t, "models", c.model), testdata.Path(t, c.data)
			r := optimized(t, Config{Model: model, Data: data, MaxDrop: c.drop, Limit: c.limit, Calibration: 100})
			if *r.Report.Original.Accuracy < c.least {
				t.Errorf("original: %.3f", *r.Report.Original.Accuracy)
			}
			// So few samples decide little about int8 throughout; the picked point must hold.
			if p := r.Report.Point(r.Report.Picked); !r.Report.Met || *p.Drop > c.drop {
				t.Errorf("%+v", p)
			}
			agrees(t, r, 100)
		})
	}
}

// A network whose ranges differ between channels: int8 must not collapse unnoticed, and
// mixed precision is told what it did.
func TestUnreachableBound(t *testing.T) {
	r := optimized(t, Config{MaxDrop: -50, Limit: 200, Calibration: 40})
	if r.Report.Met || r.Report.Picked == "" || !strings.Contains(r.Report.Why, "no point") {
		t.Errorf("picked %q, met %v: %s", r.Report.Picked, r.Report.Met, r.Report.Why)
	}
	if !slices.ContainsFunc(r.Report.Tried, func(x Trial) bool { return strings.HasPrefix(x.Name, "mixed precision") }) {
		t.Error("mixed precision was not tried")
	}
}

// writeNet writes a small float model and data for it, and returns their paths.
func writeNet(t *testing.T, outputs []int, labels bool) (model, data string) {
	t.Helper()
	dir := t.TempDir()
	g := graph.New("net")
	x := g.Input("x", graph.TensorType(tensor.Float32, 1, 3, 8, 8))
	w := tensor.New(tensor.Float32, outputs[1], 3, 3, 3)
	for i := range w.F32() {
		w.F32()[i] = float32(math.Sin(float64(7*i + i*i%5)))
	}
	y := g.Add("Conv", "conv", graph.Attrs{"kernel_shape": []int64{3, 3}, "pads": []int64{1, 1, 1, 1}}, x, g.Constant("w", w))
	if len(outputs) == 2 {
		y = g.Add("GlobalAveragePool", "pool", nil, y)
		y = g.Add("Flatten", "flat", nil, y)
	}
	y.Type = graph.TensorType(tensor.Float32, outputs...)
	g.Output(y)
	model = filepath.Join(dir, "net.onnx")
	if err := onnx.Write(model, g, onnx.Options{}); err != nil {
		t.Fatal(err)
	}
	const n = 120
	xs := tensor.New(tensor.Float32, n, 3, 8, 8)
	for i := range xs.F32() {
		xs.F32()[i] = float32(math.Cos(float64(i) * 0.37 * float64(1+i/192%7)))
	}
	arrays := map[string]*tensor.Tensor{"x": xs}
	if labels {
		ys := make([]int64, n)
		for i := range ys {
			ys[i] = int64(i * 7919 % 13 % outputs[1])
		}
		arrays["y"] = tensor.Of(ys, n)
	}
	data = filepath.Join(dir, "data.npz")
	f, err := os.Create(data)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := tensor.WriteNPZ(f, arrays); err != nil {
		t.Fatal(err)
	}
	return model, data
}

func TestUnlabelled(t *testing.T) {
	model, data := writeNet(t, []int{1, 6}, false)
	r := optimized(t, Config{Model: model, Data: data, MaxDrop: 20})
	if g := r.Report.Goal.Metric; g != metricAgreement || *r.Report.Original.Accuracy != 1 {
		t.Errorf("metric %q, original %v", g, *r.Report.Original.Accuracy)
	}
	if d := r.Report.Data; !d.Disjoint || d.Evaluation+d.Calibration+d.Proxy != 120 || d.Labelled {
		t.Errorf("%+v", d)
	}
}

func TestRegression(t *testing.T) {
	model, data := writeNet(t, []int{1, 4, 8, 8}, false)
	r := optimized(t, Config{Model: model, Data: data, MaxDrop: 5})
	p := r.Report.Point("int8")
	if g := r.Report.Goal.Metric; g != metricFidelity || p == nil || *p.Accuracy < 0.95 || *p.Accuracy >= 1 {
		t.Errorf("metric %q, int8 %+v", g, p)
	}
}

func TestChanceIsSaid(t *testing.T) {
	model, data := writeNet(t, []int{1, 6}, true)
	r := optimized(t, Config{Model: model, Data: data, MaxDrop: 100})
	if !r.Report.Goal.ChanceLevel || !strings.Contains(strings.Join(r.Report.Warnings, "\n"), "NO BETTER THAN CHANCE") {
		t.Errorf("labels without meaning: accuracy %.3f, chance %.3f, warnings %q", *r.Report.Original.Accuracy, r.Report.Goal.Chance, r.Report.Warnings)
	}
	if h := r.Report.Headline(); !strings.HasPrefix(h, "UNRELIABLE") {
		t.Errorf("headline %q", h)
	}
	page, err := r.Report.HTML()
	if err != nil {
		t.Fatal(err)
	}
	// Which point wins is a matter of speed.
	if listed := bytes.Contains(page, []byte("<ul>")); listed != r.Report.Kept {
		t.Errorf("failures are listed: %v; the original is kept: %v", listed, r.Report.Kept)
	}
	body := string(page[bytes.Index(page, []byte("<main>")):])
	if alarm, title := strings.Index(body, `class="alarm"`), strings.Index(body, "<h1"); alarm < 0 || alarm > title {
		t.Error("the page does not begin with the alarm")
	}
	if strings.Contains(body, `change good`) {
		t.Error("the page praises figures that mean nothing")
	}
}

// TestPageEscapesTexts puts markup into every text of a report, wherever it is from.
func TestPageEscapesTexts(t *testing.T) {
	model, data := writeNet(t, []int{1, 6}, true)
	r := optimized(t, Config{Model: model, Data: data, MaxDrop: 100}).Report
	const evil = "<i onload=x>&\"'"
	r.Model.Name, r.Model.Path, r.Model.Judged, r.Data.Description, r.Data.Note = evil, evil, evil, evil, evil
	r.Why, r.Preprocess.Text, r.Preprocess.Why, r.Command = evil, evil, []string{evil}, []string{evil}
	r.Warnings = append(r.Warnings, evil)
	for i := range r.Layers {
		r.Layers[i].Name, r.Layers[i].Op, r.Layers[i].Reason, r.Layers[i].Fused = evil, evil, evil, evil
	}
	for i := range r.Tried {
		r.Tried[i].Name, r.Tried[i].Why = evil, evil
	}
	for i := range r.Points {
		if r.Points[i].Name != r.Picked {
			r.Points[i].Name = evil
		}
		r.Points[i].How = evil
	}
	if c := r.Confusion; c != nil {
		for i := range c.Classes {
			c.Classes[i] = evil
		}
	}
	page, err := r.HTML()
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(page, []byte("<i onload")) || !bytes.Contains(page, []byte("&lt;i onload=x&gt;&amp;")) {
		t.Error("the page holds a text as markup")
	}
	if bytes.Contains(page, []byte("%!")) {
		t.Error("the page holds a format that does not fit its arguments")
	}
}

// Labels beyond the model's outputs are no reason to judge it by something else.
func TestLabelsBeyondOutputs(t *testing.T) {
	model, _ := writeNet(t, []int{1, 6}, true)
	_, data := writeNet(t, []int{1, 9}, true)
	out := filepath.Join(t.TempDir(), "out")
	_, err := Run(context.Background(), Config{Model: model, Data: data, Out: out, turn: time.Millisecond})
	if err == nil || !strings.Contains(err.Error(), "6 classes") || !strings.Contains(err.Error(), "label_offset") {
		t.Errorf("error %v", err)
	}
}

// A model that is 8-bit already is kept, and the report says so and why.
func TestKeptAsItIs(t *testing.T) {
	model, data := writeNet(t, []int{1, 4, 8, 8}, false)
	first := optimized(t, Config{Model: model, Data: data, MaxDrop: 100})
	r := optimized(t, Config{Model: filepath.Join(first.Out, "points", "int8.onnx"), Data: data, MaxDrop: 5}).Report
	if h := r.Headline(); !r.Kept || !strings.Contains(h, "already 8-bit") || !strings.Contains(h, "the model is kept as it is") {
		t.Errorf("picked %s, headline %q", r.Picked, h)
	}
	if len(r.Points) > 1 && len(r.Failures()) < len(r.Points)-1 {
		t.Errorf("%d points, but only %d failed: %v", len(r.Points), len(r.Failures()), r.Failures())
	}
}

// The words for a loss tell what the samples can tell.
func TestLossText(t *testing.T) {
	p := func(drop, half float64) *Point {
		p := &Point{Accuracy: figure(0.9), Drop: figure(drop), Samples: 400}
		if half > 0 {
			p.DropRange = []float64{drop - half, drop + half}
		}
		return p
	}
	for _, c := range []struct {
		metric     string
		drop, half float64
		want       string
	}{
		{metricTop1, 0, 2.1, "no loss measured (±2.1 points on 400 samples)"},
		{metricTop1, -0.5, 0.87, "no loss measured (±0.87 points on 400 samples)"},
		{metricTop1, 0.25, 0.9, "0.25 points lost, within noise (±0.90 on 400 samples)"},
		{metricTop1, 3, 1, "3.00 points lost (±1.0 on 400 samples)"},
		{metricTop1, -3, 1, "3.00 points gained (±1.0 on 400 samples)"},
		{metricAgreement, 3, 1, "3.00 points of agreement lost (±1.0 on 400 samples; not accuracy: the data has no labels)"},
		{metricFidelity, 10, 0, "outputs agree to 90.00 % (with the original's; not accuracy: no labels were used)"},
	} {
		r := &Report{Goal: Goal{Metric: c.metric}}
		if got := r.lossText(p(c.drop, c.half)); got != c.want {
			t.Errorf("%+v: %q", c, got)
		}
	}
}

func TestRatio(t *testing.T) {
	for _, c := range []struct {
		before, after float64
		want          string
	}{{100, 100, "as fast"}, {104, 100, "as fast"}, {100, 104, "as fast"}, {110, 100, "1.1× faster"}, {100, 200, "2× slower"}, {1234, 100, "12× faster"}, {0, 1, Unmeasured}} {
		if got := ratio(c.before, c.after, "faster", "slower", "as fast"); got != c.want {
			t.Errorf("ratio(%v, %v) = %q, want %q", c.before, c.after, got, c.want)
		}
	}
}

// The drop's interval stands in the report, and a warning where it is wider than the bound.
func TestBoundIsResolved(t *testing.T) {
	for limit, want := range map[int]bool{40: true, 1200: false} {
		r := optimized(t, Config{MaxDrop: 1, Limit: limit, Calibration: 40}).Report
		for _, p := range r.Points {
			if len(p.DropRange) != 2 || p.DropRange[0] >= *p.Drop || p.DropRange[1] <= *p.Drop {
				t.Errorf("%s: drop %v, interval %v", p.Name, *p.Drop, p.DropRange)
			}
		}
		if got := strings.Contains(strings.Join(r.Warnings, "\n"), "cannot resolve a bound of 1 point"); got != want {
			t.Errorf("%d samples: warned %v", limit, got)
		}
	}
}

// With a handful of samples mixed precision is left out, and said to be.
func TestFewSamples(t *testing.T) {
	r := optimized(t, Config{MaxDrop: -50, Limit: searchLeast - 1, Calibration: 40}).Report
	var mixed []Trial
	for _, x := range r.Tried {
		if strings.HasPrefix(x.Name, "mixed precision") {
			mixed = append(mixed, x)
		}
	}
	if len(mixed) != 1 || !strings.Contains(mixed[0].Why, "left out: 19 samples") {
		t.Errorf("%+v", mixed)
	}
}

// heard collects the warnings of a run.
type heard []string

func (h *heard) Update(e Event) {
	if e.Warning != "" {
		*h = append(*h, e.Warning)
	}
}

func TestWarnings(t *testing.T) {
	model, data := writeNet(t, []int{1, 6}, false)
	var h heard
	r, err := Run(context.Background(), Config{Model: model, Data: data, MaxDrop: 20, Limit: 20, Threads: cpu.Cores() + 1, Progress: &h, turn: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(h, r.Report.Warnings) {
		t.Errorf("told %q, reported %q", h, r.Report.Warnings)
	}
	var b bytes.Buffer
	if err := r.Table(&b, 100, false); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"usable core", "what calibrates is evaluated too"} {
		if n := strings.Count(strings.Join(h, "\n"), want); n != 1 {
			t.Errorf("%d warnings about %q in %q", n, want, h)
		}
		if n := strings.Count(b.String(), want); n != 1 {
			t.Errorf("%q stands %d times in\n%s", want, n, &b)
		}
	}
}

// Every sample is evaluated or set apart, and the note says how many calibrate.
func TestDivide(t *testing.T) {
	for _, c := range []struct {
		n, eval, calibrating int
		note                 string
	}{
		{1, 1, 1, "1 sample is too few to set one apart, so it is evaluated as well: 1 for calibration, 0 for comparing candidates"},
		{30, 30, 20, "30 samples are too few to set some apart, so all are evaluated as well: 20 for calibration, 10 for comparing candidates"},
		{400, 350, 40, "50 of 400 samples set apart and not evaluated: 40 for calibration, 10 for comparing candidates"},
	} {
		d, err := dataset.FromTensors("x", tensor.New(tensor.Float32, c.n, 2), nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		s := divide(d, &Config{Calibration: 40, Seed: 1})
		if s.eval.Len() != c.eval || s.calibrating != c.calibrating || s.note != c.note || s.disjoint != (c.n >= poolLeast) {
			t.Errorf("%d samples: %d evaluated, %d calibrate, disjoint %v: %s", c.n, s.eval.Len(), s.calibrating, s.disjoint, s.note)
		}
	}
}

func TestBadRequests(t *testing.T) {
	model, data := writeNet(t, []int{1, 6}, true)
	for _, c := range []struct {
		cfg  Config
		want string
	}{
		{Config{Model: model}, "--data"},
		{Config{Model: "zoo:nothing", Data: data}, "nothing"},
		{Config{Model: model, Data: filepath.Join(t.TempDir(), "absent")}, "absent"},
		{Config{MaxDrop: math.NaN()}, "NaN"},
		{Config{Limit: -1}, "negative"},
	} {
		if _, err := Run(context.Background(), c.cfg); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want something about %q", c.cfg, err, c.want)
		}
	}
}

func TestInterrupt(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	ctx, cancel := context.WithCancel(context.Background())
	_, err := Run(ctx, Config{Limit: 100, Calibration: 30, Out: out, Progress: stopAt{"measure latency", cancel}})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v", err)
	}
	if entries, _ := os.ReadDir(out); len(entries) != 0 {
		t.Errorf("an interrupted run leaves %v", entries)
	}
}

type stopAt struct {
	stage  string
	cancel context.CancelFunc
}

func (s stopAt) Update(e Event) {
	if e.Stage == s.stage {
		s.cancel()
	}
}

func TestPercentile(t *testing.T) {
	l := summarize([]float64{5, 1, 4, 2, 3})
	if want := (Latency{Runs: 5, Min: 1, Mean: 3, P50: 3, P95: 5, P99: 5}); fmt.Sprintf("%.6v", l) != fmt.Sprintf("%.6v", want) {
		t.Errorf("%+v, want %+v", l, want)
	}
}
