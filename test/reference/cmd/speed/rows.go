package main

// row is a line of the table. Models are written as tools.file takes them.
type row struct {
	Number int
	Name   string
	Type   string // of its arithmetic: f32, int8, dynamic
	Kind   string // what is measured: "" for time, start, memory, layers
	Ours   string
	// Theirs are files for each runtime.
	ORT, TFLite string
	// Bounds on the ratio to the fastest witness, by threads less one; 0 for none.
	Bounds []float64
	Shapes string
	Values map[string]int64
}

// rows is the table of the project's speed. A witness that refuses a file is left out.
var rows = []row{
	{Number: 1, Name: "MobileNetV2 1.0/224", Type: "f32", Ours: "zoo:mobilenetv2", ORT: "zoo:mobilenetv2", Bounds: []float64{0.92, 0.97}},
	{Number: 2, Name: "MobileNetV2 1.0/224", Type: "int8", Ours: "int8:zoo:mobilenetv2", ORT: "int8:zoo:mobilenetv2", Bounds: []float64{0.60, 0.65}},
	{Number: 3, Name: "ResNet50", Type: "f32", Ours: "zoo:resnet50", ORT: "zoo:resnet50", Bounds: []float64{1.0, 0}},
	{Number: 3, Name: "ResNet50", Type: "int8", Ours: "int8:zoo:resnet50", ORT: "int8:zoo:resnet50", Bounds: []float64{0.9, 0}},
	{Number: 4, Name: "EfficientNet-lite0", Type: "f32", Ours: "zoo:efficientnet-lite0", ORT: "zoo:efficientnet-lite0", Bounds: []float64{1.0, 0}},
	{Number: 4, Name: "EfficientNet-lite0", Type: "int8", Ours: "int8:zoo:efficientnet-lite0", ORT: "int8:zoo:efficientnet-lite0", Bounds: []float64{0.7, 0}},
	{Number: 4, Name: "EfficientNet-B0", Type: "f32", Ours: "zoo:efficientnet-b0", ORT: "zoo:efficientnet-b0", Bounds: []float64{1.0, 0}},
	{Number: 4, Name: "EfficientNet-B0", Type: "int8", Ours: "int8:zoo:efficientnet-b0", ORT: "int8:zoo:efficientnet-b0", Bounds: []float64{0.7, 0}},
	{Number: 4, Name: "MobileNetV3-large", Type: "f32", Ours: "zoo:mobilenetv3-large", ORT: "zoo:mobilenetv3-large", Bounds: []float64{1.0, 0}},
	{Number: 4, Name: "MobileNetV3-large", Type: "int8", Ours: "int8:zoo:mobilenetv3-large", ORT: "int8:zoo:mobilenetv3-large", Bounds: []float64{0.7, 0}},
	{Number: 5, Name: "mnist_cnn", Type: "f32", Ours: "data:mnist_cnn.onnx", ORT: "data:mnist_cnn.onnx", Bounds: []float64{0.85, 0}},
	{Number: 5, Name: "mnist_cnn", Type: "int8", Ours: "int8:data:mnist_cnn.onnx", ORT: "int8:data:mnist_cnn.onnx", Bounds: []float64{0.85, 0}},
	{Number: 5, Name: "resnet8", Type: "f32", Ours: "data:resnet8_cifar10_float.tflite", ORT: "onnx:data:resnet8_cifar10_float.tflite", TFLite: "data:resnet8_cifar10_float.tflite", Bounds: []float64{0.85, 0}},
	{Number: 5, Name: "resnet8", Type: "int8", Ours: "data:resnet8_cifar10_int8.tflite", ORT: "onnx:data:resnet8_cifar10_int8.tflite", TFLite: "data:resnet8_cifar10_int8.tflite", Bounds: []float64{0.85, 0}},
	{Number: 5, Name: "keyword spotting DS-CNN, int8 weights", Type: "f32", Ours: "data:kws_dscnn_float.tflite", ORT: "onnx:data:kws_dscnn_float.tflite", TFLite: "data:kws_dscnn_float.tflite", Bounds: []float64{0.85, 0}},
	{Number: 5, Name: "keyword spotting DS-CNN", Type: "int8", Ours: "data:kws_dscnn_int8.tflite", ORT: "onnx:data:kws_dscnn_int8.tflite", TFLite: "data:kws_dscnn_int8.tflite", Bounds: []float64{0.85, 0}},
	{Number: 5, Name: "MobileNetV1 0.25/224", Type: "f32", Ours: "data:mobilenet_v1_0.25_224_float.tflite", ORT: "onnx:data:mobilenet_v1_0.25_224_float.tflite", TFLite: "data:mobilenet_v1_0.25_224_float.tflite", Bounds: []float64{0.85, 0}},
	{Number: 5, Name: "MobileNetV1 0.25/224", Type: "int8", Ours: "data:mobilenet_v1_0.25_224_quant.tflite", ORT: "onnx:data:mobilenet_v1_0.25_224_quant.tflite", TFLite: "data:mobilenet_v1_0.25_224_quant.tflite", Bounds: []float64{0.85, 0}},
	{Number: 6, Name: "yolox_nano", Type: "f32", Ours: "data:yolox_nano.onnx", ORT: "data:yolox_nano.onnx", Bounds: []float64{1.0, 0}},
	{Number: 6, Name: "ultraface", Type: "f32", Ours: "data:ultraface_rfb_320.onnx", ORT: "data:ultraface_rfb_320.onnx", Bounds: []float64{1.0, 0}},
	{Number: 6, Name: "hand_landmark", Type: "f32", Ours: "data:hand_landmark_lite.onnx", ORT: "data:hand_landmark_lite.onnx", TFLite: "data:hand_landmark_lite.tflite", Bounds: []float64{1.0, 0}},
	{Number: 6, Name: "face_landmark", Type: "f32", Ours: "data:face_landmark.onnx", ORT: "data:face_landmark.onnx", TFLite: "data:face_landmark.tflite", Bounds: []float64{1.0, 0}},
	{Number: 6, Name: "ppocr det 320²", Type: "f32", Ours: "data:ch_ppocr_mobile_v2.0_det_infer.onnx", ORT: "data:ch_ppocr_mobile_v2.0_det_infer.onnx", Shapes: "x=1x3x320x320", Bounds: []float64{1.0, 0}},
	{Number: 7, Name: "dtln_1", Type: "f32", Ours: "data:dtln_1.onnx", ORT: "data:dtln_1.onnx", TFLite: "data:dtln_1.tflite", Bounds: []float64{0.9, 0}},
	{Number: 7, Name: "dtln_2", Type: "f32", Ours: "data:dtln_2.onnx", ORT: "data:dtln_2.onnx", TFLite: "data:dtln_2.tflite", Bounds: []float64{0.9, 0}},
	{Number: 7, Name: "silero, 576 samples", Type: "f32", Ours: "data:silero_vad_16k_op15.onnx", ORT: "data:silero_vad_16k_op15.onnx", Shapes: "input=1x576;state=2x1x128", Values: map[string]int64{"sr": 16000}, Bounds: []float64{0.9, 0}},
	{Number: 8, Name: "MatMul 1024³, constant", Type: "f32", Ours: "matmul:1024", ORT: "matmul:1024", Bounds: []float64{1.0, 0}},
	{Number: 8, Name: "MatMul 256³, constant", Type: "f32", Ours: "matmul:256", ORT: "matmul:256", Bounds: []float64{1.0, 0}},
	{Number: 8, Name: "MatMul 1024³, two inputs", Type: "f32", Ours: "matmul2:1024", ORT: "matmul2:1024", Bounds: []float64{1.0, 0}},
	{Number: 8, Name: "MatMul 256³, two inputs", Type: "f32", Ours: "matmul2:256", ORT: "matmul2:256", Bounds: []float64{1.0, 0}},
	{Number: 8, Name: "transformer encoder layer", Type: "f32", Ours: "zoo:encoder", ORT: "zoo:encoder", Bounds: []float64{1.0, 0}},
	{Number: 8, Name: "transformer encoder layer", Type: "dynamic", Ours: "dynamic:zoo:encoder", ORT: "dynamic:zoo:encoder", Bounds: []float64{1.0, 0}},
	{Number: 9, Name: "MobileNetV2 1.0/224 of TFLite", Type: "int8", Ours: "data:mobilenet_v2_1.0_224_quant.tflite", TFLite: "data:mobilenet_v2_1.0_224_quant.tflite", Bounds: []float64{0.4, 0}},
	{Number: 10, Kind: "start", Name: "MobileNetV2 1.0/224", Type: "f32", Ours: "zoo:mobilenetv2", ORT: "zoo:mobilenetv2"},
	{Number: 10, Kind: "start", Name: "MobileNetV2 1.0/224", Type: "int8", Ours: "int8:zoo:mobilenetv2", ORT: "int8:zoo:mobilenetv2"},
	{Number: 10, Kind: "start", Name: "MobileNetV2 1.0/224 of TFLite", Type: "int8", Ours: "data:mobilenet_v2_1.0_224_quant.tflite", TFLite: "data:mobilenet_v2_1.0_224_quant.tflite"},
	{Number: 10, Kind: "start", Name: "keyword spotting DS-CNN", Type: "int8", Ours: "data:kws_dscnn_int8.tflite", ORT: "onnx:data:kws_dscnn_int8.tflite", TFLite: "data:kws_dscnn_int8.tflite"},
	{Number: 11, Kind: "memory", Name: "MobileNetV2 1.0/224", Type: "f32", Ours: "zoo:mobilenetv2", ORT: "zoo:mobilenetv2"},
	{Number: 11, Kind: "memory", Name: "MobileNetV2 1.0/224", Type: "int8", Ours: "int8:zoo:mobilenetv2", ORT: "int8:zoo:mobilenetv2"},
	{Number: 11, Kind: "memory", Name: "MobileNetV2 1.0/224 of TFLite", Type: "int8", Ours: "data:mobilenet_v2_1.0_224_quant.tflite", TFLite: "data:mobilenet_v2_1.0_224_quant.tflite"},
	{Number: 11, Kind: "memory", Name: "keyword spotting DS-CNN", Type: "int8", Ours: "data:kws_dscnn_int8.tflite", ORT: "onnx:data:kws_dscnn_int8.tflite", TFLite: "data:kws_dscnn_int8.tflite"},
	{Number: 13, Kind: "layers", Name: "MobileNetV2 1.0/224", Type: "f32", Ours: "zoo:mobilenetv2"},
	{Number: 13, Kind: "layers", Name: "MobileNetV2 1.0/224", Type: "int8", Ours: "int8:zoo:mobilenetv2"},
	{Number: 13, Kind: "layers", Name: "ResNet50", Type: "f32", Ours: "zoo:resnet50"},
	{Number: 13, Kind: "layers", Name: "ResNet50", Type: "int8", Ours: "int8:zoo:resnet50"},
}

// Bounds of the kinds that are no plain ratio of times.
const (
	startOverORT      = 0.4
	startOverTFLite   = 1.0
	memoryOverORT     = 0.5
	memoryAboveTFLite = 6   // MB
	int8Gain          = 2.5 // of row 12: float32 over int8 of the same network, ours
	layerShare        = 0.8 // of the peak, on pointwise layers
	layerMACs         = 5e6 // that count: 10 MFLOP
)
