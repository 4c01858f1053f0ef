package kernel

import (
	"unsafe"

	"github.com/edgewise-ml/edgewise/internal/cpu"
)

// A u8Depthwise is a micro-kernel over one block of channels of a depthwise
// convolution.
//
// Taps are taken in groups: their bytes are interleaved so that the four bytes
// of one channel stand together (wide kernels: two taps of 16 bits), and one
// dot product adds the whole group. Interleaving works within 16-byte lanes,
// which gives the channel order of weights, start values and multipliers. A
// kernel of no lanes takes taps one by one, with weights of 16 bits.
type u8Depthwise struct {
	name  string
	level cpu.Level
	lanes int  // lanes of 16 channels in a block, 0 for a block of 8 channels in order
	wide  bool // weights of 16 bits: groups of two, without lanes of one
	// signed kernels multiply bytes less 128: the start values make up for it.
	signed bool
	whole  bool // no masked access: blocks are read and written whole
	sweep  bool // has the 3-row sweep besides the taps
	asm    int  // number of the assembly routine, -1 for the portable twin
}

func (k *u8Depthwise) block() int {
	if k.lanes == 0 {
		return 8
	}
	return 16 * k.lanes
}

func (k *u8Depthwise) group() int {
	switch {
	case k.lanes == 0:
		return 1
	case k.wide:
		return 2
	}
	return 4
}

// groupBytes returns the bytes of a channel's weights in a group.
func (k *u8Depthwise) groupBytes() int {
	if k.wide {
		return 2 * k.group()
	}
	return k.group()
}

// offset returns what the kernel takes from every byte.
func (k *u8Depthwise) offset() int32 {
	if k.signed {
		return 128
	}
	return 0
}

// channelAt returns which channel of the block stands at position p.
func (k *u8Depthwise) channelAt(p int) int {
	if k.lanes == 0 {
		return p
	}
	q, e := p/(4*k.lanes), p%(4*k.lanes)
	return e/4*16 + q*4 + e%4
}

// u8TapArgs are the arguments of the tap-list kernel. Assembly reads the fields
// by offset: keep the order.
type u8TapArgs struct {
	groups  int // groups of taps
	pixels  int
	srcStep int            // bytes between the taps of neighbouring pixels
	first   int            // bytes from taps to those of the first pixel
	w       unsafe.Pointer // [groups][block][group]
	start   unsafe.Pointer // [block]int32
	mult    unsafe.Pointer // [block]float32, nil for raw int32 output
	dst     unsafe.Pointer
	dstStep int
	mask    uint64 // one bit for each channel
	zero    uint32 // as in u8GemmArgs
	lo, hi  uint32
	bare    int // as in u8GemmArgs
	cols    int
	taps    [u8MaxTaps]unsafe.Pointer // each tap, first bytes before that of the first pixel
}

// u8MaxTaps holds a window of 7×7, padded to whole groups.
const u8MaxTaps = 52

// u8SweepArgs are the arguments of the sweep: three rows of three taps, moving
// along the row and interleaving each column once. Keep the order.
type u8SweepArgs struct {
	rows      [3]unsafe.Pointer // channel block of column 0
	colStride int
	col       int // first column, negative in the border
	width     int // columns of the image
	pixels    int
	w         unsafe.Pointer // [3 columns][block][4], without lanes [3 columns][3][block]
	w2        unsafe.Pointer // the same, added to w; or nil
	start     unsafe.Pointer
	mult      unsafe.Pointer
	dst       unsafe.Pointer
	dstStep   int
	mask      uint64
	zero      uint32
	lo, hi    uint32
	inZero    uint32 // four times: a column of the border
	stride    int    // 1 or 2
	bare      int
}

//go:noinline
func (k *u8Depthwise) runTaps(a *u8TapArgs) {
	if k.asm < 0 {
		u8TapsGo(k, a)
		return
	}
	u8TapsAsm(k.asm, a)
}

//go:noinline
func (k *u8Depthwise) runSweep(a *u8SweepArgs) {
	if k.asm < 0 {
		u8SweepGo(k, a)
		return
	}
	u8SweepAsm(k.asm, a)
}

