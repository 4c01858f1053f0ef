// Command speed times Edgewise and other runtimes against each other: alternately, each
// in processes of its own, on the same inputs, and only where their outputs agree.
//
//	speed against MODEL --lib ort       one model
//	speed table --only 1,2              the table of docs/kernels.md, or rows of it
//
// It drives two built programs, edgewise and witness, and is no part of the product.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// tools is where things are.
type tools struct {
	Edgewise, Witness string
	Dir               string   // for models, inputs and results
	Data              string   // folder of real models, or ""
	Under             []string // command that a measurement runs under
	Prepared          bool     // take what was made and compared before
}

func main() {
	verb := ""
	if len(os.Args) > 1 {
		verb = os.Args[1]
	}
	verbs := map[string]func([]string) error{"against": against, "table": table, "measure": measureMain}
	run := verbs[verb]
	if run == nil {
		fmt.Fprintln(os.Stderr, "usage: speed against MODEL [flags] | speed table [flags]; -h after the verb shows flags")
		os.Exit(2)
	}
	if err := run(os.Args[2:]); err != nil {
		fmt.Fprintf(os.Stderr, "speed: error: %v\n", err)
		os.Exit(1)
	}
}

// flags are those that both verbs take.
func (t *tools) flags(f *flag.FlagSet) {
	cache, _ := os.UserCacheDir()
	reference := os.Getenv("EDGEWISE_REFERENCE")
	if reference == "" {
		reference = filepath.Join(cache, "edgewise-reference")
	}
	f.StringVar(&t.Edgewise, "edgewise", os.Getenv("EDGEWISE"), "the built `program` to measure")
	f.StringVar(&t.Witness, "witness", filepath.Join(reference, "bin", "witness"), "the witness `program`")
	f.StringVar(&t.Dir, "dir", filepath.Join(cache, "edgewise-speed"), "`folder` for models, inputs and results")
	f.StringVar(&t.Data, "data", os.Getenv("EDGEWISE_TESTDATA"), "`folder` of real models and data")
	f.Func("under", "`command` that gives a measurement of at most 40 s the machine to itself", func(s string) error {
		t.Under = strings.Fields(s)
		return nil
	})
}

func (t *tools) check() error {
	for _, p := range []string{t.Edgewise, t.Witness} {
		if _, err := exec.LookPath(p); err != nil {
			return fmt.Errorf("%w; see test/reference/README.md", err)
		}
	}
	return os.MkdirAll(t.Dir, 0o777)
}

// against is the verb for one model.
func against(args []string) error {
	var t tools
	f := flag.NewFlagSet("speed against", flag.ExitOnError)
	t.flags(f)
	lib := f.String("lib", "", "ort, tflite or xnnpack; by default the one that reads the model's format")
	other := f.String("model", "", "`file` for the witness where it is not MODEL itself, as for zoo:NAME")
	threads := f.Int("threads", 1, "threads of one inference")
	shapes := f.String("shape", "", "sizes of inputs that leave them open, as x=1x3x320x320;y=1")
	if len(args) == 0 {
		return fmt.Errorf("give a model")
	}
	model := args[0]
	f.Parse(args[1:])
	if err := t.check(); err != nil {
		return err
	}
	file := model
	if strings.HasPrefix(model, "zoo:") {
		var err error
		if file, err = t.converted(model); err != nil {
			return err
		}
	}
	if *other != "" {
		file = *other
	}
	if *lib == "" {
		*lib = "ort"
		if strings.HasSuffix(file, ".tflite") {
			*lib = "tflite"
		}
	}
	c := comparison{Name: filepath.Base(model), Ours: model, Threads: []int{*threads},
		Witnesses: []opponent{{Lib: *lib, Model: file}}, Shapes: *shapes}
	m, err := t.compare(c)
	if err != nil {
		return err
	}
	return print(m)
}

func print(v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Printf("%s\n", b)
	return err
}

// output runs a program and returns what it writes, with its complaint in the error.
func output(env []string, argv ...string) ([]byte, error) {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.Output()
	if e, ok := err.(*exec.ExitError); ok {
		err = fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, strings.TrimSpace(string(e.Stderr)))
	}
	return out, err
}

// result runs a program that prints JSON.
func result(v any, env []string, argv ...string) error {
	out, err := output(env, argv...)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(out, v); err != nil {
		return fmt.Errorf("%s: %w", strings.Join(argv, " "), err)
	}
	return nil
}

// wall returns how long a program takes from exec to exit, whatever its exit code is
// where any is fine.
func wall(any bool, argv ...string) (float64, error) {
	cmd := exec.Command(argv[0], argv[1:]...)
	start := time.Now()
	err := cmd.Run()
	if _, failed := err.(*exec.ExitError); failed && any {
		err = nil
	}
	if err != nil {
		return 0, fmt.Errorf("%s: %w", strings.Join(argv, " "), err)
	}
	return time.Since(start).Seconds() * 1e3, nil
}
