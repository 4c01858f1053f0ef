package edgewise

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"runtime/debug"
	"slices"
	"sync"

	"github.com/edgewise-ml/edgewise/internal/atomicfile"
	"github.com/edgewise-ml/edgewise/internal/cpu"
	"github.com/edgewise-ml/edgewise/internal/engine"
	"github.com/edgewise-ml/edgewise/internal/mapfile"
	"github.com/edgewise-ml/edgewise/internal/op"
)

// TuningSuffix is added to the name of a model file for that of its tuning: the kernels
// that were measured to be the fastest for it on one machine.
const TuningSuffix = ".tune.json"

// NoTuning as Options.Tuning leaves a tuning beside the model alone.
const NoTuning = "none"

// tuningFile is the contents of such a file.
type tuningFile struct {
	Form      int      `json:"form"`
	Model     string   `json:"model_sha256"`
	Processor string   `json:"processor"`
	Version   string   `json:"version"` // of this module
	Tunings   []tuning `json:"tunings"`
}

// tuning is the outcome for one way to run the model.
type tuning struct {
	Level   string            `json:"level"`
	Threads int               `json:"threads"`
	Inputs  map[string][]int  `json:"inputs"`
	Choices map[string]string `json:"choices"` // kernels by the names of steps
	Before  float64           `json:"latency_ms_before"`
	After   float64           `json:"latency_ms_after"`
}

const (
	tuningForm  = 1
	tuningBytes = 4 << 20 // most that is read
	tuningCount = 64      // most that are kept, the newest last
)

// of reports whether the tuning is for this way to run a model.
func (t *tuning) of(level cpu.Level, threads int, shapes map[string][]int) bool {
	return t.Level == level.String() && t.Threads == threads && maps.EqualFunc(t.Inputs, shapes, slices.Equal)
}

// decodeTuning reads a file's contents, which need not be what they should.
func decodeTuning(data []byte) (*tuningFile, error) {
	f := &tuningFile{}
	d := json.NewDecoder(bytes.NewReader(data))
	if err := d.Decode(f); err != nil {
		return nil, fmt.Errorf("it is damaged: %w", err)
	}
	switch {
	case f.Form != tuningForm:
		return nil, fmt.Errorf("it has form %d, this program reads %d", f.Form, tuningForm)
	case len(f.Tunings) > tuningCount:
		return nil, fmt.Errorf("it holds %d tunings, more than %d", len(f.Tunings), tuningCount)
	}
	return f, nil
}

// fits returns why a file is not for the model and this machine.
func (f *tuningFile) fits(model string) error {
	switch {
	case f.Model != model:
		return errors.New("it is for another model, or the model was changed since")
	case f.Processor != processor():
		return fmt.Errorf("it is for another processor, %q", f.Processor)
	case f.Version != moduleVersion():
		return fmt.Errorf("it was made by another version of Edgewise, %q", f.Version)
	}
	return nil
}

func readTuning(path string) (*tuningFile, error) {
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
		return nil, cmp.Or(err, errors.New("it is no regular file"))
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, tuningBytes+1))
	if err != nil {
		return nil, err
	}
	if len(data) > tuningBytes {
		return nil, fmt.Errorf("it has more than %d bytes", tuningBytes)
	}
	return decodeTuning(data)
}

// tuned returns the choices for a way to run the model from the file of o or the one
// beside the model; nil, and a note, where there are none.
func (m *Model) tuned(o Options, e engine.Options) map[string]string {
	path := o.Tuning
	if path == "" && m.file != "" {
		path = m.file + TuningSuffix
	}
	if path == "" || path == NoTuning {
		return nil
	}
	f, err := readTuning(path)
	if errors.Is(err, fs.ErrNotExist) && o.Tuning == "" {
		return nil
	}
	if err == nil {
		var digest string
		if digest, err = m.digest(); err == nil {
			err = f.fits(digest)
		}
	}
	if err != nil {
		m.untuned(path, err)
		return nil
	}
	shapes := m.shapes(e.Shapes)
	for i := range f.Tunings {
		if t := &f.Tunings[i]; t.of(levelOf(e), e.Threads, shapes) {
			return t.Choices
		}
	}
	m.untuned(path, fmt.Errorf("it has nothing for %v, %d threads and these shapes", levelOf(e), e.Threads))
	return nil
}

