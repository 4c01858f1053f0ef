package optimize

import (
	"encoding/json"
	"math"
	"time"

	"github.com/edgewise-ml/edgewise/internal/dataset"
)

// Origins of a figure.
const (
	Measured   = "measured"   // on the machine that the report names
	Predicted  = "predicted"  // from a profile of another machine
	Unmeasured = "unmeasured" // the figure is absent
)

// toolName marks reports as Edgewise's own.
const toolName = "edgewise"

// ReportFormat is the version of the JSON form. Fields are only added within one.
const ReportFormat = 1

// Report is everything that Run found; it is what report.json holds. Accuracies and
// shares lie in 0..1, drops are in points (hundredths), times in milliseconds, sizes in
// bytes. A figure that is not known is null or absent, never 0.
type Report struct {
	Format     int       `json:"format"`
	Created    time.Time `json:"created"`
	Tool       Tool      `json:"tool"`
	Command    []string  `json:"command"`
	Machine    Machine   `json:"machine"`
	Seed       uint64    `json:"seed"`
	Seconds    float64   `json:"seconds"` // that the run took
	Model      ModelInfo `json:"model"`
	Data       DataInfo  `json:"data"`
	Preprocess PreInfo   `json:"preprocess"`
	Goal       Goal      `json:"goal"`

	Original Point   `json:"original"`
	Points   []Point `json:"points"`
	Picked   string  `json:"picked"` // name of a point
	Met      bool    `json:"met"`    // the picked point holds the bound
	Why      string  `json:"why"`    // it was picked
	Kept     bool    `json:"kept"`   // no candidate within the bound is better: the picked point is the original, simplified

	Layers    []LayerInfo `json:"layers"`
	Tried     []Trial     `json:"tried"`
	Memory    []Timeline  `json:"memory"`
	Confusion *Confusion  `json:"confusion,omitempty"`
	Warnings  []string    `json:"warnings"`
}

// Tool names what made the report.
type Tool struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Go      string `json:"go"`
}

// Machine is where latencies were measured.
type Machine struct {
	OS      string `json:"os"`
	Arch    string `json:"arch"`
	CPU     string `json:"cpu"`
	Cores   int    `json:"cores"`
	Threads int    `json:"threads"` // of one inference
	ISA     string `json:"isa"`
}

// ModelInfo describes the model as it was given.
type ModelInfo struct {
	Path       string   `json:"path"`
	Name       string   `json:"name"`
	Inputs     []string `json:"inputs"`
	Outputs    []string `json:"outputs"`
	Judged     string   `json:"judged_output"`
	Nodes      int      `json:"nodes"`
	Parameters int64    `json:"parameters"`
	MACs       int64    `json:"macs"` // as the engine counts them
}

// DataInfo tells which samples served what.
type DataInfo struct {
	Path        string `json:"path"` // empty for the built-in example
	Description string `json:"description"`
	Labelled    bool   `json:"labelled"`
	Classes     int    `json:"classes"`
	Evaluation  int    `json:"evaluation_samples"`
	Calibration int    `json:"calibration_samples"`
	Proxy       int    `json:"proxy_samples"` // for the cheap comparison of candidates
	Disjoint    bool   `json:"disjoint"`      // no evaluation sample served for calibration
	Note        string `json:"note"`
}

// PreInfo tells how samples became model inputs.
type PreInfo struct {
	Text  string             `json:"text"`
	Why   []string           `json:"why"`
	Spec  dataset.Preprocess `json:"spec"`
	YAML  string             `json:"dataset_yaml"`    // states Spec
	Tried []PreTrial         `json:"tried,omitempty"` // where the model did not tell
}

// PreTrial is one customary preprocessing tried on the original model.
type PreTrial struct {
	Text     string  `json:"text"`
	Accuracy float64 `json:"accuracy"`
	Samples  int     `json:"samples"`
}

