package kernel

import (
	"unsafe"

	"github.com/edgewise-ml/edgewise/internal/cpu"
)

//go:generate go run -C _gen .

var (
	u8Heights   = []int{14, 7, 4, 2, 1}
	u8Heights6  = []int{6, 3, 2, 1}
	u8Heights12 = []int{12, 6, 3, 2, 1}
)

// Kernels of a level stand together, the widest first.
var u8GemmKernels = []*u8Gemm{
	{name: "u8s8_gemm_14x32_avx512vnni", level: cpu.AVX512VNNI, mr: 14, nr: 32, paired: true, rows: u8Heights, asm: 0},
	{name: "u8s8_gemm_14x16_avx512vnni", level: cpu.AVX512VNNI, mr: 14, nr: 16, rows: u8Heights, asm: 1},
	{name: "u8s8_gemm_14x32_avx512", level: cpu.AVX512, mr: 14, nr: 32, wide: true, paired: true, rows: u8Heights, asm: 2},
	{name: "u8s8_gemm_14x16_avx512", level: cpu.AVX512, mr: 14, nr: 16, wide: true, rows: u8Heights, asm: 3},
	{name: "u8s8_gemm_6x16_avxvnni", level: cpu.AVXVNNI, mr: 6, nr: 16, paired: true, whole: true, rows: u8Heights6, asm: 5},
	{name: "u8s8_gemm_12x8_avxvnni", level: cpu.AVXVNNI, mr: 12, nr: 8, whole: true, rows: u8Heights12, asm: 6},
	{name: "u8s8_gemm_6x16_avx2", level: cpu.AVX2, mr: 6, nr: 16, wide: true, paired: true, whole: true, rows: u8Heights6, asm: 4},
	{name: "u8s8_gemm_12x8_avx2", level: cpu.AVX2, mr: 12, nr: 8, wide: true, whole: true, rows: u8Heights12, asm: 7},
}

//go:noescape
func gemmU8x14x32VNNI(args *u8GemmArgs)

//go:noescape
func gemmU8x14x16VNNI(args *u8GemmArgs)

//go:noescape
func gemmU8x14x32AVX512(args *u8GemmArgs)

//go:noescape
func gemmU8x14x16AVX512(args *u8GemmArgs)

//go:noescape
func gemmU8x6x16AVX2(args *u8GemmArgs)

//go:noescape
func gemmU8x6x16AVXVNNI(args *u8GemmArgs)

//go:noescape
func gemmU8x12x8AVXVNNI(args *u8GemmArgs)

//go:noescape
func gemmU8x12x8AVX2(args *u8GemmArgs)

func u8GemmAsm(i int, a *u8GemmArgs) {
	switch i {
	case 0:
		gemmU8x14x32VNNI(a)
	case 1:
		gemmU8x14x16VNNI(a)
	case 2:
		gemmU8x14x32AVX512(a)
	case 3:
		gemmU8x14x16AVX512(a)
	case 4:
		gemmU8x6x16AVX2(a)
	case 5:
		gemmU8x6x16AVXVNNI(a)
	case 6:
		gemmU8x12x8AVXVNNI(a)
	case 7:
		gemmU8x12x8AVX2(a)
	}
}

var u8DepthwiseKernels = []*u8Depthwise{
	{name: "u8s8_dw_64c_avx512vnni", level: cpu.AVX512VNNI, lanes: 4, sweep: true, asm: 0},
	{name: "u8s8_dw_32c_avx512vnni", level: cpu.AVX512VNNI, lanes: 2, sweep: true, asm: 1},
	{name: "u8s8_dw_16c_avx512vnni", level: cpu.AVX512VNNI, lanes: 1, sweep: true, asm: 2},
	{name: "u8s8_dw_64c_avx512", level: cpu.AVX512, lanes: 4, wide: true, asm: 3},
	{name: "u8s8_dw_32c_avx512", level: cpu.AVX512, lanes: 2, wide: true, asm: 4},
	{name: "u8s8_dw_16c_avx512", level: cpu.AVX512, lanes: 1, wide: true, asm: 5},
	{name: "u8s8_dw_32c_avxvnni", level: cpu.AVXVNNI, lanes: 2, whole: true, asm: 7},
	{name: "u8s8_dw_32c_avx2", level: cpu.AVX2, lanes: 2, wide: true, whole: true, asm: 6},
}

