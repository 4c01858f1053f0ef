package cli

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/edgewise-ml/edgewise/internal/atomicfile"
)

// writeFile writes a file that appears complete or not at all. A path that is no regular
// file, as /dev/stdout, is written directly.
func writeFile(path string, write func(io.Writer) error) error {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return writeDirectly(path, write)
	}
	return atomicfile.Write(path, write)
}

// modelOutput checks the name under which a model is to be written: a device or folder
// must not be replaced by a file, nor the model that is read.
func modelOutput(out, in string) error {
	info, err := os.Stat(out)
	switch {
	case err != nil:
		return folderOf(out) // whether it can be made shows
	case info.IsDir():
		return hinted(usagef("%s is a folder", out), "name the file in it, as -o %s", filepath.Join(out, "model.onnx"))
	case !info.Mode().IsRegular():
		return usagef("%s is no regular file, so no model can be written there", out)
	case same(in, out):
		return usagef("%s cannot be written over itself while it is read", out)
	}
	return nil
}

// folderOf checks that the folder of a file to be written is there.
func folderOf(out string) error {
	if dir, err := os.Stat(filepath.Dir(out)); err != nil || !dir.IsDir() {
		return hinted(usagef("cannot write %s: there is no folder %s", out, filepath.Dir(out)), "make the folder first, or write elsewhere")
	}
	return nil
}

// head returns the first bytes of a file.
func head(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b := make([]byte, 64)
	n, err := io.ReadFull(f, b)
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		err = nil
	}
	return b[:n], err
}

// replaceable refuses to write over a file whose first bytes are not ours. An empty file
// holds nothing that could be lost.
func replaceable(out string, ours func(head []byte) bool, what string) error {
	b, err := head(out)
	if errors.Is(err, fs.ErrNotExist) || err == nil && (len(b) == 0 || ours(b)) {
		return nil
	}
	return hinted(usagef("%s exists and %s", out, what), "name another file with -o, or pass --force to replace it")
}

func writeDirectly(path string, write func(io.Writer) error) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("cannot write: %w", err)
	}
	w := bufio.NewWriter(f)
	if err := errors.Join(write(w), w.Flush(), f.Close()); err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	return nil
}
