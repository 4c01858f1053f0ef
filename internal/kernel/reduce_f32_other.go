//go:build !amd64 && !arm64

package kernel

import "github.com/edgewise-ml/edgewise/internal/cpu"

func (k reduceKind) reduceArch(cpu.Level, *[16]float32, []float32) int { return 0 }
