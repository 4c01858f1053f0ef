//go:build !amd64 && !arm64

package kernel

import "github.com/edgewise-ml/edgewise/internal/cpu"

func (k BinaryKind) applyArch(cpu.Level, []float32, []float32, []float32, bool) bool { return false }
