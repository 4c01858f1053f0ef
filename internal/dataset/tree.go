package dataset

import (
	"errors"
	"fmt"
	"image"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/edgewise-ml/edgewise/internal/picture"
)

var (
	imageExt = []string{".jpg", ".jpeg", ".png", ".gif", ".bmp", ".tif", ".tiff", ".webp"}
	audioExt = []string{".wav", ".wave"}
	rawExt   = []string{".bin", ".raw"}
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
	inside := f // where the samples are
	dir := strings.TrimSuffix(s.Files, "/")
	if dir != "" && slices.ContainsFunc(f.names(), func(n string) bool { return strings.HasPrefix(n, dir+"/") }) {
		inside = under(f, dir)
	} else {
		dir = ""
	}
	kind, list, err := samplesOf(inside, s, dir == "")
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
		d.n = len(list)
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

// samplesOf lists the files of the kind that most of f are of, of those that match the
// pattern of the specification where it is one.
func samplesOf(f files, s *Spec, pattern bool) (Kind, []string, error) {
	if !pattern {
		s = &Spec{DType: s.DType}
	}
	if _, err := path.Match(s.Files, ""); err != nil {
		return 0, nil, fmt.Errorf("files %q: %w", s.Files, err)
	}
	byKind := map[Kind][]string{}
	matched := 0
	for _, n := range f.names() {
		if ok, _ := path.Match(s.Files, n); s.Files != "" && !ok {
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
		case s.Files != "" && s.DType != "" && n != s.Labels && !slices.Contains(proseExt, ext):
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
	case s.Files == "":
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
