//go:build !amd64

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

// u8SlicesLevel is the level of the assembly over slices.
const u8SlicesLevel = cpu.Generic

func u8GemmAsm(int, *u8GemmArgs)   {}
func u8TapsAsm(int, *u8TapArgs)    {}
func u8SweepAsm(int, *u8SweepArgs) {}

func binaryU8Asm(_ *preparedAdd, _, _, _ unsafe.Pointer, _ int) {}

func widenU8(*u8Gemm, []byte, []byte) {}

func maxU8Asm(_, _ unsafe.Pointer, _ int)        {}
func accumulateU8Asm(_, _ unsafe.Pointer, _ int) {}

func quantizeU8Asm(_ *[4]float32, _, _ unsafe.Pointer, _ int) {}

func dequantizeU8Asm(_ *[2]float32, _, _ unsafe.Pointer, _ int) {}
func rangeF32Asm(_ *[32]float32, _ unsafe.Pointer, _ int)       {}

const hasLookupU8 = false

func lookupU8Asm(_ *[256]uint8, _, _ unsafe.Pointer, _ int) {}
