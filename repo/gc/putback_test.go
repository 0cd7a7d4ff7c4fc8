package gc_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/internal/storage/storagetest"
	"holdfast/repo/check"
	"holdfast/repo/gc"
	"holdfast/repo/repair"
	"holdfast/repo/repotest"
)

// TestPacksThatWerePutBack were lost, a repair has recorded what was in them, and then
// somebody has put them back from a copy: no collection removes them, or what they need,
// check says what they are for, and the next repair finds all snapshots whole.
func TestPacksThatWerePutBack(t *testing.T) {
	t.Run("of a collection", func(t *testing.T) {
		w := newWorld(t, 4)
		o := w.options(0)
		o.Erase = true // so no snapshot has their session any more
		if told := putBack(t, w, o, 0); told == 0 {
			t.Error("check never says that a repair takes them up")
		}
	})
	t.Run("with bases of deleted snapshots", func(t *testing.T) {
		for _, maxRepack := range []int64{0, 1} { // in one pack, and each in that of its snapshot
			w := newWorld(t, 4)
			o := w.options(0)
			o.MaxRepack = maxRepack
			putBack(t, w, o, 0, 1)
		}
	})
}

// putBack deletes snapshots, collects, and loses each pack and all. It returns how often
// check said of those that were put back that a repair takes them up.
func putBack(t *testing.T, w *world, o gc.Options, deleted ...int) (told int) {
	t.Helper()
	w.delete(t, w.store, deleted...)
	collect(t, w.store, o)
	lost := 0
	for _, some := range append(oneByOne(packs(w.store)), packs(w.store)) {
		state := w.store.Clone()
		if !loseAndPutBack(t, w, state, some) {
			continue
		}
		lost++
		report, err := check.Run(t.Context(), repotest.Open(t, state), check.Options{})
		if err != nil || len(report.Problems) == 0 {
			t.Errorf("check finds nothing, and remarks upon %q; %v", report.Notes, err)
		}
		for _, p := range report.Problems {
			if p.Object == "packs" && strings.Contains(p.Next(), "repo repair") {
				told++
			} else if p.Object != "index" { // of those whose snapshots are still there
				t.Errorf("check finds %v", p)
			}
		}
		for _, erase := range []bool{true, false, false, true} {
			w.now = w.now.Add(2 * gc.DefaultGrace)
			o := w.options(gc.DefaultGrace)
			o.Erase = erase
			if left := collect(t, state, o).Unnamed; left.Packs != len(some) {
				t.Errorf("a collection says that it leaves %+v, of %d", left, len(some))
			}
		}
		mustBeMended(t, w, state, deleted...)
		if left := collect(t, state, w.options(0)).Unnamed; left.Packs > 0 {
			t.Errorf("after the repair a collection leaves %+v", left)
		}
		w.mustHold(t, state, deleted...)
	}
	if lost < 2 {
		t.Errorf("only %d losses hurt a snapshot", lost)
	}
	return told
}

// TestCondemnedPacksThatWerePutBack were condemned before they were lost.
func TestCondemnedPacksThatWerePutBack(t *testing.T) {
	w := newWorld(t, 4)
	w.delete(t, w.store, 0)
	later := func() gc.Options {
		w.now = w.now.Add(2 * gc.DefaultGrace)
		return w.options(gc.DefaultGrace)
	}
	o := later()
	o.Erase = true
	if report := collect(t, w.store, o); report.Condemned.Packs == 0 || len(report.Pending) == 0 {
		t.Fatalf("nothing is condemned: %+v", report)
	}
	if !loseAndPutBack(t, w, w.store, packs(w.store)) {
		t.Fatal("nothing was lost")
	}
	for range 2 {
		if report := collect(t, w.store, later()); report.Freed.Packs > 0 {
			t.Errorf("a collection removes %+v", report.Freed)
		}
	}
	mustBeMended(t, w, w.store, 0)
	for range 2 {
		collect(t, w.store, later())
		w.mustHold(t, w.store, 0)
	}
}

// TestUnfinishedWorkBesideALoss is collected: nothing of it is missed.
func TestUnfinishedWorkBesideALoss(t *testing.T) {
	w := newWorld(t, 2)
	for _, name := range packs(w.store) {
		if err := w.store.Delete(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	if len(mend(t, w, w.store).Lost) == 0 {
		t.Fatal("nothing was lost")
	}
	before := len(packs(w.store))
	killed := storagetest.NewFaulty(w.store)
	killed.Inject(storagetest.Fault{Ops: storagetest.Put, Names: storagetest.Under("index"), Effect: storagetest.Fail(errors.New("it was killed"))})
	if _, err := repotest.TryPut(t.Context(), repotest.Open(t, killed), repotest.Files{"new": repotest.Random(77, 1000)}, nil); err == nil || len(packs(w.store)) == before {
		t.Fatalf("%d packs, as before; %v", before, err)
	}
	report, err := check.Run(t.Context(), repotest.Open(t, w.store), check.Options{})
	if err != nil || len(report.Problems) > 0 {
		t.Errorf("check finds %v, %v", report.Problems, err)
	}
	if report := collect(t, w.store, w.options(0)); report.Unnamed.Packs > 0 || report.Freed.Packs == 0 {
		t.Errorf("%+v", report)
	}
}

func packs(s *storagetest.Memory) []string {
	return slices.DeleteFunc(s.Names(), func(name string) bool { return !strings.HasPrefix(name, "packs/") })
}

// loseAndPutBack loses packs, repairs, takes a snapshot of something else, and puts them
// back. It reports whether the loss hurts a snapshot; else it stops there.
func loseAndPutBack(t *testing.T, w *world, state *storagetest.Memory, packs []string) bool {
	t.Helper()
	before := state.Clone()
	for _, name := range packs {
		if err := state.Delete(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	if len(mend(t, w, state).Lost) == 0 {
		return false
	}
	create, err := repotest.Begin(t.Context(), repotest.Open(t, state))
	if err != nil {
		t.Fatal(err)
	}
	s, err := create.Write(t.Context(), repotest.Files{"other": repotest.Random(99, 1000)}, nil)
	if err == nil {
		last := w.snapshots[len(w.snapshots)-1]
		s.Counter, s.Predecessor = last.Counter+1, last.Name
		err = create.Commit(t.Context(), s)
	}
	if err := errors.Join(err, create.End(t.Context())); err != nil {
		t.Fatal(err)
	}
	for _, name := range packs {
		data, _ := before.Object(name)
		state.Replace(name, data)
	}
	return true
}

func mend(t *testing.T, w *world, state *storagetest.Memory) *repair.Report {
	t.Helper()
	report, err := repair.Run(t.Context(), repotest.Open(t, state), repair.Options{Now: func() time.Time { return w.now },
		Divisible: func(string) bool { return true }})
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func mustBeMended(t *testing.T, w *world, state *storagetest.Memory, but ...int) {
	t.Helper()
	if report := mend(t, w, state); len(report.Lost) > 0 || len(report.Whole) == 0 {
		t.Errorf("the repair says that %+v lost something, and %v are whole again", report.Lost, report.Whole)
	}
	w.mustHold(t, state, but...)
}

func oneByOne(names []string) (all [][]string) {
	for _, name := range names {
		all = append(all, []string{name})
	}
	return all
}
