package main

// The functions of act_f32.go, with its polynomials. Polynomials are summed in
// pairs of terms: every step of Horner's scheme would wait for the one before,
// and would need its coefficient copied before it adds to it.

func clampNEON(b *mapBody) {
	b.do(fmax(b.v(0), b.v(0), b.field("lo")), fmin(b.v(0), b.v(0), b.field("hi")))
}

// whereNegative emits to = sign bit of x ? what value leaves in its register : to.
// Registers 2 and 3 are lost.
func (b *mapBody) whereNegative(x, to int, value func(to vreg)) {
	value(b.v(2))
	b.do(sshr(s4, b.v(3), b.v(x), 31), bit(b.v(to), b.v(2), b.v(3)))
}

func leakyReluNEON(b *mapBody) {
	b.whereNegative(0, 0, func(to vreg) { b.do(fmul(to, b.v(0), b.field("alpha"))) })
}

// unit emits to = x bounded by 0 and 1; x and register tmp are lost.
func (b *mapBody) unit(to, x, tmp int) {
	b.do(zero(b.v(tmp)), fmax(b.v(x), b.v(x), b.v(tmp)), fmin(b.v(to), b.v(x), b.all("one")))
}

func hardSigmoidNEON(b *mapBody) {
	b.do(move(b.field("beta"), b.v(1)), fmla(b.v(1), b.v(0), b.field("alpha")))
	b.unit(0, 1, 2)
}

func hardSwishNEON(b *mapBody) {
	b.set(1, "half")
	b.fma(1, 0, "sixth")
	b.unit(1, 1, 2)
	b.op(fmul, 0, 0, 1)
}

// exp emits x = e^x; registers 2 to 5 are lost. The power of two is two factors, as
// one may be no normal number: the first is added to the exponent of the
// polynomial, which stays normal.
func (b *mapBody) exp(x int) {
	b.do(fmax(b.v(x), b.v(x), b.all("expMin")), fmin(b.v(x), b.v(x), b.all("expMax")))
	b.expPolynomial(x)
	b.op2(fcvtns, 2, 2)
	b.do(sshr(s4, b.v(4), b.v(2), 1), sub(s4, b.v(2), b.v(2), b.v(4)))
	b.do(shl(s4, b.v(4), b.v(4), 23), shl(s4, b.v(2), b.v(2), 23))
	b.do(add(s4, b.v(3), b.v(3), b.v(4)), add(s4, b.v(2), b.v(2), b.all("one")))
	b.op(fmul, x, 3, 2)
}

// smallExp emits x = e^x for x ≤ 0, but 0 where that is no normal number;
// registers 2 to 5 and cut are lost.
func (b *mapBody) smallExp(x, cut int) {
	b.do(fcmgt(b.v(cut), b.all("expNormal"), b.v(x))) // not of a NaN, which stays
	b.expPolynomial(x)
	b.op2(fcvtns, 2, 2)
	b.do(shl(s4, b.v(2), b.v(2), 23), add(s4, b.v(3), b.v(3), b.v(2)), bic(b.v(x), b.v(3), b.v(cut)))
}

// expPolynomial emits n, the integer nearest to x/ln 2, in register 2 and
// e^(x-n·ln 2) in register 3; x and registers 4 and 5 are lost.
func (b *mapBody) expPolynomial(x int) {
	b.times(2, x, "log2e")
	b.op2(frintn, 2, 2)
	b.fms(x, 2, "ln2hi")
	b.fms(x, 2, "ln2lo")
	b.op(fmul, 5, x, x)
	b.set(4, "exp4")
	b.fma(4, x, "exp5")
	b.set(3, "exp2")
	b.fma(3, x, "exp3")
	b.op(fmla, 3, 4, 5)
	b.set(4, "exp0")
	b.fma(4, x, "exp1")
	b.op(fmla, 4, 3, 5)
	b.do(fadd(b.v(3), b.v(x), b.all("one")))
	b.op(fmla, 3, 4, 5)
}

