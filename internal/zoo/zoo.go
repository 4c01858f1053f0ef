// Package zoo builds networks as graphs: the heartbeat classifier, which is trained and
// comes with its data, and architectures of the literature with their true shapes and
// seeded random weights, for measuring speed and memory where no trained file is at
// hand.
package zoo

import (
	"fmt"
	"strings"

	"github.com/edgewise-ml/edgewise/internal/graph"
)

// Names returns the names that Build takes, without the optional suffixes.
func Names() []string { return []string{"heartbeat", "mobilenetv2"} }

// Build returns the network of a name: "heartbeat", or "mobilenetv2" with an optional
// width multiplier and resolution as in "mobilenetv2-0.35" and "mobilenetv2-1.0-192".
func Build(name string) (*graph.Graph, error) {
	base, variant, varied := strings.Cut(name, "-")
	switch base {
	case "heartbeat":
		if varied {
			return nil, fmt.Errorf("zoo: heartbeat has no variant %q", variant)
		}
		return Heartbeat(), nil
	case "mobilenetv2":
		width, resolution := 1.0, 224
		if varied {
			var err error
			if width, resolution, err = parseVariant(variant); err != nil {
				return nil, fmt.Errorf("zoo: %s: %w", name, err)
			}
		}
		return MobileNetV2(width, resolution)
	}
	return nil, fmt.Errorf("zoo: no network %q; there are %s", name, strings.Join(Names(), ", "))
}
