package repair_test

import (
	"errors"
	"strings"
	"testing"

	"holdfast/internal/storage"
	"holdfast/internal/storage/storagetest"
	"holdfast/repo/repair"
	"holdfast/repo/repotest"
)

// TestNoRoomForParity: what a repair has mended, and what is lost, is told although there is
// no room to cover it by parity, which comes last.
func TestNoRoomForParity(t *testing.T) {
	w := withParity(t, 10)
	for _, object := range w.store.Names() {
		if strings.HasPrefix(object, "parity/groups/") || strings.HasPrefix(object, "index/") {
			if err := w.store.Delete(t.Context(), object); err != nil {
				t.Fatal(err)
			}
		}
	}
	store := storagetest.NewFaulty(w.store)
	full := store.Inject(storagetest.Fault{Ops: storagetest.Put, Names: storagetest.Under("parity/groups"), Effect: storagetest.Full()})
	report, err := repair.Run(t.Context(), open(t, store), options())
	if err != nil || report.Index == nil || !errors.Is(report.Uncovered, storage.ErrFull) || full.Hits() == 0 {
		t.Errorf("%v, %+v", err, report)
	}
	repotest.MustBeWhole(t, open(t, w.store))
}
