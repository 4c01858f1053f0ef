package zoo

import (
	"bytes"
	_ "embed"
	"fmt"

	"github.com/edgewise-ml/edgewise/internal/ecg"
	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// The trained weights; test/heartbeat tells how they were made.
//
//go:embed heartbeat.npz
var heartbeatWeights []byte

// heartbeatUnits are the convolutions of the classifier in order. Depthwise and
// pointwise ones take turns, as in MobileNet. Channels and kernels are those of the
// weights.
var heartbeatUnits = []struct {
	name      string
	stride    int
	depthwise bool
}{
	{"stem", 2, false},
	{"block1_depthwise", 1, true},
	{"block1_pointwise", 1, false},
	{"block2_depthwise", 1, true},
	{"block2_pointwise", 1, false},
	{"block3_depthwise", 2, true},
	{"block3_pointwise", 1, false},
	{"block4_depthwise", 1, true},
	{"block4_pointwise", 1, false},
	{"block5_depthwise", 2, true},
	{"block5_pointwise", 1, false},
}

// Heartbeat returns the classifier of heartbeats for a wearable: input "ecg" float32
// [1,1,256], one window as ecg.Normalize leaves it; output "scores" float32 [1,5], a
// logit per ecg.Class. Every convolution is followed by a batch normalization and a
// ReLU, as training frameworks write them.
//
// It was trained on synthetic signals and is not for medical use.
func Heartbeat() *graph.Graph { return heartbeat(form{}) }

// heartbeat is Heartbeat, or for training the same with fresh weights.
func heartbeat(f form) *graph.Graph {
	w, err := tensor.ReadNPZ(bytes.NewReader(heartbeatWeights), int64(len(heartbeatWeights)))
	if err != nil {
		panic(fmt.Sprintf("zoo: embedded weights: %v", err))
	}
	b := newSeeded(f, "heartbeat", 0)
	g := b.g
	if f.training {
		b.refresh(w)
	}
	g.Doc = "Heartbeat classifier, trained on synthetic ECG (McSharry et al. 2003). Not for medical use."
	constant := func(name string) *graph.Value {
		t := w[name]
		if t == nil {
			panic("zoo: embedded weights lack " + name)
		}
		return g.Constant(name, t)
	}
	x := g.Input("ecg", graph.TensorType(tensor.Float32, 1, 1, ecg.Window))
	length := ecg.Window
	channels := 1
	for _, u := range heartbeatUnits {
		kernel := w[u.name+".weight"].Dim(2)
		groups := 1
		if u.depthwise {
			groups = channels
		}
		channels = w[u.name+".weight"].Dim(0)
		pad := kernel / 2
		length = (length+2*pad-kernel)/u.stride + 1
		shape := graph.TensorType(tensor.Float32, 1, channels, length)
		x = typed(shape, g.Add("Conv", u.name+"_conv", graph.Attrs{
			"kernel_shape": []int64{int64(kernel)},
			"pads":         []int64{int64(pad), int64(pad)},
			"strides":      []int64{int64(u.stride)},
			"group":        int64(groups),
		}, x, constant(u.name+".weight")))
		x = typed(shape, g.Add("BatchNormalization", u.name+"_bn", graph.Attrs{"epsilon": float32(1e-5)},
			x, constant(u.name+".scale"), constant(u.name+".bias"),
			constant(u.name+".mean"), constant(u.name+".var")))
		x = typed(shape, g.Add("Relu", u.name+"_relu", nil, x))
	}
	x = typed(graph.TensorType(tensor.Float32, 1, channels, 1), g.Add("GlobalAveragePool", "pool", nil, x))
	x = typed(graph.TensorType(tensor.Float32, 1, channels), g.Add("Flatten", "flatten", nil, x))
	g.Output(typed(graph.TensorType(tensor.Float32, 1, w["fc.bias"].Len()),
		g.Add("Gemm", "scores", graph.Attrs{"transB": int64(1)}, x, constant("fc.weight"), constant("fc.bias"))))
	return g
}

// refresh gives every layer the weights of the form for training.
func (b *seeded) refresh(w map[string]*tensor.Tensor) {
	fill := func(name string, v float32) {
		for i := range w[name].F32() {
			w[name].F32()[i] = v
		}
	}
	for _, u := range heartbeatUnits {
		t := w[u.name+".weight"]
		copy(t.F32(), b.heNormal(t.Len(), t.Len()/t.Dim(0)))
		fill(u.name+".scale", 1)
		fill(u.name+".bias", 0)
		fill(u.name+".mean", 0)
		fill(u.name+".var", 1)
	}
	classes, fan := b.classes(w["fc.weight"].Dim(0)), w["fc.weight"].Dim(1)
	head := b.heNormal(classes*fan, fan)
	rescale(head, headSpread)
	w["fc.weight"], w["fc.bias"] = tensor.Of(head, classes, fan), tensor.New(tensor.Float32, classes)
}

// typed states the type of v and returns it.
func typed(t graph.Type, v *graph.Value) *graph.Value {
	v.Type = t
	return v
}

// HeartbeatData returns n windows of the evaluation set, float32 [n,1,256], with their
// classes and the names of the classes. No subject in it was trained on or is in
// HeartbeatCalibration; a smaller n gives a prefix of a larger one.
func HeartbeatData(n int) (x *tensor.Tensor, labels []int, names []string) {
	return heartbeatSet(ecg.EvaluationSeed, n)
}

// HeartbeatCalibration is as HeartbeatData, of the calibration set.
func HeartbeatCalibration(n int) (x *tensor.Tensor, labels []int, names []string) {
	return heartbeatSet(ecg.CalibrationSeed, n)
}

func heartbeatSet(seed uint64, n int) (*tensor.Tensor, []int, []string) {
	data, labels := ecg.Dataset(seed, n)
	x := tensor.New(tensor.Float32, n, 1, ecg.Window)
	copy(x.F32(), data)
	return x, labels, ecg.Names()
}
