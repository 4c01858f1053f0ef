package conformance

import (
	"image"
	"image/color"
	"image/draw"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/image/font"
	"golang.org/x/image/font/basicfont"
	"golang.org/x/image/math/fixed"

	"github.com/edgewise-ml/edgewise/internal/dataset"
	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/onnx"
	"github.com/edgewise-ml/edgewise/internal/picture"
	"github.com/edgewise-ml/edgewise/internal/testdata"
	"github.com/edgewise-ml/edgewise/internal/tflite"
	"github.com/edgewise-ml/edgewise/tensor"
)

// modelRun is one way of running a model: a sequence of inputs, each with all the
// inputs of the model but those that carry state from one run to the next.
type modelRun struct {
	name  string
	steps []map[string]*tensor.Tensor
	state map[string]string // input ← output of the run before, zeros at first
}

// modelFiles lists the models of the test data that match a pattern.
func modelFiles(t testing.TB, pattern string) []string {
	files, err := filepath.Glob(filepath.Join(testdata.Path(t, "models"), pattern))
	if err != nil || len(files) == 0 {
		testdata.Missing(t, "no models "+pattern)
	}
	return files
}

func readModel(t testing.TB, path string) *graph.Graph {
	t.Helper()
	var g *graph.Graph
	var err error
	if strings.HasSuffix(path, ".tflite") {
		g, err = tflite.Read(path)
	} else {
		g, err = onnx.Read(path, onnx.ReadOptions{})
	}
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// scalings are the preprocessings of the image models, by the beginning of the file's
// name; the others take x/127.5 - 1.
var scalings = map[string]dataset.Preprocess{
	"mobilenetv2_1.0_224_qoperator": {Divide: 255, Mean: []float32{.485, .456, .406}, Std: []float32{.229, .224, .225}},
	"ch_ppocr_mobile_v2.0_det":      {Divide: 255, Mean: []float32{.485, .456, .406}, Std: []float32{.229, .224, .225}},
	"ultraface":                     {Divide: 1, Mean: []float32{127}, Std: []float32{128}},
	"yolox":                         {Divide: 1, BGR: true, Fit: dataset.Letterbox, Fill: 114},
	"resnet8":                       {Divide: 1},
	"mnist_cnn.onnx":                {Divide: 1},
	"hand_landmark":                 {Divide: 255},
	"face_landmark":                 {Divide: 255},
}

// openSizes are the image sizes for inputs that leave them open.
var openSizes = map[string][][]int{
	"ch_ppocr_mobile_v2.0_det": {{1, 3, 320, 320}, {1, 3, 96, 224}},
	"ch_ppocr_mobile_v2.0_cls": {{1, 3, 48, 192}, {2, 3, 48, 320}},
}

func byPrefix[T any](m map[string]T, file string) (T, bool) {
	for prefix, v := range m {
		if strings.HasPrefix(file, prefix) {
			return v, true
		}
	}
	var none T
	return none, false
}

// modelRuns returns the ways to run the model of a file.
func modelRuns(t testing.TB, path string, g *graph.Graph) []modelRun {
	file := filepath.Base(path)
	switch {
	case strings.HasPrefix(file, "dtln_"):
		return []modelRun{speechRun(t, g)}
	case strings.HasPrefix(file, "silero"):
		return []modelRun{voiceRun(t, 16000, 512), voiceRun(t, 16000, 576)}
	case len(g.Inputs) == 1 && len(g.Inputs[0].Type.Shape) == 4:
		if runs := imageRuns(t, file, g.Inputs[0]); runs != nil {
			return runs
		}
	case file == "mnist_cnn_training_export.onnx":
		return []modelRun{noiseRun(g, 1), noiseRun(g, 5)}
	}
	return []modelRun{noiseRun(g, 1)}
}

// imageRuns feeds photographs to an input that looks like an image, else returns nil.
func imageRuns(t testing.TB, file string, in *graph.Value) []modelRun {
	sizes, ok := byPrefix(openSizes, file)
	if !ok {
		s := make([]int, 4)
		for i, d := range in.Type.Shape {
			s[i] = max(d.Size, 1)
		}
		sizes = [][]int{s}
	}
	p, ok := byPrefix(scalings, file)
	if !ok {
		p = dataset.Preprocess{Divide: 127.5, Mean: []float32{1}}
	}
	p.DType = in.Type.DType.String()
	switch in.Type.DType { // 8-bit inputs take the pixels, whatever they stand for
	case tensor.Uint8:
		p.Divide, p.Mean, p.Std, p.QScale = 1, nil, nil, 1
	case tensor.Int8:
		p.Divide, p.Mean, p.Std, p.QScale, p.QZero = 1, nil, nil, 1, -128
	}
	if p.Fit == "" {
		p.Fit = dataset.Stretch
	}
	var runs []modelRun
	for _, s := range sizes {
		batch := s[0]
		p.Shape = append([]int{1}, s[1:]...)
		if c := s[1]; c == 1 || c == 3 {
			p.Layout, p.Channels, p.Height, p.Width = "NCHW", c, s[2], s[3]
		} else if c := s[3]; c == 1 || c == 3 {
			p.Layout, p.Channels, p.Height, p.Width = "NHWC", c, s[1], s[2]
		}
		if p.Layout == "" || p.Height < 16 || p.Width < 16 {
			return nil
		}
		run := modelRun{name: "photographs " + tensor.FormatShape(s)}
		pictures := photographs(t, p)
		if strings.HasPrefix(file, "ch_ppocr") {
			run.name, pictures = "text "+tensor.FormatShape(s), writing(t, p)
		}
		for i := 0; i+batch <= len(pictures); i += batch {
			run.steps = append(run.steps, map[string]*tensor.Tensor{in.Name: stack(pictures[i:i+batch], s)})
		}
		runs = append(runs, run)
	}
	return runs
}

// photographs returns the pictures of the test data as inputs.
func photographs(t testing.TB, p dataset.Preprocess) []*tensor.Tensor {
	var out []*tensor.Tensor
	for _, name := range []string{"grace_hopper.bmp", "cat.bmp", "bird.bmp"} {
		b, err := os.ReadFile(testdata.Path(t, "images", name))
		if err != nil {
			t.Fatal(err)
		}
		img, err := picture.Decode(b)
		if err != nil {
			t.Fatal(err)
		}
		x, err := p.Image(img)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, x)
	}
	return out
}

