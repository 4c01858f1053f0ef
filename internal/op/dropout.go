package op

import (
	"fmt"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// dropoutOps holds Dropout, which is random while training, and what training makes of it.
func dropoutOps() []Def {
	return []Def{{Name: "Dropout", In: "data ratio? training_mode?", Out: "output mask?", Attrs: "seed:int",
		Infer: inferDropout, Eval: evalDropout, Impure: true},
		{Name: "RandomKeep", Domain: graph.DomainEdgewise, In: "T", Out: "mask", Attrs: "ratio:float! seed:int! shape:ints!",
			Infer: inferRandomKeep, Eval: evalRandomKeep}}
}

func inferRandomKeep(c *Infer) error {
	var s []int
	for _, d := range c.Attrs().Ints("shape") {
		if d < 0 || d > tensor.MaxElements {
			return fmt.Errorf("shape holds %d", d)
		}
		s = append(s, int(d))
	}
	c.SetTensor(0, tensor.Bool, graph.Dims(s...))
	return nil
}

// evalRandomKeep is true for all but a share ratio of the elements. Which ones depends on
// the seed, the step T and the place alone, so that a step repeats itself exactly.
func evalRandomKeep(e *Eval) error {
	var shape []int
	for _, d := range e.Attrs().Ints("shape") {
		shape = append(shape, int(d))
	}
	keep := tensor.Data[bool](e.Result(0, tensor.Bool, shape...))
	ratio := uint64(attrFloat(e.Attrs(), "ratio", 0) * (1 << 53))
	base := scramble(uint64(e.Attrs().Int("seed", 0))<<32 ^ uint64(int64(e.scalar(0, 0))))
	for i := range keep {
		keep[i] = scramble(base+uint64(i))>>11 >= ratio
	}
	return nil
}

// scramble is the output function of SplitMix64 (Steele, Lea and Flood 2014), which makes
// good random bits of a counter.
func scramble(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func inferDropout(c *Infer) error {
	c.SetTensor(0, c.DType(0), c.Shape(0))
	c.SetTensor(1, tensor.Bool, c.Shape(0))
	return nil
}

// evalDropout passes the data through unless it trains; then it keeps an element when a
// uniform number is at least ratio, and scales what it keeps by 1/(1-ratio).
func evalDropout(e *Eval) error {
	x := e.float(0)
	ratio := e.scalar(1, 0.5)
	keep := tensor.Data[bool](e.Result(1, tensor.Bool, x.Shape()...))
	for i := range keep {
		keep[i] = true
	}
	if e.scalar(2, 0) == 0 || ratio == 0 {
		e.Set(0, x)
		return nil
	}
	if !(ratio > 0 && ratio < 1) {
		e.Fail("ratio %v is outside [0, 1)", ratio)
	}
	rng := newMersenne(uint32(e.Attrs().Int("seed", 0)))
	out := e.Result(0, x.DType(), x.Shape()...)
	for i := range keep {
		if keep[i] = rng.Float64() >= ratio; keep[i] {
			out.SetFloat(i, x.Float(i)/(1-ratio))
		}
	}
	return nil
}

// mersenne is the generator MT19937 of Matsumoto and Nishimura (1998), which the ONNX
// reference seeds random operators with.
type mersenne struct {
	state [624]uint32
	at    int
}

func newMersenne(seed uint32) *mersenne {
	m := &mersenne{at: 624}
	for i := range m.state {
		m.state[i] = seed
		seed = 1812433253*(seed^seed>>30) + uint32(i) + 1
	}
	return m
}

func (m *mersenne) Uint32() uint32 {
	if m.at == len(m.state) {
		n := len(m.state)
		for i := range n {
			y := m.state[i]&0x80000000 | m.state[(i+1)%n]&0x7fffffff
			m.state[i] = m.state[(i+397)%n] ^ y>>1 ^ -(y&1)&0x9908b0df
		}
		m.at = 0
	}
	y := m.state[m.at]
	m.at++
	y ^= y >> 11
	y ^= y << 7 & 0x9d2c5680
	y ^= y << 15 & 0xefc60000
	return y ^ y>>18
}

// Float64 returns a number in [0, 1) with 53 random bits.
func (m *mersenne) Float64() float64 {
	a, b := m.Uint32()>>5, m.Uint32()>>6
	return (float64(a)*(1<<26) + float64(b)) / (1 << 53)
}
