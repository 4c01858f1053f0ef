package conformance

import (
	"testing"

	"github.com/edgewise-ml/edgewise/internal/interp"
)

func TestONNXInterp(t *testing.T) { RunONNX(t, interp.Run, ONNXLedger()) }