// u8TapsGo is the portable twin of the tap-list kernel.
func u8TapsGo(k *u8Depthwise, a *u8TapArgs) {
	n, g := k.block(), k.group()
	var acc [64]int32
	for x := range a.pixels {
		copy(acc[:n], unsafe.Slice((*int32)(a.start), n))
		for i := range a.groups {
			w := unsafe.Add(a.w, i*n*k.groupBytes())
			if taps := a.taps[i*g : (i+1)*g]; k.lanes == 1 && !k.wide && !k.signed {
				addTaps((*[16]int32)(acc[:]), taps, a.first+x*a.srcStep, (*[64]int8)(w), a.cols)
			} else {
				k.addTaps(acc[:n], taps, a.first+x*a.srcStep, w, a.cols)
			}
		}
		for p := range n {
			c := k.channelAt(p)
			switch dst := unsafe.Add(a.dst, x*a.dstStep); {
			case c >= a.cols && !k.whole:
			case a.mult == nil:
				*(*int32)(unsafe.Add(dst, 4*c)) = acc[p]
			default:
				r := Requant{*(*float32)(unsafe.Add(a.mult, 4*p)), uint8(a.zero), uint8(a.lo), uint8(a.hi)}
				*(*uint8)(unsafe.Add(dst, c)) = r.Apply(acc[p])
			}
		}
	}
}

// addTaps adds a group of four taps to 16 channels, which stand in order.
func addTaps(acc *[16]int32, taps []unsafe.Pointer, at int, w *[64]int8, cols int) {
	t0, t1 := unsafe.Slice((*uint8)(unsafe.Add(taps[0], at)), cols), unsafe.Slice((*uint8)(unsafe.Add(taps[1], at)), cols)
	t2, t3 := unsafe.Slice((*uint8)(unsafe.Add(taps[2], at)), cols), unsafe.Slice((*uint8)(unsafe.Add(taps[3], at)), cols)
	t1, t2, t3 = t1[:len(t0)], t2[:len(t0)], t3[:len(t0)]
	for c := range min(len(t0), 16) {
		v := w[4*c : 4*c+4 : 4*c+4]
		acc[c] += int32(t0[c])*int32(v[0]) + int32(t1[c])*int32(v[1]) + int32(t2[c])*int32(v[2]) + int32(t3[c])*int32(v[3])
	}
}

// addTaps adds a group of taps in the order of any kernel.
func (k *u8Depthwise) addTaps(acc []int32, taps []unsafe.Pointer, at int, w unsafe.Pointer, cols int) {
	for t, tap := range taps {
		for p := range acc {
			c := k.channelAt(p)
			if c >= cols {
				continue
			}
			v := int32(*(*uint8)(unsafe.Add(tap, at+c))) - k.offset()
			acc[p] += v * k.weight(w, p*len(taps)+t)
		}
	}
}

// weight returns weight i of those at w.
func (k *u8Depthwise) weight(w unsafe.Pointer, i int) int32 {
	if k.wide {
		return int32(*(*int16)(unsafe.Add(w, 2*i)))
	}
	return int32(*(*int8)(unsafe.Add(w, i)))
}

// u8SweepGo is the portable twin of the sweep.
func u8SweepGo(k *u8Depthwise, a *u8SweepArgs) {
	n := k.block()
	for x := range a.pixels {
		for p := range n {
			c := k.channelAt(p)
			if a.mask>>c&1 == 0 {
				continue
			}
			acc := *(*int32)(unsafe.Add(a.start, 4*p))
			for kx := range 3 {
				col := a.col + x*a.stride + kx
				for ky, row := range a.rows {
					v := uint8(a.inZero)
					if col >= 0 && col < a.width {
						v = *(*uint8)(unsafe.Add(row, col*a.colStride+c))
					}
					at := (kx*n+p)*4 + ky
					if k.lanes == 0 {
						at = (kx*3+ky)*n + p
					}
					w := k.weight(a.w, at)
					if a.w2 != nil {
						w += k.weight(a.w2, at)
					}
					acc += (int32(v) - k.offset()) * w
				}
			}
			r := Requant{*(*float32)(unsafe.Add(a.mult, 4*p)), uint8(a.zero), uint8(a.lo), uint8(a.hi)}
			*(*uint8)(unsafe.Add(a.dst, x*a.dstStep+c)) = r.Apply(acc)
		}
	}
}

// u8DepthwisePortable serves every machine.
var u8DepthwisePortable = &u8Depthwise{name: "u8s8_dw_16c_go", level: cpu.Generic, lanes: 1, asm: -1}

// selectU8Depthwise returns the widest kernel of the best level that n channels
// fill, or the narrowest that holds them all. A whole kernel that they do not
// fill comes after those of lower levels that they do.
func selectU8Depthwise(l cpu.Level, n int, asm bool) *u8Depthwise {
	best := u8DepthwisePortable
	if !asm {
		return best
	}
	short := func(k *u8Depthwise) bool { return k.whole && n < k.block() || k.asm < 0 }
	for _, k := range u8DepthwiseKernels {
		if !l.Includes(k.level) || k.level < best.level && !short(best) || short(k) && !short(best) {
			continue
		}
		if k.level > best.level || short(best) && !short(k) || k.block() <= n && k.block() > best.block() || k.block() >= n && (best.block() > k.block() || best.block() < n) {
			best = k
		}
	}
	return best
}
