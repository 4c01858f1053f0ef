package zoo

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/edgewise-ml/edgewise/internal/graph"
)

// imageNetClasses is the number of classes of the networks for ImageNet.
const imageNetClasses = 1000

// variant is what is left open in a family: how wide its layers are and how large its
// input.
type variant struct {
	width      float64
	resolution int
}

// name checks the variant and returns the full name of its network.
func (v variant) name(f form, base string) (string, error) {
	if !(v.width >= 0.1 && v.width <= 2) {
		return "", fmt.Errorf("zoo: %s: width multiplier %g is not in [0.1, 2]", base, v.width)
	}
	if !f.training && (v.resolution < 32 || v.resolution > 1024 || v.resolution%32 != 0) {
		return "", fmt.Errorf("zoo: %s: resolution %d is not a multiple of 32 in [32, 1024]", base, v.resolution)
	}
	return fmt.Sprintf("%s-%s-%d", base, strconv.FormatFloat(v.width, 'g', -1, 64), v.resolution), nil
}

// scalable is a builder that takes a width and a resolution, written "width" or
// "width-resolution" and by default 1 and 224.
func scalable(build func(f form, width float64, resolution int) (*graph.Graph, error)) builder {
	return func(f form, options string, given bool) (*graph.Graph, error) {
		if !given {
			return build(f, 1, f.resolution(224))
		}
		w, r, both := strings.Cut(options, "-")
		width, err := strconv.ParseFloat(w, 64)
		if err != nil {
			return nil, fmt.Errorf("width multiplier %q is not a number", w)
		}
		resolution := 224
		if both {
			if resolution, err = strconv.Atoi(r); err != nil {
				return nil, fmt.Errorf("resolution %q is not a number", r)
			}
		}
		return build(f, width, f.resolution(resolution))
	}
}

// sized is a builder that takes a resolution.
func sized(resolution int, build func(f form, resolution int) *graph.Graph) builder {
	return func(f form, options string, given bool) (*graph.Graph, error) {
		r := resolution
		if given {
			var err error
			if r, err = strconv.Atoi(options); err != nil {
				return nil, fmt.Errorf("resolution %q is not a number", options)
			}
		}
		if r < 32 || r > 1024 {
			return nil, fmt.Errorf("resolution %d is not in [32, 1024]", r)
		}
		return build(f, f.resolution(r)), nil
	}
}

// signal is a builder without options whose input may have another length for training.
func signal(length int, build func(f form, length int) *graph.Graph) builder {
	return func(f form, options string, given bool) (*graph.Graph, error) {
		length := f.resolution(length)
		f.Resolution = 0
		return fixed(func(f form) *graph.Graph { return build(f, length) })(f, options, given)
	}
}

// fixed is a builder without options.
func fixed(build func(f form) *graph.Graph) builder {
	return func(f form, options string, given bool) (*graph.Graph, error) {
		if given {
			return nil, fmt.Errorf("there is no variant %q", options)
		}
		if f.Resolution != 0 {
			return nil, errors.New("its input has one size: there is no resolution to choose")
		}
		return build(f), nil
	}
}

// divisible rounds a channel count to a multiple of eight, at least eight, and not below
// nine tenths of it, as the authors of MobileNetV2 do.
func divisible(channels float64) int {
	n := max(8, int(channels+4)/8*8)
	if float64(n) < 0.9*channels {
		n += 8
	}
	return n
}
