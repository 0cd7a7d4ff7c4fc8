package gc_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"holdfast/internal/storage"
	"holdfast/internal/storage/storagetest"
	"holdfast/repo/gc"
	"holdfast/repo/repotest"
)

// TestAFullStorage: where there is no room for a single pack more, what nobody needs
// anything of is freed all the same; all that is needed stays, and a collection that
// has room does the rest.
func TestAFullStorage(t *testing.T) {
	for name, build := range map[string]func(testing.TB) *world{
		"never collected": func(t testing.TB) *world {
			w := newWorld(t, 6)
			w.delete(t, w.store, 0, 1, 3)
			return w
		},
		"half dead": halfDead,
	} {
		t.Run(name, func(t *testing.T) {
			w := build(t)
			store := storagetest.NewFaulty(w.store)
			full := store.Inject(storagetest.Fault{Ops: storagetest.Put, Names: storagetest.Under("packs"), Effect: storagetest.Full()})
			before := w.store.Size()
			report := collect(t, store, w.options(0))
			if !report.Full || report.Freed.Packs == 0 || w.store.Size() >= before {
				t.Errorf("%d bytes were %d: %+v", w.store.Size(), before, report)
			}
			w.mustHold(t, w.store, 0, 1, 3)
			if _, err := gc.Run(t.Context(), repotest.Open(t, store), w.options(0)); !errors.Is(err, storage.ErrFull) {
				t.Errorf("nothing is left to be freed without room, and it ends with %v", err)
			}
			full.Stop()
			w.mustRecover(t, w.store, want(t, build))
		})
	}
}

// TestNoRoomForTheIndex: packs are deleted that the index goes on naming. Nobody takes
// them for lost, and a collection that has room puts it right.
func TestNoRoomForTheIndex(t *testing.T) {
	w := halfDead(t)
	store := storagetest.NewFaulty(w.store)
	for _, folder := range []string{"packs", "index"} {
		store.Inject(storagetest.Fault{Ops: storagetest.Put, Names: storagetest.Under(folder), Effect: storagetest.Full()})
	}
	if report := collect(t, store, w.options(0)); !report.Full || report.Freed.Packs == 0 || len(report.Pending) > 0 && report.Pending[0].Bytes == 0 {
		t.Errorf("%+v", report)
	}
	w.mustHold(t, w.store, 0, 1, 3)
	if notes := strings.Join(repotest.MustBeWhole(t, repotest.Open(t, w.store)).Notes, "; "); !strings.Contains(notes, "there was no room to write it") {
		t.Errorf("check remarks upon %q", notes)
	}
	if _, err := gc.Run(t.Context(), repotest.Open(t, store), w.options(0)); !errors.Is(err, storage.ErrFull) {
		t.Errorf("what was freed is freed once more: %v", err)
	}
	collect(t, w.store, w.again())
	r := repotest.Open(t, w.store)
	if gone, notes := repotest.Gone(t, r), repotest.MustBeWhole(t, r).Notes; len(gone)+len(notes) > 0 {
		t.Errorf("the index names packs that are gone: %x; check remarks upon %q", gone, notes)
	}
	w.mustRecover(t, w.store, want(t, halfDead))
}

// want is how large a world becomes in which nothing goes wrong.
func want(t *testing.T, build func(testing.TB) *world) int64 {
	w := build(t)
	collect(t, w.store, w.again())
	collect(t, w.store, w.again())
	return w.store.Size()
}

// TestNotAByteOfRoom: a storage that takes no byte more is collected with the room of
// the reserve, until as little is left as if it had never been full.
func TestNotAByteOfRoom(t *testing.T) {
	for name, build := range map[string]func(testing.TB) *world{
		"never collected": func(t testing.TB) *world {
			w := newWorld(t, 6)
			w.delete(t, w.store, 0, 1, 3)
			return w
		},
		"half dead": halfDead,
	} {
		t.Run(name, func(t *testing.T) {
			w := build(t)
			if err := repotest.Open(t, w.store).Replenish(t.Context(), uint64(w.store.Size())); err != nil {
				t.Fatal(err)
			}
			room := w.store.Size()
			store := storagetest.NewFaulty(w.store)
			full := store.Inject(storagetest.Fault{Ops: storagetest.Put, Effect: func(_ context.Context, c *storagetest.Call, do func() error) error {
				if w.store.Size()+int64(len(c.Data)) > room {
					return storage.ErrFull
				}
				return do()
			}})
			for range 2 {
				collect(t, store, w.again())
			}
			if full.Hits() == 0 {
				t.Error("there was room all the time")
			}
			full.Stop()
			for _, name := range w.store.Names() {
				if strings.HasPrefix(name, "reserve/") { // what is left of it
					if err := w.store.Delete(t.Context(), name); err != nil {
						t.Fatal(err)
					}
				}
			}
			w.mustRecover(t, w.store, want(t, build))
		})
	}
}
