package zoo

import (
	"fmt"

	"github.com/edgewise-ml/edgewise/internal/graph"
)

const squeezeNetSeed = 2016

// squeezeNet returns version 1.1 of the network of F. Iandola et al., "SqueezeNet:
// AlexNet-level accuracy with 50x fewer parameters and <0.5MB model size", 2016: input
// "image" float32 [1,3,resolution,resolution], output "scores" float32 [1,1000].
func squeezeNet(f form, resolution int) *graph.Graph {
	b := newSeeded(f, fmt.Sprintf("squeezenet1.1-%d", resolution), squeezeNetSeed)
	x := b.image(resolution)
	stem := square(64, 3, b.stride(2), 1)
	stem.before, stem.after = [2]int{}, [2]int{}
	x = relu(b, "stem_act", b.convolve("stem", x, stem))
	pools := 0
	pool := func() {
		x = b.maxPool(fmt.Sprintf("pool%d", pools), x, 3, 2, 0)
		pools++
	}
	pool()
	for i, k := range []struct{ squeeze, expand int }{{16, 64}, {16, 64}, {32, 128}, {32, 128}, {48, 192}, {48, 192}, {64, 256}, {64, 256}} {
		if i == 2 || i == 4 {
			pool()
		}
		name := fmt.Sprintf("fire%d", i)
		s := relu(b, name+"_squeeze_act", b.conv(name+"_squeeze", x, k.squeeze, 1, 1))
		one := relu(b, name+"_expand1_act", b.conv(name+"_expand1", s, k.expand, 1, 1))
		three := relu(b, name+"_expand3_act", b.conv(name+"_expand3", s, k.expand, 3, 1))
		x = b.concat(name+"_concat", one, three)
	}
	x = b.dropout("dropout", x, 0.5)
	x = relu(b, "classes_act", b.conv("classes", x, b.classes(imageNetClasses), 1, 1))
	b.g.Output(b.flatten("scores", b.pool("pool", x)).value)
	return b.g
}
