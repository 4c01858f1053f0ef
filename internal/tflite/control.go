package tflite

func ifThen(o *operation)    { o.unsupported("control flow") }
func whileLoop(o *operation) { o.unsupported("control flow") }
