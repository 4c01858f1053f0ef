package kernel

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/edgewise-ml/edgewise/tensor"
)

// A Packing is where prepared operators put their packed weights. Without one, an
// operator packs at once into memory of its own. With one it says what it needs, and
// Finish packs for all operators on several threads into one piece of memory, or, where
// the Packing was made by Adopt, hands out weights that an earlier program packed.
//
// Operators ask in the order in which they are prepared: the same operators, prepared in
// the same order for the same level, get back what they packed. Packed weights never
// hold anything that a kernel takes for an address or a count, so wrong ones give wrong
// results and nothing worse.
type Packing struct {
	jobs    []packJob
	adopted [][]byte // nil: pack
	memory  []byte   // the blobs, each at a multiple of blobAlign
}

// packJob is the packed weights of one operator.
type packJob struct {
	size  int
	place func(mem []byte)
	fill  func()
}

// blobAlign is the alignment of packed weights in bytes.
const blobAlign = 64

// Adopt returns a Packing that hands out blobs, as Blobs returned them, in order. They
// are only read, must start at multiples of 64 bytes and stay while operators live.
func Adopt(blobs [][]byte) *Packing {
	if blobs == nil {
		blobs = [][]byte{}
	}
	return &Packing{adopted: blobs}
}

// Adopts reports whether weights come packed: operators then need none of their own.
func (p *Packing) Adopts() bool { return p != nil && p.adopted != nil }

// Mark returns a state of p to which Reset takes it back, as when an operator that was
// prepared is not used after all.
func (p *Packing) Mark() int { return len(p.jobs) }

// Reset forgets what was asked for since Mark.
func (p *Packing) Reset(mark int) {
	clear(p.jobs[mark:])
	p.jobs = p.jobs[:mark]
}

// Finish packs what was asked for, on up to threads goroutines, or hands out what was
// adopted; operators may run after it. It is called once.
func (p *Packing) Finish(threads int) error {
	if p.adopted != nil {
		return p.handOut()
	}
	total := 0
	for _, j := range p.jobs {
		total += roundUp(j.size, blobAlign)
	}
	p.memory = tensor.AlignedBytes(total)
	at := 0
	for _, j := range p.jobs {
		j.place(p.memory[at : at+j.size : at+j.size])
		at += roundUp(j.size, blobAlign)
	}
	// The largest first, so that none is left over when the others are done.
	order := make([]int, len(p.jobs))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return p.jobs[b].size - p.jobs[a].size })
	var next atomic.Int64
	var failed atomic.Pointer[error]
	work := func() {
		defer func() {
			if r := recover(); r != nil {
				err := fmt.Errorf("weights cannot be packed: %v", r)
				failed.Store(&err)
			}
		}()
		for i := next.Add(1) - 1; i < int64(len(order)); i = next.Add(1) - 1 {
			p.jobs[order[i]].fill()
		}
	}
	var group sync.WaitGroup
	for range min(threads, len(order)) - 1 {
		group.Go(work)
	}
	work()
	group.Wait()
	for i := range p.jobs {
		p.jobs[i].place, p.jobs[i].fill = nil, nil // they hold the weights as they were
	}
	if err := failed.Load(); err != nil {
		return *err
	}
	return nil
}

func (p *Packing) handOut() error {
	if len(p.adopted) != len(p.jobs) {
		return fmt.Errorf("packed weights of %d operators, want %d", len(p.adopted), len(p.jobs))
	}
	for i, j := range p.jobs {
		b := p.adopted[i]
		if len(b) != j.size {
			return fmt.Errorf("packed weights %d have %d bytes, want %d", i, len(b), j.size)
		}
		if j.size > 0 && uintptr(unsafe.Pointer(unsafe.SliceData(b)))%blobAlign != 0 {
			return fmt.Errorf("packed weights %d do not start at a multiple of %d bytes", i, blobAlign)
		}
		j.place(b)
	}
	p.jobs = nil
	return nil
}

// Blobs returns the packed weights of each operator after Finish. They must not be
// changed.
func (p *Packing) Blobs() [][]byte {
	if p.adopted != nil {
		return p.adopted
	}
	out := make([][]byte, len(p.jobs))
	at := 0
	for i, j := range p.jobs {
		out[i] = p.memory[at : at+j.size : at+j.size]
		at += roundUp(j.size, blobAlign)
	}
	return out
}

func roundUp(n, to int) int { return (n + to - 1) / to * to }

// An Option adjusts how an operator is prepared.
type Option func(*preparation)

type preparation struct {
	packing       *Packing
	read          func()
	channelsFirst bool
	columns       bool
	later         bool // weights are packed when the operator runs, see VariableConvF32
	size          int  // bytes of packed weights, where they come later
	winograd      bool
	outRow        int    // elements between output rows that are not dense, see StridedBackF32
	choice        string // name of a micro-kernel, see Choice
}

// PackInto makes an operator put its packed weights into p. Weights may be nil where p
// adopts; else they must stay as they are until p is finished, and the operator cannot
// run before. A nil p changes nothing. read, unless it is nil, is called when the weights
// have been packed and are not needed any more.
func PackInto(p *Packing, read func()) Option {
	return func(o *preparation) { o.packing, o.read = p, read }
}

// ChannelsFirst says that weights lie in the order [OutC][InC/Groups][KernelH][KernelW].
func ChannelsFirst() Option { return func(o *preparation) { o.channelsFirst = true } }

// Columns says that the weights of a pointwise convolution without groups lie in the
// order [InC][OutC].
func Columns() Option { return func(o *preparation) { o.columns = true } }

func prepare(opts []Option) preparation {
	var o preparation
	for _, f := range opts {
		f(&o)
	}
	return o
}

// place gives an operator memory for size bytes of packed weights: set is told where,
// then fill packs. The memory is zero before.
func (o *preparation) place(size int, set func(mem []byte), fill func()) {
	if o.later {
		o.size = size
		return
	}
	if p := o.packing; p != nil {
		if read := o.read; read != nil {
			pack := fill
			fill = func() { pack(); read() }
		}
		p.jobs = append(p.jobs, packJob{size, set, fill})
		return
	}
	set(alignedBytes(size))
	fill()
}

// placeF32 is place for n values that *to will show.
func (o *preparation) placeF32(to *[]float32, n int, fill func()) {
	o.place(4*n, func(mem []byte) { *to = float32s(mem, n) }, fill)
}
