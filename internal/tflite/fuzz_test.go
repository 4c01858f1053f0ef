package tflite

import (
	"errors"
	"testing"
)

// FuzzDecode holds that whatever the bytes, the reader gives an error or a graph that
// verifies. One seed for each builtin operator, on tensors of several types; findings are
// kept in testdata/fuzz.
func FuzzDecode(f *testing.F) {
	f.Add(conv().bytes())
	for code := range handlers {
		options := msg{0: uint8(1), 1: 1, 2: 1, 3: uint8(1), 4: 1, 5: 1}
		four := func(name string) msg { return tens(name, f32, 0, 1, 4, 4, 2) }
		f.Add(net{op: code, options: options, inputs: []int32{0}, tensors: []msg{four("x"), four("y")}}.bytes())
		f.Add(net{op: code, options: options, inputs: []int32{0}, buffers: [][]byte{{1, 0, 0, 0, 1, 0, 0, 0}},
			tensors: []msg{four("x"), tens("k", i32, 1, 2), four("y")}}.bytes())
		f.Add(net{op: code, options: options, inputs: []int32{0}, buffers: [][]byte{{1, 2, 3, 4}, {4, 3, 2, 1}}, tensors: []msg{
			scaled(four("x"), 3, 0.5), scaled(tens("w", i8, 1, 1, 1, 2, 2), 0, 1), tens("b", i32, 2, 1), scaled(four("y"), 1, 2)}}.bytes())
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		g, err := Decode(data)
		if err != nil {
			var u *UnsupportedError
			if errors.As(err, &u) && len(u.Ops) == 0 {
				t.Error("an unsupported model names no operator")
			}
			return
		}
		if err := g.Verify(); err != nil {
			t.Error(err)
		}
	})
}
