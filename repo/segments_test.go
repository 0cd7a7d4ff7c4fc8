package repo_test

import "testing"

// An index that is too large for memory finds the same: what is there is not
// stored again, and everything comes back.
func TestAnIndexBeyondMemoryFindsTheSame(t *testing.T) {
	days := []files{
		{"rows.sql": dump(1, 20_000), "noise": random(2, 3<<20), "small": random(3, 100)},
		{"rows.sql": dump(1, 20_000), "noise": random(2, 3<<20), "small": random(4, 100)},
	}
	p := newPlace(t)
	beyond := p.open()
	beyond.KeepSegmentsOnDisk()
	first := put(t, beyond, days[0], nil)
	stored := totals(t, beyond).Blobs
	put(t, beyond, days[0], first)
	if again := totals(t, beyond).Blobs; again != stored {
		t.Errorf("the same again stores %d blobs", again-stored)
	}

	beyond = p.open()
	beyond.KeepSegmentsOnDisk()
	second := put(t, beyond, days[1], first)
	if more := totals(t, beyond).Blobs - stored; more != 2 {
		t.Errorf("a changed small file stores %d blobs, want it and the listing", more)
	}
	mustHold(t, beyond, first, days[0])
	mustHold(t, p.open(), second, days[1])
	mustBeWhole(t, beyond)
}
