//go:build !amd64

package kernel

import "github.com/edgewise-ml/edgewise/internal/cpu"

func outerArch(cpu.Level) bool { return false }

//go:noinline
func (o *outerF32) run(cpu.Level) { goOuterF32(o) }