// Goal is what was asked for.
type Goal struct {
	Metric      string  `json:"metric"`
	MaxDrop     float64 `json:"max_drop_points"`
	Chance      float64 `json:"chance"`       // accuracy of always naming the most frequent class; 0 without labels
	ChanceLevel bool    `json:"chance_level"` // the original is not clearly better
}

// Point is one form of the model with its figures.
type Point struct {
	Name      string    `json:"name"`
	How       string    `json:"how"`
	File      string    `json:"file"` // relative to the report, or the original as given
	Accuracy  *float64  `json:"accuracy"`
	Interval  []float64 `json:"accuracy_interval_95,omitempty"` // Wilson's, of shares of samples
	Samples   int       `json:"samples"`
	Drop      *float64  `json:"drop_points"`
	DropRange []float64 `json:"drop_points_95,omitempty"` // interval of the drop on the same samples, see pairedDrop
	Agreement *float64  `json:"agreement"`                // share of samples decided as by the original
	P50       *float64  `json:"latency_ms_p50"`
	P95       *float64  `json:"latency_ms_p95"`
	Min       *float64  `json:"latency_ms_min"`
	Mean      *float64  `json:"latency_ms_mean"`
	Runs      int       `json:"latency_runs"`
	Size      int64     `json:"size_bytes"`
	Arena     int       `json:"arena_bytes"`   // working memory of one inference at its peak
	Weights   int       `json:"weights_bytes"` // of the constants as they are packed
	Origin    string    `json:"origin"`        // of accuracy, latency, size and memory alike
	Within    bool      `json:"within_bound"`
	Floats    int       `json:"float_layers"` // layers that could be quantized by kind and were not
	Integers  int       `json:"int8_layers"`
}

// LayerInfo tells what became of one layer in the picked point.
type LayerInfo struct {
	Name     string   `json:"name"`
	Op       string   `json:"op"`
	Bits     int      `json:"bits"`
	Reason   string   `json:"kept_float_reason,omitempty"`
	Fused    string   `json:"fused_into,omitempty"` // the layer whose times include this one's
	SQNR     *float64 `json:"sqnr_db"`              // of its output, everything before it quantized
	WSQNR    *float64 `json:"weights_sqnr_db,omitempty"`
	Lo       *float64 `json:"range_lo,omitempty"`
	Hi       *float64 `json:"range_hi,omitempty"`
	Scale    float32  `json:"scale,omitempty"`
	Zero     int      `json:"zero_point"`
	Float    *float64 `json:"float_ms"`
	Int8     *float64 `json:"int8_ms"`
	Channels bool     `json:"per_channel"`
}

// Trial is something that was tried.
type Trial struct {
	Name     string   `json:"name"`
	Accepted bool     `json:"accepted"`
	Why      string   `json:"why"`
	SQNR     *float64 `json:"sqnr_db,omitempty"`
	Accuracy *float64 `json:"accuracy,omitempty"`
	Samples  int      `json:"samples,omitempty"`
	P50      *float64 `json:"latency_ms_p50,omitempty"`
}

// Timeline is the working memory in use during each step of a point.
type Timeline struct {
	Point string       `json:"point"`
	Peak  int          `json:"arena_bytes"`
	Steps []MemoryStep `json:"steps"`
}

// MemoryStep is the memory alive during one step.
type MemoryStep struct {
	Name  string `json:"name"`
	Bytes int    `json:"bytes"`
}

// Confusion counts decisions by true class, for models of few classes.
type Confusion struct {
	Classes  []string `json:"classes"`
	Original [][]int  `json:"original"`
	Picked   [][]int  `json:"picked"`
}

// Point returns the named point, nil if there is none.
func (r *Report) Point(name string) *Point {
	for i := range r.Points {
		if r.Points[i].Name == name {
			return &r.Points[i]
		}
	}
	return nil
}

// JSON returns the form that report.json has.
func (r *Report) JSON() ([]byte, error) {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return nil, err
	}
	return append(b, '\n'), nil
}

// figure returns v for a report, nil where it is no number: JSON has none for it.
func figure(v float64) *float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	return &v
}
