package kernel

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/edgewise-ml/edgewise/internal/cpu"
)

// ErrChoice is what the error of a constructor wraps that was given a Choice which is not
// among the operator's candidates.
var ErrChoice = errors.New("no such kernel for this operator")

// Choice makes an operator use the micro-kernel of the given name, one of those that
// Candidates lists, in place of the one that it takes by itself. Integer results are the
// same with any of them, floats within the tolerance of the operator. "" changes nothing.
func Choice(name string) Option { return func(o *preparation) { o.choice = name } }

// refuse returns the error for a choice that is none of the candidates.
func refuse(choice string, candidates []string) error {
	return fmt.Errorf("%w: %q (have %s)", ErrChoice, choice, strings.Join(candidates, ", "))
}

// mayUse reports whether an operator of level l may use kernels of level k. Besides those
// that the level includes these are the narrow dot products of processors that have both.
func mayUse(l, k cpu.Level) bool {
	return l.Includes(k) || k == cpu.AVXVNNI && l == cpu.AVX512VNNI && cpu.Runs(k)
}

// A convForm is a way to compute a ConvF32.
type convForm struct {
	dw       *depthwiseKernelF32 // a sweep; or
	tile     *gemmTileF32        // a matrix product,
	winograd *winogradKernelF32  // between these transforms unless it is nil
}

// name is that of the micro-kernel that tells the form from the others.
func (f convForm) name() string {
	switch {
	case f.dw != nil:
		return f.dw.name
	case f.winograd != nil:
		return f.winograd.name
	}
	return f.tile.name
}

// form returns the form that is expected to be the fastest at level l.
func (s *ConvShape) form(l cpu.Level, winograd bool) convForm {
	if s.depthwise() {
		return convForm{dw: depthwiseKernel(l, s.columns(), s.StrideW)}
	}
	f := convForm{tile: gemmTile(l)}
	if m := s.winogradTile(); m > 0 && winograd && winogradKernel(l, m).level == f.tile.level {
		f.winograd = winogradKernel(l, m)
	}
	return f
}

// forms returns every form that may be used, that of form first. Portable code is among
// them only where there is nothing else.
func (s *ConvShape) forms(l cpu.Level, winograd bool) []convForm {
	first := s.form(l, winograd)
	out := []convForm{first}
	add := func(f convForm, level cpu.Level) {
		if f != first && mayUse(l, level) && (level != cpu.Generic || l == cpu.Generic) {
			out = append(out, f)
		}
	}
	if first.dw != nil {
		for i := range slices.Backward(depthwiseKernelsF32) {
			if k := &depthwiseKernelsF32[i]; k.fits(s.columns(), s.StrideW) {
				add(convForm{dw: k}, k.level)
			}
		}
		return out
	}
	for i := range slices.Backward(gemmTilesF32) {
		t := &gemmTilesF32[i]
		add(convForm{tile: t}, t.level)
	}
	if winograd && s.winogradFits() {
		for _, m := range []int{2, 4} {
			if k, t := winogradKernel(l, m), gemmTile(l); k.level == t.level {
				add(convForm{tile: t, winograd: k}, k.level)
			}
		}
	}
	return out
}

// choose returns the form of the name.
func (s *ConvShape) choose(l cpu.Level, winograd bool, name string) (convForm, error) {
	if name == "" {
		return s.form(l, winograd), nil
	}
	forms := s.forms(l, winograd)
	for _, f := range forms {
		if f.name() == name {
			return f, nil
		}
	}
	return convForm{}, refuse(name, formNames(forms))
}

func formNames(forms []convForm) []string {
	names := make([]string, len(forms))
	for i, f := range forms {
		names[i] = f.name()
	}
	return names
}

// Candidates lists the micro-kernels that the convolution can be computed with, by the
// names that Choice takes. The first is the one that it takes by itself.
func (c *ConvF32) Candidates() []string { return formNames(c.shape.forms(c.level, c.transforms)) }

// Why says by what the first of the candidates is taken.
func (c *ConvF32) Why() string {
	forms := c.shape.forms(c.level, c.transforms)
	if len(forms) == 1 {
		return whyOnly
	}
	if !c.transforms || !c.shape.winogradFits() || winogradKernel(c.level, 2).level != gemmTile(c.level).level {
		return whyLevel
	}
	m := c.shape.winogradTile()
	if m == 0 {
		m = 2
		if c.shape.winogradCost(4) < c.shape.winogradCost(2) {
			m = 4
		}
	}
	return fmt.Sprintf("cost model: winograd%dx%d at %.2f of the direct time", m, m, float64(c.shape.winogradCost(m))/float64(max(c.shape.directCost(), 1)))
}

// Reasons for a kernel.
const (
	whyOnly  = "only one"
	whyLevel = "best of the level"
)

// Candidates lists the micro-kernels that the convolution can be computed with, by the
// names that Choice takes. The first is the one that it takes by itself.
func (c *ConvU8) Candidates() []string {
	if c.dw != nil {
		return []string{c.dw.name()}
	}
	names := make([]string, len(c.gemm.fit))
	for i, k := range c.gemm.fit {
		names[i] = k.name
	}
	return names
}

// Why says by what the first of the candidates is taken.
func (c *ConvU8) Why() string {
	if len(c.Candidates()) == 1 {
		return whyOnly
	}
	return whyLevel
}

// fitU8Gemm returns the kernels that may multiply weights w, first the one that
// selectU8Gemm takes. asm is as there.
func fitU8Gemm(l cpu.Level, w []int8, asm bool) []*u8Gemm {
	first, _ := selectU8Gemm(l, w, asm)
	fit := []*u8Gemm{first}
	for _, k := range u8GemmKernels {
		if asm && first != u8GemmPortable && k != first && mayUse(l, k.level) && !(k.tame && slices.Contains(w, -128)) {
			fit = append(fit, k)
		}
	}
	return fit
}

// chooseU8Gemm is selectU8Gemm for a kernel of fit by its name; "" is the first.
func chooseU8Gemm(fit []*u8Gemm, name string) (full, narrow *u8Gemm, err error) {
	names := make([]string, len(fit))
	for i, k := range fit {
		if names[i] = k.name; k.name == name || name == "" && i == 0 {
			full = k
		}
	}
	if full == nil {
		return nil, nil, refuse(name, names)
	}
	narrow = full
	for _, k := range fit {
		if k.level == full.level && k.inOrder == full.inOrder && k.tame == full.tame && k.nr < narrow.nr {
			narrow = k
		}
	}
	return full, narrow, nil
}
