package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"sort"
	"strings"
	"time"
)

// names of the witnesses as reports write them.
var witnessNames = map[string]string{"ort": "ONNX Runtime", "tflite": "TFLite", "xnnpack": "XNNPACK"}

// markdown writes the records as tables.
func (all *results) markdown(w io.Writer) {
	sort.SliceStable(all.Records, func(i, j int) bool { return all.Records[i].Row < all.Records[j].Row })
	var first, last time.Time
	for _, r := range all.Records {
		if first.IsZero() || r.Measured.Before(first) {
			first = r.Measured
		}
		if r.Measured.After(last) {
			last = r.Measured
		}
	}
	fmt.Fprintf(w, "Measured on %s, %s to %s UTC.\n\n", all.Machine, first.Format("2006-01-02 15:04"), last.Format("15:04"))
	fmt.Fprintf(w, "| one core, level | f32 GMAC/s | int8 GMAC/s | copies GB/s |\n|---|---|---|---|\n")
	for _, level := range slices.Sorted(maps.Keys(all.Peaks)) {
		p := all.Peaks[level]
		fmt.Fprintf(w, "| %s | %.0f | %.0f | %.1f |\n", level, p["f32_gmacs_per_s"], p["int8_gmacs_per_s"], p["copy_gb_per_s"])
	}
	fmt.Fprintf(w, "\n| # | network | | threads | Edgewise ms | fastest witness ms | ratio | bound | of peak |\n|---|---|---|---|---|---|---|---|---|\n")
	for _, r := range all.Records {
		if r.Kind == "" {
			r.times(w)
		}
	}
	all.gains(w)
	fmt.Fprintf(w, "\nFrom exec to exit with one inference, 1 thread, ms:\n\n| # | network | | Edgewise | ONNX Runtime | TFLite | XNNPACK | |\n|---|---|---|---|---|---|---|---|\n")
	for _, r := range all.Records {
		if r.Kind == "start" {
			r.start(w)
		}
	}
	fmt.Fprintf(w, "\nPeak resident memory, 1 thread, MB:\n\n| # | network | | Edgewise | ONNX Runtime | TFLite | XNNPACK | |\n|---|---|---|---|---|---|---|---|\n")
	for _, r := range all.Records {
		if r.Kind == "memory" {
			r.memory(w)
		}
	}
	fmt.Fprintf(w, "\nPointwise layers of at least 10 MFLOP with AVX2 alone, share of its peak:\n\n| # | network | | layers | least | median | time-weighted | |\n|---|---|---|---|---|---|---|---|\n")
	for _, r := range all.Records {
		if r.Kind == "layers" {
			r.layers(w)
		}
	}
}

func (r *record) head(w io.Writer) { fmt.Fprintf(w, "| %d | %s | %s ", r.Row, r.Name, r.Type) }

// verdict is the bound with a mark where it is missed.
func verdict(met bool, bound string) string {
	if met {
		return bound
	}
	return "**" + bound + "**"
}

func (r *record) times(w io.Writer) {
	if r.Problem != "" {
		r.head(w)
		fmt.Fprintf(w, "| | %s | | | | |\n", strings.ReplaceAll(r.Problem, "|", "/"))
	}
	for i, m := range r.Times {
		bound := ""
		if i < len(r.Bounds) && r.Bounds[i] > 0 {
			bound = verdict(m.Ratio <= r.Bounds[i], fmt.Sprintf("≤ %.2f", r.Bounds[i]))
		}
		r.head(w)
		fmt.Fprintf(w, "| %d | %s | %s %s | %.2f | %s | %.0f %% |\n", m.Threads, figure(m.Ours), figure(m.Theirs[m.Fastest]),
			witnessNames[m.Fastest], m.Ratio, bound, 100*m.Peak)
	}
}

