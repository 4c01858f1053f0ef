// Command gen writes synthetic heartbeats for training as an npz file with the arrays
// x_train, y_train, x_valid, y_valid, x_test and y_test: windows as float32 [n,1,256] and
// labels as int64 [n].
//
//	go run ./test/heartbeat/gen -o heartbeats.npz
package main

import (
	"bufio"
	"flag"
	"fmt"
	"os"

	"github.com/edgewise-ml/edgewise/internal/ecg"
	"github.com/edgewise-ml/edgewise/tensor"
)

func main() {
	out := flag.String("o", "heartbeats.npz", "file to write")
	train := flag.Int("train", 60000, "windows to train on")
	valid := flag.Int("valid", 6000, "windows to choose the epoch by")
	test := flag.Int("test", 6000, "windows of the data set that the classifier is evaluated on")
	flag.Parse()
	if err := write(*out, *train, *valid, *test); err != nil {
		fmt.Fprintln(os.Stderr, "gen: error:", err)
		os.Exit(1)
	}
}

func write(path string, train, valid, test int) error {
	arrays := map[string]*tensor.Tensor{}
	for _, part := range []struct {
		name string
		seed uint64
		n    int
	}{
		{"train", ecg.TrainSeed, train},
		{"valid", ecg.ValidationSeed, valid},
		{"test", ecg.EvaluationSeed, test},
	} {
		x, labels := ecg.Dataset(part.seed, part.n)
		y := make([]int64, len(labels))
		for i, l := range labels {
			y[i] = int64(l)
		}
		arrays["x_"+part.name] = tensor.Of(x, part.n, 1, ecg.Window)
		arrays["y_"+part.name] = tensor.Of(y, part.n)
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	if err := tensor.WriteNPZ(w, arrays); err != nil {
		f.Close()
		return fmt.Errorf("%s: %w", path, err)
	}
	if err := w.Flush(); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}
