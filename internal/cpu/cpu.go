// Package cpu says what the machine underneath can do: instruction set levels,
// cache sizes and usable cores. It is the only reader of cpuid and hwcap; every
// other package asks here.
package cpu

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
)

// A Level names a set of instructions that kernels are written for. Every
// machine runs Generic. Levels of one architecture are ordered by what they
// bring, but not each includes all below it: AVXVNNI is an extension of AVX2 that
// AVX512 does not imply.
type Level uint8

const (
	Generic    Level = iota // portable Go
	AVX2                    // amd64: AVX2, FMA and F16C
	AVXVNNI                 // amd64: VPDPBUSD on ymm in its VEX form, besides AVX2
	AVX512                  // amd64: AVX-512 F, BW, DQ and VL, besides AVX2
	AVX512VNNI              // amd64: VPDPBUSD on zmm, besides AVX512
	NEON                    // arm64: Advanced SIMD
	NEONDot                 // arm64: SDOT and UDOT, besides NEON
	NEONI8MM                // arm64: USMMLA and USDOT, besides NEONDot
)

var levelNames = [...]string{"generic", "avx2", "avxvnni", "avx512", "avx512vnni", "neon", "neondot", "neoni8mm"}

func (l Level) String() string {
	if int(l) < len(levelNames) {
		return levelNames[l]
	}
	return fmt.Sprintf("level(%d)", uint8(l))
}

// ParseLevel returns the level of a name as String writes it, in any case.
func ParseLevel(s string) (Level, error) {
	for i, name := range levelNames {
		if strings.EqualFold(s, name) {
			return Level(i), nil
		}
	}
	return Generic, fmt.Errorf("unknown instruction set level %q (want one of %s)", s, strings.Join(levelNames[:], ", "))
}

// Includes reports whether a machine at level l runs code written for level k.
func (l Level) Includes(k Level) bool {
	switch {
	case k == Generic || k == l:
		return true
	case k == AVXVNNI:
		return false
	case k >= NEON:
		return l >= k
	default:
		return l < NEON && l >= k
	}
}

// ISAVariable is the environment variable that lowers the level Best returns.
const ISAVariable = "EDGEWISE_ISA"

var levels = sync.OnceValue(func() []Level { return lower(machineLevels(), os.Getenv(ISAVariable)) })

// lower keeps those of the ascending list of runnable levels that the one named
// includes. An empty or unknown name keeps all. A level is never raised: one that
// the machine does not run stands for the highest it does that the level includes.
func lower(all []Level, name string) []Level {
	want, err := ParseLevel(strings.TrimSpace(name))
	if err != nil {
		return all
	}
	return slices.DeleteFunc(slices.Clone(all), func(l Level) bool { return !want.Includes(l) })
}

// Best returns the highest level of this machine, lowered to the one that the
// environment variable EDGEWISE_ISA names. It is read once.
func Best() Level {
	all := levels()
	return all[len(all)-1]
}

// Levels returns every level this process may run, ascending, Generic first
// and Best last. The caller owns the slice.
func Levels() []Level { return append([]Level(nil), levels()...) }

// Runs reports whether this process may run code written for level k.
func Runs(k Level) bool { return slices.Contains(levels(), k) }

// Info describes the processor for people and reports. Sizes are in bytes per
// core as the system shows them, 0 where unknown.
type Info struct {
	Vendor, Model string
	Features      []string
	L1D, L2, L3   int
}

// Has reports whether the processor has a feature, by the name that Info lists. Unlike
// Detect it reads no file.
func Has(feature string) bool { return slices.Contains(machineFeatures(), feature) }

var detect = sync.OnceValue(func() Info {
	info := Info{Features: machineFeatures()}
	readSystem(&info)
	return info
})

// Detect returns what is known about the processor.
func Detect() Info {
	info := detect()
	info.Features = append([]string(nil), info.Features...)
	return info
}
