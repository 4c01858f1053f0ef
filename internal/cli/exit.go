package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"syscall"

	"github.com/edgewise-ml/edgewise"
	"github.com/edgewise-ml/edgewise/internal/autodiff"
	"github.com/edgewise-ml/edgewise/internal/onnx"
	"github.com/edgewise-ml/edgewise/internal/spelling"
	"github.com/edgewise-ml/edgewise/internal/tflite"
	"github.com/edgewise-ml/edgewise/internal/train"
	"github.com/edgewise-ml/edgewise/internal/zoo"
)

// Exit codes.
const (
	ExitOK          = 0
	ExitFailed      = 1
	ExitUsage       = 2
	ExitBound       = 3 // an asked-for bound was not met: accuracy, tolerance
	ExitUnsupported = 4 // an operator or model form that Edgewise does not know
	ExitUnreachable = 5 // a peer does not answer
	ExitInterrupted = 130
)

// exitError is an error with an exit code and hints of its own.
type exitError struct {
	code  int
	err   error
	hints []string
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error {
	return &exitError{code: ExitUsage, err: fmt.Errorf(format, args...)}
}

// boundf reports a bound that was asked for and not met.
func boundf(format string, args ...any) error {
	return &exitError{code: ExitBound, err: fmt.Errorf(format, args...)}
}

// hinted adds what the user can do.
func hinted(err error, format string, args ...any) error {
	return &exitError{err: err, hints: []string{fmt.Sprintf(format, args...)}}
}

// exitCode returns the code of the outermost error that has one.
func exitCode(err error) int {
	for e := err; e != nil; e = errors.Unwrap(e) {
		if x, ok := e.(*exitError); ok && x.code != 0 {
			return x.code
		}
	}
	var o *onnx.UnsupportedError
	var t *tflite.UnsupportedError
	var name *zoo.NameError
	if errors.As(err, &o) || errors.As(err, &t) || errors.Is(err, autodiff.ErrUnsupported) {
		return ExitUnsupported
	}
	if errors.Is(err, train.ErrMemory) {
		return ExitBound
	}
	if errors.As(err, &name) {
		return ExitUsage
	}
	return ExitFailed
}

// hintMark begins the hint within the messages of other packages.
const hintMark = "hint: "

// report writes an error and its hints, each on lines of its own.
func report(w io.Writer, err error) {
	message, hint, _ := strings.Cut(err.Error(), hintMark)
	fmt.Fprintf(w, "edgewise: error: %s\n", strings.TrimRight(message, "\n ;,("))
	if hint != "" {
		fmt.Fprintf(w, "edgewise: hint: %s\n", strings.TrimSpace(hint))
	}
	for _, h := range hints(err) {
		fmt.Fprintf(w, "edgewise: hint: %s\n", h)
	}
}

// hints collects what is known to mend an error.
func hints(err error) []string {
	var out []string
	for e := err; e != nil; e = errors.Unwrap(e) {
		if x, ok := e.(*exitError); ok {
			out = append(out, x.hints...)
		}
	}
	var path *fs.PathError
	var unknown *onnx.UnsupportedError
	named := errors.As(err, &unknown)
	switch {
	case len(out) > 0:
	case errors.Is(err, syscall.ENOSPC):
		out = append(out, "the disk is full: free some space or write elsewhere with -o")
	case errors.Is(err, syscall.EROFS), errors.Is(err, fs.ErrPermission):
		out = append(out, "choose a place that you may write to with -o, or change the permissions")
	case errors.Is(err, fs.ErrNotExist) && errors.As(err, &path):
		for _, name := range zoo.Names() {
			if strings.HasPrefix(path.Path, name) {
				out = append(out, fmt.Sprintf("the built-in network is written %s%s", edgewise.ZooPrefix, path.Path))
			}
		}
	case named:
		out = append(out, "edgewise inspect shows the model all the same; other operators would have to be put in their place")
	}
	return out
}

// nearest returns the candidate that is closest to a mistyped word, "" when none is near.
func nearest(word string, candidates []string) string {
	best, least := "", len(word)/3+2
	for _, c := range candidates {
		d := spelling.Distance(strings.ToLower(word), strings.ToLower(c))
		if len(word) >= 2 && strings.HasPrefix(c, strings.ToLower(word)) {
			d = min(d, 1)
		}
		if d < least {
			best, least = c, d
		}
	}
	return best
}
