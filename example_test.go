package edgewise_test

import (
	"context"
	"fmt"
	"log"

	"github.com/edgewise-ml/edgewise"
	"github.com/edgewise-ml/edgewise/tensor"
)

func Example() {
	m, err := edgewise.Open("zoo:heartbeat")
	if err != nil {
		log.Fatal(err)
	}
	s, err := m.NewSession(edgewise.Options{Threads: 1})
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()
	in := m.Inputs()[0]
	x := tensor.New(in.DType, 1, 1, 256)
	out, err := s.Run(context.Background(), map[string]*tensor.Tensor{in.Name: x})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(out[m.Outputs()[0].Name])
	// Output: float32[1x5]
}
