package kernel

import "github.com/edgewise-ml/edgewise/internal/cpu"

//go:noescape
func channelDotF32AVX2(args *channelsF32)

//go:noescape
func channelDotF32AVX512(args *channelsF32)

//go:noescape
func channelDot3F32AVX2(args *channelsF32)

//go:noescape
func channelDot3F32AVX512(args *channelsF32)

//go:noescape
func channelSumF32AVX2(args *channelsF32)

//go:noescape
func channelSumF32AVX512(args *channelsF32)

//go:noescape
func channelAffineF32AVX2(args *channelsF32)

//go:noescape
func channelAffineF32AVX512(args *channelsF32)

//go:noescape
func gateF32AVX2(dst, x, y *float32, n int, lo, hi float32)

//go:noescape
func gateF32AVX512(dst, x, y *float32, n int, lo, hi float32)

// gateArch computes whole vectors of GateF32 and returns how many values that is.
//
//go:noinline
func gateArch(l cpu.Level, dst, x, y []float32, lo, hi float32) int {
	switch n := len(dst); {
	case n < 16 || !l.Includes(cpu.AVX2):
		return 0
	case l.Includes(cpu.AVX512):
		gateF32AVX512(&dst[0], &x[0], &y[0], n, lo, hi)
		return n &^ 15
	default:
		gateF32AVX2(&dst[0], &x[0], &y[0], n, lo, hi)
		return n &^ 7
	}
}

func channelsArch(l cpu.Level) bool { return l.Includes(cpu.AVX2) }

//go:noinline
func (c *channelsF32) call(l cpu.Level, call channelsCall) {
	switch wide := l.Includes(cpu.AVX512); {
	case call == channelDot && wide:
		channelDotF32AVX512(c)
	case call == channelDot:
		channelDotF32AVX2(c)
	case call == channelDot3 && wide:
		channelDot3F32AVX512(c)
	case call == channelDot3:
		channelDot3F32AVX2(c)
	case call == channelSum && wide:
		channelSumF32AVX512(c)
	case call == channelSum:
		channelSumF32AVX2(c)
	case wide:
		channelAffineF32AVX512(c)
	default:
		channelAffineF32AVX2(c)
	}
}

func init() { later(registerChannelsArch) }

func registerChannelsArch() {
	for _, level := range []struct {
		l     cpu.Level
		lanes int
		tag   string
	}{{cpu.AVX2, 8, "_8_avx2"}, {cpu.AVX512, 16, "_16_avx512"}} {
		registerChannels(level.l, level.lanes, level.tag)
	}
}
