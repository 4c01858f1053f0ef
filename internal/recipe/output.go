package recipe

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/edgewise-ml/edgewise/internal/atomicfile"
	"github.com/edgewise-ml/edgewise/internal/dataset"
	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/onnx"
	"github.com/edgewise-ml/edgewise/internal/optimize"
	"github.com/edgewise-ml/edgewise/internal/train"
)

// Result is a finished training.
type Result struct {
	Recipe       string           `json:"recipe"`           // name of the file
	Digest       string           `json:"digest"`           // of what the recipe says
	Identity     string           `json:"identity"`         // of recipe, data, network, threads and instruction set
	Output       string           `json:"output,omitempty"` // folder; not in report.json, which lies there
	Finished     bool             `json:"finished"`
	Resumed      bool             `json:"resumed"`
	Epochs       int              `json:"epochs"`
	Epoch        int              `json:"epoch"` // whose weights were kept
	Data         string           `json:"data"`
	Trained      int              `json:"training_samples"`
	Classes      []string         `json:"classes,omitempty"`
	Preprocess   string           `json:"preprocess"`
	Network      string           `json:"network"`
	Parameters   int              `json:"trained_values"`
	Threads      int              `json:"threads"`
	Machine      optimize.Machine `json:"machine"`
	Memory       Memory           `json:"memory"`
	Version      string           `json:"version"`
	Created      time.Time        `json:"created"`
	Model        string           `json:"model"`
	Bytes        int64            `json:"model_bytes"`
	Validation   *Score           `json:"validation,omitempty"`
	Test         *Score           `json:"test,omitempty"`
	Alarms       *Alarms          `json:"alarms,omitempty"`
	Quantization *Quantization    `json:"quantization,omitempty"`

	History []train.EpochRecord `json:"history"`
	Rates   []float64           `json:"rates"`                 // of learning, at even distances over all steps
	Text    string              `json:"recipe_text,omitempty"` // the file as it was read; flags may have changed it

	Already bool         `json:"-"` // an earlier run had finished it
	Weights *graph.Graph `json:"-"` // the network in the form in which it was trained, unless Already
}

// Memory is what a training holds in memory, as package train counts it.
type Memory struct {
	Arena   int64 `json:"arena_bytes"`   // tensors of a step and scratch of the workers, as planned
	Weights int64 `json:"weight_bytes"`  // constants, of a teacher too, as given and as steps use them
	State   int64 `json:"state_bytes"`   // weights that are trained, statistics and what the optimizer keeps
	Batches int64 `json:"batch_bytes"`   // samples and targets ahead of the step
	Program int64 `json:"program_bytes"` // the program itself
	Total   int64 `json:"total_bytes"`   // of these
	Samples int64 `json:"sample_bytes"`  // decoded ones that are kept besides, at most
}

// Files of the output folder.
const (
	modelFile      = "model.onnx"
	checkpointFile = "checkpoint.npz"
	journalFile    = "journal.jsonl"
	reportFile     = "report.json"
	pageFile       = "report.html"
)

// DigestKey is the metadata key under which a model carries the digest of its recipe.
const DigestKey = "edgewise.recipe"

// output is the folder of a training.
type output struct {
	dir    string
	unlock func()
	failed error // why the journal could not be written
}

// openOutput makes the folder and locks it. Files that no training wrote are not replaced,
// least of all the model that is trained.
func openOutput(r *Recipe) (_ *output, err error) {
	o := &output{dir: r.Folder()}
	if err := os.MkdirAll(o.dir, 0o777); err != nil {
		return nil, fmt.Errorf("output: %w", err)
	}
	if o.unlock, err = atomicfile.Lock(o.dir); errors.Is(err, atomicfile.ErrLocked) {
		return nil, fmt.Errorf("output: %s: %w; hint: a training of that folder is running: let it end, or name another folder with -o", o.dir, err)
	} else if err != nil {
		return nil, fmt.Errorf("output: %w", err)
	}
	defer func() {
		if err != nil {
			o.close()
		}
	}()
	if !r.zoo() {
		model, own := o.stat(modelFile), r.at(r.Model)
		if own, err := os.Stat(own); err == nil && model != nil && os.SameFile(own, model) {
			return nil, fmt.Errorf("output: %s is the model that is to be trained; hint: name another folder with -o", o.path(modelFile))
		}
	}
	if name := o.foreign(); name != "" {
		return nil, fmt.Errorf("output: %s was not written by a training and is not replaced; hint: name another folder with -o", o.path(name))
	}
	if err := atomicfile.Sweep(o.dir); err != nil {
		return nil, fmt.Errorf("output: %w", err)
	}
	return o, nil
}

