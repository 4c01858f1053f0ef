package dataset

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/edgewise-ml/edgewise/internal/picture"
)

var (
	imageExt = []string{".jpg", ".jpeg", ".png", ".gif", ".bmp", ".tif", ".tiff", ".webp"}
	audioExt = []string{".wav", ".wave"}
	rawExt   = []string{".bin", ".raw"}
	tableExt = []string{".csv", ".tsv", ".txt", ".dat"}
	proseExt = []string{"", ".yaml", ".yml", ".txt", ".md", ".csv", ".tsv", ".json", ".html", ".pdf"} // never samples
)

// fromFiles makes a dataset of a tree of images, wavs or raw tensors; s, which may be nil,
// tells what of it are samples and where their classes stand. It closes f when it fails.
func fromFiles(f files, s *Spec) (*Dataset, error) {
	d, err := treeOf(f, s)
	if err != nil {
		f.close()
		return nil, err
	}
	return d, nil
}

func treeOf(f files, s *Spec) (*Dataset, error) {
	if s == nil {
		s = &Spec{}
	}
	if s.Files == "" && s.Labels == "" {
		f = unwrapped(f)
		if d, err := partsOf(f, s); d != nil || err != nil {
			return d, err
		}
	}
	// A folder that is named, or in which a pattern begins, holds the classes' folders.
	inside, pattern := f, strings.TrimSuffix(s.Files, "/")
	if slices.ContainsFunc(f.names(), func(n string) bool { return strings.HasPrefix(n, pattern+"/") }) {
		inside, pattern = under(f, pattern), ""
	} else if i := strings.IndexAny(pattern, "*?[\\"); i >= 0 {
		if i = strings.LastIndexByte(pattern[:i], '/'); i > 0 {
			inside, pattern = under(f, pattern[:i]), pattern[i+1:]
		}
	}
	if s.tabular() {
		return tablesOf(inside, pattern, s)
	}
	kind, list, err := samplesOf(inside, pattern, s)
	if err != nil {
		return nil, err
	}
	d := &Dataset{kind: kind, close: f.close}
	misfit, err := d.labelFromTables(f, inside, list, s)
	if err != nil {
		return nil, err
	}
	if d.load == nil {
		d.labelFromNames(list)
		d.load = func(i int) (*sample, error) { return loadFile(inside, kind, list[i]) }
		d.n, d.names = len(list), list
		if misfit != nil && d.labels == nil && strings.Contains(strings.ToLower(misfit.table), "label") {
			return nil, fmt.Errorf("%w; mend it, or take it away to go without labels", misfit)
		} else if misfit != nil {
			d.notes = append(d.notes, misfit.Error())
		}
	}
	d.typed(s)
	return d, nil
}

// partsOf opens a tree that is divided into parts for training and evaluation; it returns
// nil where it is not.
func partsOf(f files, s *Spec) (*Dataset, error) {
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
	if eval == "" {
		return nil, nil
	}
	d, err := treeOf(under(f, eval), s)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", eval, err)
	}
	d.notes = append(d.notes, "evaluated on "+eval)
	if train != "" {
		if d.train, err = treeOf(under(f, train), s); err != nil {
			return nil, fmt.Errorf("%s: %w", train, err)
		}
		d.train.close = nil
		d.notes = append(d.notes, "calibrated on "+train)
		d.adoptClasses()
	}
	return d, nil
}

// tablesOf reads the tables of f that match the pattern, of which each is a series.
func tablesOf(f files, pattern string, s *Spec) (*Dataset, error) {
	if _, err := path.Match(pattern, ""); err != nil {
		return nil, fmt.Errorf("files %q: %w", s.Files, err)
	}
	var tables []*table
	for _, n := range f.names() {
		if ok, _ := path.Match(pattern, n); pattern != "" && !ok || !hasSuffix(strings.ToLower(n), tableExt...) {
			continue
		}
		b, err := f.read(n)
		if err != nil {
			return nil, err
		}
		t, err := readTable(bytes.NewReader(b), n)
		if err != nil {
			return nil, err
		}
		tables = append(tables, t)
	}
	if tables == nil {
		return nil, fmt.Errorf("files %q: there is no table (%s) among the %d of the data", s.Files, strings.Join(tableExt, ", "), len(f.names()))
	}
	d, err := fromTables(tables, s)
	if err != nil {
		return nil, err
	}
	d.close = f.close
	return d, nil
}

