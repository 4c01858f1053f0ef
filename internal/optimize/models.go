package optimize

import (
	"encoding/json"
	"errors"
	"io/fs"
	"path/filepath"
	"strconv"

	"github.com/edgewise-ml/edgewise/internal/dataset"
	"github.com/edgewise-ml/edgewise/internal/onnx"
)

// Metadata keys of written models, besides those of packages dataset and quant.
const (
	MetaLabels  = "edgewise.labels"  // JSON list of class names, by model class
	MetaVersion = "edgewise.version" // of the tool
	MetaHow     = "edgewise.how"     // what was done to the model
	MetaSource  = "edgewise.source"  // the file it was made from
	MetaProof   = "edgewise.proof"   // JSON: accuracy, samples and metric, before and after
)

// metadata is what travels with a written model.
func (j *job) metadata(c *candidate) map[string]string {
	m := map[string]string{
		dataset.MetaKey: j.eval.pre.JSON(),
		MetaVersion:     j.cfg.Version,
		MetaHow:         c.how,
		MetaSource:      j.src.graph.Name,
	}
	proof, err := json.Marshal(map[string]any{"metric": j.task.metric, "samples": c.score.samples,
		"accuracy": c.score.accuracy, "original_accuracy": j.original.accuracy})
	if err == nil {
		m[MetaProof] = string(proof)
	}
	if names := j.classNames(); names != nil {
		if b, err := json.Marshal(names); err == nil {
			m[MetaLabels] = string(b)
		}
	}
	return m
}

// classNames returns the names of the model's classes, nil where the data has none.
func (j *job) classNames() []string {
	names := j.split.eval.Classes()
	if len(names) == 0 || j.task.classes == 0 {
		return nil
	}
	n := max(j.task.classes, 2)
	out := make([]string, n)
	for i := range out {
		if k := i - j.eval.pre.LabelOffset; k >= 0 && k < len(names) {
			out[i] = names[k]
		} else {
			out[i] = strconv.Itoa(i)
		}
	}
	return out
}

// writeModels stages a file for every point, which also tells its size.
func (j *job) writeModels() (*stage, error) {
	var st *stage
	if j.cfg.Out != "" {
		var err error
		if st, err = newStage(j.cfg.Out); err != nil {
			return nil, err
		}
	}
	j.rep.begin("write models", len(j.points))
	for i, c := range j.points {
		if err := j.writePoint(st, c); err != nil {
			if st != nil {
				st.discard()
			}
			return nil, err
		}
		j.rep.done(i + 1)
	}
	return st, nil
}

func (j *job) writePoint(st *stage, c *candidate) error {
	if st == nil {
		file, err := onnx.Encode(shielded(c.graph), onnx.Options{Metadata: j.metadata(c)})
		c.size = int64(len(file))
		return err
	}
	name := pointFile(c.name)
	if err := j.writeModel(st, name, c); err != nil {
		return err
	}
	var err error
	c.size, err = st.size(name)
	return err
}

func (j *job) writeModel(st *stage, name string, c *candidate) error {
	p, err := st.place(name)
	if err != nil {
		return err
	}
	if err := onnx.Write(p, shielded(c.graph), onnx.Options{Metadata: j.metadata(c)}); err != nil {
		var pe *fs.PathError
		if errors.As(err, &pe) {
			err = outputError(j.cfg.Out, err)
		}
		return err
	}
	return st.staged(name)
}

// finish stages the picked model and the reports, and gives everything its name.
func (j *job) finish(st *stage, picked *candidate) error {
	if err := j.writeModel(st, "model.onnx", picked); err != nil {
		return err
	}
	page, err := j.report.HTML()
	if err != nil {
		return err
	}
	if err := st.write("report.html", page); err != nil {
		return err
	}
	data, err := j.report.JSON()
	if err != nil {
		return err
	}
	if err := st.write("report.json", data); err != nil {
		return err
	}
	if err := j.ctx.Err(); err != nil {
		return err
	}
	st.stale = earlier(j.cfg.Out).stale(st.names)
	return st.commit()
}

// pointFile is where a point's model is written.
func pointFile(name string) string { return filepath.ToSlash(filepath.Join("points", name+".onnx")) }
