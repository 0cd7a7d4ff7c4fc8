package gc_test

import (
	"context"
	"crypto/rand"
	"iter"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/internal/storage"
	"holdfast/internal/storage/storagetest"
	"holdfast/repo"
	"holdfast/repo/repotest"
)

// TestWhoeverBeganBeforeIsWaitedFor, for a bounded time; then the next collection
// goes on. Who begins later is not waited for.
func TestWhoeverBeganBeforeIsWaitedFor(t *testing.T) {
	w := newWorld(t, 2)
	w.delete(t, w.store, 0)
	r := repotest.Open(t, w.store)
	for name, c := range map[string]struct {
		endsAfter time.Duration
		wait      time.Duration
		freed     bool
	}{
		"ends in time":     {5 * time.Second, 10 * time.Second, true},
		"ends too late":    {time.Hour, 10 * time.Second, false},
		"nobody may wait":  {5 * time.Second, 0, false},
		"had ended before": {0, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			state := w.store.Clone()
			writer, err := repotest.Begin(t.Context(), repotest.Open(t, state))
			if err != nil {
				t.Fatal(err)
			}
			collector, reader := repotest.Open(t, state), repotest.Open(t, state)
			synctest.Test(t, func(t *testing.T) {
				if c.endsAfter == 0 {
					_ = writer.End(context.Background())
				} else {
					time.AfterFunc(c.endsAfter, func() { _ = writer.End(context.Background()) })
				}
				o := w.options(0)
				o.Wait = c.wait
				began := time.Now()
				report := collectWith(t, collector, o)
				if freed := report.Freed.Packs > 0; freed != c.freed {
					t.Errorf("freed: %v, after %v: %+v", freed, time.Since(began), report)
				}
				if !c.freed && (len(report.Pending) != 1 || len(report.Pending[0].Waits) != 1 || report.Pending[0].Waits[0].Name != writer.Name) {
					t.Errorf("it does not say whom it waits for: %+v", report.Pending)
				}
				if took := time.Since(began); took > c.wait+c.wait*4 {
					t.Errorf("it has waited for %v", took)
				}
				time.Sleep(2 * time.Hour)
				late, err := reader.Begin(t.Context(), repo.Create, time.Now) // is not waited for
				if err != nil {
					t.Fatal(err)
				}
				if again := collectWith(t, collector, w.options(0)); (again.Freed.Packs > 0) == c.freed || len(again.Pending) > 0 {
					t.Errorf("the next collection: %+v", again)
				}
				if err := late.End(t.Context()); err != nil {
					t.Fatal(err)
				}
			})
			w.mustHold(t, state, 0)
		})
	}
	repotest.MustHold(t, r, w.snapshots[1], w.contents[1])
}

// TestSettle: where listings are stale, every step that relies on one waits; else
// none does.
func TestSettle(t *testing.T) {
	w := newWorld(t, 2)
	w.delete(t, w.store, 0)
	for settle, least := range map[time.Duration]time.Duration{0: 0, 150 * time.Second: 5 * 150 * time.Second} {
		state := w.store.Clone()
		collector := repotest.Open(t, state)
		synctest.Test(t, func(t *testing.T) {
			o := w.options(0)
			o.Settle = settle
			began := time.Now()
			if report := collectWith(t, collector, o); report.Freed.Packs == 0 {
				t.Errorf("%+v", report)
			}
			if took := time.Since(began); took < least || settle == 0 && took > 0 {
				t.Errorf("settle %v: it took %v", settle, took)
			}
		})
		w.mustHold(t, state, 0)
	}
}

// TestWhoseListingShowsNothingNewReadsAll: a segment that was joined to others stays until
// every listing shows what took its place.
func TestWhoseListingShowsNothingNewReadsAll(t *testing.T) {
	const settle = 150 * time.Second
	w := newWorld(t, 2)
	w.delete(t, w.store, 0)
	state := w.store.Clone()
	store := storagetest.NewFaulty(state)
	collector := repotest.Open(t, store)
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		created := map[string]time.Time{}
		store.Inject(storagetest.Fault{Ops: storagetest.Put, Effect: func(_ context.Context, c *storagetest.Call, do func() error) error {
			mu.Lock()
			defer mu.Unlock()
			created[c.Name] = time.Now()
			return do()
		}})
		stale := bent{Storage: state, list: func(ctx context.Context, prefix string) iter.Seq2[storage.Info, error] {
			return func(yield func(storage.Info, error) bool) {
				for info, err := range state.List(ctx, prefix) {
					if at, is := created[info.Name]; is && time.Since(at) < settle {
						continue
					}
					if !yield(info, err) {
						return
					}
				}
			}
		}}
		joined := store.Inject(storagetest.Fault{Ops: storagetest.Delete, Names: storagetest.Under("index"), Effect: func(_ context.Context, c *storagetest.Call, do func() error) error {
			err := do()
			reader, opening := repo.Open(t.Context(), stale, repotest.Secret, repo.Options{Random: rand.Reader})
			if opening != nil {
				t.Fatal(opening)
			}
			defer reader.Close()
			repotest.MustHold(t, reader, w.snapshots[1], w.contents[1])
			return err
		}})
		o := w.options(0)
		o.Settle = settle
		collectWith(t, collector, o)
		if joined.Hits() == 0 {
			t.Error("no segment was joined to another")
		}
	})
}
