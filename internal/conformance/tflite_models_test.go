package conformance_test

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"fmt"
	"image"
	"image/jpeg"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/edgewise-ml/edgewise/internal/conformance"
	"github.com/edgewise-ml/edgewise/internal/engine"
	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/interp"
	"github.com/edgewise-ml/edgewise/internal/op"
	"github.com/edgewise-ml/edgewise/internal/testdata"
	"github.com/edgewise-ml/edgewise/internal/tflite"
	"github.com/edgewise-ml/edgewise/internal/witness"
	"github.com/edgewise-ml/edgewise/tensor"
)

// onEngine compiles and runs once.
func onEngine(ctx context.Context, g *graph.Graph, in []op.Value) ([]op.Value, error) {
	p, err := engine.Compile(g, engine.Options{})
	if err != nil {
		return nil, err
	}
	s, err := p.NewSession()
	if err != nil {
		return nil, err
	}
	defer s.Close()
	return s.Run(ctx, in)
}

func TestTFLiteEngine(t *testing.T) {
	conformance.RunTFLite(t, onEngine, conformance.TFLiteLedger())
}

// waves fills the inputs of g with smooth pseudo-random numbers.
func waves(g *graph.Graph) []op.Value {
	r := rand.New(rand.NewPCG(1, 2))
	in := make([]op.Value, len(g.Inputs))
	for i, v := range g.Inputs {
		shape, _ := v.Type.Static()
		x := tensor.New(v.Type.DType, shape...)
		lo, hi := x.DType().IntRange()
		for k := range x.Len() {
			switch {
			case x.DType().IsFloat():
				x.SetFloat(k, 0.7*math.Sin(float64(k)*0.01*float64(i+1))+0.3*r.Float64())
			case x.DType().Bits() <= 16:
				x.SetInt(k, lo+r.Int64N(hi-lo+1))
			default:
				x.SetInt(k, r.Int64N(2))
			}
		}
		in[i] = x
	}
	return in
}

func byIndex(in []op.Value) map[string]*tensor.Tensor {
	out := map[string]*tensor.Tensor{}
	for i, v := range in {
		out[strconv.Itoa(i)] = v.(*tensor.Tensor)
	}
	return out
}

// TestTFLiteFloatNetworks holds whole float networks, and one-operator models in float,
// against TensorFlow Lite.
func TestTFLiteFloatNetworks(t *testing.T) {
	w := witness.Find(t)
	// TensorFlow Lite quantizes activations on the way into these; here they stay float.
	dynamic := map[string]bool{"dtln_quant_1": true, "kws_dscnn_float": true}
	// The witness is older than what these need, or their inputs are not free.
	skip := map[string]string{
		"partly_quantized_mnist": "per-channel FULLY_CONNECTED, of which the witness takes the first scale for all",
		"single_slice":           "its begin and size are inputs, and random ones are not valid",
	}
	// 8-bit inside and float outside: one step of the output's own grid is allowed.
	stepped := map[string]float64{"yolox_nano_int8_quantize": 1.0 / 256}
	var files []string
	for _, p := range []string{"models/*.tflite", "tflite-ops/quantizer/*.tflite"} {
		m, _ := filepath.Glob(filepath.Join(testdata.Dir(t), p))
		files = append(files, m...)
	}
	for _, path := range files {
		name := strings.TrimSuffix(filepath.Base(path), ".tflite")
		t.Run(name, func(t *testing.T) {
			if why := skip[name]; why != "" {
				t.Skip(why)
			}
			g, err := tflite.Read(path)
			if err != nil {
				t.Skip(err)
			}
			in := waves(g)
			for _, v := range g.Outputs {
				if !v.Type.DType.IsFloat() {
					t.Skip("has integer outputs: see the other tests")
				}
			}
			res, err := w.Run(witness.TFLite, path, byIndex(in))
			if err != nil {
				t.Skipf("the witness does not take it: %v", err)
			}
			tol := 1e-4
			if dynamic[name] {
				tol = 2e-2
			}
			tol += 1.01 * stepped[name]
			for which, run := range map[string]conformance.Executor{"engine": onEngine, "interp": interp.Run} {
				if which == "interp" && testing.Short() {
					continue
				}
				got, err := run(context.Background(), g, in)
				if err != nil {
					t.Fatalf("%s: %v", which, err)
				}
				for i, v := range g.Outputs {
					want := res[v.Name]
					if want == nil {
						want = res[strconv.Itoa(i)]
					}
					if want == nil {
						t.Fatalf("the witness gave no %s", v.Name)
					}
					y := got[i].(*tensor.Tensor)
					d, m := 0.0, 0.0
					for k := range want.Len() {
						d = max(d, math.Abs(y.Float(k)-want.Float(k)))
						m = max(m, math.Abs(want.Float(k)))
					}
					t.Logf("%s: %s differs by %.2g of its largest magnitude", which, v.Name, d/m)
					if !(d <= tol*m) || y.Len() != want.Len() {
						t.Errorf("%s: %v differs by %v, largest magnitude %v", which, v, d, m)
					}
				}
			}
		})
	}
}

// samples gives real inputs, stored as the model takes them.
type samples func(t *testing.T, n int) []*tensor.Tensor

