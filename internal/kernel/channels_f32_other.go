//go:build !amd64

package kernel

import "github.com/edgewise-ml/edgewise/internal/cpu"

func channelsArch(cpu.Level) bool { return false }

func (*channelsF32) call(cpu.Level, channelsCall) {}

func gateArch(cpu.Level, []float32, []float32, []float32, float32, float32) int { return 0 }
