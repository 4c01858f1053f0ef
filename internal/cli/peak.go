package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/edgewise-ml/edgewise/internal/cpu"
	"github.com/edgewise-ml/edgewise/internal/kernel"
)

// peakReport is what one core of this machine reaches with the instructions of a level, in
// loops that do nothing else. A rate is 0 where there is no such loop.
type peakReport struct {
	F32  float64 `json:"f32_gmacs_per_s"`
	Int8 float64 `json:"int8_gmacs_per_s"`
	Copy float64 `json:"copy_gb_per_s"` // bytes read and written, far from the caches
}

func measurePeak(level cpu.Level) peakReport {
	p := kernel.MeasurePeak(level)
	return peakReport{p.F32 / 1e9, p.Int8 / 1e9, p.Copy / 1e9}
}

// seconds returns how long the multiply-accumulates of a step take at the peak on so many
// threads, 0 where that is not known.
func (p peakReport) seconds(macs int64, kernelName string, threads int) float64 {
	rate := p.F32
	if strings.Contains(kernelName, "u8s8") {
		rate = p.Int8
	}
	if rate == 0 {
		return 0
	}
	return float64(macs) / (rate * 1e9 * float64(threads))
}

func (p peakReport) write(w io.Writer, share float64, threads int) {
	if share > 0 {
		fmt.Fprintf(w, "%.0f %% of the peak of %s in multiply-accumulates; ", 100*share, counted(threads, "thread"))
	}
	fmt.Fprintf(w, "a core reaches")
	if p.F32 > 0 {
		fmt.Fprintf(w, " %.0f GMAC/s in float32,", p.F32)
	}
	if p.Int8 > 0 {
		fmt.Fprintf(w, " %.0f in int8,", p.Int8)
	}
	fmt.Fprintf(w, " %.1f GB/s of copies\n", p.Copy)
}
