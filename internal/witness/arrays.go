package witness

import (
	"errors"
	"fmt"
	"os"

	"github.com/edgewise-ml/edgewise/tensor"
)

// carriers are the types that element types unknown to npy travel as: unsigned
// integers of the same width.
var carriers = map[tensor.DType]tensor.DType{
	tensor.BFloat16:       tensor.Uint16,
	tensor.Float8E4M3FN:   tensor.Uint8,
	tensor.Float8E4M3FNUZ: tensor.Uint8,
	tensor.Float8E5M2:     tensor.Uint8,
	tensor.Float8E5M2FNUZ: tensor.Uint8,
}

func writeArrays(path string, tensors map[string]*tensor.Tensor) (err error) {
	carried := make(map[string]*tensor.Tensor, len(tensors))
	for name, t := range tensors {
		if t == nil {
			return fmt.Errorf("%q is nil", name)
		}
		if c, ok := carriers[t.DType()]; ok {
			if t, err = t.WithDType(c); err != nil {
				return fmt.Errorf("%q: %w", name, err)
			}
		}
		if t.DType().Bits()%8 != 0 {
			return fmt.Errorf("%q: npz cannot carry %v", name, t.DType())
		}
		carried[name] = t
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(tensor.WriteNPZ(f, carried), f.Close())
}

// readArrays reads outputs and gives back the types that were carried as others.
func readArrays(path string, dtypes map[string]string) (map[string]*tensor.Tensor, error) {
	tensors, err := tensor.ReadNPZFile(path)
	if err != nil {
		return nil, fmt.Errorf("witness outputs: %w", err)
	}
	for name, t := range tensors {
		d, err := tensor.ParseDType(dtypes[name])
		if err != nil {
			return nil, fmt.Errorf("witness output %q: %w", name, err)
		}
		if carriers[d] != t.DType() {
			continue
		}
		if tensors[name], err = t.WithDType(d); err != nil {
			return nil, fmt.Errorf("witness output %q: %w", name, err)
		}
	}
	return tensors, nil
}