// writing returns pictures of text, without which a text detector finds nothing.
func writing(t testing.TB, p dataset.Preprocess) []*tensor.Tensor {
	p.Fit = dataset.Crop
	var out []*tensor.Tensor
	for i, text := range []string{"EDGEWISE 2026 models", "Held against ONNX", "in 320 by 96 pixels"} {
		img := image.NewRGBA(image.Rect(0, 0, p.Width/2, p.Height/2))
		draw.Draw(img, img.Rect, image.NewUniform(color.RGBA{250, 245, uint8(200 + 20*i), 255}), image.Point{}, draw.Src)
		for y := 14; y < max(p.Height/2, 15); y += 20 {
			d := font.Drawer{Dst: img, Src: image.NewUniform(color.RGBA{uint8(40 * i), 10, 30, 255}),
				Face: basicfont.Face7x13, Dot: fixed.P(3+i, y)}
			d.DrawString(text)
		}
		x, err := p.Image(img)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, x)
	}
	return out
}

// stack joins tensors of batch 1 into one of the given shape.
func stack(parts []*tensor.Tensor, shape []int) *tensor.Tensor {
	out := tensor.New(parts[0].DType(), shape...)
	b := out.Bytes()
	for _, p := range parts {
		b = b[copy(b, p.Bytes()):]
	}
	return out
}

