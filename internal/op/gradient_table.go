package op

import (
	"slices"
	"sync"

	"github.com/edgewise-ml/edgewise/internal/graph"
)

// gradientRules says which rule belongs to which operator of the standard. Operators of
// which it is written why in withoutGradient have none. The tables here are made when a
// graph is first differentiated: running a model must not wait for them.
var gradientRules = sync.OnceValue(func() map[string]func(*Gradient) error {
	return map[string]func(*Gradient) error{
		"Add": gradAdd, "Sum": gradAdd, "Sub": gradSub, "Mul": gradMul, "Div": gradDiv, "Mod": gradMod, "Pow": gradPow,
		"Max": gradExtreme, "Min": gradExtreme, "Mean": gradMeanOf, "Clip": gradClip, "Where": gradWhere,
		"Abs": gradSigned("Abs"), "Neg": gradSigned("Neg"), "Sign": noGradient,
		"Floor": noGradient, "Ceil": noGradient, "Round": noGradient,
		"Relu": gradRelu, "Shrink": gradShrink, "PRelu": gradPRelu, "SwiGLU": gradSwiGLU,
		"Cast": gradCast, "CastLike": gradCast, "Identity": gradIdentity, "Dropout": gradDropout,
		"CumSum": gradCumSum, "Softmax": gradSoftmax, "LogSoftmax": gradLogSoftmax,

		"Reshape": gradReshape, "Flatten": gradReshape, "Squeeze": gradReshape, "Unsqueeze": gradReshape,
		"Transpose": gradTranspose, "Expand": gradExpand, "Tile": gradTile, "Concat": gradConcat, "Split": gradSplit,
		"Pad": gradPad, "CenterCropPad": gradMove, "Slice": gradSlice, "ReverseSequence": gradMove,
		"DepthToSpace": gradMove, "SpaceToDepth": gradMove, "Trilu": gradTrilu,
		"Gather": gradGather, "GatherElements": gradGatherElements, "GatherND": gradGatherND,
		"ScatterElements": gradScatter("GatherElements"), "ScatterND": gradScatter("GatherND"), "TopK": gradTopK,

		"MatMul": gradMatMul, "Gemm": gradGemm, "Einsum": gradEinsum, "Conv": gradConv, "ConvTranspose": gradConvTranspose,
		"MaxPool": gradMaxPool, "AveragePool": gradAveragePool, "GlobalAveragePool": gradGlobalAverage, "GlobalMaxPool": gradGlobalMax,
		"Resize": gradResize, "BatchNormalization": gradBatchNorm, "InstanceNormalization": gradGroupNorm,
		"GroupNormalization": gradGroupNorm, "LayerNormalization": gradLayerNorm(true), "RMSNormalization": gradLayerNorm(false),
		"SimplifiedLayerNormalization": gradLayerNorm(false),

		"SoftmaxCrossEntropyLoss":   gradLoss("SoftmaxCrossEntropyGradient"),
		"NegativeLogLikelihoodLoss": gradLoss("NegativeLogLikelihoodGradient"),
		"QuantizeLinear":            gradQuantize, "DequantizeLinear": gradDequantize,
	}
})

// gradientRulesOf holds the rules of operators of other domains.
var gradientRulesOf = sync.OnceValue(func() map[Key]func(*Gradient) error {
	return map[Key]func(*Gradient) error{
		{graph.DomainMicrosoft, "BiasGelu"}:                     gradBiasThen(slopeGelu),
		{graph.DomainMicrosoft, "FastGelu"}:                     gradBiasThen(slopeGeluTanh),
		{graph.DomainMicrosoft, "Gelu"}:                         derivative(slopeGelu),
		{graph.DomainMicrosoft, "QuickGelu"}:                    gradActivation("QuickGelu"),
		{graph.DomainMicrosoft, "QuantizeLinear"}:               gradQuantize,
		{graph.DomainMicrosoft, "DequantizeLinear"}:             gradDequantize,
		{graph.DomainMicrosoft, "SimplifiedLayerNormalization"}: gradLayerNorm(false),
		{graph.DomainEdgewise, "FakeQuantize"}:                  gradFakeQuantize,
		{graph.DomainEdgewise, "RandomKeep"}:                    noGradient,
	}
})

// stepwise lists operators whose outputs are integers, truth values, made from shapes,
// random, or change only in steps: nothing passes backwards through them, and that is
// their whole gradient.
var stepwise = []string{
	"And", "ArgMax", "ArgMin", "Bernoulli", "BitCount", "BitShift", "BitwiseAnd", "BitwiseNot", "BitwiseOr", "BitwiseXor",
	"BlackmanWindow", "Constant", "ConstantOfShape", "Equal", "EyeLike", "Greater", "GreaterOrEqual", "HammingWindow", "HannWindow",
	"Hardmax", "IsInf", "IsNaN", "Less", "LessOrEqual", "MelWeightMatrix", "Multinomial", "NonMaxSuppression", "NonZero", "Not", "OneHot",
	"Or", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Range", "SequenceLength", "Shape", "Size", "Xor",
	"OptionalHasElement", "ImageDecoder", "RegexFullMatch", "StringConcat", "StringNormalizer", "StringSplit", "TfIdfVectorizer",
}

