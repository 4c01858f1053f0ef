package kernel

import (
	"unsafe"

	"github.com/edgewise-ml/edgewise/internal/cpu"
)

// There is no quantized assembly for this architecture: the tables are empty
// and nothing below is reached.

var (
	u8GemmKernels      []*u8Gemm
	u8DepthwiseKernels []*u8Depthwise
)

const binaryU8Level = cpu.Generic

func u8GemmAsm(int, *u8GemmArgs)   {}
func u8TapsAsm(int, *u8TapArgs)    {}
func u8SweepAsm(int, *u8SweepArgs) {}

func binaryU8Asm(_ *preparedAdd, _, _, _ unsafe.Pointer, _ int) {}

func widenU8(_ *u8Gemm, dst, src []byte) {}

func quantizeU8Vector(_ cpu.Level, _ []uint8, _ []float32, _ float32, _, _, _ uint8) int { return 0 }
