package kernel

import (
	"slices"
	"unsafe"

	"github.com/edgewise-ml/edgewise/internal/cpu"
)

// A u8Gemm is a micro-kernel that multiplies rows of unsigned bytes with a
// packed panel of nr columns of signed bytes, exactly, into int32.
//
// The k dimension is taken in groups of four bytes that stand together: a group
// is four activations of 8 bits and four weights of 8 bits, or, for a wide
// kernel, two of 16 bits each; those of a deep kernel are eight bytes. A panel is
// laid out [k/group][nr][group], its columns in the order given by column.
type u8Gemm struct {
	name   string
	level  cpu.Level
	mr, nr int
	// wide kernels read activations widened to 16 bits and multiply by pairs:
	// the way to stay exact without a four-byte dot product instruction.
	wide bool
	// deep kernels take eight bytes at a time.
	deep bool
	// signed kernels multiply activations less 128: the start values make up
	// for it.
	signed bool
	// tame kernels sum products of bytes in pairs of 16 bits, which overflow
	// where two weights are -128: they need every weight above.
	tame bool
	// inOrder kernels are for processors whose cores all issue in order.
	inOrder bool
	// paired kernels pack two vectors into one, which interleaves columns.
	paired bool
	// whole kernels have no masked store: they write all nr columns.
	whole bool
	// rows lists the tile heights the kernel has code for, tallest first, 1 last.
	rows []int
	// asm is the number of the assembly routine, -1 for the portable twin.
	asm int
}

// run computes a.tiles tiles of rows[i] rows each. It is the preemption point
// between calls of assembly.
//
//go:noinline
func (k *u8Gemm) run(i int, a *u8GemmArgs) {
	if k.asm < 0 {
		u8GemmGo(k, i, a)
		return
	}
	a.height = k.rows[i]
	u8GemmAsm(k.asm, a)
}

// group returns how many consecutive k stand together.
func (k *u8Gemm) group() int { return k.groupBytes() / k.elem() }

// groupBytes returns the bytes of a group.
func (k *u8Gemm) groupBytes() int {
	if k.deep {
		return 8
	}
	return 4
}

// elem returns the bytes of an activation and of a weight.
func (k *u8Gemm) elem() int {
	if k.wide {
		return 2
	}
	return 1
}

// least returns the least weight the kernel may be given.
func (k *u8Gemm) least() int32 {
	if k.tame {
		return -127
	}
	return -128
}

// offset returns what the kernel takes from every activation.
func (k *u8Gemm) offset() int32 {
	if k.signed {
		return 128
	}
	return 0
}

// column returns which column of the panel stands at position p.
func (k *u8Gemm) column(p int) int {
	if !k.paired {
		return p
	}
	half := k.nr / 2
	e := p % half
	return 8*(e/4) + 4*(p/half) + e%4
}

// u8Segment is a run of k: consecutive groups of a row. Assembly
// reads the fields by offset.
type u8Segment struct {
	off    int // bytes from the row's start
	groups int
}

// u8GemmArgs are the arguments of a micro-kernel. Assembly reads the fields by
// offset: keep the order.
type u8GemmArgs struct {
	a       unsafe.Pointer // first byte of the first row
	aStride int            // bytes between rows
	segs    unsafe.Pointer // *u8Segment: the runs of k, relative to a row's start
	segN    int
	b       unsafe.Pointer // panel
	ahead   int            // bytes from b to what will be read next
	start   unsafe.Pointer // [nr]int32, the accumulators' first value
	rowSum  unsafe.Pointer // [rows]int32, or nil
	colZero unsafe.Pointer // [nr]int32, multiplied by rowSum and added
	mult    unsafe.Pointer // [nr]float32, or nil for raw int32 output
	dst     unsafe.Pointer
	dstRow  int    // bytes between rows of dst
	tiles   int    // tiles one under another
	mask    uint64 // one bit for each column to store
	zero    uint32 // the zero point twice, in 16 bits each
	lo, hi  uint32 // the bounds four times, in 8 bits each
	zero32  uint32 // the zero point, and the bounds, in 32 bits
	lo32    uint32
	hi32    uint32
	cols    int // columns to store
	height  int // rows of a tile
	bare    int // 1 where saturation alone bounds the bytes: no zero point to add, no bounds
	// For float output where mult is nil: [nr]float32 each, columns in their
	// natural order; nil for int32 output.
	floatMult, floatBias unsafe.Pointer
}

// setOutput fills the fields that describe the quantized output.
func (a *u8GemmArgs) setOutput(zero, lo, hi uint8) {
	a.zero = uint32(zero) * 0x10001
	a.lo, a.hi = uint32(lo)*0x01010101, uint32(hi)*0x01010101
	a.zero32, a.lo32, a.hi32 = uint32(zero), uint32(lo), uint32(hi)
	a.bare = bareOutput(zero, lo, hi)
}

// bareOutput returns 1 where the saturation of packing gives the bytes as they are.
func bareOutput(zero, lo, hi uint8) int {
	if zero == 0 && lo == 0 && hi == 255 {
		return 1
	}
	return 0
}

