package engine

import (
	"bytes"
	"encoding/binary"
	"io"
	"os"
	"sync"
)

// BuildID returns a number that the Go linker gave this program and that any change of
// its code changes, "" where it cannot be found.
func BuildID() string { return buildID() }

// buildHead is the part of the program's file that holds the number.
const buildHead = 32 << 10

var buildID = sync.OnceValue(func() string {
	path, err := os.Executable()
	if err != nil {
		return ""
	}
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	head := make([]byte, buildHead)
	n, err := io.ReadFull(f, head)
	if err != nil && err != io.ErrUnexpectedEOF {
		return ""
	}
	return findBuildID(head[:n])
})

// findBuildID finds the number as cmd/internal/buildid does: in a note of the name "Go" of
// an ELF file, and between marks at the start of the code elsewhere.
func findBuildID(head []byte) string {
	if bytes.HasPrefix(head, []byte("\x7fELF")) {
		// A note is the sizes of its name and contents, its type 4, the name, the contents.
		name := []byte("\x04\x00\x00\x00Go\x00\x00")
		for at := 0; ; {
			i := bytes.Index(head[at:], name)
			if i < 0 {
				return ""
			}
			at += i + len(name)
			if at < 16 || binary.LittleEndian.Uint32(head[at-16:]) != 4 {
				continue
			}
			if size := binary.LittleEndian.Uint32(head[at-12:]); uint64(size) <= uint64(len(head)-at) {
				return string(head[at : at+int(size)])
			}
		}
	}
	_, id, ok := bytes.Cut(head, []byte("\xff Go build ID: \""))
	if !ok {
		return ""
	}
	id, _, ok = bytes.Cut(id, []byte("\"\n \xff"))
	if !ok {
		return ""
	}
	return string(id)
}
