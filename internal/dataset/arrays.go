package dataset

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/edgewise-ml/edgewise/tensor"
)

// openNPZ reads samples from member x (also "data", "inputs", "images", "features", or the
// one of most dimensions, the first by name) and labels from y ("labels", "targets").
// Where s names another array as target, its rows are what a model should give.
func openNPZ(name string, s *Spec) (*Dataset, error) {
	m, err := tensor.ReadNPZFile(name)
	if err != nil {
		return nil, err
	}
	pick := func(names ...string) *tensor.Tensor {
		for _, n := range names {
			if t := m[n]; t != nil {
				return t
			}
		}
		return nil
	}
	if s != nil && s.Target != nil {
		return withTarget(m, pick, s)
	}
	y := pick("y", "labels", "label", "targets", "target", "y_test", "test_labels")
	x := pick("x", "data", "inputs", "input", "images", "features", "x_test", "test_images")
	if x == nil {
		for _, name := range slices.Sorted(maps.Keys(m)) {
			if t := m[name]; t != y && (x == nil || t.Rank() > x.Rank()) {
				x = t
			}
		}
	}
	d, err := fromArrays(x, y)
	if err != nil {
		return nil, err
	}
	if tx := pick("x_train", "train_images"); tx != nil {
		if d.train, err = fromArrays(tx, pick("y_train", "train_labels")); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// withTarget makes a dataset of an array of samples and one of targets, whose first axes
// agree.
func withTarget(m map[string]*tensor.Tensor, pick func(names ...string) *tensor.Tensor, s *Spec) (*Dataset, error) {
	d, err := fromArrays(pick("x", "data", "inputs", "input", "features"), nil)
	if err != nil {
		return nil, err
	}
	if slices.Equal(s.Target, []string{targetInput}) {
		d.targets = &targets{input: true, of: func(int) []float32 { return nil }}
		return d, nil
	}
	if len(s.Target) != 1 || m[s.Target[0]] == nil {
		return nil, fmt.Errorf("target: there is no array %q (arrays: %s)", s.Target[0], strings.Join(slices.Sorted(maps.Keys(m)), ", "))
	}
	y := m[s.Target[0]]
	if y.Rank() < 1 || y.Dim(0) != d.n || y.Len() == 0 || !y.DType().IsInt() && !y.DType().IsFloat() {
		return nil, fmt.Errorf("target: %s %v does not give numbers for %d samples", s.Target[0], y, d.n)
	}
	size := y.Len() / d.n
	values := make([]float32, y.Len())
	for i := range values {
		if values[i] = s.limited(float32(y.Float(i))); !finite(values[i]) {
			return nil, fmt.Errorf("target: %s holds %v for sample %d", s.Target[0], values[i], i/size)
		}
	}
	d.targets = &targets{size: size, of: func(i int) []float32 { return values[i*size:][:size] }}
	return d, nil
}

// openNPY reads samples from NAME.npy and labels from a file beside it: NAME_labels.npy,
// NAME_y.npy, or y*.npy for x*.npy.
func openNPY(name string) (*Dataset, error) {
	x, err := readNPYFile(name)
	if err != nil {
		return nil, err
	}
	stem := strings.TrimSuffix(name, filepath.Ext(name))
	candidates := []string{stem + "_labels.npy", stem + "_y.npy"}
	if base := filepath.Base(stem); strings.HasPrefix(base, "x") {
		candidates = append(candidates, filepath.Join(filepath.Dir(name), "y"+base[1:]+".npy"))
	}
	for _, c := range candidates {
		if fileExists(c) {
			y, err := readNPYFile(c)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", filepath.Base(c), err)
			}
			return fromArrays(x, y)
		}
	}
	return fromArrays(x, nil)
}

func readNPYFile(name string) (*tensor.Tensor, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return tensor.ReadNPY(f)
}

// FromTensors makes a dataset of the slices of x along its first axis; labels may be nil.
func FromTensors(name string, x *tensor.Tensor, labels []int, classes []string) (*Dataset, error) {
	d, err := fromArrays(x, nil)
	if err != nil {
		return nil, err
	}
	if labels != nil && len(labels) != d.n {
		return nil, fmt.Errorf("%d labels for %d samples", len(labels), d.n)
	}
	d.name, d.labels, d.classes = name, labels, classes
	return d, nil
}

// WithCalibration returns d with train as its disjoint part for calibration, in the place of
// one that it had, which is closed. Where train is divided itself, that is its own such part.
// Where the classes of both were numbered by their names, they are numbered anew, together.
func (d *Dataset) WithCalibration(train *Dataset) *Dataset {
	if d.train != nil {
		_ = d.train.Close()
	}
	c := *d
	c.train = train
	if own := train.train; own != nil {
		part := *own
		part.close = train.Close // of both: they may be one archive
		c.train = &part
	}
	c.adoptClasses()
	return &c
}

func fromArrays(x, y *tensor.Tensor) (*Dataset, error) {
	if x == nil || x.Rank() < 1 || x.DType() == tensor.String || x.DType().Bits() < 8 {
		return nil, errors.New("holds no array of samples (want x, and y for labels)")
	}
	if x.Len() == 0 && x.Dim(0) > 0 {
		return nil, fmt.Errorf("the samples of %v are empty", x) // of which a file may announce any number
	}
	d := &Dataset{kind: Tensors, n: x.Dim(0), load: rowsOf(x)}
	if y == nil {
		return d, nil
	}
	if y.Rank() == 2 && y.Dim(1) > 1 && y.Dim(0) == d.n {
		d.labels = make([]int, d.n) // one-hot
		for i := range d.labels {
			for k := range y.Dim(1) {
				if y.Float(i*y.Dim(1)+k) > y.Float(i*y.Dim(1)+d.labels[i]) {
					d.labels[i] = k
				}
			}
		}
		d.notes = append(d.notes, "labels from one-hot rows")
		return d, nil
	}
	if y.Len() != d.n || !y.DType().IsInt() && !y.DType().IsFloat() {
		return nil, fmt.Errorf("labels %v do not match %d samples", y, d.n)
	}
	d.labels = make([]int, d.n)
	for i := range d.labels {
		v := y.Float(i)
		if v != float64(int(v)) || v < 0 || v >= 1<<20 {
			return nil, fmt.Errorf("label %d is %v, not a class number", i, v)
		}
		d.labels[i] = int(v)
	}
	return d, nil
}

// The idx format is that of the MNIST files: two zero bytes, a type, a rank, big-endian sizes.

func isIDX(lower string) bool {
	lower = strings.TrimSuffix(lower, ".gz")
	return strings.Contains(lower, "-ubyte") || hasSuffix(lower, ".idx", ".idx1", ".idx3", "-idx1", "-idx3")
}

func readIDX(name string) (*tensor.Tensor, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var r io.Reader = f
	if strings.HasSuffix(strings.ToLower(name), ".gz") {
		z, err := gzip.NewReader(f)
		if err != nil {
			return nil, err
		}
		defer z.Close()
		r = z
	}
	return decodeIDX(r)
}

func decodeIDX(r io.Reader) (*tensor.Tensor, error) {
	head := make([]byte, 4)
	if _, err := io.ReadFull(r, head); err != nil {
		return nil, fmt.Errorf("idx header: %w", err)
	}
	if head[0] != 0 || head[1] != 0 || head[2] != 8 || head[3] == 0 || head[3] > 4 {
		return nil, fmt.Errorf("idx header % x is not that of unsigned bytes in 1 to 4 dimensions", head)
	}
	shape := make([]int, head[3])
	for i := range shape {
		b := make([]byte, 4)
		if _, err := io.ReadFull(r, b); err != nil {
			return nil, fmt.Errorf("idx header: %w", err)
		}
		shape[i] = int(binary.BigEndian.Uint32(b) & 0x7fffffff)
	}
	n, err := tensor.NumElements(shape)
	if err != nil {
		return nil, err
	}
	if n > maxArchiveBytes/4 {
		return nil, fmt.Errorf("idx array %v is too large", shape)
	}
	var body bytes.Buffer // grows with what arrives, whatever the header says
	if _, err := io.Copy(&body, io.LimitReader(r, int64(n))); err != nil {
		return nil, err
	}
	if body.Len() < n {
		return nil, fmt.Errorf("idx array %v is cut short after %d bytes", shape, body.Len())
	}
	return tensor.FromBytes(tensor.Uint8, shape, body.Bytes())
}

func openIDXFile(name string) (*Dataset, error) {
	x, err := readIDX(name)
	if err != nil {
		return nil, err
	}
	var y *tensor.Tensor
	labels := strings.NewReplacer("images", "labels", "idx3", "idx1").Replace(filepath.Base(name))
	for _, c := range []string{labels, labels + ".gz", strings.TrimSuffix(labels, ".gz")} {
		if p := filepath.Join(filepath.Dir(name), c); c != filepath.Base(name) && fileExists(p) {
			if y, err = readIDX(p); err != nil {
				return nil, fmt.Errorf("%s: %w", c, err)
			}
			break
		}
	}
	return fromIDX(x, y)
}

func openIDXFolder(dir string, entries []fs.DirEntry) (*Dataset, error) {
	var eval, train string
	for _, e := range entries {
		lower := strings.ToLower(e.Name())
		if !isIDX(lower) || strings.Contains(lower, "label") {
			continue
		}
		if strings.HasPrefix(lower, "train") {
			train = e.Name()
		} else {
			eval = e.Name()
		}
	}
	if eval == "" {
		eval, train = train, ""
	}
	if eval == "" {
		return nil, errors.New("holds idx labels but no idx images")
	}
	d, err := openIDXFile(filepath.Join(dir, eval))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", eval, err)
	}
	d.notes = append(d.notes, "evaluated on "+eval)
	if train != "" {
		if d.train, err = openIDXFile(filepath.Join(dir, train)); err != nil {
			return nil, fmt.Errorf("%s: %w", train, err)
		}
		d.notes = append(d.notes, "calibrated on "+train)
	}
	return d, nil
}

func fromIDX(x, y *tensor.Tensor) (*Dataset, error) {
	d, err := fromArrays(x, y)
	if err != nil || x.Rank() != 3 {
		return d, err
	}
	// Two spatial dimensions of bytes are grey images.
	h, w := x.Dim(1), x.Dim(2)
	pix := x.Bytes()
	d.kind = Images
	d.load = func(i int) (*sample, error) {
		return &sample{img: &image.Gray{Pix: pix[i*h*w : (i+1)*h*w], Stride: w, Rect: image.Rect(0, 0, w, h)}}, nil
	}
	return d, nil
}
