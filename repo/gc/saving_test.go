package gc_test

import (
	"slices"
	"testing"

	"holdfast/repo"
	"holdfast/repo/gc"
	"holdfast/repo/repotest"
)

// TestWhatPruningFreesIsToldBefore: an image of its own is what a day costs, and
// what all days share counts with the last of them only.
func TestWhatPruningFreesIsToldBefore(t *testing.T) {
	const image, shared = 200_000, 50_000
	w := newWorld(t, 3)
	r := repotest.Open(t, w.store)
	for _, c := range []struct {
		going   []int
		is      uint64
		atMost  uint64
		because string
	}{
		{nil, 0, 0, "nothing goes"},
		{[]int{1}, image, image + 30_000, "a day has its image, and differences of the dump"},
		{[]int{0, 1, 2}, 3*image + shared, 3*image + shared + 400_000, "all go, with what they share"},
	} {
		var staying, going []*repo.Snapshot
		for day, s := range w.snapshots {
			if slices.Contains(c.going, day) {
				going = append(going, s)
			} else {
				staying = append(staying, s)
			}
		}
		got, err := gc.Saving(t.Context(), r, staying, going)
		if err != nil || got < c.is || got > c.atMost {
			t.Errorf("%s: frees %d, %v; want %d to %d", c.because, got, err, c.is, c.atMost)
		}
	}
}