// noiseRun feeds seeded noise; open sizes become n.
func noiseRun(g *graph.Graph, n int) modelRun {
	r := rand.New(rand.NewPCG(7, uint64(n)))
	in := map[string]*tensor.Tensor{}
	for _, v := range g.Inputs {
		s := make([]int, len(v.Type.Shape))
		for i, d := range v.Type.Shape {
			s[i] = d.Size
			if !d.Known() {
				s[i] = n
			}
		}
		x := tensor.New(v.Type.DType, s...)
		for i := range x.Len() {
			if x.DType().IsFloat() {
				x.SetFloat(i, r.Float64()*2-1)
			} else {
				lo, hi := x.DType().IntRange()
				x.SetInt(i, max(lo, -128)+r.Int64N(min(hi, 255)-max(lo, -128)+1))
			}
		}
		in[v.Name] = x
	}
	return modelRun{name: "noise", steps: []map[string]*tensor.Tensor{in}}
}

// speech returns the recording of noisy speech, 16 kHz mono.
func speech(t testing.TB) []float32 {
	b, err := os.ReadFile(testdata.Path(t, "audio", "noisy_speech.wav"))
	if err != nil {
		t.Fatal(err)
	}
	pcm, rate, err := dataset.DecodeWAV(b)
	if err != nil || rate != 16000 {
		t.Fatalf("noisy_speech.wav: %d Hz, %v", rate, err)
	}
	return pcm
}

// speechRun runs a DTLN network over frames of 512 samples with a hop of 128: the first
// of the two networks takes a frame's magnitude spectrum, the second its samples.
func speechRun(t testing.TB, g *graph.Graph) modelRun {
	const frame, hop, count, start = 512, 128, 24, 16000
	pcm := speech(t)
	run := modelRun{name: "speech", state: map[string]string{}}
	signal := g.Inputs[0].Name
	for i, v := range g.Inputs {
		if v.Type.Shape[len(v.Type.Shape)-1].Size == 2 { // [1 2 128 2]: hidden and cell state
			for _, o := range g.Outputs {
				if s, ok := o.Type.Static(); ok && slices.Equal(s, []int{1, 2, 128, 2}) {
					run.state[v.Name] = o.Name
				}
			}
			signal = g.Inputs[1-i].Name
		}
	}
	if len(run.state) != 1 {
		t.Fatalf("no state among inputs %v and outputs %v", g.Inputs, g.Outputs)
	}
	for i := range count {
		x := slices.Clone(pcm[start+i*hop:][:frame])
		if strings.Contains(signalShape(g, signal), "257") {
			x = magnitudes(x)
		}
		run.steps = append(run.steps, map[string]*tensor.Tensor{signal: tensor.Of(x, 1, 1, len(x))})
	}
	return run
}

func signalShape(g *graph.Graph, name string) string {
	for _, v := range g.Inputs {
		if v.Name == name {
			return v.Type.String()
		}
	}
	return ""
}

// magnitudes returns the magnitude of the real discrete Fourier transform of x.
func magnitudes(x []float32) []float32 {
	n := len(x)
	out := make([]float32, n/2+1)
	for k := range out {
		var re, im float64
		for i, v := range x {
			s, c := math.Sincos(2 * math.Pi * float64(k*i%n) / float64(n))
			re += float64(v) * c
			im -= float64(v) * s
		}
		out[k] = float32(math.Hypot(re, im))
	}
	return out
}

// voiceRun runs the voice detector over consecutive windows.
func voiceRun(t testing.TB, rate int64, window int) modelRun {
	pcm := speech(t)
	run := modelRun{name: "speech " + tensor.FormatShape([]int{1, window}), state: map[string]string{"state": "stateN"}}
	for i := range 20 {
		run.steps = append(run.steps, map[string]*tensor.Tensor{
			"input": tensor.Of(slices.Clone(pcm[i*512:][:window]), 1, window),
			"sr":    tensor.Scalar(rate),
		})
	}
	return run
}

// firstState returns zeros for a state input; an open size is one stream.
func firstState(g *graph.Graph, name string) *tensor.Tensor {
	for _, v := range g.Inputs {
		if v.Name == name {
			s := make([]int, len(v.Type.Shape))
			for i, d := range v.Type.Shape {
				s[i] = max(d.Size, 1)
			}
			return tensor.New(v.Type.DType, s...)
		}
	}
	return nil
}
