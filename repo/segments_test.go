package repo_test

import (
	"fmt"
	"testing"
	"time"

	"holdfast/repo/repotest"
)

// An index that is too large for memory finds the same: what is there is not
// stored again, and everything comes back.
func TestAnIndexBeyondMemoryFindsTheSame(t *testing.T) {
	days := []repotest.Files{
		{"rows.sql": repotest.Dump(1, 20_000), "noise": repotest.Random(2, 3<<20), "small": repotest.Random(3, 100)},
		{"rows.sql": repotest.Dump(1, 20_000), "noise": repotest.Random(2, 3<<20), "small": repotest.Random(4, 100)},
	}
	p := newPlace(t)
	beyond := p.open()
	beyond.KeepSegmentsOnDisk()
	first := repotest.Put(t, beyond, days[0], nil)
	stored := totals(t, beyond).Blobs
	repotest.Put(t, beyond, days[0], first)
	if again := totals(t, beyond).Blobs; again != stored {
		t.Errorf("the same again stores %d blobs", again-stored)
	}

	beyond = p.open()
	beyond.KeepSegmentsOnDisk()
	second := repotest.Put(t, beyond, days[1], first)
	if more := totals(t, beyond).Blobs - stored; more != 3 {
		t.Errorf("a changed small file stores %d blobs, want it and, twice, the listing", more)
	}
	repotest.MustHold(t, beyond, first, days[0])
	repotest.MustHold(t, p.open(), second, days[1])
	repotest.MustBeWhole(t, beyond)
}

// Segments that are read where they lie may be joined to others and removed while they
// are in use: what took their place is read.
func TestSegmentsThatAreJoinedWhileTheyAreInUse(t *testing.T) {
	store := repotest.New(t)
	files := repotest.Files{}
	for i := range 5000 { // more than a frame of entries, the last of which is kept
		files[fmt.Sprint(i)] = fmt.Appendf(nil, "file %d", i)
	}
	first := repotest.Put(t, repotest.Open(t, store), files, nil)
	r := repotest.Open(t, store)
	r.KeepSegmentsOnDisk()
	for range 3 {
		if err := r.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		if done, err := repotest.Open(t, store).RebuildIndex(t.Context(), time.Now, func(int, int) {}); err != nil || done.Replaced == 0 {
			t.Fatalf("%d segments were replaced: %v", done.Replaced, err)
		}
		repotest.MustHold(t, r, first, files)
	}
	if packs, err := r.IndexedPacks(t.Context()); err != nil || len(packs) == 0 {
		t.Errorf("%d packs, %v", len(packs), err)
	}
}
