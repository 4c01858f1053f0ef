package tensor

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"sort"
	"strconv"
	"strings"
)

// The npy format is described in numpy's NEP 1; npz is a zip of npy members.

// MaxNPYBytes bounds the storage that ReadNPY and ReadNPZ allocate for one array.
const MaxNPYBytes = 1<<31 - 1

var npyMagic = []byte("\x93NUMPY")

var npyDescr = map[DType]string{
	Float32: "<f4", Float64: "<f8", Float16: "<f2", Int8: "|i1", Uint8: "|u1", Int16: "<i2", Uint16: "<u2",
	Int32: "<i4", Uint32: "<u4", Int64: "<i8", Uint64: "<u8", Bool: "|b1", Complex64: "<c8", Complex128: "<c16",
}

// WriteNPY writes t as an npy file, version 1.0. Types that numpy lacks (BFloat16, the
// 8-bit and sub-byte ones) are written as float32; strings are refused.
func WriteNPY(w io.Writer, t *Tensor) error {
	descr, ok := npyDescr[t.dtype]
	if !ok {
		if !t.dtype.IsFloat() && !t.dtype.IsInt() {
			return fmt.Errorf("npy cannot hold %v", t.dtype)
		}
		c := New(Float32, t.shape...)
		for i, d := 0, c.F32(); i < len(d); i++ {
			d[i] = float32(t.Float(i))
		}
		t, descr = c, "<f4"
	}
	var dims strings.Builder
	for _, d := range t.shape {
		fmt.Fprintf(&dims, "%d,", d)
	}
	header := fmt.Sprintf("{'descr': '%s', 'fortran_order': False, 'shape': (%s), }", descr, dims.String())
	pad := 64 - (len(npyMagic)+4+len(header)+1)%64
	header += strings.Repeat(" ", pad%64) + "\n"
	buf := append([]byte{}, npyMagic...)
	buf = append(buf, 1, 0)
	buf = binary.LittleEndian.AppendUint16(buf, uint16(len(header)))
	buf = append(buf, header...)
	if _, err := w.Write(buf); err != nil {
		return err
	}
	_, err := w.Write(t.data)
	return err
}

// ReadNPY reads one npy array, versions 1 to 3, either memory order, either byte order.
func ReadNPY(r io.Reader) (*Tensor, error) {
	head := make([]byte, 10)
	if _, err := io.ReadFull(r, head); err != nil {
		return nil, fmt.Errorf("npy: header: %w", noEOF(err))
	}
	if !bytes.Equal(head[:6], npyMagic) {
		return nil, errors.New("npy: not an npy file")
	}
	size := int(binary.LittleEndian.Uint16(head[8:]))
	if head[6] >= 2 {
		more := make([]byte, 2)
		if _, err := io.ReadFull(r, more); err != nil {
			return nil, fmt.Errorf("npy: header: %w", noEOF(err))
		}
		size |= int(binary.LittleEndian.Uint16(more)) << 16
	}
	if size > 1<<16 {
		return nil, fmt.Errorf("npy: header of %d bytes is too long", size)
	}
	text := make([]byte, size)
	if _, err := io.ReadFull(r, text); err != nil {
		return nil, fmt.Errorf("npy: header: %w", noEOF(err))
	}
	descr, fortran, shape, err := parseNPYHeader(string(text))
	if err != nil {
		return nil, err
	}
	dtype := Invalid
	swap := strings.HasPrefix(descr, ">")
	if len(descr) > 1 {
		for d, s := range npyDescr {
			if s[1:] == descr[1:] {
				dtype = d
			}
		}
	}
	if dtype == Invalid {
		return nil, fmt.Errorf("npy: element type %q is not supported", descr)
	}
	n, err := NumElements(shape)
	if err != nil {
		return nil, fmt.Errorf("npy: %w", err)
	}
	if n > MaxNPYBytes/(dtype.Bits()/8) {
		return nil, fmt.Errorf("npy: shape %v of %v is over the limit of %d bytes", shape, dtype, MaxNPYBytes)
	}
	// A header can promise far more than the file holds: grow with what arrives.
	want := dtype.Bytes(n)
	var body bytes.Buffer
	if _, err := io.Copy(&body, io.LimitReader(r, int64(want))); err != nil {
		return nil, fmt.Errorf("npy: %w", err)
	}
	if body.Len() < want {
		return nil, fmt.Errorf("npy: shape %v of %v needs %d bytes, the file ends after %d", shape, dtype, want, body.Len())
	}
	t := New(dtype, shape...)
	copy(t.data, body.Bytes())
	if swap {
		swapBytes(t.data, dtype)
	}
	if fortran && len(shape) > 1 {
		t = fromFortran(t)
	}
	return t, nil
}

