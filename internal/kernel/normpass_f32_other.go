//go:build !amd64

package kernel

import "github.com/edgewise-ml/edgewise/internal/cpu"

func normArch(cpu.Level) bool { return false }

func (*normF32) call(cpu.Level, normPass) {}
