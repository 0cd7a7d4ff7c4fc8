package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// holdfast builds the program under test.
func holdfast(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "holdfast")
	if output, err := exec.CommandContext(t.Context(), "go", "build", "-o", path, "holdfast/cmd/holdfast").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, output)
	}
	return path
}

func play(t *testing.T, program string) (string, error) {
	t.Helper()
	dir := t.TempDir()
	var out strings.Builder
	d := &demo{out: io.MultiWriter(&out, t.Output()), dir: dir, program: program, scale: 0.02, rate: 40, seed: 1}
	err := d.run(t.Context())
	return out.String(), err
}

func TestDemo(t *testing.T) {
	out, err := play(t, holdfast(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Snapshot name: ", "% Complete", "of the first day", "one file of the first day", "Requests were held for", "(the longest ", "None failed", "The site itself is unharmed"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q was not said", want)
		}
	}
	if n := strings.Count(out, "Verified: "); n != 3 {
		t.Errorf("%d restores were verified, want 3", n)
	}
}

// Whatever comes back wrong, the demo says so and fails.
func TestDemoNoticesDamage(t *testing.T) {
	program := holdfast(t)
	for name, test := range map[string]struct{ when, damage, want string }{
		"a byte in staging":       {"--target", "flip $(find staging/uploads -type f -size +10k | head -n 1)", "the first day in staging differs:\nfile "},
		"the wrong day":           {"--target", "cp master/site.db staging/site.db", "the first day in staging differs:\n"},
		"a byte in the one file":  {"--path", "flip $(find one-file -type f)", "differs from the upload"},
		"the site itself":         {"--to next-day", "rm $(find master/uploads -type f | head -n 1)", "the site itself differs:\nfile "},
		"more on standard output": {"create", "echo done", "want one line"},
		"a failure":               {"create", "exit 3", "exit status 3"},
	} {
		t.Run(name, func(t *testing.T) {
			script := fmt.Sprintf("#!/bin/sh\ntrap : TERM # the gate ends by it, and we with the gate\nflip() { printf x | dd of=\"$1\" bs=1 seek=5000 conv=notrunc 2>/dev/null; }\n%s \"$@\" || exit\ncase \"$*\" in *%q*) %s ;; esac\n", program, test.when, test.damage)
			wrapped := filepath.Join(t.TempDir(), "holdfast")
			if err := os.WriteFile(wrapped, []byte(script), 0o755); err != nil {
				t.Fatal(err)
			}
			if _, err := play(t, wrapped); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("the demo ended with %v, want %q", err, test.want)
			}
		})
	}
}
