package dataset

import (
	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// Target is what is known of a model for inferring its preprocessing.
type Target struct {
	Input   *graph.Value
	Scale   float32 // quantization of an integer input, or of the QuantizeLinear right after a float one; 0 = none
	Zero    int
	Outputs int // number of classes of the model's output; 0 = unknown
	Meta    map[string]string
}

// TargetOf returns what g tells of its input in. Outputs is that of the first output that
// gives scores; who knows a better one sets it.
func TargetOf(g *graph.Graph, in *graph.Value) Target {
	t := Target{Input: in, Meta: g.Meta}
	for _, v := range g.Outputs {
		if t.Outputs = Scores(v); t.Outputs > 0 {
			break
		}
	}
	for _, n := range g.Nodes {
		if !(n.Is("DequantizeLinear") || n.Is("QuantizeLinear")) || n.In(0) != in {
			continue
		}
		s := n.In(1)
		if s == nil || s.Const == nil || s.Const.Len() != 1 {
			continue
		}
		if z := n.In(2); z != nil && z.Const != nil && z.Const.Len() == 1 {
			t.Zero = int(z.Const.Int(0))
		}
		t.Scale = float32(s.Const.Float(0))
		break
	}
	return t
}

// Scores returns how many scores v gives for one sample, 0 when v is no vector of scores.
func Scores(v *graph.Value) int {
	s := v.Type.Shape
	if v.Type.Kind != graph.KindTensor || len(s) == 0 || v.Type.DType == tensor.String || v.Type.DType.IsComplex() {
		return 0
	}
	axis := -1
	for i, d := range s {
		switch {
		case d.Known() && d.Size == 1 || i == 0 && len(s) > 1 && !d.Known():
		case !d.Known() || axis >= 0:
			return 0
		default:
			axis = i
		}
	}
	if axis < 0 {
		return 1
	}
	return s[axis].Size
}
