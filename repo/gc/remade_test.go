package gc_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"holdfast/internal/storage/storagetest"
	"holdfast/repo"
	"holdfast/repo/gc"
	"holdfast/repo/repotest"
)

// TestAnIndexThatIsMadeAnewBesideACollection names packs that this has deleted meanwhile.
// Nobody takes them for lost, whether who makes it lives on or not, and the next collection
// puts it right.
func TestAnIndexThatIsMadeAnewBesideACollection(t *testing.T) {
	for _, killed := range []bool{false, true} {
		t.Run(fmt.Sprintf("killed %v", killed), func(t *testing.T) {
			w := newWorld(t, 4)
			w.delete(t, w.store, 0, 1)
			later := func() gc.Options {
				w.now = w.now.Add(48 * time.Hour)
				o := w.options(gc.DefaultGrace)
				o.Silent = func(_ context.Context, a repo.Announced) (bool, error) { return w.now.Sub(a.Started) > 0, nil }
				return o
			}
			collect(t, w.store, later())
			faulty := storagetest.NewFaulty(w.store)
			freed := 0
			faulty.Inject(storagetest.Fault{Ops: storagetest.Put, Names: storagetest.Under("index"), Nth: 1,
				Effect: func(_ context.Context, _ *storagetest.Call, do func() error) error {
					o := later()
					o.Silent = nil
					freed = collect(t, w.store, o).Freed.Packs
					err := do()
					if killed {
						faulty.Inject(storagetest.Fault{Effect: storagetest.Fail(errors.New("it was killed"))})
					}
					return err
				}})
			_, err := repotest.Open(t, faulty).RebuildIndex(t.Context(), func() time.Time { return w.now }, func(int, int) {})
			if (err != nil) != killed || freed == 0 {
				t.Fatalf("%d packs were deleted meanwhile; %v", freed, err)
			}
			if gone := repotest.Gone(t, repotest.Open(t, w.store)); len(gone) == 0 {
				t.Fatal("the index names none of them")
			}
			w.mustHold(t, w.store, 0, 1)
			collect(t, w.store, later())
			r := repotest.Open(t, w.store)
			if gone, notes := repotest.Gone(t, r), repotest.MustBeWhole(t, r).Notes; len(gone)+len(notes) > 0 {
				t.Errorf("the index names packs that are gone: %x; check remarks upon %q", gone, notes)
			}
			if list, err := r.Condemned(t.Context()); err != nil || len(list.Groups) > 0 {
				t.Errorf("the list still has groups: %+v, %v", list, err)
			}
			w.mustHold(t, w.store, 0, 1)
		})
	}
}
