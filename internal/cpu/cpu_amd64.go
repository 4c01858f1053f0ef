package cpu

import "golang.org/x/sys/cpu"

func machineLevels() []Level {
	x := &cpu.X86
	all := []Level{Generic}
	// x/sys/cpu clears the AVX bits where the system does not save the registers.
	if !(x.HasAVX2 && x.HasFMA && x.HasBMI2) {
		return all
	}
	all = append(all, AVX2)
	if x.HasAVXVNNI {
		all = append(all, AVXVNNI)
	}
	if !(x.HasAVX512F && x.HasAVX512BW && x.HasAVX512DQ && x.HasAVX512VL) {
		return all
	}
	all = append(all, AVX512)
	if x.HasAVX512VNNI {
		all = append(all, AVX512VNNI)
	}
	return all
}

func machineFeatures() []string {
	x := &cpu.X86
	return named(
		feature{"sse4.1", x.HasSSE41}, feature{"sse4.2", x.HasSSE42}, feature{"avx", x.HasAVX},
		feature{"avx2", x.HasAVX2}, feature{"fma", x.HasFMA}, feature{"bmi2", x.HasBMI2},
		feature{"avx512f", x.HasAVX512F}, feature{"avx512bw", x.HasAVX512BW}, feature{"avx512dq", x.HasAVX512DQ},
		feature{"avx512vl", x.HasAVX512VL}, feature{"avx512vbmi", x.HasAVX512VBMI},
		feature{"avx512vnni", x.HasAVX512VNNI}, feature{"avx512bf16", x.HasAVX512BF16},
		feature{"avxvnni", x.HasAVXVNNI}, feature{"amx_int8", x.HasAMXInt8}, feature{"amx_bf16", x.HasAMXBF16},
	)
}
