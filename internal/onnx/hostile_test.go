package onnx

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// The models here are put together field by field, because no writer would make them.

type fill = func(*buffer)

func file(graph fill, more ...fill) []byte {
	var b buffer
	b.int(1, 8)
	b.message(7, graph)
	b.message(8, func(in *buffer) { in.int(2, 17) })
	for _, f := range more {
		f(&b)
	}
	return b.bytes()
}

func both(fs ...fill) fill {
	return func(b *buffer) {
		for _, f := range fs {
			f(b)
		}
	}
}

// node writes field 1 of a graph; names are separated by spaces.
func node(op, in, out string, more ...fill) fill { return nodeIn(1, op, in, out, more...) }

func nodeIn(num fieldNumber, op, in, out string, more ...fill) fill {
	return func(b *buffer) {
		b.message(num, func(n *buffer) {
			for _, s := range strings.Fields(in) {
				n.text(1, s)
			}
			for _, s := range strings.Fields(out) {
				n.text(2, s)
			}
			n.text(4, op)
			for _, f := range more {
				f(n)
			}
		})
	}
}

// initializer of float32s, with dims and raw bytes as given.
func initializer(name string, dims []int64, raw int, more ...fill) fill {
	return func(b *buffer) {
		b.message(5, func(t *buffer) {
			t.packed(1, dims)
			t.int(2, 1)
			t.text(8, name)
			if raw >= 0 {
				t.raw(9, make([]byte, raw))
			}
			for _, f := range more {
				f(t)
			}
		})
	}
}

func external(location, offset, length string) fill {
	return func(t *buffer) {
		t.int(14, 1)
		t.message(13, entry("location", location))
		t.message(13, entry("offset", offset))
		t.message(13, entry("length", length))
	}
}

func input(name string) fill {
	return func(b *buffer) { b.message(11, func(v *buffer) { v.text(1, name) }) }
}

func output(name string) fill {
	return func(b *buffer) { b.message(12, func(v *buffer) { v.text(1, name) }) }
}

func attrGraphField(name string, g fill) fill {
	return func(n *buffer) {
		n.message(5, func(a *buffer) {
			a.text(1, name)
			a.message(6, g)
			a.int(20, attrGraph)
		})
	}
}

// function that applies what it is made of to its input a, giving b.
func function(name string, nodes ...fill) fill {
	return func(m *buffer) {
		m.message(25, func(f *buffer) {
			f.text(1, name)
			f.text(4, "a")
			f.text(5, "b")
			for _, n := range nodes {
				n(f)
			}
		})
	}
}

func deep(levels int) fill {
	if levels == 0 {
		return both(node("Not", "x", "y"), output("y"))
	}
	body := deep(levels - 1)
	return both(node("If", "x", "y", attrGraphField("then_branch", body), attrGraphField("else_branch", both(output("x")))), output("y"))
}

func bomb() []byte {
	var fs []fill
	for i := range 40 {
		next := fmt.Sprintf("f%d", i+1)
		if i == 39 {
			next = "Not"
		}
		fs = append(fs, function(fmt.Sprintf("f%d", i), nodeIn(7, next, "a", "t"), nodeIn(7, next, "t", "b")))
	}
	return file(both(input("x"), node("f0", "x", "y"), output("y")), fs...)
}

func not(b *buffer) { both(input("x"), node("Not", "x", "y"), output("y"))(b) }

// hostileFiles maps a part of the expected message to a file.
func hostileFiles() map[string][]byte {
	good := file(not)
	many := func(b *buffer) {
		for i := range 100 {
			input(fmt.Sprint("x", i))(b)
		}
	}
	sparse := func(b *buffer) {
		b.message(15, func(s *buffer) {
			s.message(1, func(t *buffer) { t.packed(1, []int64{1}); t.int(2, 1); t.text(8, "w"); t.raw(9, make([]byte, 4)) })
			s.message(2, func(t *buffer) { t.packed(1, []int64{1}); t.int(2, 7); t.raw(9, make([]byte, 8)) })
			s.packed(3, []int64{1 << 30, 4})
		})
	}
	return map[string][]byte{
		"no graph":                   {},
		"unexpected EOF":             good[:len(good)-3],
		"wire type":                  append([]byte{0x0b, 0x0c}, good...),
		"cycle":                      file(both(node("And", "z z", "y"), node("Not", "y", "z"), output("z"))),
		`input "q" is not defined`:   file(both(node("Not", "q", "y"), output("y"))),
		`output "q" is not defined`:  file(both(input("x"), node("Not", "x", "y"), output("q"))),
		`"y" is defined twice`:       file(both(input("x"), node("Not", "x", "y"), node("Not", "x", "y"), output("y"))),
		`"x" is defined twice`:       file(both(input("x"), input("x"), output("x"))),
		"needs 400000000000 bytes":   file(both(initializer("w", []int64{100000, 1000000}, 4), output("w"))),
		"too many elements":          file(both(initializer("w", []int64{1 << 40, 1 << 40}, 4), output("w"))),
		"is not possible":            file(both(initializer("w", []int64{-4}, 16), output("w"))),
		"needs 16 bytes, got 0":      file(both(initializer("w", []int64{4}, -1), output("w"))),
		"has no name":                file(both(initializer("", []int64{0}, 0))),
		"has no operator":            file(node("", "x", "y")),
		"dense form":                 file(both(sparse, output("w"))),
		"nested":                     file(both(input("x"), deep(60))),
		"calls itself":               file(both(input("x"), node("f", "x", "y"), output("y")), function("f", nodeIn(7, "f", "a", "b"))),
		"of a small file":            bomb(),
		"opset 99":                   file(not, func(b *buffer) { b.message(8, func(in *buffer) { in.int(2, 99) }) }),
		"ir_version 99":              append(file(not), 0x08, 99),
		"at most 1 are allowed":      file(both(input("x"), node("Not", "x x", "y"), output("y"))),
		"Foo (1×, version 17, first": file(both(input("x"), node("Foo", "x", "y"), node("Bar", "y", "z"), output("z"))),
		"Bar (1×, version 17, first": file(both(input("x"), node("Foo", "x", "y"), node("Bar", "y", "z"), output("z"))),
		"not read from a folder":     file(both(initializer("w", []int64{4}, -1, external("w.bin", "0", "16")), output("w"))),
		"maps are not supported": file(func(b *buffer) {
			b.message(11, func(v *buffer) { v.text(1, "x"); v.message(2, func(t *buffer) { t.message(5, func(*buffer) {}) }) })
		}),
		"element type 77 is not known": file(func(b *buffer) { b.message(5, func(t *buffer) { t.int(2, 77); t.text(8, "w") }) }),
		"defined twice":                file(both(many, many)),
	}
}

