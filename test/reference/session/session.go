// Package session is what the witness needs of an inference runtime: open a
// model, bind inputs, invoke, fetch outputs.
package session

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/edgewise-ml/edgewise/test/reference/npz"
)

// Options are a runtime's settings for one model.
type Options struct {
	Threads int
	// Optimize is the runtime's own graph optimization: "all" (its default),
	// "extended", "basic" or "none". Only ONNX Runtime has such levels.
	Optimize string
}

// Library is a loaded runtime.
type Library interface {
	Open(model string, o Options) (Session, error)
}

// Port is one input or output of a model.
type Port struct {
	Name  string  `json:"name"`
	DType string  `json:"dtype"` // NumPy style: "float32", "int64", "bool"; "sequence" and such where not a tensor
	Shape []int64 `json:"shape"` // −1 where the model leaves a dimension open
	// Symbols names the open dimensions, "" where fixed or nameless.
	Symbols []string `json:"symbols,omitempty"`
	// Scale and ZeroPoint are the per-tensor quantization; Scale is 0 for none.
	Scale     float32 `json:"scale,omitempty"`
	ZeroPoint int32   `json:"zero_point,omitempty"`
}

// Session is one opened model. Its methods must not be called concurrently.
type Session interface {
	Inputs() []Port
	Outputs() []Port
	// Bind copies the arrays into the runtime's memory, resizing inputs that
	// have other shapes. Every input must be given and no other name.
	Bind(inputs map[string]*npz.Array) error
	// Invoke runs the bound inputs once. It does no work of its own besides
	// the runtime's call, so it may be timed.
	Invoke() error
	// Fetch copies the outputs of the last Invoke.
	Fetch() (map[string]*npz.Array, error)
	// Discard frees the outputs of the last Invoke where the runtime allocates
	// them for each.
	Discard()
	// Reset puts variable tensors back to their initial values.
	Reset() error
	Close()
}

// Run binds, invokes and fetches once.
func Run(s Session, inputs map[string]*npz.Array) (map[string]*npz.Array, error) {
	if err := s.Bind(inputs); err != nil {
		return nil, err
	}
	defer s.Discard()
	if err := s.Invoke(); err != nil {
		return nil, err
	}
	return s.Fetch()
}

// RunSamples runs each index of the inputs' common leading axis, which is not
// part of the model's shapes, and stacks the outputs along a new leading axis.
// Variable tensors are reset before each sample unless keepState is set.
func RunSamples(s Session, inputs map[string]*npz.Array, keepState bool) (map[string]*npz.Array, error) {
	count := int64(-1)
	for name, a := range inputs {
		if len(a.Shape) == 0 {
			return nil, fmt.Errorf("input %q has no sample axis", name)
		}
		if count >= 0 && a.Shape[0] != count {
			return nil, fmt.Errorf("input %q has %d samples, another has %d", name, a.Shape[0], count)
		}
		count = a.Shape[0]
	}
	if count <= 0 {
		return nil, errors.New("no samples")
	}
	stacked := map[string]*npz.Array{}
	for i := range count {
		if !keepState {
			if err := s.Reset(); err != nil {
				return nil, err
			}
		}
		one := make(map[string]*npz.Array, len(inputs))
		for name, a := range inputs {
			one[name] = a.Sample(i)
		}
		out, err := Run(s, one)
		if err != nil {
			return nil, fmt.Errorf("sample %d: %w", i, err)
		}
		for name, a := range out {
			all := stacked[name]
			if all == nil {
				all = &npz.Array{DType: a.DType, Shape: append([]int64{count}, a.Shape...)}
				stacked[name] = all
			}
			if fmt.Sprint(all.Shape[1:]) != fmt.Sprint(a.Shape) {
				return nil, fmt.Errorf("sample %d: output %q changes shape from %v to %v", i, name, all.Shape[1:], a.Shape)
			}
			all.Data = append(all.Data, a.Data...)
		}
	}
	return stacked, nil
}

// Keys names the ports in an npz: by their names, or by index where a name is
// empty or taken by an earlier port.
func Keys(ports []Port) []string {
	keys := make([]string, len(ports))
	for i, p := range ports {
		keys[i] = p.Name
		if p.Name == "" || slices.Contains(keys[:i], p.Name) {
			keys[i] = fmt.Sprint(i)
		}
	}
	return keys
}

// Match pairs each port with its array, by its key or its decimal index.
func Match(ports []Port, arrays map[string]*npz.Array) ([]*npz.Array, error) {
	matched := make([]*npz.Array, len(ports))
	var missing []string
	for i, key := range Keys(ports) {
		if matched[i] = arrays[key]; matched[i] == nil {
			matched[i] = arrays[fmt.Sprint(i)]
		}
		if matched[i] == nil {
			missing = append(missing, fmt.Sprintf("%q", key))
		}
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf("no array for input %s", strings.Join(missing, ", "))
	}
	if len(arrays) > len(ports) {
		return nil, fmt.Errorf("%d arrays given for the %d inputs of the model", len(arrays), len(ports))
	}
	for i, a := range matched {
		if err := CheckType(ports[i], a); err != nil {
			return nil, err
		}
	}
	return matched, nil
}
