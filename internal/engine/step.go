package engine

import "github.com/edgewise-ml/edgewise/internal/cpu"

// step is one unit of a program. Exactly one of exec and run is set: exec runs whole
// on the calling goroutine and may fail, run computes a range of units on any worker.
type step struct {
	name, op, kernel string
	macs             int64
	fallback         bool
	reason           string
	rules            []string // lowering rules that shaped it
	kernels          chooser  // nil where there is but one way

	reads, writes []*ref
	inPlace       bool // writes[0] may lie where reads[0] lay

	units, grain int
	scratch      int // bytes that each worker needs
	exec         func(s *Session) error
	run          func(s *Session, worker, lo, hi int)
}

// bytes returns the memory that the step reads and writes.
func (st *step) bytes() int64 {
	var n int64
	for _, list := range [][]*ref{st.reads, st.writes} {
		for _, r := range list {
			if r.buf.place != inHeap {
				n += int64(r.len()) * int64(max(r.dtype.Bits(), 1)) / 8
			}
		}
	}
	return n
}

// speed is what one core does in a microsecond where all goes well: multiply-accumulates
// of floats and of bytes, and bytes through memory. It only decides whether sharing a step
// pays, and is deliberately high: a step that is wrongly serial costs little.
type speed struct{ floats, bytes, memory int64 }

// speeds are those of good kernels at some 3 GHz: floats near the peak of a level, bytes
// well below, since the small layers that are in question do not reach it.
var speeds = map[cpu.Level]speed{
	cpu.Generic:    {1_000, 500, 10_000},
	cpu.AVX2:       {40_000, 40_000, 20_000},
	cpu.AVXVNNI:    {40_000, 80_000, 20_000},
	cpu.AVX512:     {80_000, 60_000, 20_000},
	cpu.AVX512VNNI: {80_000, 120_000, 20_000},
	cpu.NEON:       {15_000, 15_000, 10_000},
	cpu.NEONDot:    {15_000, 60_000, 10_000},
	cpu.NEONI8MM:   {15_000, 100_000, 10_000},
}

// Sharing pays from serialMicroseconds of work on, and a chunk that another worker takes
// is no smaller than chunkMicroseconds: waking one costs some, joining less.
const (
	serialMicroseconds = 15
	chunkMicroseconds  = 4
)

// divide sets the grain: how many units are worth handing to another worker. A step
// below the break-even is one grain.
func (st *step) divide(l cpu.Level) {
	if st.run == nil {
		return
	}
	v, ok := speeds[l]
	if !ok {
		v = speeds[cpu.Generic]
	}
	macs := v.floats
	if len(st.reads) > 0 && st.reads[0].elem() == 1 {
		macs = v.bytes
	}
	cost := max(st.macs/macs, st.bytes()/v.memory)
	if cost < serialMicroseconds {
		st.grain = st.units
		return
	}
	st.grain = max(1, int(int64(st.units)*chunkMicroseconds/cost))
}

// StepInfo describes a step of a plan.
type StepInfo struct {
	Name     string // of the node, or of the last node of a fused group
	Op       string // operators it computes, joined by "+"
	Kernel   string // what computes it
	MACs     int64
	Bytes    int64 // read and written
	Fallback bool  // computed by the operator's reference evaluation
	Reason   string
	Rules    []string
	Why      string // the kernel was taken: WhyTuned or in words, "" where Reason tells
	// Candidates lists the micro-kernels that the step can be computed with, the one that
	// lowering takes by itself first; nil where there is no choice.
	Candidates []string
	Arena      int // bytes of the arena that are alive while it runs
}

// Steps describes the program in order.
func (p *Plan) Steps() []StepInfo {
	live := p.live()
	out := make([]StepInfo, len(p.steps))
	for i, st := range p.steps {
		out[i] = StepInfo{Name: st.name, Op: st.op, Kernel: st.kernel, MACs: st.macs, Bytes: st.bytes(),
			Fallback: st.fallback, Reason: st.reason, Rules: st.rules, Arena: live[i]}
		out[i].Candidates, out[i].Why = p.why(st)
	}
	return out
}
