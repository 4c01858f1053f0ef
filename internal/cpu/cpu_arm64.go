package cpu

import "golang.org/x/sys/cpu"

func machineLevels() []Level {
	// Advanced SIMD is part of every arm64 that Go runs on.
	all := []Level{Generic, NEON}
	if !cpu.ARM64.HasASIMDDP {
		return all
	}
	all = append(all, NEONDot)
	if cpu.ARM64.HasI8MM {
		all = append(all, NEONI8MM)
	}
	return all
}

func machineFeatures() []string {
	a := &cpu.ARM64
	return named(
		feature{"asimd", true}, feature{"asimdhp", a.HasASIMDHP}, feature{"asimddp", a.HasASIMDDP},
		feature{"i8mm", a.HasI8MM}, feature{"sve", a.HasSVE}, feature{"sve2", a.HasSVE2},
	)
}
