package dataset

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Limits on what is taken from folders and archives.
const (
	maxFiles        = 5_000_000
	maxFileBytes    = 64 << 20 // of one file, unpacked
	maxArchiveBytes = 4 << 30  // of a tar, unpacked; its members are kept in memory
)

// files is a read-only tree: names are slash-separated, relative and sorted.
type files interface {
	names() []string
	read(name string) ([]byte, error)
	close() error
}

// dirFiles reads a folder through os.Root, so that no link leads out of it.
type dirFiles struct {
	root *os.Root
	list []string
}

func openDir(dir string) (files, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	d := &dirFiles{root: root}
	err = fs.WalkDir(root.FS(), ".", func(p string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case p != "." && strings.HasPrefix(e.Name(), "."):
			if e.IsDir() {
				return fs.SkipDir
			}
			return nil
		case e.IsDir():
			return nil
		case len(d.list) == maxFiles:
			return fmt.Errorf("more than %d files", maxFiles)
		}
		d.list = append(d.list, p)
		return nil
	})
	if err != nil {
		root.Close()
		return nil, err
	}
	slices.Sort(d.list)
	return d, nil
}

func (d *dirFiles) names() []string { return d.list }
func (d *dirFiles) close() error    { return d.root.Close() }

func (d *dirFiles) read(name string) ([]byte, error) {
	f, err := d.root.Open(name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(d.root.Name(), name), plainError(err))
	}
	defer f.Close()
	return readBounded(f, name)
}

// readBounded reads all of r, which must not hold more than maxFileBytes.
func readBounded(r io.Reader, name string) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxFileBytes+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(b) > maxFileBytes {
		return nil, fmt.Errorf("%s: is larger than %d MB", name, maxFileBytes>>20)
	}
	return b, nil
}

// memberName cleans an archive member's name; it is empty for what is to be left out.
func memberName(name string) (string, error) {
	clean := path.Clean(strings.ReplaceAll(name, "\\", "/"))
	if clean == ".." || strings.HasPrefix(clean, "../") || strings.HasPrefix(clean, "/") {
		return "", fmt.Errorf("member %q lies outside the archive", name)
	}
	for part := range strings.SplitSeq(clean, "/") {
		if strings.HasPrefix(part, ".") && part != "." || part == "__MACOSX" {
			return "", nil
		}
	}
	return clean, nil
}

func openArchive(name string) (files, error) {
	if strings.HasSuffix(strings.ToLower(name), ".zip") {
		return openZip(name)
	}
	return openTar(name)
}

// zipFiles unpacks members when they are asked for.
type zipFiles struct {
	r    *zip.ReadCloser
	list []string
	by   map[string]*zip.File
}

func openZip(name string) (files, error) {
	r, err := zip.OpenReader(name)
	if err != nil {
		return nil, err
	}
	z := &zipFiles{r: r, by: map[string]*zip.File{}}
	if len(r.File) > maxFiles {
		r.Close()
		return nil, fmt.Errorf("more than %d members", maxFiles)
	}
	for _, f := range r.File {
		if strings.HasSuffix(f.Name, "/") {
			continue
		}
		clean, err := memberName(f.Name)
		if err != nil {
			r.Close()
			return nil, err
		}
		if clean == "" || z.by[clean] != nil {
			continue
		}
		z.by[clean] = f
		z.list = append(z.list, clean)
	}
	slices.Sort(z.list)
	return z, nil
}

func (z *zipFiles) names() []string { return z.list }
func (z *zipFiles) close() error    { return z.r.Close() }

func (z *zipFiles) read(name string) ([]byte, error) {
	f := z.by[name]
	if f == nil {
		return nil, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	}
	if f.UncompressedSize64 > maxFileBytes {
		return nil, fmt.Errorf("%s: unpacks to %d bytes, more than %d MB", name, f.UncompressedSize64, maxFileBytes>>20)
	}
	r, err := f.Open()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	defer r.Close()
	return readBounded(r, name) // the stated size may lie
}

// tarFiles holds the members' bytes: a compressed tar cannot be read at random.
type tarFiles struct {
	list []string
	data map[string][]byte
}

func openTar(name string) (files, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var r io.Reader = f
	if !strings.HasSuffix(strings.ToLower(name), ".tar") {
		z, err := gzip.NewReader(f)
		if err != nil {
			return nil, err
		}
		defer z.Close()
		r = z
	}
	t := &tarFiles{data: map[string][]byte{}}
	total := int64(0)
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("tar: %w", err)
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		clean, err := memberName(h.Name)
		if err != nil {
			return nil, err
		}
		if clean == "" {
			continue
		}
		if total += h.Size; h.Size > maxFileBytes || total > maxArchiveBytes || len(t.list) == maxFiles {
			return nil, fmt.Errorf("member %q: the archive unpacks to more than is allowed (%d MB a file, %d MB in all, %d files)",
				h.Name, maxFileBytes>>20, int64(maxArchiveBytes)>>20, maxFiles)
		}
		b, err := readBounded(tr, clean)
		if err != nil {
			return nil, err
		}
		if _, twice := t.data[clean]; !twice {
			t.list = append(t.list, clean)
		}
		t.data[clean] = b
	}
	slices.Sort(t.list)
	return t, nil
}

func (t *tarFiles) names() []string { return t.list }
func (t *tarFiles) close() error    { return nil }

func (t *tarFiles) read(name string) ([]byte, error) {
	b, ok := t.data[name]
	if !ok {
		return nil, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	}
	return b, nil
}

// within restricts a tree to one folder of it.
type within struct {
	files
	prefix string
	list   []string
}

func under(f files, dir string) files {
	w := &within{files: f, prefix: dir + "/"}
	for _, n := range f.names() {
		if rest, ok := strings.CutPrefix(n, w.prefix); ok {
			w.list = append(w.list, rest)
		}
	}
	return w
}

func (w *within) names() []string                  { return w.list }
func (w *within) read(name string) ([]byte, error) { return w.files.read(w.prefix + name) }
