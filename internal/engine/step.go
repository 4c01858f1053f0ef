package engine

// step is one unit of a program. Exactly one of exec and run is set: exec runs whole
// on the calling goroutine and may fail, run computes a range of units on any worker.
type step struct {
	name, op, kernel string
	macs             int64
	fallback         bool
	reason           string
	rules            []string // lowering rules that shaped it

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

// Rough speeds of one core, for the only question whether sharing a step pays. They
// are deliberately high: a step that is wrongly serial costs little.
const (
	macsPerMicrosecond  = 50_000
	bytesPerMicrosecond = 20_000
	serialMicroseconds  = 15
	chunkMicroseconds   = 5
)

// divide sets the grain: how many units are worth handing to another worker. A step
// below the break-even is one grain.
func (st *step) divide() {
	if st.run == nil {
		return
	}
	cost := max(st.macs/macsPerMicrosecond, st.bytes()/bytesPerMicrosecond)
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
	Arena    int // bytes of the arena that are alive while it runs
}

// Steps describes the program in order.
func (p *Plan) Steps() []StepInfo {
	live := p.live()
	out := make([]StepInfo, len(p.steps))
	for i, st := range p.steps {
		out[i] = StepInfo{Name: st.name, Op: st.op, Kernel: st.kernel, MACs: st.macs, Bytes: st.bytes(),
			Fallback: st.fallback, Reason: st.reason, Rules: st.rules, Arena: live[i]}
	}
	return out
}
