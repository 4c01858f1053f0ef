// Package npz reads and writes NumPy's .npy arrays and .npz archives as raw
// bytes with a dtype string and a shape. Elements are never interpreted: the
// witnesses take and give plain memory, so a codec of its own keeps them
// independent of the product's tensor package.
package npz

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Array is one dense little-endian array in C order.
type Array struct {
	DType string // NumPy descr without its byte-order mark: "f4", "i8", "b1", "V2"
	Shape []int64
	Data  []byte
}

// ItemSize is the width of one element in bytes, from the dtype's digits.
func (a *Array) ItemSize() int {
	n, _ := strconv.Atoi(strings.TrimLeft(a.DType, "abcdefghijklmnopqrstuvwxyzV"))
	return n
}

// Sample returns element i along the first axis, sharing memory with a.
func (a *Array) Sample(i int64) *Array {
	size := int64(len(a.Data)) / a.Shape[0]
	return &Array{DType: a.DType, Shape: a.Shape[1:], Data: a.Data[i*size : (i+1)*size]}
}

// ReadFile reads every array of the archive, keyed by its name without ".npy".
func ReadFile(path string) (map[string]*Array, error) {
	z, err := zip.OpenReader(path)
	if err != nil {
		return nil, err
	}
	defer z.Close()
	arrays := make(map[string]*Array, len(z.File))
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			return nil, fmt.Errorf("%s: %s: %w", path, f.Name, err)
		}
		data, err := io.ReadAll(r)
		r.Close()
		if err != nil {
			return nil, fmt.Errorf("%s: %s: %w", path, f.Name, err)
		}
		a, err := decode(data)
		if err != nil {
			return nil, fmt.Errorf("%s: %s: %w", path, f.Name, err)
		}
		arrays[strings.TrimSuffix(f.Name, ".npy")] = a
	}
	return arrays, nil
}

// WriteFile writes the arrays, uncompressed and in name order, through a
// temporary file so that a reader never sees half an archive.
func WriteFile(path string, arrays map[string]*Array) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".npz-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	z := zip.NewWriter(f)
	names := make([]string, 0, len(arrays))
	for name := range arrays {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		w, err := z.CreateHeader(&zip.FileHeader{Name: name + ".npy", Method: zip.Store})
		if err == nil {
			_, err = w.Write(header(arrays[name]))
		}
		if err == nil {
			_, err = w.Write(arrays[name].Data)
		}
		if err != nil {
			f.Close()
			return fmt.Errorf("%s: %s: %w", path, name, err)
		}
	}
	if err := errors.Join(z.Close(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

const magic = "\x93NUMPY"

// header is a version 1.0 .npy header, padded with spaces so that the data
// starts on a multiple of 64 bytes.
func header(a *Array) []byte {
	mark := "<"
	if a.ItemSize() == 1 {
		mark = "|"
	}
	var dims strings.Builder
	for _, d := range a.Shape {
		fmt.Fprintf(&dims, "%d,", d)
	}
	text := fmt.Sprintf("{'descr': '%s%s', 'fortran_order': False, 'shape': (%s), }", mark, a.DType, dims.String())
	pad := 64 - (len(magic)+4+len(text)+1)%64
	text += strings.Repeat(" ", pad%64) + "\n"
	h := append([]byte(magic), 1, 0)
	h = binary.LittleEndian.AppendUint16(h, uint16(len(text)))
	return append(h, text...)
}

func decode(b []byte) (*Array, error) {
	if len(b) < 10 || string(b[:6]) != magic {
		return nil, errors.New("not a .npy array")
	}
	n, start := int(binary.LittleEndian.Uint16(b[8:])), 10
	if b[6] >= 2 {
		if len(b) < 12 {
			return nil, errors.New("truncated .npy header")
		}
		n, start = int(binary.LittleEndian.Uint32(b[8:])), 12
	}
	if n > len(b)-start {
		return nil, errors.New("truncated .npy header")
	}
	head, data := string(b[start:start+n]), b[start+n:]
	descr, err := field(head, "'descr':", "'", "'")
	if err != nil {
		return nil, err
	}
	if strings.HasPrefix(descr, ">") {
		return nil, fmt.Errorf("big-endian dtype %q", descr)
	}
	if strings.Contains(head, "'fortran_order': True") {
		return nil, errors.New("fortran order is not supported")
	}
	dims, err := field(head, "'shape':", "(", ")")
	if err != nil {
		return nil, err
	}
	a := &Array{DType: strings.TrimLeft(descr, "<|="), Data: bytes.Clone(data), Shape: []int64{}}
	size := int64(a.ItemSize())
	if size == 0 {
		return nil, fmt.Errorf("unsupported dtype %q", descr)
	}
	for d := range strings.SplitSeq(dims, ",") {
		if d = strings.TrimSpace(d); d == "" {
			continue
		}
		v, err := strconv.ParseInt(d, 10, 64)
		if err != nil || v < 0 || (v > 0 && size > int64(len(data))/v && len(data) > 0) {
			return nil, fmt.Errorf("shape (%s) does not fit %d bytes of %s", dims, len(data), descr)
		}
		a.Shape = append(a.Shape, v)
		size *= v
	}
	if size != int64(len(data)) {
		return nil, fmt.Errorf("shape (%s) of %s needs %d bytes, the file has %d", dims, descr, size, len(data))
	}
	return a, nil
}

// field returns what stands between the delimiters after the key.
func field(head, key, from, to string) (string, error) {
	_, rest, ok := strings.Cut(head, key)
	if ok {
		_, rest, ok = strings.Cut(rest, from)
	}
	if ok {
		rest, _, ok = strings.Cut(rest, to)
	}
	if !ok {
		return "", fmt.Errorf("no %s in .npy header", key)
	}
	return rest, nil
}

// WriteArray writes one array as .npy.
func WriteArray(path string, a *Array) error {
	return os.WriteFile(path, append(header(a), a.Data...), 0o666)
}
