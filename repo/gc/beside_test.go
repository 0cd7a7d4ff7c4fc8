package gc_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"holdfast/internal/soak"
	"holdfast/internal/storage/storagetest"
	"holdfast/repo"
	"holdfast/repo/check"
	"holdfast/repo/gc"
	"holdfast/repo/repotest"
)

// interrupted is a collection whose n-th call waits until something else has been
// done on the same storage.
func (w *world) interrupted(t *testing.T, state *storagetest.Memory, n int, o gc.Options, between func()) (reached bool, report *gc.Report, err error) {
	t.Helper()
	faulty := storagetest.NewFaulty(state)
	r := repotest.Open(t, faulty)
	rule := faulty.Inject(storagetest.Fault{Ops: storagetest.Any, Nth: n, Effect: func(_ context.Context, _ *storagetest.Call, do func() error) error {
		between()
		return do()
	}})
	report, err = gc.Run(t.Context(), r, o)
	return rule.Hits() > 0, report, err
}

// stride is how many calls of a collection are passed over between two that are
// tried: none in a soak.
func stride(t *testing.T, usual int) int {
	if soak.On(t) {
		return 1
	}
	return usual
}

// everywhere runs f with an interruption before every call of a collection, or, in
// the usual run, before every few, which are others each time.
func everywhere(t *testing.T, f func(n int) (reached bool)) {
	t.Helper()
	step := stride(t, 29)
	n, cases := 1+rand.IntN(step), 0
	t.Logf("from call %d on", n)
	defer func() { t.Attr("cases", strconv.Itoa(cases)) }()
	for ; f(n); n += step {
		cases++
		if t.Failed() {
			t.Fatalf("interrupted before call %d", n)
		}
	}
	if n < 60 {
		t.Errorf("a collection makes %d calls only", n)
	}
}

// mustHoldAll: also the snapshots that were made meanwhile, also after everything
// that can be collected is.
func (w *world) mustHoldAll(t *testing.T, state *storagetest.Memory, more map[*repo.Snapshot]repotest.Files, but ...int) {
	t.Helper()
	for range 3 {
		r := repotest.Open(t, state)
		for s, want := range more {
			repotest.MustHold(t, r, s, want)
		}
		w.mustHold(t, state, but...)
		collect(t, state, w.again())
	}
}

// variants are contents that a writer may bring while a collection is at work:
// what only deleted snapshots have, what others have too, and edits of either.
func (w *world) variants() []repotest.Files {
	edited := repotest.Files{}
	for name, data := range w.contents[3] {
		edited[name] = append(bytes.Clone(data), "and more"...)
	}
	return []repotest.Files{w.contents[0], w.contents[1], w.contents[5], edited}
}

// TestAWholeCreateBetweenAnyTwoCalls: what a create relies on stays, whether it
// begins before or after something is condemned.
func TestAWholeCreateBetweenAnyTwoCalls(t *testing.T) {
	w := halfDead(t)
	everywhere(t, func(n int) bool {
		state := w.store.Clone()
		made := map[*repo.Snapshot]repotest.Files{}
		reached, _, err := w.interrupted(t, state, n, w.options(0), func() {
			files := w.variants()[n%4]
			made[repotest.Put(t, repotest.Open(t, state), files, w.snapshots[5])] = files
		})
		if err != nil {
			t.Error(err)
		}
		w.mustHoldAll(t, state, made, 0, 1, 3)
		return reached
	})
}

// TestACreateThatBeganBeforeItAndCommitsDuringIt: it is waited for, or ended, and
// then says so.
func TestACreateAcrossACollection(t *testing.T) {
	w := halfDead(t)
	for _, ended := range []bool{false, true} {
		t.Run(fmt.Sprintf("ended %v", ended), func(t *testing.T) {
			everywhere(t, func(n int) bool {
				state := w.store.Clone()
				writer, err := repotest.Begin(t.Context(), repotest.Open(t, state))
				if err != nil {
					t.Fatal(err)
				}
				files := w.variants()[n%4]
				s, err := writer.Write(t.Context(), files, w.snapshots[4])
				if err != nil {
					t.Fatal(err)
				}
				o := w.options(0)
				if ended {
					o.Silent = func(context.Context, repo.Announced) (bool, error) { return true, nil }
				}
				made := map[*repo.Snapshot]repotest.Files{}
				reached, _, err := w.interrupted(t, state, n, o, func() {
					err := writer.Commit(t.Context(), s)
					switch {
					case err == nil:
						made[s] = files
					case !errors.Is(err, repo.ErrSessionEnded) || !ended:
						t.Error(err)
					}
					if err := writer.End(t.Context()); err != nil {
						t.Error(err)
					}
				})
				if err != nil {
					t.Error(err)
				}
				if reached {
					w.mustHoldAll(t, state, made, 0, 1, 3)
				}
				return reached
			})
		})
	}
}

