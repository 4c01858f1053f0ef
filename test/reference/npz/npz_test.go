package npz

import (
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestRoundTrip(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.npz")
	want := map[string]*Array{
		"x":         {DType: "f4", Shape: []int64{2, 1}, Data: []byte{1, 2, 3, 4, 5, 6, 7, 8}},
		"layer/y:0": {DType: "b1", Shape: []int64{3}, Data: []byte{1, 0, 1}},
		"scalar":    {DType: "i8", Shape: []int64{}, Data: []byte{9, 0, 0, 0, 0, 0, 0, 0}},
		"empty":     {DType: "f2", Shape: []int64{0, 4}, Data: []byte{}},
		"bf":        {DType: "V2", Shape: []int64{1}, Data: []byte{7, 8}},
	}
	if err := WriteFile(path, want); err != nil {
		t.Fatal(err)
	}
	got, err := ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestHeaderAligned(t *testing.T) {
	for rank := range 40 {
		h := header(&Array{DType: "f4", Shape: make([]int64, rank)})
		if len(h)%64 != 0 || h[len(h)-1] != '\n' {
			t.Errorf("rank %d: header of %d bytes ends in %q", rank, len(h), h[len(h)-1])
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	good := append(header(&Array{DType: "f4", Shape: []int64{2}}), make([]byte, 8)...)
	if _, err := decode(good); err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{
		"short":     good[:9],
		"no header": good[:30],
		"few bytes": good[:len(good)-1],
		"dims":      []byte(strings.Replace(string(good), "(2,)", "(9,)", 1)),
		"negative":  []byte(strings.Replace(string(good), "(2,), ", "(-2,),", 1)),
		"order":     []byte(strings.Replace(string(good), "<f4", ">f4", 1)),
	} {
		if _, err := decode(b); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
