package main

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/internal/activity"
	"holdfast/internal/snapshot"
)

// A recovery waits for a process that is about to be gone, and not for one that works
// on; any other failure is told at once.
func TestARecoveryWaitsForTheDying(t *testing.T) {
	other := errors.New("no space left")
	for _, c := range []struct {
		name  string
		fails int // times
		with  error
		want  error
		after time.Duration
	}{
		{"nobody is there", 0, nil, nil, 0},
		{"a process lets go of its lock", 3, fmt.Errorf("lock: %w", snapshot.ErrLocked), nil, 300 * time.Millisecond},
		{"a process is not yet gone", 2, &activity.BusyError{}, nil, 200 * time.Millisecond},
		{"a process works on", 1000, snapshot.ErrLocked, snapshot.ErrLocked, dying},
		{"something else", 1000, other, other, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start, calls := time.Now(), 0
				err := onceFree(t.Context(), func() error {
					if calls++; calls <= c.fails {
						return c.with
					}
					return nil
				})
				if !errors.Is(err, c.want) || time.Since(start) != c.after {
					t.Errorf("after %s: %v", time.Since(start), err)
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		if err := onceFree(ctx, func() error { return snapshot.ErrLocked }); err == nil || time.Since(start) != time.Second {
			t.Errorf("interrupted after a second, it ended after %s with %v", time.Since(start), err)
		}
	})
}

// A journal that was not written to its end never counted, and a recovery removes it.
func TestARecoveryRemovesHalfAJournal(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteConfig)
	s.repository()
	s.write(".holdfast/shop-staging/restore.json.new", []byte(`{"version": 1, "sta`))
	if out := s.ok("-e", "staging", "snapshot", "recover"); out != "There is no interrupted restore of staging\n" {
		t.Error(out)
	}
	if left := s.leftovers(); len(left) > 0 {
		t.Errorf("left behind: %s", left)
	}
}
