package conformance

import (
	"testing"

	"github.com/edgewise-ml/edgewise/internal/interp"
)

func TestTFLiteInterp(t *testing.T) { RunTFLite(t, interp.Run, TFLiteLedger()) }
