//go:build !amd64 && !arm64

package kernel

import (
	"unsafe"

	"github.com/edgewise-ml/edgewise/internal/cpu"
)

// There is no quantized assembly for this architecture: the tables are empty,
// and slices are computed by portable code from the start.

var (
	u8GemmKernels      []*u8Gemm
	u8DepthwiseKernels []*u8Depthwise
	u8SlicesLevels     []cpu.Level
)

func hasLookupU8(cpu.Level) bool { return false }

func u8GemmAsm(int, *u8GemmArgs)   {}
func u8TapsAsm(int, *u8TapArgs)    {}
func u8SweepAsm(int, *u8SweepArgs) {}

func widenU8(*u8Gemm, []byte, []byte) {}

func addRowsAsm(unsafe.Pointer, unsafe.Pointer, int, int, int) {}

func binaryU8Asm(cpu.Level, *preparedAdd, unsafe.Pointer, unsafe.Pointer, unsafe.Pointer, int) int {
	return 0
}
func quantizeU8Asm(cpu.Level, *[4]float32, unsafe.Pointer, unsafe.Pointer, int) int   { return 0 }
func dequantizeU8Asm(cpu.Level, *[2]float32, unsafe.Pointer, unsafe.Pointer, int) int { return 0 }
func maxU8Asm(cpu.Level, unsafe.Pointer, unsafe.Pointer, int) int                     { return 0 }
func accumulateU8Asm(cpu.Level, unsafe.Pointer, unsafe.Pointer, int) int              { return 0 }
func rangeF32Asm(cpu.Level, *[32]float32, unsafe.Pointer, int) int                    { return 0 }

func lookupU8Asm(cpu.Level, *[256]uint8, unsafe.Pointer, unsafe.Pointer, int) int {
	return 0
}

func scaleI32Asm(cpu.Level, unsafe.Pointer, unsafe.Pointer, unsafe.Pointer, unsafe.Pointer, int) int {
	return 0
}
