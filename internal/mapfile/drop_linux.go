package mapfile

import "golang.org/x/sys/unix"

// drop gives the memory of whole pages of a mapping back; they are read anew when used.
func drop(pages []byte) { _ = unix.Madvise(pages, unix.MADV_DONTNEED) }
