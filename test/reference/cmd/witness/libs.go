package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/edgewise-ml/edgewise/test/reference/ort"
	"github.com/edgewise-ml/edgewise/test/reference/session"
	"github.com/edgewise-ml/edgewise/test/reference/tflite"
)

// libFor picks the runtime that reads the model's format.
func libFor(model string) string {
	if strings.HasSuffix(model, ".tflite") {
		return "tflite"
	}
	return "ort"
}

// load opens the runtime named ort, tflite or xnnpack.
func load(lib string) (session.Library, error) {
	switch lib {
	case "ort":
		path, err := locate("libonnxruntime.so.1")
		if err != nil {
			return nil, err
		}
		return ort.Load(path)
	case "tflite", "xnnpack":
		path, err := locate("libtensorflowlite_c.so")
		if err != nil {
			return nil, err
		}
		return tflite.Load(path, lib == "xnnpack")
	}
	return nil, fmt.Errorf("unknown runtime %q (want ort, tflite or xnnpack)", lib)
}

// locate finds a library below the install folder: EDGEWISE_REFERENCE, or the
// folder above this program's own.
func locate(file string) (string, error) {
	root := os.Getenv("EDGEWISE_REFERENCE")
	if root == "" {
		exe, err := os.Executable()
		if err != nil {
			return "", err
		}
		root = filepath.Dir(filepath.Dir(exe))
	}
	path := filepath.Join(root, "lib", "linux_"+runtime.GOARCH, file)
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("%w (run test/reference/install.sh)", err)
	}
	return path, nil
}