func TestHostileFiles(t *testing.T) {
	for want, data := range hostileFiles() {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := Decode(data, "")
		runtime.ReadMemStats(&after)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error with %q, got %v", want, err)
		}
		if used := after.TotalAlloc - before.TotalAlloc; used > 256<<20 {
			t.Errorf("%s: a file of %d bytes took %d MB", want, len(data), used>>20)
		}
	}
}

func TestHostileExternalData(t *testing.T) {
	outside := t.TempDir()
	secret := filepath.Join(outside, "secret")
	dir := filepath.Join(outside, "model")
	for path, size := range map[string]int{secret: 64, filepath.Join(dir, "w.bin"): 20, filepath.Join(dir, "sub", "v.bin"): 64} {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, make([]byte, size), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	linked := os.Symlink(secret, filepath.Join(dir, "link.bin")) == nil
	for _, c := range []struct{ location, offset, length, want string }{
		{"w.bin", "0", "16", ""},
		{"w.bin", "4", "16", ""},
		{"sub/v.bin", "16", "16", ""},
		{"sub/../w.bin", "0", "16", ""},
		{"w.bin", "8", "16", "truncated"},
		{"w.bin", "9223372036854775807", "16", "truncated"},
		{"w.bin", "-1", "16", "is not a size"},
		{"w.bin", "zero", "16", "is not a size"},
		{"w.bin", "0", "12", "the tensor has 16"},
		{"w.bin", "0", "9223372036854775807", "the tensor has 16"},
		{"missing.bin", "0", "16", "no such file"},
		{"../secret", "0", "16", "outside the model's folder"},
		{"sub/../../secret", "0", "16", "outside the model's folder"},
		{secret, "0", "16", "outside the model's folder"},
		{"sub", "0", "16", "not a regular file"},
		{"", "0", "16", "no location"},
		{"link.bin", "0", "16", "link.bin"},
	} {
		if c.location == "link.bin" && !linked {
			continue
		}
		path := filepath.Join(dir, "m.onnx")
		if err := os.WriteFile(path, file(both(initializer("w", []int64{4}, -1, external(c.location, c.offset, c.length)), output("w"))), 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := Read(path, ReadOptions{})
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", c.location, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s at %s, %s bytes: want an error with %q, got %v", c.location, c.offset, c.length, c.want, err)
		}
	}
}

// TestTruncated cuts a model with weights, a body and a function at every byte.
func TestTruncated(t *testing.T) {
	data := file(both(input("x"), initializer("w", []int64{4}, 16), node("f", "x", "c"),
		node("If", "c", "y", attrGraphField("then_branch", output("w")), attrGraphField("else_branch", output("w"))), output("y")),
		function("f", nodeIn(7, "Not", "a", "b")))
	if _, err := Decode(data, ""); err != nil {
		t.Fatal(err)
	}
	for n := range len(data) {
		Decode(data[:n:n], "") // must neither panic nor hang
	}
	for i := range data {
		for _, x := range []byte{0x01, 0x7f, 0x80, 0xff} {
			c := append([]byte{}, data...)
			c[i] ^= x
			Decode(c, "")
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(file(not))
	for _, data := range hostileFiles() {
		f.Add(data)
	}
	paths, _ := filepath.Glob(filepath.FromSlash(os.Getenv("EDGEWISE_TESTDATA") + "/onnx-backend/*/*/model.onnx"))
	for i, path := range paths {
		if i%8 == 0 {
			if data, err := os.ReadFile(path); err == nil && len(data) < 4096 {
				f.Add(data)
			}
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		g, err := Decode(data, "")
		if err != nil {
			return
		}
		written, err := Encode(g, Options{Opset: 28})
		if err != nil {
			return // forms that the newest opset cannot hold do not exist; sizes may
		}
		back, err := Decode(written, "")
		if err != nil {
			t.Fatalf("what was written cannot be read: %v\n%v", err, g)
		}
		if len(back.Nodes) < len(g.Nodes) {
			t.Fatalf("%d nodes became %d", len(g.Nodes), len(back.Nodes))
		}
	})
}
