// Package mapfile gives readers the bytes of a model file without copying them: large
// files are mapped, so weights are paged in when they are used and shared between
// processes.
package mapfile

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"sync"
	"unsafe"
)

// mapFloor is the size from which files are mapped instead of read.
const mapFloor = 1 << 20

// Read returns the bytes of the regular file at path, as Contents does.
func Read(path string) ([]byte, error) {
	// Asked before opening: opening a pipe would wait for its writer.
	if info, err := os.Stat(path); err != nil {
		return nil, err
	} else if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := Contents(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return data, nil
}

// Contents returns the bytes of a regular file. They must not be written to. A mapping
// lives as long as the process, because any tensor may refer to it; whoever replaces a
// model file should rename a new one over it, as Edgewise does, and not write into it.
func Contents(f *os.File) ([]byte, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("not a regular file")
	}
	size := info.Size()
	if size > math.MaxInt {
		return nil, fmt.Errorf("%d bytes are too many for this machine", size)
	}
	if size >= mapFloor {
		if data, err := mapFile(f, int(size)); err == nil {
			remember(data)
			return data, nil
		}
	}
	data := make([]byte, size)
	_, err = io.ReadFull(f, data)
	return data, err
}

var (
	mappings   [][]byte
	mappingsMu sync.Mutex
)

func remember(data []byte) {
	mappingsMu.Lock()
	mappings = append(mappings, data)
	mappingsMu.Unlock()
}

// Drop says that b will not be read soon. If it is part of a mapping, its pages leave the
// memory of this process until they are read again; the contents stay what they are.
func Drop(b []byte) {
	if len(b) == 0 {
		return
	}
	at := uintptr(unsafe.Pointer(unsafe.SliceData(b)))
	mappingsMu.Lock()
	defer mappingsMu.Unlock()
	for _, m := range mappings {
		start := uintptr(unsafe.Pointer(unsafe.SliceData(m)))
		if at < start || at-start >= uintptr(len(m)) {
			continue
		}
		page := uintptr(os.Getpagesize())
		lo := (at - start) &^ (page - 1)
		hi := min((at-start+uintptr(len(b))+page-1)&^(page-1), uintptr(len(m)))
		drop(m[lo:hi])
		return
	}
}
