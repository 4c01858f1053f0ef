package engine

import (
	"strings"
	"testing"

	"github.com/edgewise-ml/edgewise/internal/cpu"
	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// kernelLevel returns the level at the end of a micro-kernel's name, if it has one.
func kernelLevel(kernel string) (l cpu.Level, named bool) {
	for _, word := range strings.Fields(kernel) {
		name := word[strings.LastIndexByte(word, '_')+1:]
		if name == "go" {
			return cpu.Generic, true
		}
		if l, err := cpu.ParseLevel(name); err == nil {
			return l, true
		}
	}
	return cpu.Generic, false
}

// Without a level of its own a plan takes kernels of the one that EDGEWISE_ISA
// allows: some of exactly that level, and none above it.
func TestKernelsOfLevel(t *testing.T) {
	networks := map[string]*graph.Graph{"int8": dynamic(true, tensor.Int8, true)}
	g := graph.New("float")
	x := g.Input("x", graph.TensorType(tensor.Float32, 1, 16, 9, 9))
	g.Output(g.Add("Conv", "conv", nil, x, g.Constant("w", random(1, 24, 16, 3, 3))))
	networks["float32"] = g
	best := cpu.Generic
	for name, g := range networks {
		kernels := 0
		for _, st := range compile(t, g, Options{}).Plan().Steps() {
			l, named := kernelLevel(st.Kernel)
			if !named {
				continue
			}
			kernels++
			if !cpu.Best().Includes(l) {
				t.Errorf("%s: step %s runs %s above the level %v", name, st.Name, st.Kernel, cpu.Best())
			}
			if l.Includes(best) {
				best = l
			}
		}
		if kernels == 0 {
			t.Errorf("%s: no step names a micro-kernel", name)
		}
	}
	if best != cpu.Best() {
		t.Errorf("the best kernels are of level %v, want %v", best, cpu.Best())
	}
}
