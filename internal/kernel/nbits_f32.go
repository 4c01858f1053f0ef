package kernel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"unsafe"

	"github.com/edgewise-ml/edgewise/internal/cpu"
)

// NBitsWeights are the weights of a product stored in few bits: N columns of K values, in
// blocks along K that share a scale and a zero point, as in com.microsoft.MatMulNBits. A
// weight is (q-zero)·scale.
type NBitsWeights struct {
	K, N, Bits, Block int // Bits 2, 4 or 8; Block a power of two from 8
	// Q is [N][blocks][Block·Bits/8], the first value in the low bits; Scale is
	// [N][blocks].
	Q     []byte
	Scale []float32
	Zero  func(column, block int) float32
}

func (w *NBitsWeights) blocks() int { return (w.K + w.Block - 1) / w.Block }

// A NBitsF32 is a prepared product dst[M][N] = a[M][K]·w + bias that keeps its weights in
// few bits. A unit is some panels of columns: for each cut of K it expands its weights
// into the worker's scratch, then all rows of a pass over them.
type NBitsF32 struct {
	m, n, k  int
	lda, ldc int
	bits     int // as stored: 4 or 8
	block    int
	blocks   int // of a column
	group    int // columns that lie side by side
	unit     int // panels of a unit
	tile     *gemmTileF32
	bias     []float32
	packed   []byte // [group of columns][block][scales, addends, values of all columns by k]
	name     string
}

// NewNBitsF32 prepares a product of m rows that lie lda elements apart, for the kernels of
// a level. The bias may be nil; results lie ldc elements apart.
func NewNBitsF32(l cpu.Level, m, lda, ldc int, w NBitsWeights, bias []float32, opts ...Option) (*NBitsF32, error) {
	o := prepare(opts)
	switch {
	case m < 1 || w.K < 1 || w.N < 1 || w.Bits != 2 && w.Bits != 4 && w.Bits != 8 || w.Block < 8 || w.Block&(w.Block-1) != 0:
		return nil, fmt.Errorf("nbits f32: M=%d K=%d N=%d, %d bits in blocks of %d", m, w.K, w.N, w.Bits, w.Block)
	case lda < w.K || ldc < w.N || bias != nil && len(bias) != w.N:
		return nil, fmt.Errorf("nbits f32: strides %d and %d or %d bias values do not fit K=%d N=%d", lda, ldc, len(bias), w.K, w.N)
	case !productWithin(maxElements, m, lda) || !productWithin(maxElements, m, ldc) || !productWithin(maxElements, w.N, w.blocks(), w.Block):
		return nil, errors.New("nbits f32: a matrix has too many elements")
	case !o.packing.Adopts() && (len(w.Q) != w.N*w.blocks()*w.Block*w.Bits/8 || len(w.Scale) != w.N*w.blocks()):
		return nil, fmt.Errorf("nbits f32: %d bytes and %d scales for K=%d N=%d", len(w.Q), len(w.Scale), w.K, w.N)
	}
	p := &NBitsF32{m: m, n: w.N, k: w.K, lda: lda, ldc: ldc, bits: max(w.Bits, 4), block: min(w.Block, nbitsCut), tile: gemmTile(l), bias: bias}
	// Longer blocks are stored as several with the same scale.
	p.blocks = (w.K + p.block - 1) / p.block
	p.group = nbitsGroup(p.tile)
	p.unit = 1
	if m > 4*p.tile.mr {
		p.unit = 4
	}
	p.name = fmt.Sprintf("matmul%dbits %s", w.Bits, p.tile.name)
	size := (w.N + p.group - 1) / p.group * p.groupBytes()
	o.place(size, func(mem []byte) { p.packed = mem[:size] }, func() { p.pack(w) })
	return p, nil
}

// nbitsCut is the depth of a cut: one panel of it stays in the first cache.
const nbitsCut = 256

// blockLen returns the bytes of a block of a group, groupBytes those of all its blocks.
func (p *NBitsF32) blockLen() int   { return p.group*8 + p.block*p.group*p.bits/8 }
func (p *NBitsF32) groupBytes() int { return p.blocks * p.blockLen() }

