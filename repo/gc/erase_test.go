package gc_test

import (
	"testing"
	"time"

	"holdfast/internal/blob"
	"holdfast/internal/storage/storagetest"
	"holdfast/repo/gc"
	"holdfast/repo/repotest"
	"holdfast/repo/trace"
)

// strangers counts the blobs in the index that no snapshot needs for itself.
func (w *world) strangers(t *testing.T, state *storagetest.Memory) int {
	t.Helper()
	r := repotest.Open(t, state)
	catalog, err := r.Catalog(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer catalog.Close()
	walker := trace.New(r, catalog, everyBlob{})
	all, err := r.Snapshots(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		if _, err := walker.Walk(t.Context(), s.Root); err != nil {
			t.Fatal(err)
		}
	}
	ids := map[blob.ID]bool{}
	for row, err := range catalog.Rows() {
		if err != nil {
			t.Fatal(err)
		}
		ids[row.ID] = true
	}
	return len(ids) - walker.Reached().Count()
}

type everyBlob struct{}

func (everyBlob) Blob(_ trace.Where, _ blob.ID, from, to int) (bool, error) { return from < to, nil }
func (everyBlob) Unreadable(_ trace.Where, _ string, err error) error       { return err }

func TestWhatLivesOnlyAsABaseIsErased(t *testing.T) {
	w := newWorld(t, 5)
	w.delete(t, w.store, 0, 1, 3)
	kept := w.store.Clone()
	collect(t, kept, w.options(0))
	if w.strangers(t, kept) == 0 {
		t.Fatal("no difference needs what only a deleted snapshot had")
	}

	t.Run("at once", func(t *testing.T) {
		state := kept.Clone()
		o := w.options(0)
		o.Erase = true
		collect(t, state, o)
		w.mustHold(t, state, 0, 1, 3)
		if n := w.strangers(t, state); n > 0 {
			t.Errorf("%d blobs of deleted snapshots are left", n)
		}
	})
	t.Run("in time", func(t *testing.T) {
		state := kept.Clone()
		o := gc.Options{Now: func() time.Time { return w.now }, BaseRetention: 14 * 24 * time.Hour}
		before := w.now
		defer func() { w.now = before }()
		for day := range 16 {
			w.now = before.Add(time.Duration(day) * 24 * time.Hour)
			collect(t, state, o)
			if n := w.strangers(t, state); (n == 0) != (day >= 14) {
				t.Errorf("after %d days %d blobs of deleted snapshots are left", day, n)
			}
			w.mustHold(t, state, 0, 1, 3)
		}
	})
	t.Run("killed anywhere", func(t *testing.T) {
		recorder := storagetest.NewRecorder(t, kept.Clone())
		o := w.options(0)
		o.Erase = true
		collect(t, recorder, o)
		for n, state := range recorder.Prefixes() {
			if n%stride(t, 4) > 0 {
				continue
			}
			w.mustHold(t, state, 0, 1, 3)
			o := w.again()
			o.Erase = true
			collect(t, state, o)
			w.mustHold(t, state, 0, 1, 3)
			if n := w.strangers(t, state); n > 0 {
				t.Errorf("%d blobs of deleted snapshots are left", n)
			}
		}
	})
}
