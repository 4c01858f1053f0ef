// Package native calls C functions of shared libraries and owns the memory
// handed to them. Everything C sees lies on C's heap, so neither Go's garbage
// collector nor a growing goroutine stack can move it during a call.
package native

import (
	"fmt"
	"sync"
	"unsafe"

	"github.com/ebitengine/purego"
)

// Library is an open shared library. It is never closed: the runtimes loaded
// here keep threads and destructors that do not survive unloading.
type Library struct {
	handle uintptr
	path   string
}

// Open loads the shared library at path with all symbols resolved.
func Open(path string) (*Library, error) {
	h, err := purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_GLOBAL)
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", path, err)
	}
	return &Library{handle: h, path: path}, nil
}

// Symbol returns the address of an exported function.
func (l *Library) Symbol(name string) (uintptr, error) {
	p, err := purego.Dlsym(l.handle, name)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", l.path, err)
	}
	return p, nil
}

// Call calls the C function at fn, whose parameters and result are integers or
// pointers, and returns its first result register.
func Call(fn uintptr, args ...uintptr) uintptr {
	r, _, _ := purego.SyscallN(fn, args...)
	return r
}

var libc = sync.OnceValue(func() *Library {
	l, err := Open("libc.so.6")
	if err != nil {
		panic(err) // the dynamic loader itself came from this libc
	}
	return l
})

func libcFunc(name string) func() uintptr {
	return sync.OnceValue(func() uintptr {
		p, err := libc().Symbol(name)
		if err != nil {
			panic(err)
		}
		return p
	})
}

var (
	alignedAlloc = libcFunc("aligned_alloc")
	free         = libcFunc("free")
	vsnprintf    = libcFunc("vsnprintf")
)

// Block is zeroed memory on C's heap, 64-byte aligned.
type Block struct {
	addr uintptr
	size int
}

// Alloc returns a block of size bytes; size 0 still has an address.
func Alloc(size int) *Block {
	room := (max(size, 1) + 63) &^ 63
	b := &Block{addr: Call(alignedAlloc(), 64, uintptr(room)), size: size}
	if b.addr == 0 {
		panic(fmt.Sprintf("native: out of memory for %d bytes", size))
	}
	clear(unsafe.Slice((*byte)(pointer(b.addr)), room))
	return b
}

// CString returns a block that holds s and a terminating zero.
func CString(s string) *Block {
	b := Alloc(len(s) + 1)
	copy(b.Bytes(), s)
	return b
}

// Addr is the block's address for C.
func (b *Block) Addr() uintptr { return b.addr }

// Len is the block's size in bytes, 0 after Free.
func (b *Block) Len() int { return b.size }

// Bytes is the block's memory; it must not be used after Free.
func (b *Block) Bytes() []byte { return Bytes(b.addr, b.size) }

// Word returns machine word i, for a block used as an array of out-parameters.
func (b *Block) Word(i int) uintptr { return b.words()[i] }

// SetWord stores machine word i.
func (b *Block) SetWord(i int, w uintptr) { b.words()[i] = w }

func (b *Block) words() []uintptr {
	return unsafe.Slice((*uintptr)(pointer(b.addr)), b.size/8)
}

// Free gives the memory back; further calls do nothing.
func (b *Block) Free() {
	if b.addr != 0 {
		Call(free(), b.addr)
		b.addr, b.size = 0, 0
	}
}

// Bytes views n bytes of C memory at addr.
func Bytes(addr uintptr, n int) []byte {
	return unsafe.Slice((*byte)(pointer(addr)), n)
}

// String copies the zero-terminated C string at addr.
func String(addr uintptr) string {
	if addr == 0 {
		return ""
	}
	n := 0
	for p := pointer(addr); *(*byte)(unsafe.Add(p, n)) != 0; n++ {
	}
	return string(Bytes(addr, n))
}

// Word reads the machine word at index i of the table at addr.
func Word(addr uintptr, i int) uintptr {
	return *(*uintptr)(unsafe.Add(pointer(addr), 8*i))
}

// Format expands a printf format with a C va_list, which amd64 and arm64 both
// pass as one pointer.
func Format(format, args uintptr) string {
	buf := Alloc(4096)
	defer buf.Free()
	Call(vsnprintf(), buf.Addr(), 4096, format, args)
	return String(buf.Addr())
}

// Callback makes a Go function callable from C. Callbacks are never freed, so
// make them once.
func Callback(fn any) uintptr { return purego.NewCallback(fn) }

// pointer turns an address that C returned into a pointer. Such memory is not
// Go's, which is what vet's unsafeptr rule is about.
func pointer(addr uintptr) unsafe.Pointer {
	return *(*unsafe.Pointer)(unsafe.Pointer(&addr))
}
