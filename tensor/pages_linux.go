package tensor

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// pageSize is that of the large pages of x86-64 and of arm64 with small ones of 4 KiB;
// where it is another the advice does nothing.
const pageSize = 2 << 20

// largePages asks the system to back b by large pages as far as it covers whole ones: it
// is filled with far fewer faults.
func largePages(b []byte) {
	at := uintptr(unsafe.Pointer(unsafe.SliceData(b)))
	lo, hi := (at+pageSize-1)&^(pageSize-1), (at+uintptr(len(b)))&^(pageSize-1)
	if lo < hi {
		_ = unix.Madvise(b[lo-at:hi-at], unix.MADV_HUGEPAGE) // advice: it may be refused
	}
}
