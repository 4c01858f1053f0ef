//go:build !amd64 && !arm64

package cpu

func machineLevels() []Level { return []Level{Generic} }

func machineFeatures() []string { return nil }
