package recipe

import (
	"testing"

	"github.com/edgewise-ml/edgewise/internal/train"
	"github.com/edgewise-ml/edgewise/tensor"
)

// TestSamplesUseTheMemoryTheyAreGiven: an epoch over samples that are kept leaves no garbage
// of their size.
func TestSamplesUseTheMemoryTheyAreGiven(t *testing.T) {
	r := folder(t, text)
	j := &job{r: r, threads: 1}
	var err error
	if j.out, err = openOutput(r); err != nil {
		t.Fatal(err)
	}
	defer j.out.close()
	if err := j.prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer j.parts.close()
	var source train.Source = j.learned
	into := tensor.New(tensor.Float32, 1, 1, 8, 8)
	for i := range source.Len() {
		got, err := source.Sample(i, into)
		if err != nil || got.X != into {
			t.Fatalf("sample %d: %v in memory of its own, %v", i, got.X, err)
		}
	}
	if n := testing.AllocsPerRun(20, func() { _, _ = source.Sample(7, into) }); n > 0 {
		t.Errorf("%v allocations for a sample that is kept", n)
	}
}
