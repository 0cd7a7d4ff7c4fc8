package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"holdfast/bench/report"
)

// A whole run, in small: what it measures is what it says.
func TestGateBesideNginx(t *testing.T) {
	t.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin:/sbin")
	need(t, "nginx")
	dir := t.TempDir()
	holdfast, out := filepath.Join(dir, "holdfast"), filepath.Join(dir, "gate.json")
	if said, err := exec.CommandContext(t.Context(), "go", "build", "-o", holdfast, "holdfast/cmd/holdfast").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, said)
	}
	err := quietly(t, func() error {
		return dispatch(t.Context(), []string{"gate", "--holdfast", holdfast, "--out", out, "--rounds", "1", "--for", "300ms", "--held", "300"})
	})
	if err != nil {
		t.Fatal(err)
	}
	r, err := report.Load(out)
	if err != nil {
		t.Fatal(err)
	}
	g := r.(*report.Gate)
	if g.Direct.Requests < 100 || g.Idle.Requests != g.Direct.Requests || g.Idle.P99 <= 0 {
		t.Errorf("latency: %+v and %+v", g.Direct, g.Idle)
	}
	if g.Gate.PerSecond <= 0 || g.Nginx.PerSecond <= 0 || g.Bare.PerSecond <= 0 {
		t.Errorf("throughput: %+v, %+v, %+v", g.Bare, g.Nginx, g.Gate)
	}
	if g.Held.Answered != 300 || g.Held.Requests != 300 || g.Held.Bytes <= 0 {
		t.Errorf("held: %+v", g.Held)
	}
	if text, err := json.Marshal(g); err != nil || len(g.Picture()) == 0 || len(g.Tables()) != 3 {
		t.Errorf("%s, %v", text, err)
	}
}
