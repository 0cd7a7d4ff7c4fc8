package main

import (
	"fmt"
	"os"
	"runtime/pprof"
)

// profileVariable names a file that gets a CPU profile of the whole command, for
// "go tool pprof": how docs/benchmarks.md knows where the time goes.
const profileVariable = "HOLDFAST_CPU_PROFILE"

// profile starts the profile that the environment asks for, and returns what
// ends it.
func profile(path string) (stop func() error, err error) {
	if path == "" {
		return func() error { return nil }, nil
	}
	f, err := os.Create(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", profileVariable, err)
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, fmt.Errorf("%s: %w", profileVariable, err)
	}
	return func() error {
		pprof.StopCPUProfile()
		return f.Close()
	}, nil
}
