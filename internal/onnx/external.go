package onnx

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/edgewise-ml/edgewise/internal/mapfile"
)

// externalData opens the files that hold tensors outside the model file. They must lie
// in the model's folder or below it: os.Root holds that even against symbolic links.
type externalData struct {
	dir   string // "" where there is none
	root  *os.Root
	files map[string][]byte
}

// load returns want bytes as described by a tensor's external_data entries.
func (e *externalData) load(entries map[string]string, want int64) ([]byte, error) {
	location := entries["location"]
	if location == "" {
		return nil, errors.New("external data has no location")
	}
	if e == nil || e.dir == "" {
		return nil, fmt.Errorf("external data %q: the model was not read from a folder", location)
	}
	offset, err := entryInt(entries, "offset", 0)
	if err != nil {
		return nil, fmt.Errorf("external data %q: %w", location, err)
	}
	length, err := entryInt(entries, "length", want)
	if err != nil {
		return nil, fmt.Errorf("external data %q: %w", location, err)
	}
	if length != want {
		return nil, fmt.Errorf("external data %q: %d bytes are stated, the tensor has %d", location, length, want)
	}
	file, err := e.open(location)
	if err != nil {
		return nil, fmt.Errorf("external data: %w", err)
	}
	if offset > int64(len(file)) || length > int64(len(file))-offset {
		return nil, fmt.Errorf("external data %q: bytes %d to %d are wanted, the file has %d; hint: it is truncated or of another model",
			location, offset, offset+length, len(file))
	}
	return file[offset : offset+length : offset+length], nil
}

func entryInt(entries map[string]string, key string, def int64) (int64, error) {
	s, ok := entries[key]
	if !ok || s == "" {
		return def, nil
	}
	v, err := strconv.ParseInt(s, 10, 64)
	if err != nil || v < 0 {
		return 0, fmt.Errorf("%s %q is not a size", key, s)
	}
	return v, nil
}

func (e *externalData) open(location string) ([]byte, error) {
	path := filepath.FromSlash(location)
	if !filepath.IsLocal(path) {
		return nil, fmt.Errorf("%q lies outside the model's folder", location)
	}
	path = filepath.Clean(path)
	if data, ok := e.files[path]; ok {
		return data, nil
	}
	if e.root == nil {
		root, err := os.OpenRoot(e.dir)
		if err != nil {
			return nil, err
		}
		e.root, e.files = root, map[string][]byte{}
	}
	// Asked before opening: opening a pipe would wait for its writer.
	info, err := e.root.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", location, err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%q is not a regular file", location)
	}
	f, err := e.root.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", location, err)
	}
	defer f.Close()
	data, err := mapfile.Contents(f)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", location, err)
	}
	e.files[path] = data
	return data, nil
}

func (e *externalData) close() {
	if e != nil && e.root != nil {
		e.root.Close()
	}
}