// reciprocal emits r = 1/den for den from 1 on, from the estimate of 8 bits by two
// steps of Newton; register tmp is lost.
func (b *mapBody) reciprocal(r, den, tmp int) {
	b.op2(frecpe, r, den)
	for range 2 {
		b.op(frecps, tmp, r, den)
		b.op(fmul, r, r, tmp)
	}
}

// sigmoid emits to = (x < 0 ? e : 1)/(1+e) with e = e^-|x|. Registers 1 to 5 and cut
// are lost; x is not, unless it is to.
func (b *mapBody) sigmoid(x, to, cut int) {
	b.op2(fabs, 1, x)
	b.op2(fneg, 1, 1)
	b.smallExp(1, cut)
	b.do(sshr(s4, b.v(2), b.v(x), 31))
	b.do(fadd(b.v(3), b.v(1), b.all("one")))
	// Where x is positive the numerator is 1.
	b.do(bsl(b.v(2), b.v(1), b.all("one")))
	b.reciprocal(4, 3, 5)
	b.op(fmul, to, 4, 2)
}

func sigmoidNEON(b *mapBody) { b.sigmoid(0, 0, 6) }

func siluNEON(b *mapBody) {
	b.sigmoid(0, 1, 6)
	b.op(fmul, 0, 0, 1)
}

func geluTanhNEON(b *mapBody) {
	b.op(fmul, 1, 0, 0)
	b.set(6, "geluTanh0")
	b.fma(6, 1, "geluTanh2")
	b.op(fmul, 6, 6, 0)
	b.sigmoid(6, 1, 7)
	b.op(fmul, 0, 0, 1)
}

// tanhNEON needs no more of e^2|x| than a normal number: from 20 on the result
// is 1.
func tanhNEON(b *mapBody) {
	b.op2(fabs, 1, 0)
	b.op(fadd, 6, 1, 1)
	b.do(fmin(b.v(6), b.v(6), b.all("tanhOne")))
	b.expPolynomial(6)
	b.op2(fcvtns, 2, 2)
	b.do(shl(s4, b.v(2), b.v(2), 23), add(s4, b.v(3), b.v(3), b.v(2)), fadd(b.v(3), b.v(3), b.all("one")))
	b.reciprocal(4, 3, 5)
	b.do(move(b.all("one"), b.v(6)))
	b.fms(6, 4, "two")
	b.do(bit(b.v(6), b.v(0), b.all("sign")))
	// Near zero.
	b.op(fmul, 2, 0, 0)
	b.set(3, "tanh4")
	for i, c := range []string{"tanh3", "tanh2", "tanh1", "tanh0"} {
		from, to := 3+i%2, 4-i%2
		b.set(to, c)
		b.op(fmla, to, from, 2)
	}
	b.op(fmul, 3, 3, 2)
	b.do(move(b.v(0), b.v(4)))
	b.op(fmla, 4, 3, 0)
	b.do(fcmgt(b.v(1), b.all("tanhSmall"), b.v(1)), move(b.v(6), b.v(0)), bit(b.v(0), b.v(4), b.v(1)))
}

func geluNEON(b *mapBody) {
	b.op2(fabs, 1, 0)
	b.times(1, 1, "rsqrt2")
	b.do(move(b.all("one"), b.v(3)))
	b.fma(3, 1, "half")
	b.reciprocal(6, 3, 5) // t
	b.op(fmul, 5, 6, 6)
	b.set(2, "erfc8")
	b.fma(2, 6, "erfc9")
	p := 2
	for _, c := range [][2]string{{"erfc6", "erfc7"}, {"erfc4", "erfc5"}, {"erfc2", "erfc3"}, {"erfc0", "erfc1"}} {
		next := 5 - p
		b.set(next, c[0])
		b.fma(next, 6, c[1])
		b.op(fmla, next, p, 5)
		p = next
	}
	b.op(fmls, p, 1, 1)
	b.do(move(b.v(p), b.v(1)))
	b.smallExp(1, 7)
	b.op(fmul, 1, 1, 6)
	b.times(1, 1, "half")
	b.do(fsub(b.v(2), b.all("one"), b.v(1)), sshr(s4, b.v(3), b.v(0), 31), bit(b.v(2), b.v(1), b.v(3)))
	b.op(fmul, 0, 0, 2)
}
