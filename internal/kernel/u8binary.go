package kernel

import "github.com/edgewise-ml/edgewise/internal/cpu"

// BinaryU8 is a QuantAdd or QuantMul with its kernel chosen. It is only read while it
// runs, and running allocates nothing.
type BinaryU8 struct{ prepared *preparedAdd }

// NewAddU8 prepares an addition for level l.
func NewAddU8(l cpu.Level, q QuantAdd) (*BinaryU8, error) {
	if err := q.Validate(); err != nil {
		return nil, err
	}
	return &BinaryU8{q.prepare(l)}, nil
}

// NewMulU8 prepares a product for level l.
func NewMulU8(l cpu.Level, q QuantMul) (*BinaryU8, error) {
	if err := q.Validate(); err != nil {
		return nil, err
	}
	return &BinaryU8{q.prepare(l)}, nil
}

// Run stores the results for a and b in dst, which may be a or b. b has len(dst)
// values, or fewer that divide len(dst) and repeat: a vector for the last
// dimension, or one scalar. It panics if the lengths do not agree.
func (p *BinaryU8) Run(dst, a, b []uint8) { repeat(dst, a, b, p.prepared) }
