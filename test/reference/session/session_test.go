package session

import (
	"errors"
	"reflect"
	"testing"

	"github.com/edgewise-ml/edgewise/test/reference/npz"
)

// counter is a stateful model: y = x + the number of runs since Reset.
type counter struct {
	runs byte
	x, y []byte
}

func (c *counter) Inputs() []Port  { return []Port{{Name: "x", DType: "uint8", Shape: []int64{2}}} }
func (c *counter) Outputs() []Port { return []Port{{Name: "y", DType: "uint8", Shape: []int64{2}}} }
func (c *counter) Discard()        {}
func (c *counter) Close()          {}

func (c *counter) Reset() error {
	c.runs = 0
	return nil
}

func (c *counter) Bind(in map[string]*npz.Array) error {
	a, err := Match(c.Inputs(), in)
	if err == nil {
		c.x = a[0].Data
	}
	return err
}

func (c *counter) Invoke() error {
	if len(c.x) != 2 {
		return errors.New("two elements expected")
	}
	c.y = []byte{c.x[0] + c.runs, c.x[1] + c.runs}
	c.runs++
	return nil
}

func (c *counter) Fetch() (map[string]*npz.Array, error) {
	return map[string]*npz.Array{"y": {DType: "u1", Shape: []int64{2}, Data: c.y}}, nil
}

func TestRunSamples(t *testing.T) {
	in := map[string]*npz.Array{"x": {DType: "u1", Shape: []int64{3, 2}, Data: []byte{10, 11, 20, 21, 30, 31}}}
	for keep, want := range map[bool][]byte{false: {10, 11, 20, 21, 30, 31}, true: {10, 11, 21, 22, 32, 33}} {
		out, err := RunSamples(&counter{}, in, keep)
		if err != nil {
			t.Fatal(err)
		}
		if y := out["y"]; !reflect.DeepEqual(y.Data, want) || !reflect.DeepEqual(y.Shape, []int64{3, 2}) {
			t.Errorf("keep state %v: got %v %v, want %v", keep, y.Shape, y.Data, want)
		}
	}
	if _, err := RunSamples(&counter{}, map[string]*npz.Array{"x": {DType: "u1", Shape: []int64{}, Data: []byte{1}}}, false); err == nil {
		t.Error("a scalar was taken for samples")
	}
}

func TestMatch(t *testing.T) {
	ports := []Port{{Name: "a", DType: "uint8"}, {Name: "a", DType: "bfloat16"}, {Name: "", DType: "bool"}}
	if got := Keys(ports); !reflect.DeepEqual(got, []string{"a", "1", "2"}) {
		t.Errorf("keys %q", got)
	}
	u1, u2, b1 := &npz.Array{DType: "u1"}, &npz.Array{DType: "u2"}, &npz.Array{DType: "b1"}
	for _, c := range []struct {
		in map[string]*npz.Array
		ok bool
	}{
		{map[string]*npz.Array{"a": u1, "1": u2, "2": b1}, true},
		{map[string]*npz.Array{"0": u1, "1": u2, "2": b1}, true},
		{map[string]*npz.Array{"a": u1, "1": u2}, false},
		{map[string]*npz.Array{"a": u2, "1": u2, "2": b1}, false},
		{map[string]*npz.Array{"a": u1, "1": u2, "2": b1, "b": b1}, false},
	} {
		got, err := Match(ports, c.in)
		if (err == nil) != c.ok {
			t.Errorf("%v: error %v", c.in, err)
		}
		if err == nil && !reflect.DeepEqual(got, []*npz.Array{u1, u2, b1}) {
			t.Errorf("%v: matched %v", c.in, got)
		}
	}
}

func TestFillIsFixed(t *testing.T) {
	ports := []Port{{Name: "x", DType: "float32", Shape: []int64{-1, 3}}, {Name: "n", DType: "int64", Shape: []int64{}}}
	a, err := Fill(ports, map[string][]int64{"x": {2, 3}})
	if err != nil {
		t.Fatal(err)
	}
	b, _ := Fill(ports, map[string][]int64{"x": {2, 3}})
	if !reflect.DeepEqual(a, b) || len(a["x"].Data) != 24 || len(a["n"].Data) != 8 {
		t.Errorf("got %+v and %+v", a, b)
	}
}