func (p *NBitsF32) pack(w NBitsWeights) {
	perByte, mask := 8/w.Bits, byte(1<<w.Bits-1)
	for j := range w.N {
		group := p.packed[j/p.group*p.groupBytes():]
		lane := j % p.group
		for i := range p.blocks {
			b := group[i*p.blockLen():][:p.blockLen()]
			from := i * p.block / w.Block // block of the source
			scale := w.Scale[j*w.blocks()+from]
			binary.LittleEndian.PutUint32(b[4*lane:], math.Float32bits(scale))
			binary.LittleEndian.PutUint32(b[4*(p.group+lane):], math.Float32bits(-w.Zero(j, from)*scale))
			values := b[8*p.group:]
			for k := range p.block {
				at := i*p.block + k
				q := w.Q[(j*w.blocks()*w.Block+at)/perByte] >> (at % perByte * w.Bits) & mask
				if p.bits == 8 {
					values[k*p.group+lane] = q
				} else {
					values[k/2*p.group+lane] |= q << (k % 2 * 4)
				}
			}
		}
	}
}

// Name names the operator and its micro-kernel.
func (p *NBitsF32) Name() string { return p.name }

// Units returns the number of independent units of work.
func (p *NBitsF32) Units() int { return (p.tile.panels(p.n) + p.unit - 1) / p.unit }

// ScratchBytes returns the scratch that each worker needs.
func (p *NBitsF32) ScratchBytes() int { return 4 * p.unit * p.tile.panelLen(nbitsCut) }

// Run computes units lo ≤ u < hi; dst may not overlap a.
func (p *NBitsF32) Run(dst, a []float32, scratch []byte, lo, hi int) {
	t := p.tile
	_, _ = dst[(p.m-1)*p.ldc+p.n-1], a[(p.m-1)*p.lda+p.k-1]
	if lo < 0 || hi > p.Units() {
		panic("kernel: " + p.name + ": units out of range")
	}
	panel := floatScratch(scratch, p.ScratchBytes()/4)
	off := 0
	args := gemmF32{lda: p.lda * 4, off: &off, segs: 1, b: unsafe.Pointer(&panel[0]), panel: 4 * t.panelLen(nbitsCut), ldc: p.ldc * 4, ldres: p.ldc * 4}
	args.lo, args.hi, _ = Act{}.clamp()
	tiles := (p.m + t.mr - 1) / t.mr
	for u := lo; u < hi; u++ {
		j0 := u * p.unit * t.nr
		args.cols = min(p.unit*t.nr, p.n-j0)
		args.res = nil
		for k0 := 0; k0 < p.k; k0 += nbitsCut {
			args.segK = min(nbitsCut, p.k-k0)
			p.expand(panel, j0, args.cols, k0, args.segK)
			for i := range tiles {
				r0, r1 := i*p.m/tiles, (i+1)*p.m/tiles
				args.rows = r1 - r0
				args.a, args.c = unsafe.Pointer(&a[r0*p.lda+k0]), unsafe.Pointer(&dst[r0*p.ldc+j0])
				if k0 > 0 {
					args.res = args.c
				}
				args.run(t)
			}
		}
	}
}

// expand writes the weights of columns j0 … j0+cols, rows k0 … k0+depth, as panels.
func (p *NBitsF32) expand(panel []float32, j0, cols, k0, depth int) {
	t := p.tile
	blocks := (depth + p.block - 1) / p.block
	for j := 0; j < cols; j += p.group {
		at := panel[j/t.nr*t.panelLen(nbitsCut)+j%t.nr:]
		for i := range p.group {
			at[i] = 0
			if k0 == 0 && p.bias != nil && j0+j+i < p.n {
				at[i] = p.bias[j0+j+i]
			}
		}
		from := p.packed[(j0+j)/p.group*p.groupBytes()+k0/p.block*p.blockLen():]
		if p.expandArch(at[t.nr:], from, blocks) {
			continue
		}
		at = at[t.nr:]
		for range blocks {
			scales, addends := float32s(from, p.group), float32s(from[4*p.group:], p.group)
			values := from[8*p.group:]
			for k := range p.block {
				row := at[:p.group]
				for i := range row {
					var q byte
					if p.bits == 8 {
						q = values[k*p.group+i]
					} else {
						q = values[k/2*p.group+i] >> (k % 2 * 4) & 15
					}
					row[i] = float32(q)*scales[i] + addends[i]
				}
				at = at[min(t.nr, len(at)):]
			}
			from = from[p.blockLen():]
		}
	}
}
