package session

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/edgewise-ml/edgewise/test/reference/npz"
)

// Fill makes one array for each port from a fixed pseudo-random sequence
// (xorshift64): float32 uniform in [−1, 1), 8-bit integers uniform over their
// bits, all else zero. Open dimensions are 1 unless shapes names the port.
func Fill(ports []Port, shapes map[string][]int64) (map[string]*npz.Array, error) {
	seed := uint64(88172645463325252)
	random := func() float64 {
		seed ^= seed << 13
		seed ^= seed >> 7
		seed ^= seed << 17
		return float64(seed>>11) / (1 << 53)
	}
	arrays := make(map[string]*npz.Array, len(ports))
	keys := Keys(ports)
	for i, p := range ports {
		shape, ok := shapes[keys[i]]
		if !ok {
			for _, d := range p.Shape {
				shape = append(shape, max(d, 1))
			}
		}
		a, err := NewArray(p.DType, shape, nil)
		if err != nil {
			return nil, fmt.Errorf("input %q: %w", p.Name, err)
		}
		n := 1
		for _, d := range shape {
			n *= int(d)
		}
		a.Data = make([]byte, n*a.ItemSize())
		switch p.DType {
		case "float32":
			for k := range n {
				binary.LittleEndian.PutUint32(a.Data[4*k:], math.Float32bits(float32(random()*2-1)))
			}
		case "int8", "uint8":
			for k := range n {
				a.Data[k] = byte(random() * 255)
			}
		}
		arrays[keys[i]] = a
	}
	return arrays, nil
}
