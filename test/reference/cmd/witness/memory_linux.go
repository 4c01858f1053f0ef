package main

import (
	"bytes"
	"os"
	"strconv"
)

// peakRSS is the process's highest resident set so far, in KiB, or 0 where
// /proc is not mounted. It is read from VmHWM because getrusage's ru_maxrss
// also counts what the parent process had before exec.
func peakRSS() int64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range bytes.Lines(status) {
		if f := bytes.Fields(line); len(f) == 3 && string(f[0]) == "VmHWM:" {
			kb, _ := strconv.ParseInt(string(f[1]), 10, 64)
			return kb
		}
	}
	return 0
}
