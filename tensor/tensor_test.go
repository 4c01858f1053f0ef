package tensor

import (
	"bytes"
	"encoding/binary"
	"math"
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"
)

func TestAlignment(t *testing.T) {
	for n := 1; n < 300; n += 7 {
		x := New(Uint8, n)
		if uintptr(unsafe.Pointer(&x.Bytes()[0]))%Alignment != 0 {
			t.Fatalf("storage of %d bytes is not aligned", n)
		}
	}
}

func TestNumElements(t *testing.T) {
	for _, shape := range [][]int{{-1}, {math.MaxInt, math.MaxInt}, {0, -3}, {math.MaxInt, 2}} {
		if n, err := NumElements(shape); err == nil {
			t.Errorf("NumElements(%v) = %d, want an error", shape, n)
		}
	}
	if n, err := NumElements([]int{math.MaxInt, 0}); n != 0 && err == nil {
		t.Errorf("empty shape counts %d", n)
	}
}

// Every 16- and 8-bit code must survive widening and rounding back.
func TestNarrowFloatsRoundTrip(t *testing.T) {
	for c := range 1 << 16 {
		h := uint16(c)
		if f := Float16ToFloat32(h); f == f {
			if got := Float16FromFloat32(f); got != h {
				t.Fatalf("float16 %#04x -> %v -> %#04x", h, f, got)
			}
			if got := Float16FromFloat64(float64(f)); got != h {
				t.Fatalf("float16 %#04x -> %v -> %#04x by float64", h, f, got)
			}
		}
		if f := BFloat16ToFloat32(h); f == f && BFloat16FromFloat32(f) != h {
			t.Fatalf("bfloat16 %#04x does not round trip", h)
		}
	}
	for _, d := range []DType{Float8E4M3FN, Float8E4M3FNUZ, Float8E5M2, Float8E5M2FNUZ, Float8E8M0} {
		for c := range 256 {
			f := float8ToFloat32(d, byte(c))
			if f != f || math.IsInf(float64(f), 0) {
				continue
			}
			if got := Float8FromFloat32(d, f, false); got != byte(c) {
				t.Errorf("%v %#02x -> %v -> %#02x", d, c, f, got)
			}
		}
	}
}

func TestFloat16Rounding(t *testing.T) {
	for _, c := range []struct {
		in   float64
		want uint16
	}{
		{65519.99, 0x7bff}, {65520, 0x7c00}, {1 + 1.0/2048, 0x3c00}, {1 + 3.0/2048, 0x3c02},
		{1 + 1.0/2048 + 1e-12, 0x3c01}, {1.0 / (1 << 25), 0}, {1.5 / (1 << 25), 1}, {-0.0000610053, 0x83ff},
	} {
		if got := Float16FromFloat64(c.in); got != c.want {
			t.Errorf("Float16FromFloat64(%v) = %#04x, want %#04x", c.in, got, c.want)
		}
	}
}

func TestSubByte(t *testing.T) {
	for _, d := range []DType{Int4, Uint4, Int2, Uint2, Float4E2M1} {
		x := New(d, 5)
		lo, hi := d.IntRange()
		if d == Float4E2M1 {
			lo, hi = -2, 2
		}
		for i := range 5 {
			x.SetInt(i, lo+int64(i)%(hi-lo+1))
		}
		for i := range 5 {
			if got, want := x.Float(i), float64(lo+int64(i)%(hi-lo+1)); got != want {
				t.Errorf("%v element %d = %v, want %v", d, i, got, want)
			}
		}
	}
}

func TestNPYRoundTrip(t *testing.T) {
	x := New(Float32, 2, 3)
	for i := range x.F32() {
		x.F32()[i] = float32(i) * 1.5
	}
	s := Scalar(int64(-7))
	var buf bytes.Buffer
	in := map[string]*Tensor{"x": x, "s": s, "empty": New(Uint8, 0, 4)}
	if err := WriteNPZ(&buf, in); err != nil {
		t.Fatal(err)
	}
	out, err := ReadNPZ(bytes.NewReader(buf.Bytes()), int64(buf.Len()))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range in {
		got := out[name]
		if got == nil || got.String() != want.String() || !bytes.Equal(got.Bytes(), want.Bytes()) {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
}

func TestNPYFortranAndSwapped(t *testing.T) {
	header := "{'descr': '>i2', 'fortran_order': True, 'shape': (2, 3), }\n"
	file := append([]byte("\x93NUMPY\x01\x00"), byte(len(header)), 0)
	file = append(file, header...)
	for _, v := range []int16{1, 4, 2, 5, 3, 6} {
		file = append(file, byte(v>>8), byte(v))
	}
	x, err := ReadNPY(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]int16{1, 2, 3, 4, 5, 6}, Data[int16](x)); diff != "" {
		t.Error(diff)
	}
}

func FuzzReadNPY(f *testing.F) {
	var buf bytes.Buffer
	if err := WriteNPY(&buf, New(Int32, 2, 2)); err != nil {
		f.Fatal(err)
	}
	f.Add(buf.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		if x, err := ReadNPY(bytes.NewReader(data)); err == nil && len(x.Bytes()) > len(data) {
			t.Fatalf("read %v out of %d bytes", x, len(data))
		}
	})
}

// TestFromBytesAtAnyAddress reads elements that do not lie at a multiple of their size.
func TestFromBytesAtAnyAddress(t *testing.T) {
	buf := AlignedBytes(64)
	for i := range buf {
		buf[i] = byte(i)
	}
	for off := range 8 {
		x, err := FromBytes(Float64, []int{4}, buf[off:off+32])
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range Data[float64](x) {
			if want := math.Float64frombits(binary.LittleEndian.Uint64(buf[off+8*i:])); v != want {
				t.Errorf("offset %d, element %d: %v, want %v", off, i, v, want)
			}
		}
	}
}

// The storage of the most elements that a shape may have must be counted without overflow.
func TestStorageOfTheLargestShape(t *testing.T) {
	for _, d := range DTypes() {
		n := MaxElements
		if got := d.Bytes(n); d != String && (got < 0 || uint64(got) < uint64(n)/8*uint64(d.Bits())) {
			t.Errorf("%d elements of %v take %d bytes", n, d, got)
		}
		if x, err := FromBytes(d, []int{n}, nil); err == nil {
			t.Errorf("no bytes were taken for %v", x)
		}
	}
}