//go:noescape
func tapsU8x64VNNI(args *u8TapArgs)

//go:noescape
func tapsU8x32VNNI(args *u8TapArgs)

//go:noescape
func tapsU8x16VNNI(args *u8TapArgs)

//go:noescape
func tapsU8x64AVX512(args *u8TapArgs)

//go:noescape
func tapsU8x32AVX512(args *u8TapArgs)

//go:noescape
func tapsU8x16AVX512(args *u8TapArgs)

//go:noescape
func tapsU8x32AVX2(args *u8TapArgs)

//go:noescape
func tapsU8x32AVXVNNI(args *u8TapArgs)

func u8TapsAsm(i int, a *u8TapArgs) {
	switch i {
	case 0:
		tapsU8x64VNNI(a)
	case 1:
		tapsU8x32VNNI(a)
	case 2:
		tapsU8x16VNNI(a)
	case 3:
		tapsU8x64AVX512(a)
	case 4:
		tapsU8x32AVX512(a)
	case 5:
		tapsU8x16AVX512(a)
	case 6:
		tapsU8x32AVX2(a)
	case 7:
		tapsU8x32AVXVNNI(a)
	}
}

//go:noescape
func sweepU8x64VNNI(args *u8SweepArgs)

//go:noescape
func sweepU8x32VNNI(args *u8SweepArgs)

//go:noescape
func sweepU8x16VNNI(args *u8SweepArgs)

func u8SweepAsm(i int, a *u8SweepArgs) {
	switch i {
	case 0:
		sweepU8x64VNNI(a)
	case 1:
		sweepU8x32VNNI(a)
	case 2:
		sweepU8x16VNNI(a)
	}
}

//go:noescape
func widenU8AVX512(dst, src unsafe.Pointer, n int)

//go:noescape
func widenU8AVX2(dst, src unsafe.Pointer, n int)

// widenU8 stores the bytes of src as 16-bit values for a wide kernel. It may
// read 31 bytes and write 62 beyond the end.
//
//go:noinline
func widenU8(k *u8Gemm, dst, src []byte) {
	if len(src) == 0 {
		return
	}
	d, s := unsafe.Pointer(unsafe.SliceData(dst)), unsafe.Pointer(unsafe.SliceData(src))
	if k.level.Includes(cpu.AVX512) {
		widenU8AVX512(d, s, len(src))
		return
	}
	widenU8AVX2(d, s, len(src))
}

//go:noescape
func addRowsU8AVX2(sums, src unsafe.Pointer, rows, stride, n int)

// addRowsAsm adds rows of n bytes to sums, for kernels of eight-bit weights.
func addRowsAsm(sums, src unsafe.Pointer, rows, stride, n int) {
	addRowsU8AVX2(sums, src, rows, stride, n)
}

//go:noescape
func peakU8VNNI(n int)

//go:noescape
func peakU8AVXVNNI(n int)

func init() { later(registerPeakU8) }

func registerPeakU8() {
	const n = 1000
	register(
		Entry{Name: "u8s8_peak_64_avx512vnni", Level: cpu.AVX512VNNI, DType: "u8s8", Op: "peak", NR: 64,
			Trial: func() (func(), float64) { return func() { peakU8VNNI(n) }, n * 24 * 64 * 2 }},
		Entry{Name: "u8s8_peak_32_avxvnni", Level: cpu.AVXVNNI, DType: "u8s8", Op: "peak", NR: 32,
			Trial: func() (func(), float64) { return func() { peakU8AVXVNNI(n) }, n * 12 * 32 * 2 }},
	)
}
