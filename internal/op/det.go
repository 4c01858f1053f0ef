package op

// evalDet eliminates with partial pivoting.
func evalDet(e *Eval) error {
	x := e.float(0)
	r := x.Rank()
	if r < 2 || x.Dim(-1) != x.Dim(-2) {
		e.Fail("X %v does not hold square matrices", x)
	}
	n := x.Dim(-1)
	out := e.Result(0, x.DType(), x.Shape()[:r-2]...)
	v := x.Floats()
	for i := range out.Len() {
		out.SetFloat(i, determinant(v[i*n*n:(i+1)*n*n], n))
	}
	return nil
}

func determinant(a []float64, n int) float64 {
	det := 1.0
	for c := range n {
		p := c
		for r := c + 1; r < n; r++ {
			if abs(a[r*n+c]) > abs(a[p*n+c]) {
				p = r
			}
		}
		if a[p*n+c] == 0 {
			return 0
		}
		if p != c {
			det = -det
			for k := range n {
				a[p*n+k], a[c*n+k] = a[c*n+k], a[p*n+k]
			}
		}
		det *= a[c*n+c]
		for r := c + 1; r < n; r++ {
			f := a[r*n+c] / a[c*n+c]
			for k := c; k < n; k++ {
				a[r*n+k] -= f * a[c*n+k]
			}
		}
	}
	return det
}

func abs(x float64) float64 { return max(x, -x) }
