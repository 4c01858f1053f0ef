package main

import (
	"os"
	"syscall"
)

// takeStdout returns the real standard output and points descriptor 1 at
// standard error, so that what a vendor library prints cannot mix with results.
func takeStdout() *os.File {
	fd, err := syscall.Dup(1)
	if err != nil {
		return os.Stdout
	}
	syscall.CloseOnExec(fd)
	if err := syscall.Dup3(2, 1, 0); err != nil {
		return os.Stdout
	}
	return os.NewFile(uintptr(fd), "stdout")
}
