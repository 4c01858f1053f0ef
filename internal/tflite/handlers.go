package tflite

// handlers import each builtin operator, by its code in schema.fbs. What is not here is
// refused by name.
var handlers map[int]func(*operation)

// init breaks the cycle between the table and the control-flow operators, which import
// subgraphs of their own.
func init() {
	handlers = map[int]func(*operation){
		// windows.go
		1: averagePool, 3: conv2D, 4: depthwiseConv2D, 12: l2Pool, 17: maxPool, 67: transposeConv, 132: conv3D,
		13: localResponse,

		// matrix.go
		9: fullyConnected, 126: batchMatMul,

		// arithmetic.go
		0: pairwise("Add"), 18: pairwise("Mul"), 41: pairwise("Sub"), 42: pairwise("Div"), 55: pairwise("Max"), 57: pairwise("Min"), 78: pairwise("Pow"),
		58: pairwise("Less"), 61: pairwise("Greater"), 62: pairwise("GreaterOrEqual"), 63: pairwise("LessOrEqual"), 71: pairwise("Equal"), 72: notEqual,
		84: pairwise("Or"), 86: pairwise("And"), 87: unary("Not"), 160: pairwise("BitwiseXor"),
		90: floorDiv, 95: floorMod, 99: squaredDifference, 106: addN,
		8: unary("Floor"), 47: unary("Exp"), 59: unary("Neg"), 66: unary("Sin"), 73: unary("Log"), 75: unary("Sqrt"), 101: unary("Abs"),
		104: unary("Ceil"), 108: unary("Cos"), 116: unary("Round"), 158: unary("Sign"),
		76: rsqrt, 92: square, 64: selectV1, 123: selectV2, 128: cumsum, 53: castTo,

		// activations.go
		14: unary("Sigmoid"), 19: unary("Relu"), 28: unary("Tanh"), 111: unary("Elu"), 117: unary("HardSwish"),
		20: clipTo(-1, 1), 21: clipTo(0, 6), 152: clipTo(0, 1), 98: leakyRelu, 54: prelu, 150: gelu,
		25: softmax, 50: logSoftmax, 11: l2Normalization,

		// reduce.go
		40: reduce("ReduceMean"), 74: reduce("ReduceSum"), 81: reduce("ReduceProd"), 82: reduce("ReduceMax"), 89: reduce("ReduceMin"),
		91: reduceBool("ReduceMax"), 140: reduceBool("ReduceMin"), 56: argument("ArgMax"), 79: argument("ArgMin"), 48: topK,

		// quantize.go
		6: dequantize, 114: quantize, 80: fakeQuant,

		// movement.go
		2: concatenation, 22: reshape, 39: transposeAxes, 43: squeeze, 70: expandDims, 83: pack, 88: unpack,
		49: split, 102: splitV, 69: tile, 130: broadcastTo, 105: reverse, 112: reverseSequence,
		26: spaceToDepth, 5: depthToSpace, 37: batchToSpace, 38: spaceToBatch,

		// slices.go, pads.go, resize.go
		45: stridedSlice, 65: slice, 34: pad, 60: pad, 100: mirrorPad, 23: resizeBilinear, 97: resizeNearest,

		// gather.go
		36: gather, 107: gatherND, 122: scatterND, 7: embeddingLookup, 85: oneHot, 109: where, 151: dynamicUpdateSlice, 103: unique,

		// shapes.go
		77: shapeOf, 110: rankOf, 94: fill, 96: rangeOf, 93: zerosLike,

		// recurrent.go, control.go
		44: sequenceLSTM, 118: ifThen, 119: whileLoop,
	}
}
