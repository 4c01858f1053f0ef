package recipe

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"
)

var kills = flag.Int("kills", 5, "how often TestKilledTrainingEndsTheSame kills its training")

// victim names the recipe that a process started by the test carries out.
const victim = "EDGEWISE_TEST_RECIPE"

func TestMain(m *testing.M) {
	file := os.Getenv(victim)
	if file == "" {
		goleak.VerifyTestMain(m)
		return
	}
	r, err := Read(file)
	if err == nil {
		_, err = Run(context.Background(), r, Options{Every: time.Nanosecond}) // after every step
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// TestKilledTrainingEndsTheSame ends a training by force, at moments that chance chooses:
// while it opens its files, in a step, while it writes a checkpoint, a line of the journal
// or the model.
func TestKilledTrainingEndsTheSame(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	long := "epochs: 12\nthreads: 1\naccumulate: 2\n" + // and the states of the best epoch
		"data: {data: bright.npz, validation: 0.2, preprocess: {divide: 255, mean: [0.4], std: [0.2]}}"
	want := folder(t, with(long))
	run(t, want, Options{})
	r := folder(t, with(long))
	start := func() (*exec.Cmd, *bytes.Buffer) {
		var out bytes.Buffer
		c := exec.Command(os.Args[0])
		c.Env = append(os.Environ(), victim+"="+filepath.Join(r.dir, "small.yaml"))
		c.Stderr, c.Stdout = &out, &out
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		return c, &out
	}
	// One whole run in a process tells how long there is to be killed in.
	began := time.Now()
	if c, out := start(); c.Wait() != nil {
		t.Fatal(out)
	}
	whole := time.Since(began)
	for _, name := range []string{modelFile, reportFile, pageFile, checkpointFile, journalFile} {
		if err := os.Remove(filepath.Join(r.Folder(), name)); err != nil {
			t.Fatal(err)
		}
	}
	seed := uint64(time.Now().UnixNano())
	rng := rand.New(rand.NewPCG(seed, 9))
	ended := 0
	for range *kills {
		c, out := start()
		time.Sleep(time.Duration(rng.Float64() * 1.2 * float64(whole) / float64(*kills)))
		_ = c.Process.Kill()
		if err := c.Wait(); err == nil {
			ended++ // before it was killed
		} else if out.Len() > 0 {
			t.Fatalf("seed %d: a process that was to be killed failed: %s", seed, out)
		}
	}
	if c, out := start(); c.Wait() != nil {
		t.Fatalf("seed %d: after %d kills: %s", seed, *kills, out)
	}
	t.Logf("seed %d: %d processes were killed, %d ended before", seed, *kills-ended, ended)
	if !bytes.Equal(read(t, r, modelFile), read(t, want, modelFile)) {
		t.Errorf("seed %d: the model differs from that of a training that was left alone", seed)
	}
	if n := bytes.Count(read(t, r, journalFile), []byte("\n")); n != 12 {
		t.Errorf("seed %d: the journal has %d lines for 12 epochs", seed, n)
	}
	left, err := filepath.Glob(filepath.Join(r.Folder(), "*"))
	if err != nil || len(left) != 5 {
		t.Errorf("seed %d: the folder holds %v, %v", seed, left, err)
	}
}
