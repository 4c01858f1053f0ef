package cli

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"image"
	"image/color"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/interp"
	"github.com/edgewise-ml/edgewise/internal/onnx"
	"github.com/edgewise-ml/edgewise/internal/op"
	"github.com/edgewise-ml/edgewise/internal/zoo"
	"github.com/edgewise-ml/edgewise/tensor"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"edgewise": func() { os.Exit(Main()) }})
}

// TestScripts types commands as people do. Besides testscript's own, scripts have
//
//	code N command...     run a command that must exit with N
//	json FILE KEY...      check that a JSON file (or stdout) has the keys; a.0.b descends,
//	                      and KEY=VALUE also compares
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:   filepath.Join("testdata", "script"),
		Setup: func(e *testscript.Env) error { return prepare(e.WorkDir) },
		Cmds:  map[string]func(*testscript.TestScript, bool, []string){"code": code, "json": jsonKeys},
		Condition: func(name string) (bool, error) {
			if name == "root" {
				return runtime.GOOS != "windows" && os.Getuid() == 0, nil
			}
			return false, fmt.Errorf("unknown condition %q", name)
		},
	})
}

func code(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	err = ts.Exec(args[1], args[2:]...)
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		got = exit.ExitCode()
	default:
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

func jsonKeys(ts *testscript.TestScript, neg bool, args []string) {
	var v any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &v))
	for _, arg := range args[1:] {
		key, want, compare := strings.Cut(arg, "=")
		got, ok := descend(v, strings.Split(key, "."))
		if ok == neg {
			ts.Fatalf("key %s: found is %v in %v", key, ok, v)
		}
		if compare && fmt.Sprint(got) != want {
			ts.Fatalf("%s is %v, want %s", key, got, want)
		}
	}
}

func descend(v any, path []string) (any, bool) {
	for _, p := range path {
		switch x := v.(type) {
		case map[string]any:
			next, ok := x[p]
			if !ok {
				return nil, false
			}
			v = next
		case []any:
			i, err := strconv.Atoi(p)
			if err != nil || i < 0 || i >= len(x) {
				return nil, false
			}
			v = x[i]
		default:
			return nil, false
		}
	}
	return v, true
}

// prepare writes the files that scripts use.
func prepare(dir string) error {
	x, _, _ := zoo.HeartbeatData(1)
	g := zoo.Heartbeat()
	out, err := interp.Run(context.Background(), g, []op.Value{x})
	if err != nil {
		return err
	}
	scores := out[0].(*tensor.Tensor)
	wrong := scores.Clone()
	wrong.SetFloat(0, wrong.Float(0)+1)
	npz := func(arrays map[string]*tensor.Tensor) []byte {
		var b bytes.Buffer
		err = errors.Join(err, tensor.WriteNPZ(&b, arrays))
		return b.Bytes()
	}
	npy := func(t *tensor.Tensor) []byte {
		var b bytes.Buffer
		err = errors.Join(err, tensor.WriteNPY(&b, t))
		return b.Bytes()
	}
	model, e := onnx.Encode(g, onnx.Options{})
	err = errors.Join(err, e)
	two, e := onnx.Encode(adder(), onnx.Options{})
	err = errors.Join(err, e)
	unknown, e := onnx.Encode(unary(), onnx.Options{})
	err = errors.Join(err, e)
	picture, e := onnx.Encode(mean(), onnx.Options{})
	err = errors.Join(err, e)
	unknown = bytes.ReplaceAll(bytes.ReplaceAll(unknown, []byte("Relu"), []byte("Rulu")), []byte("Tanh"), []byte("Tonh"))
	files := map[string][]byte{
		"heartbeat.onnx":   model,
		"truncated.onnx":   model[:len(model)/2],
		"garbage.onnx":     bytes.Repeat([]byte{0x08, 0xff, 0x7f, 0x3a}, 500),
		"truncated.tflite": append([]byte{0x1c, 0, 0, 0}, []byte("TFL3 and nothing more")...),
		"adder.onnx":       two,
		"mean.onnx":        picture,
		"unknown.onnx":     unknown,
		"io.npz":           npz(map[string]*tensor.Tensor{"ecg": x, "scores": scores}),
		"wrong.npz":        npz(map[string]*tensor.Tensor{"ecg": x, "scores": wrong}),
		"beats.npz":        npz(beats()),
		"unlabelled.npz":   npz(map[string]*tensor.Tensor{"x": beats()["x_train"]}),
		"ecg.npy":          npy(x),
		"short.npy":        npy(tensor.New(tensor.Float32, 1, 1, 8)),
		"a.npy":            npy(tensor.Of([]float64{1, 2, 3}, 3)),
		"b.npy":            npy(tensor.Of([]float64{10, 20, 30}, 3)),
		"bomb.zip":         liar(),
		"red.png":          red(),
	}
	for name, b := range files {
		err = errors.Join(err, os.WriteFile(filepath.Join(dir, name), b, 0o644))
	}
	return err
}

// beats are heartbeats to learn from and to be judged by.
func beats() map[string]*tensor.Tensor {
	m := map[string]*tensor.Tensor{}
	add := func(part string, x *tensor.Tensor, labels []int, _ []string) {
		y := tensor.New(tensor.Int64, len(labels))
		for i, l := range labels {
			y.SetInt(i, int64(l))
		}
		m["x_"+part], m["y_"+part] = x, y
	}
	x, labels, names := zoo.HeartbeatCalibration(60)
	add("train", x, labels, names)
	x, labels, names = zoo.HeartbeatData(30)
	add("test", x, labels, names)
	return m
}

// adder has two inputs of unknown length.
func adder() *graph.Graph {
	g := graph.New("adder")
	n := graph.Type{DType: tensor.Float32, Shape: graph.Shape{graph.Sym("n")}}
	g.Output(g.Add("Add", "sum", nil, g.Input("a", n), g.Input("b", n)))
	return g
}

func unary() *graph.Graph {
	g := graph.New("unary")
	x := g.Input("x", graph.TensorType(tensor.Float32, 4))
	g.Output(g.Add("Tanh", "t2", nil, g.Add("Relu", "r", nil, g.Add("Tanh", "t1", nil, x))))
	return g
}

// mean takes a picture and returns the mean of each channel.
func mean() *graph.Graph {
	g := graph.New("mean")
	x := g.Input("picture", graph.TensorType(tensor.Float32, 1, 3, 8, 8))
	g.Output(g.Add("Flatten", "means", graph.Attrs{"axis": int64(1)}, g.Add("GlobalAveragePool", "pool", nil, x)))
	return g
}

// liar is a zip whose only picture claims to unpack to a terabyte.
func liar() []byte {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	h := &zip.FileHeader{Name: "a/0.png", Method: zip.Store, CRC32: crc32.ChecksumIEEE([]byte("x")), CompressedSize64: 1, UncompressedSize64: 1 << 40}
	f, err := w.CreateRaw(h)
	if err == nil {
		_, err = f.Write([]byte("x"))
	}
	if err := errors.Join(err, w.Close()); err != nil {
		panic(err)
	}
	return b.Bytes()
}

func red() []byte {
	img := image.NewRGBA(image.Rect(0, 0, 8, 8))
	for y := range 8 {
		for x := range 8 {
			img.Set(x, y, color.RGBA{R: 255, A: 255})
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		panic(err)
	}
	return b.Bytes()
}
