package repair_test

import (
	"testing"
	"time"

	"holdfast/internal/storage/storagetest"
	"holdfast/repo"
	"holdfast/repo/gc"
)

// TestACollectionBeneathParity stops a collection of a repository with parity after
// each change that it makes, and repairs: what was removed is not brought back to
// disturb anybody, and what is left is whole.
func TestACollectionBeneathParity(t *testing.T) {
	w := withParity(t, 50)
	r := open(t, w.store)
	if _, err := r.Mark(t.Context(), w.snapshots[0].Name, repo.Delete, now()); err != nil {
		t.Fatal(err)
	}
	later := func() time.Time { return start.Add(time.Hour) }
	recorder := storagetest.NewRecorder(t, w.store.Clone())
	if _, err := gc.Run(t.Context(), open(t, recorder), gc.Options{Now: later, MaxRepack: 1 << 40}); err != nil {
		t.Fatal(err)
	}
	left := world{snapshots: w.snapshots[1:], sites: w.sites[1:]}
	states := 0
	for _, state := range recorder.Prefixes() {
		states++
		report, _ := mend(t, state)
		if len(report.Lost) > 0 || len(report.Unread) > 0 {
			t.Errorf("after %d changes: %+v", states-1, report)
		}
		if lost := mustBeMended(t, left, state); lost > 0 {
			t.Errorf("after %d changes: %d files are lost", states-1, lost)
		}
		if status, err := open(t, state).ParityStatus(t.Context()); err != nil || status.Uncovered > 0 {
			t.Errorf("after %d changes: %+v, %v", states-1, status, err)
		}
	}
	t.Logf("%d prefixes", states)
	if states < 8 {
		t.Errorf("%d states only", states)
	}
}
