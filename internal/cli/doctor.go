package cli

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/edgewise-ml/edgewise/internal/cpu"
	"github.com/edgewise-ml/edgewise/internal/kernel"
)

// doctorReport is what doctor --json writes. Sizes of 0 and empty texts mean that the
// system does not tell.
type doctorReport struct {
	Version     string            `json:"version"`
	OS          string            `json:"os"`
	Arch        string            `json:"arch"`
	Kernel      string            `json:"kernel"`
	Processor   string            `json:"processor"`
	Vendor      string            `json:"vendor"`
	Features    []string          `json:"features"`
	Levels      []string          `json:"levels"` // that this machine runs, ascending
	Tier        string            `json:"tier"`   // that is used
	L1D         int               `json:"l1d_bytes"`
	L2          int               `json:"l2_bytes"`
	L3          int               `json:"l3_bytes"`
	CPUs        int               `json:"cpus"`
	Cores       int               `json:"usable_cores"`
	MemTotal    int64             `json:"memory_bytes"`
	MemFree     int64             `json:"memory_available_bytes"`
	CgroupLimit int64             `json:"cgroup_memory_bytes"` // 0 = no limit
	Governor    string            `json:"governor"`
	Temperature float64           `json:"temperature_c"` // of the hottest zone
	Kernels     []kernelReport    `json:"kernels"`
	Environment map[string]string `json:"environment"`
	Advice      []string          `json:"advice"`
}

// kernelReport names the micro-kernel that is chosen for an operation.
type kernelReport struct {
	DType string `json:"dtype"`
	Op    string `json:"op"`
	Name  string `json:"name"`
	Level string `json:"level"`
}

func (a *app) doctor() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Show what Edgewise finds on this machine",
		Args:  arguments(0, 0, "no arguments"),
		RunE: func(*cobra.Command, []string) error {
			r := examine()
			if a.json {
				return a.writeJSON(r)
			}
			a.printDoctor(r)
			return nil
		},
	}
	a.jsonFlag(cmd)
	return cmd
}

func examine() *doctorReport {
	info := cpu.Detect()
	r := &doctorReport{Version: version(), OS: runtime.GOOS, Arch: runtime.GOARCH, Kernel: firstLine("/proc/sys/kernel/osrelease"),
		Processor: info.Model, Vendor: info.Vendor, Features: slices.Clone(info.Features), L1D: info.L1D, L2: info.L2, L3: info.L3,
		Tier: cpu.Best().String(), CPUs: runtime.NumCPU(), Cores: cpu.Cores(), Governor: governor(), Temperature: hottest(),
		Kernels: chosen(cpu.Best()), Environment: map[string]string{}, Advice: []string{}}
	if r.Features == nil {
		r.Features = []string{}
	}
	for _, l := range cpu.Levels() {
		r.Levels = append(r.Levels, l.String())
	}
	r.MemTotal, r.MemFree = meminfo("MemTotal:"), meminfo("MemAvailable:")
	for _, f := range []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		if n, err := strconv.ParseInt(firstLine(f), 10, 64); err == nil && (r.MemTotal == 0 || n < r.MemTotal) {
			r.CgroupLimit = n
		}
	}
	for _, e := range os.Environ() {
		if k, v, ok := strings.Cut(e, "="); ok && strings.HasPrefix(k, envPrefix) {
			r.Environment[k] = v
		}
	}
	advise := func(format string, args ...any) { r.Advice = append(r.Advice, fmt.Sprintf(format, args...)) }
	if cpu.Best() == cpu.Generic {
		advise("no vector instructions are used; everything runs by portable Go")
	}
	if v := r.Environment[cpu.ISAVariable]; v != "" {
		advise("%s=%s lowers the instruction set level", cpu.ISAVariable, v)
	}
	if r.Governor != "" && r.Governor != "performance" {
		advise("the clock is governed by %q; for steady measurements choose performance", r.Governor)
	}
	if r.Cores < r.CPUs {
		advise("%d of %d processors may be used (affinity or a cgroup quota)", r.Cores, r.CPUs)
	}
	return r
}

// chosen returns the fastest kernel of each operation that level l runs.
func chosen(l cpu.Level) []kernelReport {
	out := []kernelReport{}
	best := cpu.Generic
	for _, e := range kernel.Registry() {
		if !l.Includes(e.Level) {
			continue
		}
		k := kernelReport{e.DType, e.Op, e.Name, e.Level.String()}
		last := len(out) - 1
		if last < 0 || out[last].DType != e.DType || out[last].Op != e.Op {
			out, best = append(out, k), e.Level
		} else if e.Level > best { // the registry is sorted by type, operation and level
			out[last], best = k, e.Level
		}
	}
	return out
}

func (a *app) printDoctor(r *doctorReport) {
	row := func(name, format string, args ...any) {
		fmt.Fprintf(a.out, "%-14s %s\n", name, fmt.Sprintf(format, args...))
	}
	size := func(n int64) string {
		if n == 0 {
			return "unknown"
		}
		return bytesText(n)
	}
	row("edgewise", "%s", r.Version)
	row("system", "%s/%s %s", r.OS, r.Arch, r.Kernel)
	row("processor", "%s", strings.TrimSpace(r.Vendor+" "+r.Processor))
	row("features", "%s", strings.Join(r.Features, " "))
	row("levels", "%s; %s is used", strings.Join(r.Levels, " "), r.Tier)
	row("caches", "L1d %s, L2 %s, L3 %s", size(int64(r.L1D)), size(int64(r.L2)), size(int64(r.L3)))
	row("cores", "%d usable of %d", r.Cores, r.CPUs)
	row("memory", "%s, %s available", size(r.MemTotal), size(r.MemFree))
	limit := "none seen"
	if r.CgroupLimit > 0 {
		limit = bytesText(r.CgroupLimit)
	}
	row("cgroup limit", "%s", limit)
	gov := r.Governor
	if gov == "" {
		gov = "not visible"
	}
	row("clock governor", "%s", gov)
	if r.Temperature > 0 {
		row("temperature", "%.0f °C", r.Temperature)
	}
	for _, k := range slices.Sorted(maps.Keys(r.Environment)) {
		row(k, "%s", r.Environment[k])
	}
	fmt.Fprintln(a.out)
	t := &table{head: []string{"type", "operation", "kernel"}}
	for _, k := range r.Kernels {
		t.add(k.DType, k.Op, k.Name)
	}
	t.write(a.out)
	for _, s := range r.Advice {
		a.note("%s", s)
	}
}

// firstLine returns the first line of a small system file, "" where there is none.
func firstLine(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(b), "\n")
	return strings.TrimSpace(line)
}

// meminfo returns a line of /proc/meminfo in bytes.
func meminfo(key string) int64 {
	b, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) >= 2 && f[0] == key {
			n, _ := strconv.ParseInt(f[1], 10, 64)
			return n << 10
		}
	}
	return 0
}

// hottest returns the temperature of the hottest thermal zone in degrees Celsius, 0 where
// none can be read.
func hottest() float64 {
	zones, _ := filepath.Glob("/sys/class/thermal/thermal_zone*/temp")
	most := 0.0
	for _, z := range zones {
		if n, err := strconv.ParseFloat(firstLine(z), 64); err == nil {
			most = max(most, n/1000)
		}
	}
	return most
}