// TestACreateThatSleeps begins before one call of a collection, writes before a
// later one, and commits when all is over.
func TestACreateThatSleeps(t *testing.T) {
	w := halfDead(t)
	everywhere(t, func(n int) bool {
		state := w.store.Clone()
		var writer *repotest.Writer
		_, _, err := w.interrupted(t, state, n, w.options(0), func() {
			var err error
			if writer, err = repotest.Begin(t.Context(), repotest.Open(t, state)); err != nil {
				t.Error(err)
			}
		})
		if err != nil {
			t.Error(err)
		}
		if writer == nil {
			return false
		}
		// Another collection goes over it, after the first half of which it writes.
		files := w.variants()[n%4]
		var s *repo.Snapshot
		write := func() {
			if s, err = writer.Write(t.Context(), files, w.snapshots[5]); err != nil {
				t.Error(err)
			}
		}
		if reached, _, err := w.interrupted(t, state, 1+n/2, w.options(0), write); err != nil {
			t.Error(err)
		} else if !reached {
			write()
		}
		collect(t, state, w.options(0))
		if err := errors.Join(writer.Commit(t.Context(), s), writer.End(t.Context())); err != nil {
			t.Error(err)
		}
		w.mustHoldAll(t, state, map[*repo.Snapshot]repotest.Files{s: files}, 0, 1, 3)
		return true
	})
}

// TestUndeleteBetweenAnyTwoCalls: it comes in time, or is told that it does not.
func TestUndeleteBetweenAnyTwoCalls(t *testing.T) {
	w := halfDead(t)
	back, late := 0, 0
	everywhere(t, func(n int) bool {
		state := w.store.Clone()
		gone := []int{0, 1, 3}
		reached, _, err := w.interrupted(t, state, n, w.options(0), func() {
			changed, err := repotest.Open(t, state).Mark(t.Context(), w.snapshots[1].Name, repo.Undelete, w.now)
			switch {
			case err == nil && !changed: // nothing is left of it
				late++
			case err == nil:
				gone = []int{0, 3}
				back++
			case errors.Is(err, repo.ErrPurged):
				late++
			default:
				t.Error(err)
			}
		})
		if err != nil {
			t.Error(err)
		}
		w.mustHold(t, state, gone...)
		collect(t, state, w.options(0))
		if len(gone) == 2 { // nobody deletes it again
			w.mustHold(t, state, gone...)
		}
		return reached
	})
	if back == 0 || late == 0 {
		t.Errorf("%d in time, %d late", back, late)
	}
}

// TestAnUndeleteThatSleeps before one of its calls until the snapshot is gone, and
// its marks are, is told so and leaves none.
func TestAnUndeleteThatSleeps(t *testing.T) {
	w := halfDead(t)
	for n := 1; ; n++ {
		state := w.store.Clone()
		faulty := storagetest.NewFaulty(state)
		r := repotest.Open(t, faulty)
		rule := faulty.Inject(storagetest.Fault{Ops: storagetest.Any, Nth: n, Effect: func(_ context.Context, _ *storagetest.Call, do func() error) error {
			collect(t, state, w.options(0))
			return do()
		}})
		changed, err := r.Mark(t.Context(), w.snapshots[1].Name, repo.Undelete, w.now)
		if rule.Hits() == 0 {
			if n < 5 {
				t.Errorf("an undelete makes %d calls only", n)
			}
			t.Attr("cases", strconv.Itoa(n-1))
			return
		}
		if _, there := state.Object("snapshots/" + w.snapshots[1].Name.String()); there != (changed && err == nil) {
			t.Errorf("slept before call %d: changed %v, %v; the snapshot is there: %v", n, changed, err, there)
		} else if !there && under(state, "trash") > 0 {
			t.Errorf("slept before call %d: left behind: %q", n, state.Names())
		}
	}
}

