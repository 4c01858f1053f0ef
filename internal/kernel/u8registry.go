package kernel

import (
	"strings"
	"unsafe"

	"github.com/edgewise-ml/edgewise/internal/cpu"
)

func init() { later(registerU8) }

func registerU8() {
	for _, k := range append([]*u8Gemm{u8GemmPortable}, u8GemmKernels...) {
		register(Entry{Name: k.name, Level: k.level, DType: "u8s8", Op: "gemm", MR: k.mr, NR: k.nr, Trial: k.trial})
	}
	for _, k := range append([]*u8Depthwise{u8DepthwisePortable}, u8DepthwiseKernels...) {
		register(Entry{Name: k.name, Level: k.level, DType: "u8s8", Op: "dw", NR: k.block(), Trial: k.trial})
		if k.sweep {
			register(Entry{Name: k.sweepName(), Level: k.level, DType: "u8s8", Op: "dw3x3", NR: k.block(), Trial: k.trialSweep})
		}
	}
	registerU8Slices(cpu.Generic)
	for _, l := range u8SlicesLevels {
		registerU8Slices(l)
	}
}

func registerU8Slices(l cpu.Level) {
	name := l.String()
	if l == cpu.Generic {
		name = "go"
	}
	const n = 4096
	a, b, dst := make([]uint8, n), make([]uint8, n), make([]uint8, n)
	x, sum := make([]float32, n), make([]int32, n)
	entry := func(op, dtype string, run func()) {
		register(Entry{Name: dtype + "_" + op + "_64_" + name, Level: l, DType: dtype, Op: op, NR: 64,
			Trial: func() (func(), float64) { return run, n }})
	}
	add := (&QuantAdd{AZero: 3, BZero: 4, AMult: 0.5, BMult: 0.5, Hi: 255}).prepare(l)
	mul := (&QuantMul{AZero: 3, BZero: 4, Mult: 0.01, Hi: 255}).prepare(l)
	entry("add", "u8", func() { add.run(dst, a, b) })
	entry("mul", "u8", func() { mul.run(dst, a, b) })
	entry("quantize", "f32u8", func() { QuantizeU8(l, dst, x, 0.1, 3, 0, 255) })
	entry("dequantize", "u8f32", func() { DequantizeU8(l, x, a, 0.1, 3) })
	if l != cpu.AVX2 {
		entry("range", "f32", func() { RangeF32(l, x) })
	}
	if l == cpu.Generic || hasLookupU8(l) {
		var table [256]uint8
		entry("lookup", "u8", func() { LookupU8(l, dst, a, &table) })
	}
	entry("max", "u8", func() { maxU8(l, dst, a) })
	entry("accumulate", "u8i32", func() { accumulateU8(l, sum, a) })
}

// trial multiplies tall tiles with a panel of 256 k.
func (k *u8Gemm) trial() (run func(), work float64) {
	const depth, tiles = 256, 8
	g := k.group()
	row := depth * 4 / g
	src, b := alignedBytes(k.mr*tiles*row), alignedBytes(depth/g*k.nr*4)
	dst, vec := alignedBytes(k.mr*tiles*k.nr), alignedBytes(4*k.nr)
	segs := [1]u8Segment{{groups: depth / g}}
	a := &u8GemmArgs{aStride: row, segs: unsafe.Pointer(&segs), segN: 1,
		b: unsafe.Pointer(&b[0]), start: unsafe.Pointer(&vec[0]), mult: unsafe.Pointer(&vec[0]), dstRow: k.nr, cols: k.nr, mask: 1<<k.nr - 1}
	a.setOutput(0, 0, 255)
	return func() {
		a.a, a.dst, a.tiles = unsafe.Pointer(&src[0]), unsafe.Pointer(&dst[0]), tiles
		k.run(0, a)
	}, float64(2 * k.mr * tiles * k.nr * depth)
}

func (k *u8Depthwise) sweepName() string {
	return strings.Replace(k.name, "_dw_", "_dw3x3_", 1)
}

// trial computes a row of 56 pixels of 12 taps.
func (k *u8Depthwise) trial() (run func(), work float64) {
	const pixels, taps = 56, 12
	n := k.block()
	src, w := alignedBytes((pixels+taps)*n), alignedBytes(taps/k.group()*n*4)
	dst, vec := alignedBytes(pixels*n), alignedBytes(4*n)
	a := &u8TapArgs{groups: taps / k.group(), pixels: pixels, srcStep: n,
		w: unsafe.Pointer(&w[0]), start: unsafe.Pointer(&vec[0]), mult: unsafe.Pointer(&vec[0]), dst: unsafe.Pointer(&dst[0]), dstStep: n,
		mask: 1<<n - 1, hi: 0xFFFFFFFF, cols: n}
	for i := range taps {
		a.taps[i] = unsafe.Pointer(&src[i*n])
	}
	return func() { k.runTaps(a) }, 2 * pixels * taps * float64(n)
}

// trialSweep computes a row of 56 pixels by the 3×3 sweep.
func (k *u8Depthwise) trialSweep() (run func(), work float64) {
	const pixels = 56
	n := k.block()
	src, w := alignedBytes(3*pixels*n), alignedBytes(9*n*k.groupBytes())
	dst, vec := alignedBytes(pixels*n), alignedBytes(4*n)
	a := &u8SweepArgs{colStride: n, col: -1, width: pixels, pixels: pixels, w: unsafe.Pointer(&w[0]), start: unsafe.Pointer(&vec[0]),
		mult: unsafe.Pointer(&vec[0]), dst: unsafe.Pointer(&dst[0]), dstStep: n, mask: 1<<n - 1, hi: 0xFFFFFFFF, stride: 1}
	for i := range a.rows {
		a.rows[i] = unsafe.Pointer(&src[i*pixels*n])
	}
	return func() { k.runSweep(a) }, 2 * 9 * pixels * float64(n)
}
