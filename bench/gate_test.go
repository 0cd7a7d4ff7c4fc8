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
	for name, l := range map[string]report.Latency{"direct": g.Direct, "nginx": g.NginxIdle, "httputil": g.BareIdle, "gate": g.Idle} {
		if l.Requests < 100 || l.Requests != g.Direct.Requests || l.P99 < l.Median || l.Median <= 0 || len(l.Rounds) != 1 {
			t.Errorf("latency of %s: %+v", name, l)
		}
	}
	for name, r := range map[string]report.Rate{"direct": g.NoProxy, "nginx": g.Nginx, "httputil": g.Bare, "gate": g.Gate} {
		if r.PerSecond <= 0 || len(r.Rounds) != 1 {
			t.Errorf("throughput of %s: %+v", name, r)
		}
	}
	if g.Held.Answered != 300 || g.Held.Requests != 300 || g.Held.Bytes <= 0 {
		t.Errorf("held: %+v", g.Held)
	}
	if text, err := json.Marshal(g); err != nil || len(g.Picture()) == 0 || len(g.Tables()) != 3 {
		t.Errorf("%s, %v", text, err)
	}
}