// u8GemmGo is the portable twin of k: the same tile, layout and result.
func u8GemmGo(k *u8Gemm, i int, a *u8GemmArgs) {
	rows := k.rows[i] * a.tiles
	segs := unsafe.Slice((*u8Segment)(a.segs), a.segN)
	groups := 0
	for _, s := range segs {
		groups += s.groups
	}
	b := unsafe.Slice((*int8)(a.b), groups*k.nr*k.groupBytes())
	start := unsafe.Slice((*int32)(a.start), k.nr)
	for r := range rows {
		row := unsafe.Add(a.a, r*a.aStride)
		for p := 0; p < k.nr; p += 4 {
			var acc [4]int32
			copy(acc[:], start[p:])
			if a.rowSum != nil {
				sum := *(*int32)(unsafe.Add(a.rowSum, 4*r))
				for j, z := range unsafe.Slice((*int32)(unsafe.Add(a.colZero, 4*p)), 4) {
					acc[j] += sum * z
				}
			}
			switch {
			case k.wide:
				dotWide(&acc, row, segs, b, p, k.nr)
			case k.deep || k.signed:
				k.dotGroups(&acc, row, segs, b, p)
			default:
				dotBytes(&acc, row, segs, b, p, k.nr)
			}
			for j, v := range acc {
				c := k.column(p + j)
				if c >= a.cols && !k.whole {
					continue
				}
				if a.mult == nil {
					to := unsafe.Add(a.dst, r*a.dstRow+4*c)
					if a.floatMult == nil {
						*(*int32)(to) = v
						continue
					}
					scaled := float32(float32(v) * *(*float32)(unsafe.Add(a.floatMult, 4*c)))
					*(*float32)(to) = scaled + *(*float32)(unsafe.Add(a.floatBias, 4*c))
					continue
				}
				q := Requant{*(*float32)(unsafe.Add(a.mult, 4*(p+j))), uint8(a.zero32), uint8(a.lo32), uint8(a.hi32)}
				*(*uint8)(unsafe.Add(a.dst, r*a.dstRow+c)) = q.Apply(v)
			}
		}
	}
}

// dotBytes adds the products of one row with the four columns at p of a panel of
// byte quads.
func dotBytes(acc *[4]int32, row unsafe.Pointer, segs []u8Segment, b []int8, p, nr int) {
	at := p * 4
	for _, s := range segs {
		x := unsafe.Slice((*uint8)(unsafe.Add(row, s.off)), s.groups*4)
		for len(x) >= 4 {
			w := b[at : at+16 : at+16]
			x0, x1, x2, x3 := int32(x[0]), int32(x[1]), int32(x[2]), int32(x[3])
			acc[0] += x0*int32(w[0]) + x1*int32(w[1]) + x2*int32(w[2]) + x3*int32(w[3])
			acc[1] += x0*int32(w[4]) + x1*int32(w[5]) + x2*int32(w[6]) + x3*int32(w[7])
			acc[2] += x0*int32(w[8]) + x1*int32(w[9]) + x2*int32(w[10]) + x3*int32(w[11])
			acc[3] += x0*int32(w[12]) + x1*int32(w[13]) + x2*int32(w[14]) + x3*int32(w[15])
			x = x[4:]
			at += nr * 4
		}
	}
}

// dotWide is dotBytes for panels of pairs of 16 bits.
func dotWide(acc *[4]int32, row unsafe.Pointer, segs []u8Segment, b []int8, p, nr int) {
	w := unsafe.Slice((*int16)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/2)
	at := p * 2
	for _, s := range segs {
		x := unsafe.Slice((*uint16)(unsafe.Add(row, s.off)), s.groups*2)
		for g := range s.groups {
			for j := range 4 {
				acc[j] += int32(x[2*g])*int32(w[at+2*j]) + int32(x[2*g+1])*int32(w[at+2*j+1])
			}
			at += nr * 2
		}
	}
}

// dotGroups is dotBytes for groups of any length, and for signed kernels.
func (k *u8Gemm) dotGroups(acc *[4]int32, row unsafe.Pointer, segs []u8Segment, b []int8, p int) {
	g := k.group()
	at := p * g
	for _, s := range segs {
		x := unsafe.Slice((*uint8)(unsafe.Add(row, s.off)), s.groups*g)
		for ; len(x) > 0; x = x[g:] {
			for j := range acc {
				for i, w := range b[at+j*g : at+(j+1)*g] {
					acc[j] += (int32(x[i]) - k.offset()) * int32(w)
				}
			}
			at += k.nr * g
		}
	}
}

// u8GemmPortable serves every machine.
var u8GemmPortable = &u8Gemm{name: "u8s8_gemm_4x8_go", level: cpu.Generic, mr: 4, nr: 8, rows: []int{4, 1}, asm: -1}

// selectU8Gemm returns the best kernel of a level and the one for panels of
// fewer columns, for weights w. asm false asks for portable code whatever the level.
func selectU8Gemm(l cpu.Level, w []int8, asm bool) (full, narrow *u8Gemm) {
	if asm {
		for _, k := range u8GemmKernels {
			switch {
			case !l.Includes(k.level) || k.inOrder && !cpu.InOrder() || k.tame && slices.Contains(w, -128) || full != nil && k.level != full.level:
			case full == nil:
				full, narrow = k, k
			case k.nr < narrow.nr:
				narrow = k
			}
		}
	}
	if full == nil {
		return u8GemmPortable, u8GemmPortable
	}
	return full, narrow
}
