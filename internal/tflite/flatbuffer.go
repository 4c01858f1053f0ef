package tflite

import (
	"encoding/binary"
	"fmt"
	"math"
)

// flat reads a flatbuffer that nobody vouches for. Every offset, vtable, vector and string
// is checked against the file before it is used; the first fault sticks, and all reads
// after it give zero values, so that callers check once.
//
// Offsets may point to the same place from anywhere, so a small file can describe an
// exponentially large tree. The budget bounds the bytes that are visited in all, counting
// those seen again.
type flat struct {
	data   []byte
	budget int64
	err    error
}

// visitFactor is how often over a file may be visited. An honest one is visited once, its
// shared vtables and strings a few times.
const visitFactor = 16

func newFlat(data []byte) *flat {
	return &flat{data: data, budget: visitFactor*int64(len(data)) + 1<<12}
}

func (f *flat) fail(format string, args ...any) {
	if f.err == nil {
		f.err = fmt.Errorf(format, args...)
	}
}

// has reports whether n bytes lie at position at.
func (f *flat) has(at, n int64) bool {
	if f.err != nil {
		return false
	}
	if at < 0 || n < 0 || at > int64(len(f.data))-n {
		f.fail("offset %d leads outside of the file (%d bytes)", at, len(f.data))
		return false
	}
	return true
}

// visit charges n bytes to the budget.
func (f *flat) visit(n int64) bool {
	if f.budget -= n; f.budget < 0 {
		f.fail("the file describes far more than it holds: its parts are shared without end")
	}
	return f.err == nil
}

func (f *flat) u16(at int64) uint16 {
	if !f.has(at, 2) {
		return 0
	}
	return binary.LittleEndian.Uint16(f.data[at:])
}

func (f *flat) u32(at int64) uint32 {
	if !f.has(at, 4) {
		return 0
	}
	return binary.LittleEndian.Uint32(f.data[at:])
}

// follow resolves the forward offset stored at position at.
func (f *flat) follow(at int64) int64 {
	off := f.u32(at)
	if off == 0 {
		f.fail("offset at %d leads nowhere", at)
		return 0
	}
	return at + int64(off)
}

// table is a checked flatbuffer table. The zero table has no fields.
type table struct {
	f      *flat
	at     int64 // position of the table
	size   int64 // bytes of its inline fields
	vtable int64
	vsize  int64
}

// table checks the table at a position.
func (f *flat) table(at int64) table {
	if !f.has(at, 4) || !f.visit(16) {
		return table{}
	}
	t := table{f: f, at: at}
	t.vtable = at - int64(int32(binary.LittleEndian.Uint32(f.data[at:])))
	if !f.has(t.vtable, 4) {
		return table{}
	}
	t.vsize, t.size = int64(f.u16(t.vtable)), int64(f.u16(t.vtable+2))
	if t.vsize < 4 || t.vsize%2 != 0 || t.size < 4 {
		f.fail("table at %d has a broken vtable", at)
		return table{}
	}
	if !f.has(t.vtable, t.vsize) || !f.has(at, t.size) {
		return table{}
	}
	return t
}

// root checks the file's first table.
func (f *flat) root() table { return f.table(f.follow(0)) }

// ok reports whether the table exists.
func (t table) ok() bool { return t.f != nil }

// field returns the position of an inline field of the given width; 0 when absent.
func (t table) field(id int, width int64) int64 {
	slot := 4 + 2*int64(id)
	if t.f == nil || t.f.err != nil || slot+2 > t.vsize {
		return 0
	}
	off := int64(t.f.u16(t.vtable + slot))
	if off == 0 {
		return 0
	}
	if off < 4 || off+width > t.size {
		t.f.fail("field %d of the table at %d lies outside of it", id, t.at)
		return 0
	}
	return t.at + off
}

func (t table) has(id int) bool { return t.field(id, 1) != 0 }

func (t table) u8(id int, def uint8) uint8 {
	if p := t.field(id, 1); p != 0 {
		return t.f.data[p]
	}
	return def
}

func (t table) bool(id int, def bool) bool {
	if p := t.field(id, 1); p != 0 {
		return t.f.data[p] != 0
	}
	return def
}

func (t table) i32(id int, def int32) int32 {
	if p := t.field(id, 4); p != 0 {
		return int32(t.f.u32(p))
	}
	return def
}

func (t table) u32(id int, def uint32) uint32 { return uint32(t.i32(id, int32(def))) }

func (t table) u64(id int) uint64 {
	if p := t.field(id, 8); p != 0 {
		return binary.LittleEndian.Uint64(t.f.data[p:])
	}
	return 0
}

func (t table) f32(id int, def float32) float32 {
	if p := t.field(id, 4); p != 0 {
		return math.Float32frombits(t.f.u32(p))
	}
	return def
}

// vector returns where the elements of a vector field lie and how many there are.
func (t table) vector(id int, width int64) (at int64, n int) {
	p := t.field(id, 4)
	if p == 0 {
		return 0, 0
	}
	p = t.f.follow(p)
	count := int64(t.f.u32(p))
	if !t.f.has(p+4, count*width) {
		return 0, 0
	}
	return p + 4, int(count)
}

// bytes returns a vector of bytes where it lies in the file.
func (t table) bytes(id int) []byte {
	at, n := t.vector(id, 1)
	if n == 0 {
		return nil
	}
	return t.f.data[at : at+int64(n) : at+int64(n)]
}

// maxString bounds names, which go into messages and other files.
const maxString = 1 << 16

func (t table) string(id int) string {
	b := t.bytes(id)
	if len(b) > maxString {
		t.f.fail("a string of %d bytes is too long", len(b))
		return ""
	}
	if len(b) > 0 && !t.f.visit(int64(len(b))) {
		return ""
	}
	return string(b)
}

func (t table) i32s(id int) []int32 {
	at, n := t.vector(id, 4)
	if n == 0 || !t.f.visit(4*int64(n)) {
		return nil
	}
	out := make([]int32, n)
	for i := range out {
		out[i] = int32(binary.LittleEndian.Uint32(t.f.data[at+4*int64(i):]))
	}
	return out
}

func (t table) i64s(id int) []int64 {
	at, n := t.vector(id, 8)
	if n == 0 || !t.f.visit(8*int64(n)) {
		return nil
	}
	out := make([]int64, n)
	for i := range out {
		out[i] = int64(binary.LittleEndian.Uint64(t.f.data[at+8*int64(i):]))
	}
	return out
}

func (t table) f32s(id int) []float32 {
	at, n := t.vector(id, 4)
	if n == 0 || !t.f.visit(4*int64(n)) {
		return nil
	}
	out := make([]float32, n)
	for i := range out {
		out[i] = math.Float32frombits(binary.LittleEndian.Uint32(t.f.data[at+4*int64(i):]))
	}
	return out
}

// sub returns the table that a field refers to; the zero table when absent.
func (t table) sub(id int) table {
	p := t.field(id, 4)
	if p == 0 {
		return table{}
	}
	return t.f.table(t.f.follow(p))
}

// subs returns a vector of tables, nil at the first fault.
func (t table) subs(id int) []table {
	at, n := t.vector(id, 4)
	if n == 0 || !t.f.visit(4*int64(n)) {
		return nil
	}
	var out []table // grows as tables prove to be there
	for i := range n {
		s := t.f.table(t.f.follow(at + 4*int64(i)))
		if t.f.err != nil {
			return nil
		}
		out = append(out, s)
	}
	return out
}
