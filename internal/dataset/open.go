package dataset

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// openGiven opens what a user names: data, data with a specification, or a specification.
func openGiven(name string, o Options) (*Dataset, error) {
	spec := o.Spec
	switch {
	case spec == "" && o.Given != nil:
		return openOver(name, o.Given)
	case spec == "" && !isYAML(name):
		return open(name, nil)
	}
	named := spec
	if spec == "" {
		named = name
	}
	s, err := readSpec(named)
	switch {
	case err != nil:
		return nil, err
	case spec != "" && isYAML(name):
		return nil, fmt.Errorf("is a specification, and %s is another; name the data itself", spec)
	case spec == "":
		return s.openBeside(name)
	}
	if o.Single {
		s = s.columns()
		s.LabelColumn = ""
	}
	d, err := open(name, s)
	if err == nil && s.Data != "" {
		d.notes = append(d.notes, fmt.Sprintf("data: of %s is not used, as the data is given", filepath.Base(spec)))
	}
	return d, err
}

// openOver opens data by what given says and, for the keys that it leaves out, by the
// specification that name is or that lies in it.
func openOver(name string, given *Spec) (*Dataset, error) {
	lower := strings.ToLower(name)
	switch {
	case strings.HasPrefix(name, BuiltinPrefix):
	case isYAML(name):
		own, err := readSpec(name)
		if err != nil {
			return nil, err
		}
		s, err := given.over(own)
		if err != nil {
			return nil, fmt.Errorf("with the keys given: %w", err)
		}
		return s.openBeside(name)
	case isArchive(lower):
		f, err := openArchive(name)
		if err != nil {
			return nil, plainError(err)
		}
		return openTree(f, nil, given)
	}
	if info, err := os.Stat(name); err == nil && info.IsDir() {
		return openFolder(name, nil, given)
	}
	return open(name, given)
}

func isArchive(lower string) bool { return hasSuffix(lower, ".zip", ".tar", ".tar.gz", ".tgz") }

func isYAML(name string) bool { return hasSuffix(strings.ToLower(name), ".yaml", ".yml") }

// openBeside opens the data that the specification in the file name names: by default all
// that is in its folder.
func (s *Spec) openBeside(name string) (*Dataset, error) {
	at := filepath.Dir(name)
	if s.Data != "" {
		p := filepath.FromSlash(s.Data)
		if filepath.IsAbs(p) {
			at = p
		} else {
			at = filepath.Join(at, p)
		}
		if isYAML(at) {
			return nil, fmt.Errorf("data: %s is a specification too", at)
		}
	}
	d, err := open(at, s)
	if err != nil && s.Data != "" {
		return nil, fmt.Errorf("data: %s: %w", at, err)
	}
	return d, err
}

// open opens a folder, archive or file by s, or where s is nil by the specification that
// lies in it, if any.
func open(name string, s *Spec) (*Dataset, error) {
	if own, ok := strings.CutPrefix(name, BuiltinPrefix); ok {
		if s != nil {
			return nil, errors.New("is built in and needs no specification")
		}
		return builtin(own)
	}
	info, err := os.Stat(name)
	if err != nil {
		return nil, plainError(err)
	}
	lower := strings.ToLower(name)
	switch {
	case info.IsDir():
		return openFolder(name, s, nil)
	case isArchive(lower):
		f, err := openArchive(name)
		if err != nil {
			return nil, plainError(err)
		}
		return openTree(f, s, nil)
	case isYAML(name):
		// One specification names another for a part; it leads no further, least of all back.
		own, err := readSpec(name)
		if err != nil {
			return nil, err
		}
		if own.Calibration = ""; isYAML(own.Files) {
			return nil, fmt.Errorf("%s: files: %s is a specification too", filepath.Base(name), own.Files)
		}
		return own.openBeside(name)
	}
	if s != nil && (s.Files != "" || s.Labels != "") {
		return nil, errors.New("is a single file, for which `files` and `labels` of the specification have no meaning")
	}
	d, err := openFile(name, s)
	if err != nil || s == nil {
		return d, plainError(err)
	}
	return attached(d, s, besideIn(filepath.Dir(name), s))
}

// attached returns d with what s says of it.
func attached(d *Dataset, s *Spec, o beside) (*Dataset, error) {
	if err := s.attach(d, o); err != nil {
		return nil, err
	}
	return d, nil
}

// openFile opens a single file.
func openFile(name string, s *Spec) (*Dataset, error) {
	lower := strings.ToLower(name)
	switch {
	case hasSuffix(lower, ".npz"):
		return openNPZ(name, s)
	case hasSuffix(lower, ".npy"):
		return openNPY(name)
	case hasSuffix(lower, tableExt...):
		return openTable(name, s)
	case isIDX(lower):
		return openIDXFile(name)
	case hasSuffix(lower, slices.Concat(imageExt, audioExt, rawExt)...) || s != nil && s.DType != "":
		root, err := os.OpenRoot(filepath.Dir(name))
		if err != nil {
			return nil, err
		}
		// A pattern that names it: a file of any name can be a raw tensor by its dtype.
		one := &Spec{}
		if s != nil {
			*one = *s.columns()
		}
		one.Files = filepath.Base(name)
		return fromFiles(&dirFiles{root: root, list: []string{filepath.Base(name)}}, one)
	}
	return nil, errors.New("is of no known kind (want a folder, zip, tar.gz, npz, npy, csv, idx or a dataset.yaml)")
}

