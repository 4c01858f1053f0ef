package cli

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/edgewise-ml/edgewise/internal/cpu"
)

// unsound says why a measurement should be doubted. others is the number of cores that
// other programs kept busy meanwhile, negative where unknown.
func unsound(times []time.Duration, others float64, threads int) []string {
	out := []string{}
	n := len(times)
	sorted := slices.Sorted(slices.Values(times))
	if n < 20 {
		out = append(out, fmt.Sprintf("only %d runs: p95 and p99 say little; take more with --runs", n))
	}
	if n >= 10 {
		if p50, p90 := percentile(sorted, 50), percentile(sorted, 90); p90 > 1.25*p50 {
			out = append(out, fmt.Sprintf("times vary a lot: p90 is %.0f %% above p50; the minimum is the steadiest figure", 100*(p90/p50-1)))
		}
		third := n / 3
		head, tail := median(times[:third]), median(times[n-third:])
		if d := float64(tail)/float64(max(head, 1)) - 1; d > 0.1 || d < -0.1 {
			word := "slower"
			if d < 0 {
				word = "faster"
			}
			out = append(out, fmt.Sprintf("drift: the last third of the runs is %.0f %% %s than the first (heat, a changing clock, or other load)", 100*max(d, -d), word))
		}
	}
	if others > 0.25 {
		out = append(out, fmt.Sprintf("other programs kept %.1f cores busy meanwhile", others))
	}
	if c := cpu.Cores(); threads > c {
		out = append(out, fmt.Sprintf("%d threads share %d usable cores", threads, c))
	}
	if g := governor(); g != "" && g != "performance" {
		out = append(out, fmt.Sprintf("the clock is governed by %q, so it may change while measuring", g))
	}
	return out
}

func median(times []time.Duration) time.Duration {
	s := slices.Sorted(slices.Values(times))
	return s[len(s)/2]
}

// tick is the unit of times in /proc, the same on every Linux architecture.
const tick = 10 * time.Millisecond

// load is the processor time spent so far by everything and by this process.
type load struct {
	at        time.Time
	all, mine time.Duration
	ok        bool
}

// readLoad reads /proc, where there is one.
func readLoad() load {
	l := load{at: time.Now()}
	stat, err := os.ReadFile("/proc/stat")
	self, err2 := os.ReadFile("/proc/self/stat")
	if err != nil || err2 != nil {
		return l
	}
	first, _, _ := strings.Cut(string(stat), "\n")
	f := strings.Fields(first) // cpu user nice system idle iowait irq softirq steal …
	_, after, _ := cutLast(string(self), ")")
	p := strings.Fields(after) // state is the first; utime and stime are 11 further
	if len(f) < 9 || len(p) < 13 {
		return l
	}
	for _, i := range []int{1, 2, 3, 6, 7, 8} {
		l.all += ticks(f[i])
	}
	l.mine = ticks(p[11]) + ticks(p[12])
	l.ok = true
	return l
}

func ticks(s string) time.Duration {
	n, _ := strconv.ParseInt(s, 10, 64)
	return time.Duration(n) * tick
}

// others returns how many cores other programs kept busy since before, -1 where that is
// not known or the time was too short to tell.
func (l load) others(before load) float64 {
	wall := l.at.Sub(before.at)
	if !l.ok || !before.ok || wall < 10*tick {
		return -1
	}
	return max(float64((l.all-before.all)-(l.mine-before.mine))/float64(wall), 0)
}

// governor returns the cpufreq governor of the first core, "" where it cannot be seen.
func governor() string {
	b, err := os.ReadFile("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// peakRSS returns the largest resident size of this process so far in KiB, 0 where the
// system does not tell.
func peakRSS() int64 {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			if f := strings.Fields(rest); len(f) > 0 {
				n, _ := strconv.ParseInt(f[0], 10, 64)
				return n
			}
		}
	}
	return 0
}
