// Command gen makes the weights of zoo:heartbeat by recipes/heartbeat.yaml, or checks
// that they are what it makes.
//
//	EDGEWISE_ISA=avx2 go run ./test/heartbeat/gen            # checks internal/zoo/heartbeat.npz
//	EDGEWISE_ISA=avx2 go run ./test/heartbeat/gen -w         # writes it
//	EDGEWISE_ISA=avx2 go run ./test/heartbeat/gen -short     # checks one epoch on few windows
//
// The short check knows the weights that the recipe comes to on its first windows by their
// digest, which -short -w writes: what changes those changes the others too.
package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/recipe"
	"github.com/edgewise-ml/edgewise/tensor"
)

func main() {
	file := flag.String("recipe", "recipes/heartbeat.yaml", "the recipe")
	weights := flag.String("weights", "internal/zoo/heartbeat.npz", "the file of weights")
	short := flag.Bool("short", false, "train for one epoch on a few windows alone")
	digest := flag.String("digest", "test/heartbeat/short.sha256", "the file of the digest that -short leads to")
	write := flag.Bool("w", false, "write the file instead of comparing it")
	output := flag.String("o", "", "folder for the training, kept so that it can be taken up again; a temporary one by default")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if *short {
		*weights = *digest
	}
	if err := run(ctx, *file, *weights, *output, *write, *short); err != nil {
		fmt.Fprintln(os.Stderr, "heartbeat: error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, file, weights, output string, write, short bool) error {
	r, err := recipe.Read(file)
	if err != nil {
		return err
	}
	if short {
		r.Epochs = 1
		if err := r.SetData("builtin:heartbeat-4000"); err != nil {
			return err
		}
	}
	if output == "" {
		if output, err = os.MkdirTemp("", "heartbeat"); err != nil {
			return err
		}
		defer os.RemoveAll(output)
	}
	if err := r.SetOutput(output); err != nil {
		return err
	}
	result, err := recipe.Run(ctx, r, recipe.Options{Progress: report})
	if err != nil {
		return err
	}
	if result.Weights == nil {
		return fmt.Errorf("%s holds a finished training; remove it to train anew", output)
	}
	made, err := encode(result.Weights)
	if err != nil {
		return err
	}
	if short {
		made = fmt.Appendf(nil, "%x\n", sha256.Sum256(made))
	}
	fmt.Printf("%s, %d thread(s): validation %.2f %%, test %.2f %% of %d windows\n", result.Machine.ISA, result.Threads,
		100**result.Validation.Accuracy, 100**result.Test.Accuracy, result.Test.Samples)
	if write {
		return os.WriteFile(weights, made, 0o666)
	}
	have, err := os.ReadFile(weights)
	if err != nil {
		return err
	}
	if !bytes.Equal(have, made) {
		return errors.New(weights + " is not what the recipe makes")
	}
	fmt.Println(weights, "is what the recipe makes, byte for byte")
	return nil
}

// encode writes the weights of a network by their names.
func encode(g *graph.Graph) ([]byte, error) {
	weights := map[string]*tensor.Tensor{}
	for _, v := range g.Constants() {
		weights[v.Name] = v.Const
	}
	var b bytes.Buffer
	err := tensor.WriteNPZ(&b, weights)
	return b.Bytes(), err
}

// report shows epochs and findings.
func report(e recipe.Event) {
	switch {
	case e.Note != "":
		fmt.Fprintln(os.Stderr, e.Note)
	case e.Finished:
		fmt.Fprintf(os.Stderr, "epoch %d of %d: loss %.4f, validation %.2f %%, %.0f samples a second\n", e.Epoch, e.Epochs, e.Loss,
			100*e.Metrics["validation_accuracy"], e.PerSecond)
	}
}
