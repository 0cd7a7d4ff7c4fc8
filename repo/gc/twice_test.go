package gc_test

import (
	"slices"
	"strings"
	"testing"

	"holdfast/internal/storage/storagetest"
	"holdfast/repo/repotest"
)

// TestALostPackTakesNoListing: whichever pack is lost, before and after collections
// that copy what is needed to other packs, each snapshot can be walked, so that what
// lies in the other packs is found.
func TestALostPackTakesNoListing(t *testing.T) {
	w := halfDead(t)
	w.mustWalkWithoutAnyPack(t, 0, 1, 3)
	for range 3 {
		collect(t, w.store, w.again())
		w.mustWalkWithoutAnyPack(t, 0, 1, 3)
	}
	again := w.again()
	again.Erase = true
	collect(t, w.store, again)
	w.mustWalkWithoutAnyPack(t, 0, 1, 3)
}

func (w *world) mustWalkWithoutAnyPack(t *testing.T, gone ...int) {
	t.Helper()
	packs := 0
	for _, name := range w.store.Names() {
		if !strings.HasPrefix(name, "packs/") {
			continue
		}
		packs++
		state := w.store.Clone()
		if err := state.Delete(t.Context(), name); err != nil {
			t.Fatal(err)
		}
		w.mustWalk(t, state, gone...)
	}
	if packs < 2 {
		t.Errorf("there are %d packs only", packs)
	}
}

func (w *world) mustWalk(t *testing.T, state *storagetest.Memory, but ...int) {
	t.Helper()
	r := repotest.Open(t, state)
	for day, s := range w.snapshots {
		if slices.Contains(but, day) {
			continue
		}
		names := 0
		for _, err := range r.Children(t.Context(), s.Root) {
			if err != nil {
				t.Fatalf("day %d: %v", day, err)
			}
			names++
		}
		if names != len(w.contents[day]) {
			t.Errorf("day %d: %d entries, want %d", day, names, len(w.contents[day]))
		}
	}
}