// TestASnapshotThatIsDeletedMeanwhile, and was a parent or is restored, is whole
// for as long as the session that relies on it.
func TestAParentThatIsDeletedAndCollectedMeanwhile(t *testing.T) {
	w := halfDead(t)
	everywhere(t, func(n int) bool {
		state := w.store.Clone()
		var writer *repotest.Writer
		begin := func() {
			var err error
			if writer, err = repotest.Begin(t.Context(), repotest.Open(t, state)); err != nil {
				t.Fatal(err)
			}
			w.delete(t, state, 2) // right after it was chosen as the parent
		}
		reached, _, err := w.interrupted(t, state, n, w.options(0), begin)
		if err != nil {
			t.Error(err)
		}
		if !reached {
			return false
		}
		for range 3 {
			collect(t, state, w.options(0))
		}
		// All of it can still be taken over.
		repotest.MustHold(t, repotest.Open(t, state), w.snapshots[2], w.contents[2])
		s, err := writer.Write(t.Context(), w.contents[2], w.snapshots[2])
		if err == nil {
			s.Root = w.snapshots[2].Root // unread
			err = errors.Join(writer.Commit(t.Context(), s), writer.End(t.Context()))
		}
		if err != nil {
			t.Error(err)
		}
		w.mustHoldAll(t, state, map[*repo.Snapshot]repotest.Files{s: w.contents[2]}, 0, 1, 2, 3)
		return true
	})
}

// TestTwoCollections: one does all its work between any two calls of the other.
func TestTwoCollections(t *testing.T) {
	w := halfDead(t)
	everywhere(t, func(n int) bool {
		state := w.store.Clone()
		reached, _, err := w.interrupted(t, state, n, w.options(0), func() { collect(t, state, w.options(0)) })
		if err != nil {
			t.Error(err)
		}
		w.mustHoldAll(t, state, nil, 0, 1, 3)
		return reached
	})
}

// TestContentThatReturns, again and again, between collections, in chains of deltas
// whose bases only deleted snapshots have.
func TestContentThatReturns(t *testing.T) {
	w := newWorld(t, 1)
	parent := w.snapshots[0]
	for round := range 12 {
		files := w.contents[0]
		if round%3 != 2 {
			files = repotest.Files{"dump.sql": bytes.Replace(w.contents[0]["dump.sql"], fmt.Appendf(nil, "(%d,", 2000+round), []byte("(7,"), 1),
				"kept": w.contents[0]["kept"]}
		}
		s := repotest.Put(t, repotest.Open(t, w.store), files, parent)
		w.snapshots, w.contents = append(w.snapshots, s), append(w.contents, files)
		w.delete(t, w.store, len(w.snapshots)-2)
		w.now = w.now.Add(time.Hour)
		collect(t, w.store, w.options([]time.Duration{0, time.Hour}[round%2]))
		var gone []int
		for day := range len(w.snapshots) - 1 {
			gone = append(gone, day)
		}
		w.mustHold(t, w.store, gone...)
		parent = s
	}
}

// TestReadersDuringACollection: who reads without a session, and check, find
// everything, though it is moved between any two of their calls.
func TestReadersDuringACollection(t *testing.T) {
	w := halfDead(t)
	for name, read := range map[string]func(r *repo.Repository) error{
		"read": func(r *repo.Repository) error { return repotest.Holds(t.Context(), r, w.snapshots[5], w.contents[5]) },
		"check": func(r *repo.Repository) error {
			report, err := check.Run(t.Context(), r, check.Options{})
			if err == nil && len(report.Problems) > 0 {
				err = report.Problems[0]
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			calls := 0
			for n := 1; ; n++ {
				state := w.store.Clone()
				faulty := storagetest.NewFaulty(state)
				r := repotest.Open(t, faulty)
				rule := faulty.Inject(storagetest.Fault{Ops: storagetest.Any, Nth: n, Effect: func(_ context.Context, _ *storagetest.Call, do func() error) error {
					collect(t, state, w.options(0))
					return do()
				}})
				if err := read(r); err != nil {
					t.Errorf("collected before call %d: %v", n, err)
				}
				if rule.Hits() == 0 {
					break
				}
				calls++
			}
			t.Attr("cases", strconv.Itoa(calls))
		})
	}
}

// TestACheckThatCollectionsOvertake tells of no pack that one of them has removed after it
// was listed, and before it was read, however often it begins anew.
func TestACheckThatCollectionsOvertake(t *testing.T) {
	w := newWorld(t, 8)
	faulty := storagetest.NewFaulty(w.store)
	day := 0
	faulty.Inject(storagetest.Fault{Ops: storagetest.List, Names: storagetest.Is("packs"), Effect: func(_ context.Context, _ *storagetest.Call, do func() error) error {
		err := do()
		if day < 7 {
			w.delete(t, w.store, day)
			collect(t, w.store, w.options(0))
			day++
		}
		return err
	}})
	report, err := check.Run(t.Context(), repotest.Open(t, faulty), check.Options{ReadData: true})
	if err != nil || len(report.Problems) > 0 || day == 0 {
		t.Errorf("%d collections: %v, %+v", day, err, report)
	}
	repotest.MustBeWhole(t, repotest.Open(t, w.store))
}
