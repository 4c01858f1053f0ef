package dataset

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/edgewise-ml/edgewise/internal/picture"
)

var (
	imageExt = []string{".jpg", ".jpeg", ".png", ".gif", ".bmp", ".tif", ".tiff", ".webp"}
	audioExt = []string{".wav", ".wave"}
	rawExt   = []string{".bin", ".raw"}
)

// fromFiles makes a dataset of a tree of images, wavs or raw tensors.
func fromFiles(f files) (*Dataset, error) {
	f = unwrapped(f)
	top, _ := topFolders(f)
	var eval, train string
	for _, t := range top {
		switch {
		case partOf(t, evalParts):
			eval = t
		case partOf(t, trainParts):
			train = t
		}
	}
	if eval != "" {
		d, err := fromFiles(under(f, eval))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", eval, err)
		}
		d.notes = append(d.notes, "evaluated on "+eval)
		if train != "" {
			if d.train, err = fromFiles(under(f, train)); err != nil {
				return nil, fmt.Errorf("%s: %w", train, err)
			}
			d.train.close = nil
			d.notes = append(d.notes, "calibrated on "+train)
			d.adoptClasses()
		}
		return d, nil
	}
	byKind := map[Kind][]string{}
	var tables []string
	for _, n := range f.names() {
		ext := strings.ToLower(path.Ext(n))
		switch {
		case slices.Contains(imageExt, ext):
			byKind[Images] = append(byKind[Images], n)
		case slices.Contains(audioExt, ext):
			byKind[Audio] = append(byKind[Audio], n)
		case slices.Contains(rawExt, ext):
			byKind[Raw] = append(byKind[Raw], n)
		case ext == ".csv" && !strings.Contains(n, "/"):
			tables = append(tables, n)
		}
	}
	kind := Images
	for _, k := range []Kind{Audio, Raw} {
		if len(byKind[k]) > len(byKind[kind]) {
			kind = k
		}
	}
	list := byKind[kind]
	if len(list) == 0 {
		f.close()
		return nil, errors.New("holds no images, wav files or raw tensors")
	}
	d := &Dataset{kind: kind, close: f.close}
	if err := d.labelFromTables(f, tables, list); err != nil {
		f.close()
		return nil, err
	}
	if d.load == nil {
		d.labelFromNames(list)
		d.load = func(i int) (*sample, error) { return loadFile(f, kind, list[i]) }
		d.n = len(list)
	}
	return d, nil
}

// unwrapped enters folders that hold everything: those are packaging, not classes.
func unwrapped(f files) files {
	for {
		top, only := topFolders(f)
		if len(top) != 1 || !only {
			return f
		}
		f = under(f, top[0])
	}
}

// topFolders returns the folders at the top of f, and whether nothing else that counts
// stands beside them.
func topFolders(f files) (top []string, only bool) {
	only = true
	for _, n := range f.names() {
		dir, _, ok := strings.Cut(n, "/")
		if !ok {
			only = false
			continue
		}
		if len(top) == 0 || top[len(top)-1] != dir {
			top = append(top, dir)
		}
	}
	return slices.Compact(top), only
}

var spoken = regexp.MustCompile(`^(\d+)_[^_]+_\d+\.wav$`)

// labelFromNames takes the class from the folder, or from a leading number as the free
// spoken digit set has it.
func (d *Dataset) labelFromNames(list []string) {
	class := make([]string, len(list))
	for i, n := range list {
		if dir := path.Dir(n); dir != "." {
			class[i] = dir
		} else if m := spoken.FindStringSubmatch(n); m != nil {
			class[i] = m[1]
		} else {
			return
		}
	}
	if d.classes, d.labels, d.byName = numbered(class); len(d.classes) < 2 {
		d.classes, d.labels, d.byName = nil, nil, false
		return
	}
	d.notes = append(d.notes, fmt.Sprintf("class = folder in sorted order (0 = %s)", d.classes[0]))
}

// numbered gives names numbers in sorted order, which byName tells; plain numbers keep
// their value.
func numbered(names []string) (classes []string, labels []int, byName bool) {
	classes = slices.Clone(names)
	slices.Sort(classes)
	classes = slices.Compact(classes)
	numeric := true
	for _, c := range classes {
		v, err := strconv.Atoi(c)
		numeric = numeric && err == nil && v >= 0 && v < 1<<20
	}
	labels = make([]int, len(names))
	for i, n := range names {
		if numeric {
			labels[i], _ = strconv.Atoi(n)
		} else {
			labels[i], _ = slices.BinarySearch(classes, n)
		}
	}
	if numeric {
		top := slices.Max(labels)
		classes = make([]string, top+1)
		for i := range classes {
			classes[i] = strconv.Itoa(i)
		}
	}
	return classes, labels, !numeric
}

// labelFromTables looks for a csv that names the files and sets samples and labels by it.
func (d *Dataset) labelFromTables(f files, tables, list []string) error {
	for _, name := range tables {
		b, err := f.read(name)
		if err != nil {
			return err
		}
		t, err := readTable(bytes.NewReader(b), name)
		if err != nil {
			return err
		}
		if err := d.useTable(f, t, list, Spec{}); err != nil {
			if errors.Is(err, errNotATable) {
				continue
			}
			return fmt.Errorf("%s: %w", name, err)
		}
		return nil
	}
	return nil
}

var errNotATable = errors.New("names none of the files")

// useTable takes samples and labels from the rows of t that name files.
func (d *Dataset) useTable(f files, t *table, list []string, spec Spec) error {
	known := make(map[string]string, 2*len(list))
	for _, n := range list {
		known[path.Base(n)] = n
	}
	for _, n := range list {
		known[n] = n
	}
	fileCol, err := t.fileColumn(known, spec.FileColumn)
	if err != nil {
		return err
	}
	labelCol, err := t.labelColumn(fileCol, spec.LabelColumn)
	if err != nil {
		return err
	}
	var used []string
	var class []string
	for _, row := range t.rows {
		if n, ok := known[strings.TrimSpace(row[fileCol])]; ok {
			used = append(used, n)
			if labelCol >= 0 {
				class = append(class, strings.TrimSpace(row[labelCol]))
			}
		}
	}
	kind := d.kind
	d.n = len(used)
	d.load = func(i int) (*sample, error) { return loadFile(f, kind, used[i]) }
	if labelCol < 0 {
		d.notes = append(d.notes, t.name+" has no label column")
		return nil
	}
	d.classes, d.labels, d.byName = numbered(class)
	if names := t.column("name", "class_name", "label_name"); names >= 0 && names != labelCol {
		for _, row := range t.rows {
			if l, err := strconv.Atoi(strings.TrimSpace(row[labelCol])); err == nil && l >= 0 && l < len(d.classes) {
				d.classes[l] = row[names]
			}
		}
	}
	d.notes = append(d.notes, fmt.Sprintf("labels from column %s of %s", t.title(labelCol), t.name))
	return nil
}

// loadFile reads and decodes one file.
func loadFile(f files, kind Kind, name string) (*sample, error) {
	b, err := f.read(name)
	if err != nil {
		return nil, err
	}
	s := &sample{}
	switch kind {
	case Images:
		var img *image.RGBA
		if img, err = picture.Decode(b); err == nil {
			s.img = img
		}
	case Audio:
		s.pcm, s.rate, err = decodeWAV(b)
	default:
		s.raw = b
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return s, nil
}
