package kernel

import "github.com/edgewise-ml/edgewise/internal/cpu"

//go:noescape
func channelDotF32AVX2(args *channelsF32)

//go:noescape
func channelDotF32AVX512(args *channelsF32)

//go:noescape
func channelSumF32AVX2(args *channelsF32)

//go:noescape
func channelSumF32AVX512(args *channelsF32)

//go:noescape
func channelAffineF32AVX2(args *channelsF32)

//go:noescape
func channelAffineF32AVX512(args *channelsF32)

func channelsArch(l cpu.Level) bool { return l.Includes(cpu.AVX2) }

//go:noinline
func (c *channelsF32) call(l cpu.Level, call channelsCall) {
	switch wide := l.Includes(cpu.AVX512); {
	case call == channelDot && wide:
		channelDotF32AVX512(c)
	case call == channelDot:
		channelDotF32AVX2(c)
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

func init() {
	for _, level := range []struct {
		l     cpu.Level
		lanes int
		tag   string
	}{{cpu.AVX2, 8, "_8_avx2"}, {cpu.AVX512, 16, "_16_avx512"}} {
		registerChannels(level.l, level.lanes, level.tag)
	}
}