// TestTFLiteDecisions compares what 8-bit classifiers decide on real data. TensorFlow Lite's
// XNNPACK kernels requantize as Edgewise does, in single precision with ties to even; its
// built-in ones round ties upwards, and layers amplify that into other decisions on
// doubtful samples. So decisions must be those of XNNPACK, and no further from those of
// the built-in kernels than XNNPACK is itself, but for one sample in fifty.
func TestTFLiteDecisions(t *testing.T) {
	w := witness.Find(t)
	for _, c := range []struct {
		model string
		data  samples
		n     int
	}{
		{"kws_dscnn_int8", kws, 100},
		{"resnet8_cifar10_int8", cifar, 100},
		{"mobilenet_v1_0.25_224_quant", imagenet, 40},
		{"mobilenet_v2_1.0_224_quant", imagenet, 20},
	} {
		t.Run(c.model, func(t *testing.T) {
			path := testdata.Path(t, "models", c.model+".tflite")
			g, err := tflite.Read(path)
			if err != nil {
				t.Fatal(err)
			}
			p, err := engine.Compile(g, engine.Options{})
			if err != nil {
				t.Fatal(err)
			}
			s, err := p.NewSession()
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			name := g.Outputs[0].Name
			xs := c.data(t, c.n)
			libs := [2]string{witness.XNNPACK, witness.TFLite}
			if w.Check(witness.XNNPACK, path) != nil {
				libs[0] = witness.TFLite // which takes uint8 throughout
			}
			wrong, differ, apart, far := 0, 0, 0, 0.0
			for i, x := range xs {
				got, err := s.Run(context.Background(), []op.Value{x})
				if err != nil {
					t.Fatal(err)
				}
				y := got[0].(*tensor.Tensor)
				var want [2]*tensor.Tensor
				for k, lib := range libs {
					res, err := w.Run(lib, path, byIndex([]op.Value{x}))
					if err != nil {
						t.Fatal(err)
					}
					if want[k] = res[name]; want[k] == nil || want[k].Len() != y.Len() {
						t.Fatalf("the witness gave %v for %v", want[k], y)
					}
				}
				for k := range y.Len() {
					far = max(far, math.Abs(want[0].Float(k)-y.Float(k)))
				}
				// Where the witness sees a tie, either is its decision.
				if a, b := argmax(y), argmax(want[0]); want[0].Float(a) != want[0].Float(b) {
					wrong++
					t.Logf("sample %d: %d here, %d there, where they stand at %v and %v", i, a, b, want[0].Float(a), want[0].Float(b))
				}
				if argmax(want[1]) != argmax(y) {
					differ++
				}
				if argmax(want[1]) != argmax(want[0]) {
					apart++
				}
			}
			t.Logf("%d samples: outputs differ from %s by %v steps at most and in %d decisions; %d decisions differ from the built-in kernels', where %s differs in %d",
				len(xs), libs[0], far, wrong, differ, libs[0], apart)
			if slack := len(xs) / 50; wrong > slack || differ > apart+slack {
				t.Errorf("too many decisions differ")
			}
		})
	}
}

func argmax(x *tensor.Tensor) int {
	best := 0
	for i := range x.Len() {
		if x.Float(i) > x.Float(best) {
			best = i
		}
	}
	return best
}

// kws reads recorded inputs of the keyword model.
func kws(t *testing.T, n int) []*tensor.Tensor {
	files, _ := filepath.Glob(testdata.Path(t, "kws") + "/*.bin")
	var out []*tensor.Tensor
	for _, f := range files[:min(n, len(files))] {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		x, err := tensor.FromBytes(tensor.Int8, []int{1, 49, 10, 1}, data)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, x)
	}
	return out
}

// pixels crops the centre of an image to size×size, as bytes or shifted to int8.
func pixels(t *testing.T, r io.Reader, size int, d tensor.DType) *tensor.Tensor {
	img, err := jpeg.Decode(r)
	if err != nil {
		t.Fatal(err)
	}
	x := tensor.New(d, 1, size, size, 3)
	b := img.Bounds()
	at := image.Pt(b.Min.X+(b.Dx()-size)/2, b.Min.Y+(b.Dy()-size)/2)
	shift := int64(0)
	if d == tensor.Int8 {
		shift = 128
	}
	for i := range size * size {
		r, g, b, _ := img.At(at.X+i%size, at.Y+i/size).RGBA()
		for c, v := range []uint32{r, g, b} {
			x.SetInt(3*i+c, int64(v>>8)-shift)
		}
	}
	return x
}

func imagenet(t *testing.T, n int) []*tensor.Tensor {
	dir := testdata.Path(t, "imagenet")
	var out []*tensor.Tensor
	for i := range n {
		f, err := os.Open(filepath.Join(dir, fmt.Sprintf("%04d.jpg", 24*i)))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, pixels(t, f, 224, tensor.Uint8))
		f.Close()
	}
	return out
}

func cifar(t *testing.T, n int) []*tensor.Tensor {
	f, err := os.Open(testdata.Path(t, "cifar10", "test.tar.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var out []*tensor.Tensor
	for r := tar.NewReader(z); len(out) < n; {
		h, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(h.Name, ".jpg") || strings.HasSuffix(h.Name, ".jpeg") {
			out = append(out, pixels(t, r, 32, tensor.Int8))
		}
	}
	return out
}