func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

func parseNPYHeader(h string) (descr string, fortran bool, shape []int, err error) {
	field := func(key string) (string, bool) {
		_, rest, ok := strings.Cut(h, "'"+key+"':")
		return strings.TrimLeft(rest, " "), ok
	}
	s, ok := field("descr")
	if !ok || len(s) < 2 || s[0] != '\'' || !strings.Contains(s[1:], "'") {
		return "", false, nil, errors.New("npy: header has no plain 'descr' (structured types are not supported)")
	}
	descr, _, _ = strings.Cut(s[1:], "'")
	s, ok = field("fortran_order")
	if !ok {
		return "", false, nil, errors.New("npy: header has no 'fortran_order'")
	}
	fortran = strings.HasPrefix(s, "True")
	s, ok = field("shape")
	if !ok || !strings.HasPrefix(s, "(") || !strings.Contains(s, ")") {
		return "", false, nil, errors.New("npy: header has no 'shape'")
	}
	s, _, _ = strings.Cut(s[1:], ")")
	shape = []int{}
	for part := range strings.SplitSeq(s, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		d, err := strconv.Atoi(part)
		if err != nil || d < 0 {
			return "", false, nil, fmt.Errorf("npy: size %q in the shape is not a number", part)
		}
		if len(shape) == 32 {
			return "", false, nil, errors.New("npy: more than 32 dimensions")
		}
		shape = append(shape, d)
	}
	return descr, fortran, shape, nil
}

func swapBytes(data []byte, d DType) {
	size := d.Bits() / 8
	if d.IsComplex() {
		size /= 2
	}
	for i := 0; i+size <= len(data); i += size {
		for a, b := i, i+size-1; a < b; a, b = a+1, b-1 {
			data[a], data[b] = data[b], data[a]
		}
	}
}

func fromFortran(t *Tensor) *Tensor {
	out := New(t.dtype, t.shape...)
	size := t.dtype.Bits() / 8
	idx := make([]int, len(t.shape))
	for i := range t.Len() {
		src, stride := 0, 1
		for k, d := range t.shape {
			src += idx[k] * stride
			stride *= d
		}
		copy(out.data[i*size:(i+1)*size], t.data[src*size:])
		for k := len(idx) - 1; k >= 0; k-- {
			if idx[k]++; idx[k] < t.shape[k] {
				break
			}
			idx[k] = 0
		}
	}
	return out
}

// WriteNPZ writes the tensors as an uncompressed npz archive, names in sorted order.
func WriteNPZ(w io.Writer, tensors map[string]*Tensor) error {
	z := zip.NewWriter(w)
	names := make([]string, 0, len(tensors))
	for name := range tensors {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		m, err := z.CreateHeader(&zip.FileHeader{Name: name + ".npy", Method: zip.Store})
		if err != nil {
			return err
		}
		if err := WriteNPY(m, tensors[name]); err != nil {
			return fmt.Errorf("npz: %s: %w", name, err)
		}
	}
	return z.Close()
}

// ReadNPZ reads every npy member of an npz archive, keyed without the ".npy" suffix.
func ReadNPZ(r io.ReaderAt, size int64) (map[string]*Tensor, error) {
	z, err := zip.NewReader(r, size)
	if err != nil {
		return nil, fmt.Errorf("npz: %w", err)
	}
	out := make(map[string]*Tensor, len(z.File))
	total := uint64(0)
	for _, f := range z.File {
		name, ok := strings.CutSuffix(f.Name, ".npy")
		if !ok {
			continue
		}
		m, err := f.Open()
		if err != nil {
			return nil, fmt.Errorf("npz: %s: %w", f.Name, err)
		}
		t, err := ReadNPY(m)
		m.Close()
		if err != nil {
			return nil, fmt.Errorf("npz: %s: %w", f.Name, err)
		}
		if total += uint64(len(t.data)); total > MaxNPYBytes {
			return nil, fmt.Errorf("npz: members hold more than %d bytes", MaxNPYBytes)
		}
		out[name] = t
	}
	return out, nil
}

// ReadNPZFile is ReadNPZ for a file.
func ReadNPZFile(path string) (map[string]*Tensor, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	return ReadNPZ(f, info.Size())
}