// samplesOf lists the files of the kind that most of f are of, of those that match the
// pattern where there is one.
func samplesOf(f files, pattern string, s *Spec) (Kind, []string, error) {
	if _, err := path.Match(pattern, ""); err != nil {
		return 0, nil, fmt.Errorf("files %q: %w", s.Files, err)
	}
	byKind := map[Kind][]string{}
	matched := 0
	for _, n := range f.names() {
		if ok, _ := path.Match(pattern, n); pattern != "" && !ok {
			continue
		}
		matched++
		switch ext := strings.ToLower(path.Ext(n)); {
		case slices.Contains(imageExt, ext):
			byKind[Images] = append(byKind[Images], n)
		case slices.Contains(audioExt, ext):
			byKind[Audio] = append(byKind[Audio], n)
		case slices.Contains(rawExt, ext):
			byKind[Raw] = append(byKind[Raw], n)
		case pattern != "" && s.DType != "" && !slices.Contains(proseExt, ext):
			byKind[Raw] = append(byKind[Raw], n)
		}
	}
	kind := Images
	for _, k := range []Kind{Audio, Raw} {
		if len(byKind[k]) > len(byKind[kind]) {
			kind = k
		}
	}
	switch list := byKind[kind]; {
	case len(list) > 0:
		return kind, list, nil
	case pattern == "":
		return 0, nil, errors.New("holds no images, wav files or raw tensors (.bin, .raw)")
	case matched == 0:
		return 0, nil, fmt.Errorf("files %q match none of the %d files", s.Files, len(f.names()))
	default:
		return 0, nil, fmt.Errorf("none of the %d files that %q matches is an image, a wav or a raw tensor (.bin, .raw, or any that a pattern names, with dtype)", matched, s.Files)
	}
}

// unwrapped enters folders that hold everything: those are packaging, not classes.
func unwrapped(f files) files {
	for g := unwrap(f); g != nil; g = unwrap(g) {
		f = g
	}
	return f
}

// unwrap enters the one folder that holds everything, nil where there is none.
func unwrap(f files) files {
	if top, only := topFolders(f); len(top) == 1 && only {
		return under(f, top[0])
	}
	return nil
}

// topFolders returns the folders at the top of f, and whether nothing else that counts
// stands beside them.
func topFolders(f files) (top []string, only bool) {
	only = true
	for _, n := range f.names() {
		dir, _, ok := strings.Cut(n, "/")
		if slices.Contains(specNames, n) {
			continue
		}
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

var spoken = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^(\d+)_[^_]+_\d+\.wav$`) })

// labelFromNames takes the class from the folder, or from a leading number as the free
// spoken digit set has it.
func (d *Dataset) labelFromNames(list []string) {
	class := make([]string, len(list))
	from := "folder"
	for i, n := range list {
		if dir := path.Dir(n); dir != "." {
			class[i] = dir
		} else if m := spoken().FindStringSubmatch(n); m != nil {
			class[i], from = m[1], "number before the first _ of the file's name"
		} else {
			return
		}
	}
	if d.classes, d.labels, d.byName = numbered(class); d.distinct() < 2 {
		d.classes, d.labels, d.byName = nil, nil, false
		return
	}
	if d.byName {
		from += fmt.Sprintf(" in sorted order (0 = %s)", d.classes[0])
	}
	d.notes = append(d.notes, "class = "+from)
}

// loadFile reads and decodes one file.
func loadFile(f files, kind Kind, name string) (*sample, error) {
	b, err := f.read(name)
	if err != nil {
		return nil, err
	}
	s := &sample{name: name}
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
		return nil, fmt.Errorf("%s: %w; hint: mend the file, or take it out of the data", name, err)
	}
	return s, nil
}