// foreign names a file that has the name of one of the training's own and is none, "" where
// there is none. Model and page stand beside a report, or where their training was ended
// before it wrote that, beside its checkpoint.
func (o *output) foreign() string {
	reported, begun := o.report() != nil, false
	if z, err := zip.OpenReader(o.checkpoint()); err == nil {
		begun = slices.ContainsFunc(z.File, func(f *zip.File) bool { return f.Name == train.PositionKey+".npy" })
		z.Close()
	}
	for _, f := range []struct {
		name string
		own  bool
	}{
		{reportFile, reported}, {checkpointFile, begun}, {journalFile, reported || begun || o.journaled()},
		{modelFile, reported || begun}, {pageFile, reported || begun},
	} {
		if !f.own && o.stat(f.name) != nil {
			return f.name
		}
	}
	return ""
}

// journaled reports whether the journal begins as a training's does.
func (o *output) journaled() bool {
	f, err := os.Open(o.path(journalFile))
	if err != nil {
		return false
	}
	defer f.Close()
	var e struct{ Epoch, Loss *float64 }
	err = json.NewDecoder(io.LimitReader(f, 1<<20)).Decode(&e)
	return err == io.EOF || err == nil && e.Epoch != nil && e.Loss != nil
}

func (o *output) close() { o.unlock() }

func (o *output) path(name string) string { return filepath.Join(o.dir, name) }

// stat describes a file of the folder, nil where there is none.
func (o *output) stat(name string) fs.FileInfo {
	info, err := os.Lstat(o.path(name))
	if err != nil {
		return nil
	}
	if followed, err := os.Stat(o.path(name)); err == nil {
		return followed
	}
	return info
}

func (o *output) checkpoint() string { return o.path(checkpointFile) }

// forget begins anew where a training was begun or finished. Its model stays until another
// takes its place, under a report that no longer calls the training finished.
func (o *output) forget() error {
	if r := o.report(); r != nil && r.Finished {
		r.Finished = false
		if err := o.writeReport(r); err != nil {
			return err
		}
	}
	for _, name := range []string{checkpointFile, journalFile} {
		if err := os.Remove(o.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("output: %w", err)
		}
	}
	return nil
}

// report returns what an earlier training reported, nil where there is none.
func (o *output) report() *Result {
	f, err := os.Open(o.path(reportFile))
	if err != nil {
		return nil
	}
	defer f.Close()
	var r Result
	if json.NewDecoder(io.LimitReader(f, 64<<20)).Decode(&r) != nil || r.Identity == "" {
		return nil
	}
	return &r
}

// finished returns the result of this very training where it is there already.
func (o *output) finished(identity string) *Result {
	r := o.report()
	if r == nil || !r.Finished || r.Identity != identity {
		return nil
	}
	if info, err := os.Stat(o.path(modelFile)); err != nil || info.Size() != r.Bytes {
		return nil
	}
	r.Already, r.Output = true, o.dir
	return r
}

// journal brings journal.jsonl to one line for each finished epoch. Lines are appended
// whole; what does not begin like that, after a loss of power or as another training's, is
// written anew from the checkpoint, which has all of it.
func (o *output) journal(history []train.EpochRecord) {
	var text bytes.Buffer
	for _, h := range history {
		line, err := json.Marshal(h)
		if err != nil {
			o.failed = err
			return
		}
		text.Write(append(line, '\n'))
	}
	have, err := os.ReadFile(o.path(journalFile))
	switch {
	case err == nil && bytes.Equal(have, text.Bytes()):
	case err == nil && len(have) > 0 && bytes.HasPrefix(text.Bytes(), have) && have[len(have)-1] == '\n':
		err = appendTo(o.path(journalFile), text.Bytes()[len(have):])
	default:
		err = atomicfile.Write(o.path(journalFile), func(w io.Writer) error {
			_, err := w.Write(text.Bytes())
			return err
		})
	}
	o.failed = errors.Join(o.failed, err)
}

func appendTo(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Close())
}

// write leaves the model, and last the report, which says that the training is finished.
func (o *output) write(g *graph.Graph, j *job, r *Result) error {
	if o.failed != nil {
		return fmt.Errorf("the journal: %w", o.failed)
	}
	meta := map[string]string{dataset.MetaKey: j.pre.JSON(), DigestKey: j.digest}
	if r.Alarms != nil {
		meta[AlarmKey] = strconv.FormatFloat(r.Alarms.Threshold, 'g', -1, 64)
	}
	r.Model, r.Finished = modelFile, true
	if err := onnx.Write(o.path(modelFile), g, onnx.Options{Metadata: meta}); err != nil {
		return err
	}
	info, err := os.Stat(o.path(modelFile))
	if err != nil {
		return err
	}
	r.Bytes = info.Size()
	filed := *r
	filed.Output = ""
	html, err := filed.HTML()
	if err != nil {
		return err
	}
	err = atomicfile.Write(o.path(pageFile), func(w io.Writer) error {
		_, err := w.Write(html)
		return err
	})
	if err != nil {
		return err
	}
	return o.writeReport(&filed)
}

func (o *output) writeReport(r *Result) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return atomicfile.Write(o.path(reportFile), func(w io.Writer) error {
		_, err := w.Write(append(text, '\n'))
		return err
	})
}
