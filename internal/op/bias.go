package op

import "github.com/edgewise-ml/edgewise/internal/graph"

// biases are the inputs by which operators take what they add to every channel.
var biases = map[string]int{"Conv": 2, "ConvTranspose": 2, "Gemm": 2, "BatchNormalization": 2, "InstanceNormalization": 2,
	"GroupNormalization": 2, "LayerNormalization": 2}

// IsBias reports whether input i of n is a bias: numbers, one for each channel or fewer,
// that are added to what the node computes.
func IsBias(n *graph.Node, i int) bool {
	if n.Domain != "" || n.In(i) == nil {
		return false
	}
	if n.Op == "Add" {
		wide := 0
		for _, d := range n.In(i).Type.Shape {
			if d.Size != 1 {
				wide++
			}
		}
		return n.In(i).Type.Shape.Ranked() && wide <= 1
	}
	at, ok := biases[n.Op]
	return ok && at == i
}
