package kernel

import (
	"sort"
	"sync"

	"github.com/edgewise-ml/edgewise/internal/cpu"
)

// An Entry is one micro-kernel. Its name says what it computes:
//
//	dtype_op_tile_level     f32_gemm_14x32_avx512, u8s8_gemm_14x32_avx512vnni, f32_dw3x3_16c_go
//
// where the level of the portable twin is written "go".
type Entry struct {
	Name  string
	Level cpu.Level
	DType string // "f32", "u8s8", …
	Op    string // "gemm", "dw3x3", "exp", …
	MR    int    // rows of the tile, pixels of a sweep; 0 where it has none
	NR    int    // columns of the tile, channels of a sweep, lanes

	// Trial returns a call of the micro-kernel on data of its own, sized to stay
	// in the nearest cache, and the operations or, where Bytes is set, the bytes
	// that one call takes. It serves benchmarks and reports.
	Trial func() (run func(), work float64)
	Bytes bool
}

var (
	registry     []Entry
	registrars   []func()
	registryOnce sync.Once
)

// later notes a function that registers micro-kernels; files do so when the package is
// initialised. Only who asks for the registry pays for it.
func later(f func()) { registrars = append(registrars, f) }

// register adds micro-kernels to the table.
func register(entries ...Entry) { registry = append(registry, entries...) }

// Registry returns every micro-kernel of this architecture by dtype, op and
// level, including those above what this machine runs.
func Registry() []Entry {
	registryOnce.Do(func() {
		for _, f := range registrars {
			f()
		}
	})
	all := append([]Entry(nil), registry...)
	sort.SliceStable(all, func(i, j int) bool {
		a, b := &all[i], &all[j]
		switch {
		case a.DType != b.DType:
			return a.DType < b.DType
		case a.Op != b.Op:
			return a.Op < b.Op
		case a.Level != b.Level:
			return a.Level < b.Level
		}
		return a.Name < b.Name
	})
	return all
}

// pick returns the index of the entry with the highest level that l includes,
// the first of equals. The table of every op holds a Generic one.
func pick(l cpu.Level, n int, level func(int) cpu.Level) int {
	best := -1
	for i := range n {
		if k := level(i); l.Includes(k) && (best < 0 || k > level(best)) {
			best = i
		}
	}
	return best
}
