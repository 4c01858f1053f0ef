package dataset

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/edgewise-ml/edgewise/tensor"
)

// Of a source that is divided itself only the part that is asked for counts, and keys that
// are for what is judged leave the training part whole.
func TestOpenParts(t *testing.T) {
	dir := t.TempDir()
	table := func(base, n int) []byte {
		s := "v\n"
		for i := range n {
			s += fmt.Sprintln(base + i)
		}
		return []byte(s)
	}
	write(t, dir, "learned.csv", table(100, 11))
	write(t, dir, "judged.csv", table(500, 9))
	write(t, dir, "left.txt", []byte("5\n"))
	d, err := OpenParts(filepath.Join(dir, "learned.csv"), filepath.Join(dir, "judged.csv"),
		&Spec{Window: 2, Windows: "last", Target: []string{"remaining"}, Remaining: "left.txt", Normalize: "standard"})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	train := d.Calibration()
	if d.Len() != 1 || train.Len() != 10 || d.Target(0)[0] != 5 || train.Target(9)[0] != 0 {
		t.Errorf("%s, trained on %s; want the last window and all ten", d.Describe(), train.Describe())
	}
	if d.scale.mean[0] != 105 || train.scale.mean[0] != 105 {
		t.Errorf("normalized by a mean of %v and %v, want that of the training part", d.scale.mean, train.scale.mean)
	}

	arrays := map[string]*tensor.Tensor{}
	for k, n := range map[string]int{"x_train": 7, "x_test": 3} {
		arrays[k] = tensor.New(tensor.Float32, n, 2)
		arrays["y"+strings.TrimPrefix(k, "x")] = tensor.New(tensor.Int64, n)
	}
	var b bytes.Buffer
	if err := tensor.WriteNPZ(&b, arrays); err != nil {
		t.Fatal(err)
	}
	write(t, dir, "both.npz", b.Bytes())
	both := filepath.Join(dir, "both.npz")
	parts, err := OpenParts(both, both, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer parts.Close()
	if parts.Len() != 3 || parts.Calibration().Len() != 7 {
		t.Errorf("%d judged, %d trained on; want 3 and 7", parts.Len(), parts.Calibration().Len())
	}
}
