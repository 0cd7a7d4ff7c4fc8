package repo_test

import (
	"testing"

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
