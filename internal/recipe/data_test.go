package recipe

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestPartsOneByOne(t *testing.T) {
	r := folder(t, with("data: {train: bright.npz, test: bright.npz, preprocess: {divide: 255}}"))
	p, err := r.openData()
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	if p.train.Len() != 200 || p.test.Len() != 60 || !p.train.ScaleGiven() {
		t.Errorf("%d to train on, %d to test; want 200 and 60", p.train.Len(), p.test.Len())
	}
	r.Data.HoldOut = []string{"20%"}
	if err := r.Validate(); err == nil || !strings.Contains(err.Error(), "hold_out") {
		t.Errorf("hold_out beside train and test: %v", err)
	}
}

// A labelled fault in the part that is trained on is not learned, and moves no threshold.
func TestAnomaliesAreNotLearned(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"sensor.csv": wave(), "faults.csv": "start,end\n100,109\n300,319\n",
		"r.yaml": strings.Replace(fmt.Sprintf(watched, 2), "50%%", "50%", 1)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r, err := Read(filepath.Join(dir, "r.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	p, err := r.openData()
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	// 400 rows, of which the first 200 make 185 windows; rows 100 to 109 are in 25 of them.
	if p.train.Len() != 185-25 || p.test.Len() != 200 {
		t.Errorf("%d to train on, %d to test", p.train.Len(), p.test.Len())
	}
	for i := range p.train.Len() {
		if _, end := p.train.Series(i); len(end) == 3 && end >= "100" && end <= "124" {
			t.Errorf("a sample ends at row %s", end)
		}
	}
	if episodes, _ := p.test.Episodes(); len(episodes) != 1 {
		t.Errorf("stretches of the test part: %+v", episodes)
	}
}