// WithoutGradient says why an operator has no rule, by its family; "" where it has one.
func WithoutGradient(k Key) string {
	if Lookup(k.Domain, k.Name) == nil || gradientRule(k) != nil || decompositions()[k] != nil {
		return ""
	}
	for _, r := range withoutGradient {
		for _, name := range r.names {
			if (Key{r.domain, name}) == k {
				return r.why
			}
		}
	}
	return "unexplained"
}

// withoutGradient is the ledger of operators without a rule.
var withoutGradient = []struct {
	why, domain string
	names       []string
}{
	{"it computes on integers; train the floating-point form and quantize it after", "",
		[]string{"ConvInteger", "MatMulInteger", "QLinearConv", "QLinearMatMul", "DynamicQuantizeLinear"}},
	{"it computes on integers; train the floating-point form and quantize it after", graph.DomainMicrosoft,
		[]string{"DynamicQuantizeMatMul", "MatMulIntegerToFloat", "MatMulNBits", "QGemm", "QLinearAdd", "QLinearAveragePool", "QLinearConcat",
			"QLinearGlobalAveragePool", "QLinearLeakyRelu", "QLinearMul", "QLinearSigmoid", "QLinearSoftmax"}},
	{"control flow is not unrolled for training", "", []string{"If", "Loop", "Scan", "SequenceMap"}},
	{"sequences and optional values are not differentiated", "", []string{"ConcatFromSequence", "Optional", "OptionalGetElement", "SequenceAt",
		"SequenceConstruct", "SequenceEmpty", "SequenceErase", "SequenceInsert", "SplitToSequence"}},
	{"the size of its output depends on data", "", []string{"Compress", "Unique"}},
	{"no rule has been written: layers that are trained here do not use it", "", []string{"AffineGrid", "BitCast", "CausalConvWithState",
		"Col2Im", "CumProd", "DFT", "DeformConv", "Det", "GlobalLpPool", "GridSample", "LRN", "LinearAttention", "LpPool", "MaxRoiPool",
		"MaxUnpool", "RoiAlign", "RotaryEmbedding", "STFT", "TensorScatter"}},
	{"no rule has been written: layers that are trained here do not use it", DomainPreview, []string{"FlexAttention"}},
	{"fused forms are made for running; train the graph they were made from", graph.DomainMicrosoft, []string{"FusedConv", "FusedMatMul"}},
	{"it is part of a backward pass itself", graph.DomainEdgewise, []string{"AveragePoolGradient", "BatchNormalizationGradient", "ClipGradient", "ConvWeightGradient",
		"FakeQuantizeGradient", "MaxPoolGradient", "NegativeLogLikelihoodGradient", "ReluGradient", "ResizeGradient", "SoftmaxCrossEntropyGradient"}},
	{"an optimizer's update is not differentiated", graph.DomainEdgewise, []string{"AdamUpdate", "LAMBUpdate", "LARSUpdate", "RMSPropUpdate", "SGDUpdate"}},
	{"an optimizer's update is not differentiated", domainTraining, []string{"Adagrad", "Adam", "Momentum"}},
	{"it is no function that gradient descent could train", graph.DomainML, []string{"ArrayFeatureExtractor", "Binarizer", "LabelEncoder", "TreeEnsemble"}},
}

// decompositions are for operators that are differentiated in parts.
var decompositions = sync.OnceValue(func() map[Key]func(*Gradient) []*graph.Value {
	return map[Key]func(*Gradient) []*graph.Value{
		{"", "LpNormalization"}:           decomposeLpNorm,
		{"", "MeanVarianceNormalization"}: decomposeMeanVariance,
		{"", "RNN"}:                       decomposeCell(1, unrollRNN),
		{"", "GRU"}:                       decomposeCell(3, unrollGRU),
		{"", "LSTM"}:                      decomposeCell(4, unrollLSTM),
		{"", "Attention"}:                 decomposeAttention,
		{graph.DomainMicrosoft, "SkipLayerNormalization"}:           decomposeSkipNorm(3, 4, false),
		{graph.DomainMicrosoft, "SkipSimplifiedLayerNormalization"}: decomposeSkipNorm(-1, 3, true),
	}
})

// gradientRule returns the rule of an operator, nil where it has none.
func gradientRule(k Key) func(*Gradient) error {
	if k.Domain != "" {
		return gradientRulesOf()[k]
	}
	if r := gradientRules()[k.Name]; r != nil {
		return r
	}
	if r := reduceGradients()[k.Name]; r != nil {
		return r
	}
	if slices.Contains(stepwise, k.Name) {
		return noGradient
	}
	if activationSlopes()[k.Name] != nil {
		return gradActivation(k.Name)
	}
	if s := functionSlopes()[k.Name]; s != nil {
		return derivative(s)
	}
	return nil
}

// gradActivation is the rule of an activation with attributes.
func gradActivation(name string) func(*Gradient) error {
	return func(c *Gradient) error { return derivative(activationSlopes()[name](c.Attrs()))(c) }
}
