package mapfile

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

func TestDroppedContentsAreReadAgain(t *testing.T) {
	want := make([]byte, mapFloor+12345)
	for i := range want {
		want[i] = byte(i * 7)
	}
	path := filepath.Join(t.TempDir(), "model")
	if err := os.WriteFile(path, want, 0o644); err != nil {
		t.Fatal(err)
	}
	got, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Fatal("the contents differ")
	}
	for _, r := range [][2]int{{0, len(got)}, {5000, 100}, {len(got) - 10, 10}, {12, 0}} {
		Drop(got[r[0] : r[0]+r[1]])
		if !bytes.Equal(got, want) {
			t.Fatalf("the contents differ after %d bytes at %d were dropped", r[1], r[0])
		}
	}
	heap := bytes.Clone(want)
	if Drop(heap); !bytes.Equal(heap, want) {
		t.Error("memory that is no mapping was dropped")
	}
}
