package conformance

import (
	"bufio"
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/edgewise-ml/edgewise/internal/onnx"
)

//go:embed onnx_ledger.txt
var onnxLedger string

// Ledger lists what is refused and why. Its lines are
//
//	suite/case: reason
//	op domain.Name: reason
//
// The second form covers every case whose model is refused for that operator alone or
// with others of the ledger, also cases that nobody here has seen.
type Ledger struct {
	cases, ops map[string]string
}

// ONNXLedger returns the ledger of the ONNX backend suite.
func ONNXLedger() *Ledger {
	l, err := parseLedger(onnxLedger)
	if err != nil {
		panic(err)
	}
	return l
}

func parseLedger(text string) (*Ledger, error) {
	l := &Ledger{cases: map[string]string{}, ops: map[string]string{}}
	sc := bufio.NewScanner(strings.NewReader(text))
	for n := 1; sc.Scan(); n++ {
		line := strings.TrimSpace(sc.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		name, reason, ok := strings.Cut(line, ": ")
		if !ok || strings.TrimSpace(reason) == "" {
			return nil, fmt.Errorf("ledger line %d: want \"case: reason\", got %q", n, line)
		}
		into := l.cases
		if o, isOp := strings.CutPrefix(name, "op "); isOp {
			into, name = l.ops, o
		}
		if into[name] != "" {
			return nil, fmt.Errorf("ledger line %d: %s stands there twice", n, name)
		}
		into[name] = reason
	}
	return l, sc.Err()
}

// refuses reports whether a case that ended with err is excused, and why.
func (l *Ledger) refuses(name string, err error) (reason string, ok bool) {
	if reason, ok = l.cases[name]; ok {
		return reason, true
	}
	var u *onnx.UnsupportedError
	if !errors.As(err, &u) || len(u.Ops) == 0 {
		return "", false
	}
	var reasons []string
	for _, o := range u.Ops {
		r, ok := l.ops[o.Key.String()]
		if !ok {
			return "", false
		}
		if !slices.Contains(reasons, r) {
			reasons = append(reasons, r)
		}
	}
	return strings.Join(reasons, "; "), true
}
