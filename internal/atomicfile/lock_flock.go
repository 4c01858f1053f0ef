//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package atomicfile

import (
	"errors"
	"os"
	"syscall"
)

// Lock keeps others that lock the folder out of it until unlock is called or the process
// ends, however it ends: the lock is the system's, and no file stands for it. A file system
// without locks locks nothing.
func Lock(dir string) (unlock func(), err error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(d.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); errors.Is(err, syscall.EWOULDBLOCK) {
		d.Close()
		return nil, ErrLocked
	}
	return func() { d.Close() }, nil
}
