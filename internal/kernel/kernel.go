// Package kernel holds the fast arithmetic of Edgewise: it works on plain
// slices with strides and knows no graph.
//
// It has two storeys. A micro-kernel computes one register tile or one sweep;
// every one is listed in Registry under a name that is its specification, and
// every one in assembly has a portable Go twin. A prepared operator (an Op) is
// built once at plan time, when weights are packed and micro-kernels chosen,
// and then run many times, from several goroutines, without allocation.
//
// Assembly is never preempted, and a Go loop that calls it directly has no
// preemption point either. So every assembly routine is called through a Go
// function that is not inlined, and one call stays in the order of 100 µs or
// less: a garbage collection never waits longer than that for a kernel.
package kernel

// An Op is an operator prepared for fixed shapes. Its work is Units()
// independent units; they may run in any order and concurrently, each worker
// passing its own scratch of at least ScratchBytes(). The Op itself is only
// read while it runs.
type Op interface {
	Name() string      // the operator and its micro-kernel, as "conv1x1 f32_gemm_14x32_avx512"
	Units() int        // number of units of work
	ScratchBytes() int // bytes of scratch that each worker needs
}
