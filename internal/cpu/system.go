package cpu

import (
	"io"
	"os"
	"path"
	"runtime"
	"strconv"
	"strings"
	"sync"
)

// feature is a feature bit with the name it is shown by.
type feature struct {
	name string
	has  bool
}

func named(all ...feature) []string {
	var names []string
	for _, f := range all {
		if f.has {
			names = append(names, f.name)
		}
	}
	return names
}

var cores = sync.OnceValue(func() int {
	// NumCPU respects the affinity mask that the process started with.
	n := runtime.NumCPU()
	if q := quota("/"); q > 0 && q < n {
		n = q
	}
	return n
})

// Cores returns how many cores this process may keep busy: the affinity mask,
// lowered by a cgroup CPU quota (v1 or v2). A quota counts in whole cores,
// rounded down, at least 1: a spinning worker beyond it would only be throttled.
func Cores() int { return cores() }

// quota returns the CPU quota of the process in whole cores, or 0 where there
// is none. All files are read under root.
func quota(root string) int {
	best := 0.0
	take := func(limit, period string) {
		l, err1 := strconv.ParseFloat(limit, 64)
		p, err2 := strconv.ParseFloat(period, 64)
		if err1 != nil || err2 != nil || !(l > 0) || !(p > 0) {
			return
		}
		if q := l / p; best == 0 || q < best {
			best = q
		}
	}
	// A line is hierarchy:controllers:path; v2 is "0::path". Inside a container
	// the path may be that of the host, so the mount point itself is read too.
	for _, line := range strings.Split(readSmall(path.Join(root, "proc/self/cgroup")), "\n") {
		f := strings.SplitN(line, ":", 3)
		if len(f) != 3 {
			continue
		}
		v2 := f[0] == "0" && f[1] == ""
		mount := "sys/fs/cgroup"
		if !v2 {
			if !contains(strings.Split(f[1], ","), "cpu") {
				continue
			}
			mount = "sys/fs/cgroup/cpu"
		}
		// Cleaning a rooted path removes every "..", so it stays under the mount.
		for dir, depth := path.Clean("/"+f[2]), 0; depth < 64; dir, depth = path.Dir(dir), depth+1 {
			at := path.Join(root, mount, dir)
			if v2 {
				if w := strings.Fields(readSmall(path.Join(at, "cpu.max"))); len(w) == 2 {
					take(w[0], w[1])
				}
			} else {
				take(strings.TrimSpace(readSmall(path.Join(at, "cpu.cfs_quota_us"))),
					strings.TrimSpace(readSmall(path.Join(at, "cpu.cfs_period_us"))))
			}
			if dir == "/" {
				break
			}
		}
	}
	switch {
	case best == 0:
		return 0
	case best < 1:
		return 1
	case best > 1<<20:
		return 0
	}
	return int(best)
}

// InOrder reports whether all cores are of kinds that issue in order and load 64
// bits a cycle, for which some kernels have a form of their own. It is known of
// arm64 on Linux.
func InOrder() bool { return inOrder() }

var inOrder = sync.OnceValue(func() bool {
	return runtime.GOARCH == "arm64" && allInOrder(readSmall("/proc/cpuinfo"))
})

// allInOrder reads the part numbers, one for each core, of Arm's processors.
func allInOrder(cpuinfo string) bool {
	found := false
	for _, line := range strings.Split(cpuinfo, "\n") {
		key, value, _ := strings.Cut(line, ":")
		switch key, value = strings.TrimSpace(key), strings.TrimSpace(value); {
		case key == "CPU implementer" && value != "0x41":
			return false
		case key != "CPU part":
		case value == "0xd03" || value == "0xd04" || value == "0xd05": // Cortex-A53, A35, A55
			found = true
		default:
			return false
		}
	}
	return found
}

func contains(list []string, s string) bool {
	for _, v := range list {
		if v == s {
			return true
		}
	}
	return false
}

// readSmall returns the first 64 KiB of a file, or "" where it cannot be read.
func readSmall(name string) string {
	f, err := os.Open(name)
	if err != nil {
		return ""
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, 64<<10))
	if err != nil {
		return ""
	}
	return string(b)
}

// readSystem fills in names and cache sizes from the files Linux shows; on
// other systems they are absent and the fields stay empty.
func readSystem(info *Info) {
	for _, line := range strings.Split(readSmall("/proc/cpuinfo"), "\n") {
		key, value, ok := strings.Cut(line, ":")
		if !ok {
			continue
		}
		value = strings.TrimSpace(value)
		switch strings.TrimSpace(key) {
		case "vendor_id", "CPU implementer":
			if info.Vendor == "" {
				info.Vendor = value
			}
		case "model name", "Model":
			if info.Model == "" {
				info.Model = value
			}
		}
	}
	for i := 0; i < 8; i++ {
		dir := "/sys/devices/system/cpu/cpu0/cache/index" + strconv.Itoa(i)
		size := cacheSize(strings.TrimSpace(readSmall(dir + "/size")))
		kind := strings.TrimSpace(readSmall(dir + "/type"))
		if kind == "Instruction" {
			continue
		}
		switch strings.TrimSpace(readSmall(dir + "/level")) {
		case "1":
			info.L1D = size
		case "2":
			info.L2 = size
		case "3":
			info.L3 = size
		}
	}
}

// cacheSize reads a size such as 48K or 2M, 0 where it is not one.
func cacheSize(s string) int {
	unit := 1
	switch {
	case strings.HasSuffix(s, "K"):
		unit, s = 1<<10, strings.TrimSuffix(s, "K")
	case strings.HasSuffix(s, "M"):
		unit, s = 1<<20, strings.TrimSuffix(s, "M")
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 || n > 1<<20 {
		return 0
	}
	return n * unit
}
