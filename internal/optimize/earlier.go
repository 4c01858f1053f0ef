package optimize

import (
	"encoding/json"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// OccupiedError reports that a run would overwrite what no run wrote.
type OccupiedError struct {
	Path  string // of the file that would be lost
	Input bool   // it is the model that is to be optimized; Config.Force does not help
}

func (e *OccupiedError) Error() string {
	if e.Input {
		return fmt.Sprintf("the result would overwrite the model itself, %s", e.Path)
	}
	return fmt.Sprintf("%s is there already and no earlier run of Edgewise wrote it", e.Path)
}

// results are the files that every run writes, the points aside; report.json is the last
// to get its name.
var results = []string{"model.onnx", "report.html", "report.json"}

// checkOccupied refuses an output folder where a run would overwrite its own input, or
// files that are not a result: without a report beside them they may be anyone's.
func checkOccupied(out, model string, force bool) error {
	if input, err := os.Stat(model); err == nil {
		names := results
		if entries, err := os.ReadDir(filepath.Join(out, "points")); err == nil {
			for _, e := range entries {
				names = append(names[:len(names):len(names)], "points/"+e.Name())
			}
		}
		for _, name := range names {
			p := filepath.Join(out, filepath.FromSlash(name))
			if info, err := os.Stat(p); err == nil && os.SameFile(info, input) {
				return &OccupiedError{Path: p, Input: true}
			}
		}
	}
	if force || earlier(out) != nil {
		return nil
	}
	for _, name := range results {
		p := filepath.Join(out, name)
		if _, err := os.Lstat(p); err == nil {
			return &OccupiedError{Path: p}
		}
	}
	return nil
}

// earlier returns the report of the run that wrote into a folder, nil where there was none.
// A run that ended while it gave files their names has left its report in its own folder.
func earlier(out string) *Report {
	files := []string{filepath.Join(out, "report.json")}
	if entries, err := os.ReadDir(out); err == nil {
		for _, e := range entries {
			if strings.HasPrefix(e.Name(), stagePrefix) {
				files = append(files, filepath.Join(out, e.Name(), "report.json"))
			}
		}
	}
	for _, f := range files {
		if r := readReport(f); r != nil {
			return r
		}
	}
	return nil
}

// reportLimit bounds what is read of a file that may be anything.
const reportLimit = 64 << 20

// readReport returns the report in a file, nil where it holds none of this form.
func readReport(name string) *Report {
	info, err := os.Stat(name)
	if err != nil || !info.Mode().IsRegular() || info.Size() > reportLimit {
		return nil
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return nil
	}
	var r Report
	if json.Unmarshal(data, &r) != nil || r.Format < 1 || r.Format > ReportFormat || r.Tool.Name != toolName || r.Point(r.Picked) == nil {
		return nil
	}
	return &r
}

// stale lists the points of an earlier run that this one does not write. Only what can be
// the name of a point counts: a report may have been edited.
func (r *Report) stale(written []string) []string {
	if r == nil {
		return nil
	}
	keep := map[string]bool{}
	for _, name := range written {
		keep[name] = true
	}
	var out []string
	for _, p := range r.Points {
		dir, base := path.Split(p.File)
		if dir == "points/" && filepath.IsLocal(base) && !strings.ContainsAny(base, `/\`) && strings.HasSuffix(base, ".onnx") && !keep[p.File] {
			out = append(out, p.File)
		}
	}
	return out
}
