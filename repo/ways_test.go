package repo_test

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"testing"

	"holdfast/internal/blob"
	"holdfast/internal/storage/storagetest"
	"holdfast/repo"
	"holdfast/repo/check"
	"holdfast/repo/pack"
	"holdfast/repo/repotest"
)

// Listings are stored twice, and each as a difference to the one before: in a chain of
// n there are 2ⁿ ways down. A snapshot a day, and a look at one whose end is lost,
// must not try them all: this test would not end.
func TestOfAllWaysThroughAChainFewAreTried(t *testing.T) {
	store := storagetest.NewMemory()
	if _, err := repo.Init(t.Context(), store, secret, repo.Slot{Cost: cheap, Now: start}, "test", repo.Options{Random: rand.Reader}); err != nil {
		t.Fatal(err)
	}
	r := mustOpen(t, store)
	want := repotest.Files{}
	for i := range 1000 {
		want[fmt.Sprintf("file %04d", i)] = fmt.Appendf(nil, "%d", i)
	}
	s := repotest.Put(t, r, want, nil)
	longest := 0
	for day := range 80 {
		want[fmt.Sprintf("file %04d", day*11)] = fmt.Appendf(nil, "on day %d", day)
		s = repotest.Put(t, r, want, s)
		for _, ref := range s.Root.Content.Refs {
			deltas := map[blob.ID]uint32{}
			chainOf(t, r, ref.ID, deltas)
			longest = max(longest, len(deltas))
		}
	}
	if longest < 40 {
		t.Fatalf("the longest chain has %d deltas only", longest)
	}
	repotest.MustHold(t, r, s, want)

	for _, ref := range s.Root.Content.Refs {
		end := chainOf(t, r, ref.ID, map[blob.ID]uint32{})
		copies, err := r.Copies(end.ID)
		if err != nil || len(copies) != 2 {
			t.Fatalf("%d copies at the end of a chain, %v", len(copies), err)
		}
		for _, c := range copies {
			if err := store.Delete(t.Context(), pack.ObjectName(c.Pack.Name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Fatal(err)
			}
		}
	}
	r = mustOpen(t, store)
	var missing *repo.MissingError
	for _, err := range r.Children(t.Context(), s.Root) {
		if err != nil && !errors.As(err, &missing) {
			t.Error(err)
		}
	}
	if missing == nil {
		t.Error("a listing was read whose end is lost")
	}
	report, err := check.Run(t.Context(), r, check.Options{})
	if err != nil || len(report.Problems) == 0 {
		t.Errorf("check found %d problems: %v", len(report.Problems), err)
	}
}
