package tflite

func sequenceLSTM(o *operation) { o.unsupported("recurrent networks") }
