// Package witness lets tests and benchmarks ask runtimes other than Edgewise for
// their outputs. It talks to the program that test/reference/install.sh builds,
// which loads ONNX Runtime and TensorFlow Lite in a process of its own.
package witness

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/edgewise-ml/edgewise/internal/testdata"
	"github.com/edgewise-ml/edgewise/tensor"
)

// Runtimes that a witness can load.
const (
	ORT     = "ort"     // ONNX Runtime, CPU provider
	TFLite  = "tflite"  // TensorFlow Lite with its built-in kernels
	XNNPACK = "xnnpack" // TensorFlow Lite with the XNNPACK delegate, 8-bit kernels on
)

// Locate returns the path of the witness program: EDGEWISE_WITNESS where set,
// else bin/witness in EDGEWISE_REFERENCE or in the user's cache folder.
func Locate() (string, error) {
	exe := os.Getenv("EDGEWISE_WITNESS")
	if exe == "" {
		dir := os.Getenv("EDGEWISE_REFERENCE")
		if dir == "" {
			cache, err := os.UserCacheDir()
			if err != nil {
				return "", err
			}
			dir = filepath.Join(cache, "edgewise-reference")
		}
		exe = filepath.Join(dir, "bin", "witness")
	}
	if _, err := os.Stat(exe); err != nil {
		return "", fmt.Errorf("no witness: %w (run test/reference/install.sh)", err)
	}
	return exe, nil
}

var shared = sync.OnceValues(func() (*Client, error) {
	exe, err := Locate()
	if err != nil {
		return nil, err
	}
	return New(exe), nil
})

// Find returns the test process's one client. Without a witness the test is
// skipped, or failed where EDGEWISE_REQUIRE_WITNESSES=1.
func Find(t testing.TB) *Client {
	t.Helper()
	c, err := shared()
	if err != nil {
		testdata.Missing(t, err.Error())
	}
	return c
}

// Option changes how a model is opened or run.
type Option func(*request)

// Threads sets the threads of one inference; the default is 1.
func Threads(n int) Option { return func(q *request) { q.Threads = n } }

// Optimize sets ONNX Runtime's graph optimization: "all" (the default),
// "extended", "basic" or "none".
func Optimize(level string) Option { return func(q *request) { q.Optimize = level } }

// KeepState lets variable tensors keep the values of the run before.
func KeepState() Option { return func(q *request) { q.KeepState = true } }

// Fresh opens the model anew, dropping all state of earlier runs.
func Fresh() Option { return func(q *request) { q.Fresh = true } }

// Run runs the model once. Inputs are keyed by name, or by decimal index; outputs
// by name, or by index where a name is empty or used twice. An output that is
// not a tensor, or has strings or types narrower than a byte, is an error.
func (c *Client) Run(lib, model string, inputs map[string]*tensor.Tensor, options ...Option) (map[string]*tensor.Tensor, error) {
	return c.run(request{Op: "run", Lib: lib, Model: model}, inputs, options)
}

// RunSamples runs the model once for each index of a leading axis that the
// inputs have beyond the model's shapes, and stacks the outputs alike.
func (c *Client) RunSamples(lib, model string, inputs map[string]*tensor.Tensor, options ...Option) (map[string]*tensor.Tensor, error) {
	return c.run(request{Op: "run", Lib: lib, Model: model, Samples: true}, inputs, options)
}

func (c *Client) run(q request, inputs map[string]*tensor.Tensor, options []Option) (out map[string]*tensor.Tensor, err error) {
	dir, err := os.MkdirTemp("", "witness-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	q.Inputs, q.Outputs = filepath.Join(dir, "in.npz"), filepath.Join(dir, "out.npz")
	if err := writeArrays(q.Inputs, inputs); err != nil {
		return nil, fmt.Errorf("witness inputs: %w", err)
	}
	var result struct {
		DTypes map[string]string `json:"dtypes"`
	}
	if err := c.call(q, options, &result); err != nil {
		return nil, err
	}
	return readArrays(q.Outputs, result.DTypes)
}

// Check opens the model and returns why the runtime refuses it, or nil.
func (c *Client) Check(lib, model string, options ...Option) error {
	return c.call(request{Op: "check", Lib: lib, Model: model}, options, nil)
}

// Port is an input or output as the runtime sees it.
type Port struct {
	Name      string   `json:"name"`
	DType     string   `json:"dtype"`
	Shape     []int    `json:"shape"` // −1 where open
	Symbols   []string `json:"symbols"`
	Scale     float32  `json:"scale"` // 0 without quantization
	ZeroPoint int32    `json:"zero_point"`
}

// Info describes a model's inputs and outputs.
type Info struct {
	Inputs  []Port `json:"inputs"`
	Outputs []Port `json:"outputs"`
}

// Info opens the model and describes its inputs and outputs.
func (c *Client) Info(lib, model string, options ...Option) (Info, error) {
	var info Info
	err := c.call(request{Op: "info", Lib: lib, Model: model}, options, &info)
	return info, err
}

// Timing is the result of Bench, in milliseconds.
type Timing struct {
	Min   float64 `json:"latency_ms_min"`
	P50   float64 `json:"latency_ms_p50"`
	First float64 `json:"first_result_ms"` // from opening the model to its first output
}

// Bench times runs inferences on pseudo-random inputs. Memory is not given: it
// means something only in a process of its own, as the bench verb has.
func (c *Client) Bench(lib, model string, runs int, options ...Option) (Timing, error) {
	var t Timing
	err := c.call(request{Op: "bench", Lib: lib, Model: model, Runs: runs}, options, &t)
	return t, err
}

// call sends one request and decodes its result.
func (c *Client) call(q request, options []Option, result any) error {
	abs, err := filepath.Abs(q.Model)
	if err != nil {
		return err
	}
	q.Model = abs
	for _, o := range options {
		o(&q)
	}
	raw, err := c.roundTrip(q)
	if err != nil || result == nil {
		return err
	}
	return json.Unmarshal(raw, result)
}
