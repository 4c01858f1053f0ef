package engine

import (
	"cmp"
	"slices"
)

// Buffer is a piece of a session's arena. It holds one value, or several that are views of
// each other or follow each other in place, while the steps from First to Last run.
type Buffer struct {
	Name        string // of the value it was made for
	Offset      int    // in the arena, bytes
	Size        int    // bytes
	First, Last int    // numbers of steps, as in Steps
	Within      string // name of the buffer over which a step writes it in place, else ""
}

// Buffers returns the memory plan by offset and first step. Buffers whose steps overlap do
// not overlap in memory, but for those within one another; behind the last of them lies the
// scratch of the workers, ScratchBytes for each.
func (p *Plan) Buffers() []Buffer {
	var out []Buffer
	for _, b := range p.buffers {
		if b.place != inArena || b.size == 0 {
			continue
		}
		m := Buffer{Name: b.name, Offset: b.offset, Size: b.size, First: b.first, Last: b.last}
		if b.host != nil {
			m.Within = b.host.name
		}
		out = append(out, m)
	}
	slices.SortStableFunc(out, func(a, b Buffer) int {
		return cmp.Or(cmp.Compare(a.Offset, b.Offset), cmp.Compare(a.First, b.First))
	})
	return out
}

// ScratchBytes returns the part of the arena that each worker has for itself.
func (p *Plan) ScratchBytes() int { return p.scratch }