// untuned remembers why a tuning is not used.
func (m *Model) untuned(path string, reason error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.notes["tuning"] = fmt.Sprintf("the tuning %s is not used: %v (edgewise tune measures anew)", path, reason)
}

// shapes returns those of all inputs that are known.
func (m *Model) shapes(given map[string][]int) map[string][]int {
	out := map[string][]int{}
	for _, v := range m.graph.Inputs {
		if s, ok := given[v.Name]; ok {
			out[v.Name] = s
		} else if s, ok := v.Type.Static(); ok {
			out[v.Name] = s
		}
	}
	return out
}

// levelOf returns the level that engine.Compile takes.
func levelOf(e engine.Options) cpu.Level {
	if e.Portable {
		return e.Level
	}
	return cpu.Best()
}

// digest returns that of the model's file, or of the file that the model would be.
func (m *Model) digest() (string, error) {
	read := m.source
	if m.file != "" {
		read = func() ([]byte, error) { return mapfile.Read(m.file) }
	}
	data, err := read()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:]), nil
}

func processor() string { i := cpu.Detect(); return i.Vendor + " " + i.Model }

// moduleVersion returns the version of this module in the program, "" where it does not
// carry it.
var moduleVersion = sync.OnceValue(func() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	const path = "github.com/edgewise-ml/edgewise"
	for _, d := range append(info.Deps, &info.Main) {
		if d.Path == path {
			return d.Version
		}
	}
	return ""
})

// Tune measures on this machine which kernels run the model the fastest for inputs of the
// given shapes, as engine.Tune says. values has one value for each input.
func (m *Model) Tune(ctx context.Context, o Options, shapes map[string][]int, values []op.Value, t engine.TuneOptions) (*engine.Tuning, error) {
	if m.sealed != nil {
		return nil, errors.New("tune: a sealed plan holds weights for the kernels it was sealed with; tune the model, then seal that")
	}
	e, err := o.engine()
	if err != nil {
		return nil, err
	}
	e.Shapes = shapes
	return engine.Tune(ctx, m.graph, e, values, t)
}

// WriteTuning stores what Tune found for the same options and shapes in a file, beside the
// model where path is its name and TuningSuffix: Plan heeds it there. What the file holds
// for other options stays where it is for this model, machine and version. A tuning that
// gained nothing makes no file.
func (m *Model) WriteTuning(path string, o Options, shapes map[string][]int, found *engine.Tuning) (written bool, err error) {
	e, err := o.engine()
	if err != nil {
		return false, err
	}
	digest, err := m.digest()
	if err != nil {
		return false, fmt.Errorf("tuning: %w", err)
	}
	f, err := readTuning(path)
	if errors.Is(err, fs.ErrNotExist) && len(found.Choices) == 0 {
		return false, nil
	}
	if err != nil || f.fits(digest) != nil {
		f = &tuningFile{Form: tuningForm, Model: digest, Processor: processor(), Version: moduleVersion()}
	}
	shapes = m.shapes(shapes)
	f.Tunings = slices.DeleteFunc(f.Tunings, func(t tuning) bool { return t.of(levelOf(e), e.Threads, shapes) })
	f.Tunings = append(f.Tunings, tuning{Level: levelOf(e).String(), Threads: e.Threads, Inputs: shapes, Choices: found.Choices,
		Before: found.Before.Seconds() * 1e3, After: found.After.Seconds() * 1e3})
	f.Tunings = f.Tunings[max(0, len(f.Tunings)-tuningCount):]
	data, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return false, err
	}
	return true, atomicfile.Write(path, func(w io.Writer) error { _, err := w.Write(append(data, '\n')); return err })
}