// besideIn gives access to what lies in the folder of the data.
func besideIn(dir string, s *Spec) beside {
	return beside{
		part: func(name string) (*Dataset, error) {
			return open(filepath.Join(dir, filepath.FromSlash(name)), s.columns())
		},
		read: func(name string) ([]byte, error) {
			root, err := os.OpenRoot(dir)
			if err != nil {
				return nil, plainError(err)
			}
			defer root.Close()
			return (&dirFiles{root: root}).read(filepath.FromSlash(name))
		},
	}
}

// plainError leaves out of an error of the file system which call failed.
func plainError(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// Names of the parts that a source may be divided into.
var (
	evalParts  = []string{"val", "validation", "test", "eval", "t10k"}
	trainParts = []string{"train", "training", "calibration", "calib"}
)

// partOf returns the part that a file or folder name stands for.
func partOf(name string, parts []string) bool {
	base := strings.ToLower(path.Base(filepath.ToSlash(name)))
	for _, ext := range []string{".tar.gz", ".tgz", ".tar", ".zip", ".npz", ".csv"} {
		base = strings.TrimSuffix(base, ext)
	}
	return slices.Contains(parts, base)
}

// openFolder opens a folder by s, or where s is nil by its own specification, over whose keys
// go those of given; both may be nil.
func openFolder(dir string, s, given *Spec) (*Dataset, error) {
	for _, name := range specNames {
		p := filepath.Join(dir, name)
		if s != nil || !fileExists(p) {
			continue
		}
		var err error
		if s, err = readSpec(p); err != nil {
			return nil, err
		}
		if s, err = given.over(s); err != nil {
			return nil, fmt.Errorf("%s, with the keys given: %w", name, err)
		}
		if s.Data != "" {
			// Nobody named this file, so that it must not lead elsewhere.
			if !filepath.IsLocal(filepath.FromSlash(s.Data)) {
				return nil, fmt.Errorf("%s: data %q leads out of the folder; give the yaml itself as the data to allow that", name, s.Data)
			}
			return s.openBeside(p)
		}
	}
	if s == nil {
		s = given
	}
	d, err := openFolderFiles(dir, s)
	if err != nil || s == nil {
		return d, err
	}
	return attached(d, s, besideIn(dir, s))
}

func openFolderFiles(dir string, s *Spec) (*Dataset, error) {
	if s != nil && s.Files != "" {
		p := filepath.Join(dir, filepath.FromSlash(s.Files))
		if lower := strings.ToLower(p); s.Labels == "" && fileExists(p) && !hasSuffix(lower, slices.Concat(imageExt, audioExt, rawExt)...) && s.DType == "" {
			return open(p, s.columns())
		}
	}
	if s == nil || s.Files == "" && s.Labels == "" {
		if d, err := openParts(dir, s); d != nil || err != nil {
			return d, err
		}
	}
	f, err := openDir(dir)
	if err != nil {
		return nil, err
	}
	return fromFiles(f, s)
}

// openParts opens a folder of idx files, or one divided into parts for training and
// evaluation; it returns nil where dir is neither.
func openParts(dir string, s *Spec) (*Dataset, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, plainError(err)
	}
	var eval, train string
	for _, e := range entries {
		switch {
		case isIDX(strings.ToLower(e.Name())):
			return openIDXFolder(dir, entries)
		case partOf(e.Name(), evalParts):
			eval = e.Name()
		case partOf(e.Name(), trainParts):
			train = e.Name()
		}
	}
	if eval == "" {
		return nil, nil
	}
	d, err := open(filepath.Join(dir, eval), s.columns())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", eval, err)
	}
	d.notes = append(d.notes, "evaluated on "+eval)
	if train != "" {
		if d.train, err = open(filepath.Join(dir, train), s.columns()); err != nil {
			d.Close()
			return nil, fmt.Errorf("%s: %w", train, err)
		}
		d.notes = append(d.notes, "calibrated on "+train)
		d.adoptClasses()
	}
	return d, nil
}

// openTree opens an archive by s, or where s is nil by its own specification, over whose keys
// go those of given; both may be nil.
func openTree(f files, s, given *Spec) (*Dataset, error) {
	top := f
	i := -1
	for g := f; s == nil && g != nil && i < 0; g = unwrap(g) {
		if i = slices.IndexFunc(specNames, func(n string) bool { return slices.Contains(g.names(), n) }); i >= 0 {
			top = g
		}
	}
	if i < 0 {
		top = unwrapped(f)
		if s == nil {
			s = given
		}
	} else {
		b, err := top.read(specNames[i])
		if err == nil {
			s, err = parseSpec(b[:min(len(b), maxSpecBytes)])
		}
		if err == nil {
			s, err = given.over(s)
		}
		if err == nil && s.Data != "" {
			if !filepath.IsLocal(filepath.FromSlash(s.Data)) {
				err = fmt.Errorf("data %q leads out of the archive", s.Data)
			}
			top = under(top, strings.TrimSuffix(path.Clean(s.Data), "/"))
		}
		if err != nil {
			f.close()
			return nil, fmt.Errorf("%s: %w", specNames[i], err)
		}
	}
	d, err := fromFiles(top, s)
	if err != nil || s == nil {
		return d, err
	}
	return attached(d, s, beside{
		part: func(train string) (*Dataset, error) {
			t, err := fromFiles(under(top, strings.TrimSuffix(train, "/")), s.columns())
			if err == nil {
				t.close = nil // d closes the archive
			}
			return t, err
		},
		read: top.read,
	})
}
