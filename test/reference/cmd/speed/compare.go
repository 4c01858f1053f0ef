package main

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/edgewise-ml/edgewise/test/reference/npz"
	"github.com/edgewise-ml/edgewise/test/reference/session"
)

// opponent is another runtime with the file that it reads.
type opponent struct{ Lib, Model string }

// comparison is one network to time.
type comparison struct {
	Name      string
	Ours      string // model for Edgewise
	Witnesses []opponent
	Threads   []int
	Shapes    string           // x=1x3x320x320;y=1
	Values    map[string]int64 // of integer inputs that must not be 0
	Integer   bool             // outputs agree within quantization steps only
}

// job is what the measuring process is told.
type job struct {
	Edgewise, Witness string
	Comparison        comparison
	Inputs            []string          // for edgewise, name=file
	Archives          map[string]string // by lib
}

// compare checks that the outputs agree and measures.
func (t *tools) compare(c comparison) ([]measured, error) {
	j, err := t.prepare(c)
	if err != nil {
		return nil, err
	}
	var m []measured
	return m, t.measure(j, "alternate", &m)
}

// prepare makes the inputs and drops witnesses that do not take the model. It fails where
// one takes it and gives other outputs.
func (t *tools) prepare(c comparison) (*job, error) {
	j := &job{Edgewise: t.Edgewise, Witness: t.Witness, Archives: map[string]string{}}
	file := filepath.Join(t.Dir, "job-"+c.Name+".json")
	if t.Prepared {
		b, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		return j, json.Unmarshal(b, j)
	}
	var refused []string
	for _, w := range c.Witnesses {
		archive, inputs, err := t.inputs(c, w)
		if err == nil {
			err = t.agree(c, w, archive)
		}
		if refusal, ok := err.(refusal); ok {
			refused = append(refused, string(refusal))
			continue
		}
		if err != nil {
			return nil, err
		}
		j.Comparison.Witnesses = append(j.Comparison.Witnesses, w)
		j.Archives[w.Lib] = archive
		if w.Model == c.Ours || j.Inputs == nil {
			j.Inputs = inputs
		}
	}
	if len(j.Archives) == 0 {
		return nil, fmt.Errorf("%s: no witness takes the model: %s", c.Name, strings.Join(refused, "; "))
	}
	kept := j.Comparison.Witnesses
	j.Comparison = c
	j.Comparison.Witnesses = kept
	return j, j.write(file)
}

func (j *job) write(file string) error {
	b, err := json.Marshal(j)
	if err != nil {
		return err
	}
	return os.WriteFile(file, b, 0o666)
}

// refusal says that a witness does not take a model.
type refusal string

func (r refusal) Error() string { return string(r) }

// inputs writes the made-up inputs as one archive and as a file for each, name=file.
func (t *tools) inputs(c comparison, w opponent) (archive string, files []string, err error) {
	var info struct{ Inputs []session.Port }
	if err := result(&info, nil, t.Witness, "info", "--lib", w.Lib, "--model", w.Model); err != nil {
		return "", nil, refusal(err.Error())
	}
	shapes, err := parseShapes(c.Shapes)
	if err != nil {
		return "", nil, err
	}
	arrays, err := session.Fill(info.Inputs, shapes)
	if err != nil {
		return "", nil, err
	}
	h := fnv.New32a()
	fmt.Fprint(h, w.Model, c.Shapes)
	base := filepath.Join(t.Dir, fmt.Sprintf("in-%s-%08x", c.Name, h.Sum32()))
	for i, key := range session.Keys(info.Inputs) {
		a := arrays[key]
		if v, ok := c.Values[key]; ok && a.ItemSize() == 8 {
			for at := 0; at < len(a.Data); at += 8 {
				binary.LittleEndian.PutUint64(a.Data[at:], uint64(v))
			}
		}
		file := fmt.Sprintf("%s-%d.npy", base, i)
		if err := npz.WriteArray(file, a); err != nil {
			return "", nil, err
		}
		files = append(files, key+"="+file)
	}
	return base + ".npz", files, npz.WriteFile(base+".npz", arrays)
}

func parseShapes(s string) (map[string][]int64, error) {
	out := map[string][]int64{}
	for part := range strings.SplitSeq(s, ";") {
		name, sizes, ok := strings.Cut(part, "=")
		if !ok {
			continue
		}
		for d := range strings.SplitSeq(sizes, "x") {
			n, err := strconv.ParseInt(d, 10, 64)
			if err != nil {
				return nil, fmt.Errorf("shape %q: %w", part, err)
			}
			out[name] = append(out[name], n)
		}
	}
	return out, nil
}

// agree runs the witness and Edgewise once on the witness's file.
func (t *tools) agree(c comparison, w opponent, archive string) error {
	out := strings.TrimSuffix(archive, ".npz") + "-" + w.Lib + "-out.npz"
	if _, err := output(nil, t.Witness, "run", "--lib", w.Lib, "--model", w.Model, "--inputs", archive, "--outputs", out); err != nil {
		return refusal(err.Error())
	}
	both, err := npz.ReadFile(archive)
	if err != nil {
		return err
	}
	outputs, err := npz.ReadFile(out)
	if err != nil {
		return err
	}
	for name, a := range outputs {
		both[name] = a
	}
	if err := npz.WriteFile(out, both); err != nil {
		return err
	}
	var r struct {
		Outputs []struct {
			Name   string
			Scaled float64 `json:"max_scaled"`
			SQNR   float64 `json:"sqnr_db"`
		}
	}
	if err := result(&r, nil, t.Edgewise, "compare", w.Model, out, "--json"); err != nil {
		return err
	}
	for _, o := range r.Outputs {
		if c.Integer && o.SQNR < 15 || !c.Integer && o.Scaled > 1e-3 {
			return fmt.Errorf("%s: output %s differs from that of %s: %.2g of the largest, %.0f dB", c.Name, o.Name, w.Lib, o.Scaled, o.SQNR)
		}
	}
	return nil
}
