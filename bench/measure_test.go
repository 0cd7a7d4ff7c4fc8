package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// The program calls itself; in tests that is this binary.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && slices.Contains([]string{"measured", "limit", "bareproxy"}, os.Args[1]) {
		if err := dispatch(context.Background(), os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func self(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func shell(script string) command {
	return command{program: "/bin/sh", args: []string{"-c", script}, env: os.Environ(), dir: "/"}
}

func TestMeasureTellsTheChildFromItself(t *testing.T) {
	ballast := bytes.Repeat([]byte{1}, 200<<20)
	m, err := measure(t.Context(), self(t), shell("true"))
	if err != nil {
		t.Fatal(err)
	}
	if m.Peak <= 0 || m.Peak > 100<<20 {
		t.Errorf("true took %d bytes beside our %d, want a few millions", m.Peak, len(ballast))
	}
	m, err = measure(t.Context(), self(t), shell("head -c 150000000 /dev/zero | tail -c 150000000 >/dev/null; sleep 0.2"))
	if err != nil {
		t.Fatal(err)
	}
	if m.Peak < 150_000_000 || m.Peak > 200<<20 {
		t.Errorf("peak is %d bytes, want the 150 MB that tail holds", m.Peak)
	}
	if m.Seconds < 0.2 || m.CPU <= 0 {
		t.Errorf("%.3f s and %.3f s CPU, want at least the 0.2 s that sleep takes, and some CPU", m.Seconds, m.CPU)
	}
}

func TestMeasureSaysWhyACommandFailed(t *testing.T) {
	_, err := measure(t.Context(), self(t), shell("echo wrong password >&2; exit 12"))
	if err == nil || !strings.Contains(err.Error(), "wrong password") {
		t.Errorf("error is %v, want what the command wrote", err)
	}
}
