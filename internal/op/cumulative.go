package op

import "github.com/edgewise-ml/edgewise/tensor"

// cumulativeOps are running sums and products along an axis.
func cumulativeOps() []Def {
	return []Def{
		cumulative("CumSum", 0, arithmetic{addFloat, addInt, nil}),
		cumulative("CumProd", 1, arithmetic{
			func(a, b float64) float64 { return a * b }, func(a, b int64) int64 { return a * b }, nil}),
	}
}

func cumulative(name string, neutral int64, f arithmetic) Def {
	return Def{Name: name, In: "x axis", Out: "y", Attrs: "exclusive:int reverse:int", Infer: inferLike(0), Eval: func(e *Eval) error {
		x := e.number(0)
		axis := e.Axis(e.Int(1), x.Rank())
		exclusive, reverse := e.Attrs().Int("exclusive", 0) != 0, e.Attrs().Int("reverse", 0) != 0
		out := e.Result(0, x.DType(), x.Shape()...)
		if x.Len() == 0 {
			return nil
		}
		outer, n, inner := splitAt(x.Shape(), axis)
		for o := range outer {
			for k := range inner {
				at := func(i int) int {
					if reverse {
						i = n - 1 - i
					}
					return (o*n+i)*inner + k
				}
				scan(out, x, n, at, exclusive, neutral, f)
			}
		}
		return nil
	}}
}

func scan(out, x *tensor.Tensor, n int, at func(int) int, exclusive bool, neutral int64, f arithmetic) {
	fl, in := float64(neutral), neutral
	isFloat := x.DType().IsFloat()
	for i := range n {
		p := at(i)
		before, beforeInt := fl, in
		if isFloat {
			fl = f.float(fl, x.Float(p))
		} else {
			in = f.signed(in, x.Int(p))
		}
		after, afterInt := fl, in
		if exclusive {
			after, afterInt = before, beforeInt
		}
		if isFloat {
			out.SetFloat(p, after)
		} else {
			out.SetInt(p, afterInt)
		}
	}
}

// splitAt returns the product of the sizes before axis, its size, and the product of
// those after: element (o, i, k) of such a view lies at (o*n+i)*inner+k.
func splitAt(shape []int, axis int) (outer, n, inner int) {
	outer, inner = 1, 1
	for _, d := range shape[:axis] {
		outer *= d
	}
	for _, d := range shape[axis+1:] {
		inner *= d
	}
	return outer, shape[axis], inner
}