// figure has three digits.
func figure(v float64) string {
	switch {
	case v == 0:
		return "–"
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	case v >= 1:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.4f", v)
}

// gains is row 12: the same network in float32 and int8.
func (all *results) gains(w io.Writer) {
	fmt.Fprintf(w, "\n| # | network | float32 over int8, 1 thread | bound |\n|---|---|---|---|\n")
	for _, f := range all.Records {
		for _, q := range all.Records {
			if f.Kind != "" || q.Kind != "" || f.Type != "f32" || q.Type != "int8" || f.Name != q.Name || len(f.Times) == 0 || len(q.Times) == 0 {
				continue
			}
			gain, bound := f.Times[0].Ours/q.Times[0].Ours, ""
			if strings.HasPrefix(f.Name, "MobileNetV2") {
				bound = verdict(gain >= int8Gain, fmt.Sprintf("≥ %.1f", int8Gain))
			}
			fmt.Fprintf(w, "| 12 | %s | %.2f | %s |\n", f.Name, gain, bound)
		}
	}
}

func (r *record) start(w io.Writer) {
	r.head(w)
	if r.Start == nil {
		fmt.Fprintf(w, "| %s | | | | |\n", r.Problem)
		return
	}
	s := r.Start
	fmt.Fprintf(w, "| %s | %s | %s | %s | ", figure(s.Ours), figure(s.Theirs["ort"]), figure(s.Theirs["tflite"]), figure(s.Theirs["xnnpack"]))
	if ms := s.Theirs["ort"]; ms > 0 {
		fmt.Fprintf(w, "%s ONNX Runtime: %.2f ", verdict(s.Ours <= startOverORT*ms, fmt.Sprintf("≤ %.1f of", startOverORT)), s.Ours/ms)
	}
	if ms := s.Theirs["tflite"]; ms > 0 {
		fmt.Fprintf(w, "%s TFLite: %.2f ", verdict(s.Ours <= startOverTFLite*ms, fmt.Sprintf("≤ %.1f of", startOverTFLite)), s.Ours/ms)
	}
	fmt.Fprintln(w, "|")
}

func (r *record) memory(w io.Writer) {
	r.head(w)
	if len(r.Times) == 0 {
		fmt.Fprintf(w, "| %s | | | | |\n", r.Problem)
		return
	}
	m := r.Times[0]
	fmt.Fprintf(w, "| %s | %s | %s | %s | ", figure(m.RSS), figure(m.TheirRSS["ort"]), figure(m.TheirRSS["tflite"]), figure(m.TheirRSS["xnnpack"]))
	if mb := m.TheirRSS["ort"]; mb > 0 {
		fmt.Fprintf(w, "%s ONNX Runtime: %.2f ", verdict(m.RSS <= memoryOverORT*mb, fmt.Sprintf("≤ %.1f of", memoryOverORT)), m.RSS/mb)
	}
	if mb := m.TheirRSS["tflite"]; mb > 0 {
		fmt.Fprintf(w, "%s TFLite: %+.1f ", verdict(m.RSS <= mb+memoryAboveTFLite, fmt.Sprintf("≤ %d above", memoryAboveTFLite)), m.RSS-mb)
	}
	fmt.Fprintln(w, "|")
}

func (r *record) layers(w io.Writer) {
	r.head(w)
	if len(r.Layers) == 0 {
		fmt.Fprintf(w, "| %s | | | | |\n", r.Problem)
		return
	}
	shares := make([]float64, len(r.Layers))
	var macs, time float64
	worst := r.Layers[0]
	for i, l := range r.Layers {
		shares[i] = l.PeakShare
		macs += l.MACs
		time += l.MACs / l.PeakShare
		if l.PeakShare < worst.PeakShare {
			worst = l
		}
	}
	slices.Sort(shares)
	below := 0
	for _, s := range shares {
		if s < layerShare {
			below++
		}
	}
	fmt.Fprintf(w, "| %d | %.0f %% (%s) | %.0f %% | %.0f %% | %s, %d below |\n", len(shares), 100*worst.PeakShare, worst.Name,
		100*shares[len(shares)/2], 100*macs/time, verdict(below == 0, fmt.Sprintf("≥ %.0f %%", 100*layerShare)), below)
}
