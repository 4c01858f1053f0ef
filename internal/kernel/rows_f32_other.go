//go:build !amd64 && !arm64

package kernel

import (
	"unsafe"

	"github.com/edgewise-ml/edgewise/internal/cpu"
)

func (a Act) rowsArch(l cpu.Level, dst, src unsafe.Pointer, rows, n, dstStep, srcStep int) bool {
	return false
}

func (k BinaryKind) rowsArch(l cpu.Level, dst, a, b unsafe.Pointer, rows, n, dstStep, aStep, bStep int) bool {
	return false
}
