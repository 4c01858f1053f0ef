package kernel

import (
	"unsafe"

	"github.com/edgewise-ml/edgewise/internal/cpu"
)

//go:generate go run -C _gen .

var (
	u8Heights  = []int{6, 4, 2, 1}
	u8Heights2 = []int{2, 1}
)

// Kernels of a level stand together, the widest first. Of those without dot
// products the faster needs tame weights.
var u8GemmKernels = []*u8Gemm{
	{name: "u8s8_gemm_6x16_neoni8mm", level: cpu.NEONI8MM, mr: 6, nr: 16, deep: true, whole: true, rows: u8Heights, asm: 0},
	{name: "u8s8_gemm_6x8_neoni8mm", level: cpu.NEONI8MM, mr: 6, nr: 8, deep: true, whole: true, rows: u8Heights, asm: 1},
	{name: "u8s8_gemm_6x16inorder_neondot", level: cpu.NEONDot, mr: 6, nr: 16, signed: true, whole: true, inOrder: true, rows: u8Heights, asm: 6},
	{name: "u8s8_gemm_6x16_neondot", level: cpu.NEONDot, mr: 6, nr: 16, signed: true, whole: true, rows: u8Heights, asm: 2},
	{name: "u8s8_gemm_6x8_neondot", level: cpu.NEONDot, mr: 6, nr: 8, signed: true, whole: true, rows: u8Heights, asm: 3},
	{name: "u8s8_gemm_2x8tame_neon", level: cpu.NEON, mr: 2, nr: 8, deep: true, signed: true, tame: true, whole: true, rows: u8Heights2, asm: 4},
	{name: "u8s8_gemm_2x8_neon", level: cpu.NEON, mr: 2, nr: 8, deep: true, signed: true, whole: true, rows: u8Heights2, asm: 5},
}

//go:noescape
func gemmU8x6x16MMLA(args *u8GemmArgs)

//go:noescape
func gemmU8x6x8MMLA(args *u8GemmArgs)

//go:noescape
func gemmU8x6x16Dot(args *u8GemmArgs)

//go:noescape
func gemmU8x6x16DotInOrder(args *u8GemmArgs)

//go:noescape
func gemmU8x6x8Dot(args *u8GemmArgs)

//go:noescape
func gemmU8x2x8Pairs(args *u8GemmArgs)

//go:noescape
func gemmU8x2x8Long(args *u8GemmArgs)

func u8GemmAsm(i int, a *u8GemmArgs) {
	switch i {
	case 0:
		gemmU8x6x16MMLA(a)
	case 1:
		gemmU8x6x8MMLA(a)
	case 2:
		gemmU8x6x16Dot(a)
	case 3:
		gemmU8x6x8Dot(a)
	case 4:
		gemmU8x2x8Pairs(a)
	case 5:
		gemmU8x2x8Long(a)
	case 6:
		gemmU8x6x16DotInOrder(a)
	}
}

var u8DepthwiseKernels = []*u8Depthwise{
	{name: "u8s8_dw_16c_neoni8mm", level: cpu.NEONI8MM, lanes: 1, whole: true, sweep: true, asm: 0},
	{name: "u8s8_dw_16c_neondot", level: cpu.NEONDot, lanes: 1, signed: true, whole: true, sweep: true, asm: 1},
	{name: "u8s8_dw_8c_neon", level: cpu.NEON, wide: true, whole: true, sweep: true, asm: 2},
}

//go:noescape
func tapsU8x16USDot(args *u8TapArgs)

//go:noescape
func tapsU8x16Dot(args *u8TapArgs)

//go:noescape
func tapsU8x8NEON(args *u8TapArgs)

func u8TapsAsm(i int, a *u8TapArgs) {
	switch i {
	case 0:
		tapsU8x16USDot(a)
	case 1:
		tapsU8x16Dot(a)
	case 2:
		tapsU8x8NEON(a)
	}
}

//go:noescape
func sweepU8x16USDot(args *u8SweepArgs)

//go:noescape
func sweepU8x16Dot(args *u8SweepArgs)

//go:noescape
func sweepU8x8NEON(args *u8SweepArgs)

func u8SweepAsm(i int, a *u8SweepArgs) {
	switch i {
	case 0:
		sweepU8x16USDot(a)
	case 1:
		sweepU8x16Dot(a)
	case 2:
		sweepU8x8NEON(a)
	}
}

// widenU8 serves wide kernels, of which there are none here.
func widenU8(*u8Gemm, []byte, []byte) {}

//go:noescape
func addRowsU8NEON(sums, src unsafe.Pointer, rows, stride, n int)

// addRowsAsm adds rows of n bytes to sums.
func addRowsAsm(sums, src unsafe.Pointer, rows, stride, n int) {
	addRowsU8NEON(sums, src, rows, stride, n)
}
