package conformance

import (
	"errors"
	"fmt"
	"testing"

	"github.com/edgewise-ml/edgewise/internal/onnx"
	"github.com/edgewise-ml/edgewise/internal/op"
)

func TestLedger(t *testing.T) {
	l, err := parseLedger("# comment\n\nnode/test_a: too odd\nop X: no x\nop dom.Y: no y\n")
	if err != nil {
		t.Fatal(err)
	}
	unsupported := func(keys ...op.Key) error {
		u := &onnx.UnsupportedError{}
		for _, k := range keys {
			u.Ops = append(u.Ops, onnx.UnsupportedOp{Key: k})
		}
		return fmt.Errorf("m.onnx: %w", u)
	}
	for _, c := range []struct {
		name string
		err  error
		want bool
	}{
		{"node/test_a", errors.New("any"), true},
		{"node/test_b", errors.New("any"), false},
		{"node/test_b", nil, false},
		{"node/test_b", unsupported(op.Key{Name: "X"}), true},
		{"node/test_b", unsupported(op.Key{Name: "X"}, op.Key{Domain: "dom", Name: "Y"}), true},
		{"node/test_b", unsupported(op.Key{Name: "X"}, op.Key{Name: "Z"}), false},
	} {
		if _, got := l.refuses(c.name, c.err); got != c.want {
			t.Errorf("%s, %v: refused %v, want %v", c.name, c.err, got, c.want)
		}
	}
	for _, text := range []string{"node/test_a", "node/test_a: ", "op X: a\nop X: b"} {
		if _, err := parseLedger(text); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}
