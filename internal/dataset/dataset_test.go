package dataset

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/testdata"
	"github.com/edgewise-ml/edgewise/tensor"
)

// pngOf is a w×h PNG of one colour.
func pngOf(t *testing.T, w, h int, c color.Color) []byte {
	t.Helper()
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			img.Set(x, y, c)
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func write(t *testing.T, dir, name string, data []byte) {
	t.Helper()
	p := filepath.Join(dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

func mustOpen(t *testing.T, name string, o Options) *Dataset {
	t.Helper()
	d, err := Open(name, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func labels(d *Dataset) []int {
	var out []int
	if !d.HasLabels() {
		return nil
	}
	for i := range d.Len() {
		out = append(out, d.Label(i))
	}
	return out
}

var red, blue = color.RGBA{255, 0, 0, 255}, color.RGBA{0, 0, 255, 255}

func classMembers(t *testing.T) map[string][]byte {
	return map[string][]byte{
		"set/test/dog/1.png": pngOf(t, 8, 8, blue), "set/test/cat/1.png": pngOf(t, 8, 8, red),
		"set/test/cat/2.png": pngOf(t, 8, 8, red), "set/train/dog/7.png": pngOf(t, 8, 8, blue), "set/train/cat/8.png": pngOf(t, 8, 8, red),
		"set/.hidden/x.png": nil, "set/readme.txt": []byte("hello"),
	}
}

// The same tree as a folder, a zip and a tar.gz must give the same dataset.
func TestClassFoldersInEveryPackaging(t *testing.T) {
	dir := t.TempDir()
	var zipped, tarred bytes.Buffer
	z := zip.NewWriter(&zipped)
	gz := gzip.NewWriter(&tarred)
	tw := tar.NewWriter(gz)
	for name, data := range classMembers(t) {
		write(t, filepath.Join(dir, "folder"), name, data)
		w, err := z.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		w.Write(data)
		tw.WriteHeader(&tar.Header{Name: "./" + name, Size: int64(len(data)), Mode: 0o644, Typeflag: tar.TypeReg})
		tw.Write(data)
	}
	z.Close()
	tw.Close()
	gz.Close()
	write(t, dir, "a.zip", zipped.Bytes())
	write(t, dir, "a.tar.gz", tarred.Bytes())
	for _, name := range []string{"folder/set", "folder", "a.zip", "a.tar.gz"} {
		d := mustOpen(t, filepath.Join(dir, name), Options{})
		if diff := cmp.Diff([]string{"cat", "dog"}, d.Classes()); diff != "" || d.Len() != 3 {
			t.Errorf("%s: %s %s", name, d.Describe(), diff)
		}
		if diff := cmp.Diff([]int{0, 0, 1}, labels(d)); diff != "" {
			t.Errorf("%s: labels %s", name, diff)
		}
		tr := d.Calibration()
		if tr == nil || tr.Len() != 2 {
			t.Fatalf("%s: calibration part is %v", name, tr)
		}
		if tr.Label(1) != 1 {
			t.Errorf("%s: the training part numbers dog %d", name, tr.Label(1))
		}
	}
}

func TestImagePreprocessing(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a/1.png", pngOf(t, 20, 10, color.RGBA{255, 128, 0, 255}))
	write(t, dir, "b/1.png", pngOf(t, 10, 20, color.RGBA{255, 128, 0, 255}))
	d := mustOpen(t, dir, Options{})
	for _, c := range []struct {
		in      graph.Type
		scale   float32
		zero    int
		outputs int
		want    []float64 // first pixel by the first candidate
		n       int       // candidates
	}{
		{graph.TensorType(tensor.Float32, 1, 3, 8, 8), 0, 0, 2, []float64{1, 128/127.5 - 1, -1}, 4},
		{graph.TensorType(tensor.Uint8, 1, 8, 8, 3), 1.0 / 128, 128, 2, []float64{255, 128, 0}, 1},
		{graph.TensorType(tensor.Int8, 1, 8, 8, 3), 1, -128, 2, []float64{127, 0, -128}, 1},
		{graph.TensorType(tensor.Float32, 1, 3, 8, 8), 1.0 / 255, 0, 2, []float64{1, 128.0 / 255, 0}, 1},
	} {
		ps, err := Infer(Target{Input: &graph.Value{Name: "x", Type: c.in}, Scale: c.scale, Zero: c.zero, Outputs: c.outputs}, d)
		if err != nil {
			t.Fatal(err)
		}
		if len(ps) != c.n {
			t.Errorf("%v: %d candidates, want %d", c.in, len(ps), c.n)
		}
		p := ps[0]
		for i := range d.Len() {
			x, err := d.Sample(i, p)
			if err != nil {
				t.Fatal(err)
			}
			step := 1
			if p.Layout == "NCHW" {
				step = 64
			}
			for ch, want := range c.want {
				if got := x.Float(ch * step); got-want > 1e-2 || want-got > 1e-2 {
					t.Errorf("%v by %v: channel %d of sample %d is %v, want %v", c.in, p, ch, i, got, want)
				}
			}
		}
		var again Preprocess
		again, err = restored(p, d, c.in)
		if err != nil || again.formula() != p.formula() {
			t.Errorf("metadata gives %v, want %v (%v)", again, p, err)
		}
	}
}

func TestLabelOffsets(t *testing.T) {
	for _, c := range []struct {
		outputs, largest int
		labelled         bool
		want             []int
	}{
		{1001, 999, true, []int{1, 0}}, {1001, 1000, true, []int{0}}, {1000, 998, true, []int{0, 1}}, {1000, 999, true, []int{0}},
		{11, 9, true, []int{0, 1}}, {1, 1, true, []int{0}}, {2, 0, true, []int{0}}, {1001, 0, false, []int{0}},
	} {
		var labels []int
		if c.labelled {
			labels = []int{0, c.largest}
		}
		d, err := FromTensors("x", tensor.New(tensor.Float32, 2, 4), labels, nil)
		if err != nil {
			t.Fatal(err)
		}
		target := Target{Input: &graph.Value{Name: "x", Type: graph.TensorType(tensor.Float32, 1, 4)}, Outputs: c.outputs}
		ps, err := Infer(target, d)
		if err != nil {
			t.Fatal(err)
		}
		var got []int
		for _, p := range ps {
			got = append(got, p.LabelOffset)
			if !p.SameInput(ps[0]) {
				t.Errorf("%v and %v differ in more than the offset", p, ps[0])
			}
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%d outputs, labels up to %d: %s", c.outputs, c.largest, diff)
		}
		seven := 7
		d.spec = &Spec{LabelOffset: &seven}
		if ps, err := Infer(target, d); err != nil || len(ps) != 1 || ps[0].LabelOffset != seven {
			t.Errorf("the specification's offset gives %v (%v)", ps, err)
		}
	}
}

func restored(p Preprocess, d *Dataset, in graph.Type) (Preprocess, error) {
	ps, err := Infer(Target{Input: &graph.Value{Name: "x", Type: in}, Meta: map[string]string{MetaKey: p.JSON()}}, d)
	if err != nil {
		return Preprocess{}, err
	}
	return ps[0], nil
}

func TestTablesOfLabels(t *testing.T) {
	img := pngOf(t, 4, 4, red)
	for name, c := range map[string]struct {
		csv  string
		want []int
	}{
		"header":     {"file,wnid,index_1000,name\nb.png,n1,7,bee\na.png,n0,3,ant\n", []int{7, 3}},
		"no header":  {"a.png,12,7\nb.png,12,2\n", []int{7, 2}},
		"words":      {"id,path,label\n1,a.png,yes\n2,b.png,no\n", []int{1, 0}},
		"unlabelled": {"file,note\na.png,good one\nb.png,another\n", nil},
	} {
		dir := t.TempDir()
		write(t, dir, "a.png", img)
		write(t, dir, "b.png", img)
		write(t, dir, "labels.csv", []byte(c.csv))
		d := mustOpen(t, dir, Options{})
		if c.want == nil {
			if d.HasLabels() {
				t.Errorf("%s: labels were found: %s", name, d.Describe())
			}
			continue
		}
		if diff := cmp.Diff(c.want, labels(d)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestSpecAndRawTensors(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "clips/a.bin", []byte{0x7f, 0x80, 0, 1})
	write(t, dir, "clips/b.bin", []byte{1, 2, 3, 4})
	write(t, dir, "y.csv", []byte("a.bin,2\nb.bin,0\n"))
	write(t, dir, "dataset.yaml", []byte("files: clips/*.bin\ndtype: int8\nshape: [2, 2]\nscale: 0.5\nzero: -1\nlabels: y.csv\nlabel_offset: 1\n"))
	d := mustOpen(t, dir, Options{})
	ps, err := Infer(Target{Input: &graph.Value{Name: "x", Type: graph.TensorType(tensor.Float32, 1, 2, 2)}}, d)
	if err != nil {
		t.Fatal(err)
	}
	if ps[0].LabelOffset != 1 || d.Label(0) != 2 {
		t.Errorf("label %d offset %d", d.Label(0), ps[0].LabelOffset)
	}
	x, err := d.Sample(0, ps[0])
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]float32{64, -63.5, 0.5, 1}, x.F32()); diff != "" {
		t.Error(diff)
	}
	for _, bad := range []string{"files: ../x", "shape: [-1]", "dtype: int4", "nonsense: 1", "preprocess: {std: [0]}"} {
		if _, err := parseSpec([]byte(bad)); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func TestArrays(t *testing.T) {
	dir := t.TempDir()
	x := tensor.Of([]float32{1, 2, 3, 4, 5, 6}, 3, 2)
	var b bytes.Buffer
	if err := tensor.WriteNPZ(&b, map[string]*tensor.Tensor{"x": x, "y": tensor.Of([]int64{2, 0, 1}, 3)}); err != nil {
		t.Fatal(err)
	}
	write(t, dir, "d.npz", b.Bytes())
	write(t, dir, "d.csv", []byte("a,b,label\n1,2,2\n3,4,0\n5,6,1\n"))
	for _, name := range []string{"d.npz", "d.csv"} {
		d := mustOpen(t, filepath.Join(dir, name), Options{})
		if diff := cmp.Diff([]int{2, 0, 1}, labels(d)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		ps, err := Infer(Target{Input: &graph.Value{Name: "x", Type: graph.TensorType(tensor.Float32, 1, 2)}}, d)
		if err != nil {
			t.Fatal(err)
		}
		s, err := d.Sample(1, ps[0])
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]float32{3, 4}, s.F32()); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// One numbering serves both parts where names were numbered; numbers of the data's own
// stay as they are.
func TestPartsShareClasses(t *testing.T) {
	dir := t.TempDir()
	for _, n := range []string{"names/val/cat/1.png", "names/val/eel/1.png", "names/train/ape/1.png", "names/train/cat/1.png", "names/train/eel/1.png",
		"digits/val/2/1.png", "digits/val/9/1.png", "digits/train/2/1.png", "digits/train/10/1.png"} {
		write(t, dir, n, pngOf(t, 2, 2, red))
	}
	for name, want := range map[string][2][]int{"names": {{1, 2}, {0, 1, 2}}, "digits": {{2, 9}, {10, 2}}} {
		d := mustOpen(t, filepath.Join(dir, name), Options{})
		if diff := cmp.Diff(want, [2][]int{labels(d), labels(d.Calibration())}); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// A specification serves whatever data it is given for, and overrides what a model carries.
func TestSpecForFilesAndArchives(t *testing.T) {
	dir := t.TempDir()
	const spec = "label_offset: 3\npreprocess: {divide: 255}\n"
	write(t, dir, "own.yaml", []byte(spec))
	var npz, arch bytes.Buffer
	if err := tensor.WriteNPZ(&npz, map[string]*tensor.Tensor{"x": tensor.New(tensor.Float32, 2, 4, 4, 3), "y": tensor.Of([]int64{0, 1}, 2)}); err != nil {
		t.Fatal(err)
	}
	z := zip.NewWriter(&arch)
	for name, data := range map[string][]byte{"top/a/1.png": pngOf(t, 4, 4, red), "top/b/1.png": pngOf(t, 4, 4, red), "top/dataset.yaml": []byte(spec)} {
		w, err := z.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		w.Write(data)
	}
	z.Close()
	write(t, dir, "d.npz", npz.Bytes())
	write(t, dir, "d.zip", arch.Bytes())
	carried := Preprocess{Shape: []int{1, 4, 4, 3}, DType: "float32", Layout: "NHWC", Width: 4, Height: 4, Channels: 3, Fit: Crop, Divide: 2}
	target := Target{Input: &graph.Value{Name: "x", Type: graph.TensorType(tensor.Float32, 1, 4, 4, 3)}, Meta: map[string]string{MetaKey: carried.JSON()}}
	for name, o := range map[string]Options{"d.npz": {Spec: filepath.Join(dir, "own.yaml")}, "d.zip": {}} {
		d := mustOpen(t, filepath.Join(dir, name), o)
		ps, err := Infer(target, d)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if len(ps) != 1 || ps[0].Divide != 255 || ps[0].LabelOffset != 3 || d.Len() != 2 {
			t.Errorf("%s: %v of %d samples", name, ps, d.Len())
		}
	}
	if _, err := Open(filepath.Join(dir, "d.npz"), Options{Spec: filepath.Join(dir, "absent.yaml")}); err == nil {
		t.Error("a missing specification was passed over")
	}
}

func wavFile(format, bits int, data []byte) []byte {
	h := []byte("RIFF\x00\x00\x00\x00WAVEfmt \x10\x00\x00\x00")
	h = binary.LittleEndian.AppendUint16(h, uint16(format))
	h = binary.LittleEndian.AppendUint16(h, 1)
	h = binary.LittleEndian.AppendUint32(h, 8000)
	h = binary.LittleEndian.AppendUint32(h, uint32(8000*bits/8))
	h = binary.LittleEndian.AppendUint16(h, uint16(bits/8))
	h = binary.LittleEndian.AppendUint16(h, uint16(bits))
	h = append(h, "data"...)
	h = binary.LittleEndian.AppendUint32(h, uint32(len(data)))
	return append(h, data...)
}

func TestWAV(t *testing.T) {
	for _, c := range []struct {
		bits int
		data []byte
	}{{8, []byte{192, 64}}, {16, []byte{0, 0x40, 0, 0xc0}}, {24, []byte{0, 0, 0x40, 0, 0, 0xc0}}} {
		pcm, rate, err := decodeWAV(wavFile(1, c.bits, c.data))
		if err != nil || rate != 8000 {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]float32{0.5, -0.5}, pcm); diff != "" {
			t.Errorf("%d bits: %s", c.bits, diff)
		}
	}
	if got := resampled([]float32{0, 1}, 1, 2); len(got) != 4 || got[1] != 0.5 {
		t.Errorf("resampled = %v", got)
	}
}

func TestHostileData(t *testing.T) {
	dir := t.TempDir()
	zipOf := func(name string, size int) []byte {
		var b bytes.Buffer
		z := zip.NewWriter(&b)
		w, err := z.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		w.Write(make([]byte, size))
		z.Close()
		return b.Bytes()
	}
	bomb := zipOf("a/1.png", maxFileBytes+1)
	write(t, dir, "bomb.zip", bomb)
	write(t, dir, "escape.zip", zipOf("../../etc/x.png", 10))
	write(t, dir, "broken.tar.gz", []byte("\x1f\x8b\x08\x00garbage"))
	// A PNG header that claims 2^31 - 1 pixels a side.
	huge := pngOf(t, 1, 1, red)
	binary.BigEndian.PutUint32(huge[16:], 1<<31-1)
	write(t, dir, "huge/a/1.png", huge)
	write(t, dir, "huge/b/1.png", huge)
	write(t, dir, "cut.csv", []byte("a,b\n1\n"))
	write(t, dir, "t10k-images-idx3-ubyte", []byte{0, 0, 8, 3, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 28, 0, 0, 0, 28})
	write(t, dir, "flat-idx3-ubyte", []byte{0, 0, 8, 3, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 28})
	if err := os.Symlink("/etc", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	in := &graph.Value{Name: "x", Type: graph.TensorType(tensor.Float32, 1, 3, 8, 8)}
	for name, want := range map[string]string{
		"bomb.zip": "unpacks to", "escape.zip": "outside the archive", "broken.tar.gz": "", "cut.csv": "fields",
		"huge": "", "t10k-images-idx3-ubyte": "", "flat-idx3-ubyte": "empty", "missing": "no such file", "nothing.txt": "",
	} {
		d, err := Open(filepath.Join(dir, name), Options{})
		if err == nil {
			var ps []Preprocess
			if ps, err = Infer(Target{Input: in}, d); err == nil {
				_, err = d.Sample(0, ps[0])
			}
			d.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: want an error with %q, got %v", name, want, err)
		}
	}
}

func TestPreparedKeepsOrderAndStops(t *testing.T) {
	x := tensor.New(tensor.Float32, 100, 1)
	for i := range x.F32() {
		x.F32()[i] = float32(i)
	}
	d, err := FromTensors("x", x, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	p := Preprocess{Shape: []int{1, 1}, DType: "float32", Divide: 1}
	order := d.Spread(50, 3)
	k := 0
	for it := range d.Prepared(context.Background(), order, p, 4) {
		if it.Err != nil || it.Index != order[k] || it.Input.F32()[0] != float32(order[k]) {
			t.Fatalf("item %d: %+v", k, it)
		}
		if k++; k == 40 {
			break
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for it := range d.Prepared(ctx, order, p, 2) {
		if it.Err != nil {
			return
		}
	}
	t.Error("a cancelled sequence ran to its end")
}

func TestRealData(t *testing.T) {
	for name, c := range map[string]struct{ n, classes, train int }{
		"imagenet": {500, 999, 0}, "mnist": {10000, 10, 60000}, "cifar10": {10000, 10, 50000},
		"kws": {500, 12, 0}, "audio/fsdd": {0, 10, 0},
	} {
		d := mustOpen(t, testdata.Path(t, strings.Split(name, "/")...), Options{})
		if c.n > 0 && d.Len() != c.n || d.NumClasses() != c.classes || (d.Calibration() != nil) != (c.train > 0) {
			t.Errorf("%s: %s, %d classes", name, d.Describe(), d.NumClasses())
		}
		if _, err := d.load(d.Len() - 1); err != nil {
			t.Error(err)
		}
	}
}

func FuzzDecodeWAV(f *testing.F) {
	f.Add(wavFile(1, 16, []byte{1, 2, 3, 4}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if pcm, _, err := decodeWAV(b); err == nil && len(pcm) > len(b) {
			t.Fatalf("%d samples out of %d bytes", len(pcm), len(b))
		}
	})
}

func FuzzDecodeIDX(f *testing.F) {
	f.Add([]byte{0, 0, 8, 1, 0, 0, 0, 2, 7, 8})
	f.Fuzz(func(t *testing.T, b []byte) {
		if x, err := decodeIDX(bytes.NewReader(b)); err == nil && x.Len() > len(b) {
			t.Fatalf("%v out of %d bytes", x, len(b))
		}
	})
}

func FuzzTable(f *testing.F) {
	f.Add("file,label\na.png,1\nb.png,2\n")
	f.Fuzz(func(t *testing.T, s string) {
		tab, err := readTable(strings.NewReader(s), "t.csv")
		if err != nil {
			return
		}
		d := &Dataset{kind: Images}
		_ = d.useTable(nil, tab, []string{"a.png", "b.png"}, Spec{})
		_, _ = tab.features("")
	})
}

func FuzzSpec(f *testing.F) {
	f.Add([]byte("files: a\nshape: [1, 2]\npreprocess: {mean: [1], std: [2]}\n"))
	f.Fuzz(func(t *testing.T, b []byte) { _, _ = parseSpec(b) })
}

func TestClassesAreSelectedAndJoined(t *testing.T) {
	x := tensor.New(tensor.Float32, 8, 2)
	for i := range x.Len() {
		x.F32()[i] = float32(i / 2)
	}
	d, err := FromTensors("numbers", x, []int{0, 1, 2, 3, 4, 5, 3, 1}, []string{"ant", "bee", "cat", "dog", "elk", "a=b"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		classes, names []string
		labels         []int
	}{
		{[]string{"dog", "1"}, []string{"dog", "1"}, []int{1, 0, 0, 1}},
		{[]string{"insect=0-1", "beast=cat, 3-99"}, []string{"insect", "beast"}, []int{0, 0, 1, 1, 1, 1, 1, 0}},
		{[]string{"a=b", "x=ant"}, []string{"a=b", "x"}, []int{1, 0}},
	} {
		got, err := d.OfClasses(c.classes)
		if err != nil {
			t.Errorf("%v: %v", c.classes, err)
			continue
		}
		var labels []int
		for i := range got.Len() {
			labels = append(labels, got.Label(i))
		}
		if diff := cmp.Diff(c.labels, labels) + cmp.Diff(c.names, got.Classes()); diff != "" {
			t.Errorf("%v: %s", c.classes, diff)
		}
	}
	for _, classes := range [][]string{{"fox"}, {"ant", "0"}, {"x=0-3", "y=2"}, {"x=4-2"}, {"x=6-9"}, {"x="}, {"x=-1"}} {
		if _, err := d.OfClasses(classes); err == nil {
			t.Errorf("%v is accepted", classes)
		}
	}
}
