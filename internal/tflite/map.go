package tflite

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
)

// mapFloor is the size from which files are mapped instead of read. A mapping lives as
// long as the process, because any tensor may refer to it.
const mapFloor = 1 << 20

// contents returns the bytes of a regular file. They must not be written to.
func contents(f *os.File) ([]byte, error) {
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
			return data, nil
		}
	}
	data := make([]byte, size)
	_, err = io.ReadFull(f, data)
	return data, err
}
