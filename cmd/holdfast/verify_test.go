package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"holdfast/repo/repotest"
)

// TestAnInterruptedComparison is no difference: what could not be read to its end is not
// something else.
func TestAnInterruptedComparison(t *testing.T) {
	r := repotest.Open(t, repotest.New(t))
	data := repotest.Random(1, 100_000)
	s := repotest.Put(t, r, repotest.Files{"a": data}, nil)
	at := filepath.Join(t.TempDir(), "a")
	if err := os.WriteFile(at, data, 0o600); err != nil {
		t.Fatal(err)
	}
	for e, err := range r.Children(t.Context(), s.Root) {
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(errInterrupted)
		v := comparison{ctx: ctx, content: r, progress: newTracker(time.Now())}
		if err := v.file(e, e.Name, at); !errors.Is(err, errInterrupted) || len(v.result.Differences) > 0 {
			t.Errorf("%v, %v", err, v.result.Differences)
		}
		v.ctx = t.Context()
		if err := v.file(e, e.Name, at); err != nil || len(v.result.Differences) > 0 {
			t.Errorf("not interrupted: %v, %v", err, v.result.Differences)
		}
	}
}
