// Command witness runs models in runtimes other than Edgewise: ONNX Runtime and
// TensorFlow Lite. Tests compare their outputs with ours, benchmarks their
// times. It is a program of its own because loading vendor libraries needs a
// dynamic loader, and because a crash in one must not end a test.
//
// Run it without arguments for its verbs.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
)

const usage = `usage: witness VERB --model FILE [flags]

  run   [--inputs IN.npz] --outputs OUT.npz  run once; with --samples, once for
                                             each index of a leading axis
  bench [--inputs IN.npz] --runs K           time a model, print JSON
  check                                      say whether the runtime takes a model
  info                                       print inputs and outputs as JSON
  serve                                      answer JSON lines on stdin

common flags: --lib ort|tflite|xnnpack (default by the model's ending)
              --threads N, --optimize all|extended|basic|none (ort)
`

func main() {
	if len(os.Args) < 2 || strings.HasPrefix(os.Args[1], "-") {
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
	verb := os.Args[1]
	var q request
	flags := flag.NewFlagSet("witness "+verb, flag.ExitOnError)
	flags.StringVar(&q.Lib, "lib", "", "runtime: ort, tflite or xnnpack")
	flags.StringVar(&q.Model, "model", "", "model file")
	flags.StringVar(&q.Inputs, "inputs", "", "npz of inputs by name (pseudo-random where absent)")
	flags.StringVar(&q.Outputs, "outputs", "", "npz to write")
	flags.StringVar(&q.Optimize, "optimize", "all", "ONNX Runtime's graph optimization level")
	flags.IntVar(&q.Threads, "threads", 1, "threads of one inference")
	flags.IntVar(&q.Runs, "runs", 100, "timed inferences")
	flags.BoolVar(&q.Samples, "samples", false, "inputs have a leading sample axis")
	flags.BoolVar(&q.KeepState, "keep-state", false, "do not reset variable tensors between samples")
	q.Shapes = shapes{}
	flags.Var(q.Shapes, "shape", "name=1,3,224,224: shape of a generated input; may be repeated")
	flags.Bool("json", true, "accepted for symmetry: all results are JSON")
	flags.Parse(os.Args[2:])
	if flags.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "witness: error: unexpected argument %q\n", flags.Arg(0))
		os.Exit(2)
	}

	out := takeStdout()
	s := newServer()
	if verb == "serve" {
		fail(s.serve(os.Stdin, out))
		return
	}
	q.Op = verb
	result, err := s.do(q)
	fail(err)
	if result != nil {
		b, err := json.MarshalIndent(result, "", "  ")
		fail(err)
		fmt.Fprintf(out, "%s\n", b)
	}
}

func fail(err error) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "witness: error: %v\n", err)
		os.Exit(1)
	}
}

// shapes is the repeatable flag --shape.
type shapes map[string][]int64

func (s shapes) String() string { return "" }

func (s shapes) Set(v string) error {
	name, dims, ok := strings.Cut(v, "=")
	if !ok {
		return fmt.Errorf("want name=d0,d1,…")
	}
	shape := []int64{}
	for d := range strings.SplitSeq(dims, ",") {
		n, err := strconv.ParseInt(d, 10, 32)
		if err != nil || n < 0 {
			return fmt.Errorf("bad dimension %q", d)
		}
		shape = append(shape, n)
	}
	s[name] = shape
	return nil
}
