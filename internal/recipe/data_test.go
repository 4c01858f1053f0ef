package recipe

import (
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
