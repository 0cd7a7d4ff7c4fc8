package snapshot

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"holdfast/engines/files"
	"holdfast/repo"
)

func TestRestoreIntoAnotherEnvironmentAndUndo(t *testing.T) {
	w := newWorld(t)
	w.fill("master", "day1")
	w.fill("staging", "before")
	want, before := w.state("master"), w.state("staging")
	s := w.create("master")
	w.fill("master", "day2")

	o := w.restore(s, "staging")
	if got := w.state("staging"); got != want {
		t.Errorf("restored:\n%s\nwant:\n%s", got, want)
	}
	if left := w.leftovers("staging"); len(left) > 0 {
		t.Errorf("left behind: %s", left)
	}
	if o.Safety == nil {
		t.Fatal("no safety snapshot")
	}
	safety, err := w.repo.Snapshot(t.Context(), *o.Safety)
	w.must(err)
	if safety.Environment != "staging" || safety.Restore != s.Name {
		t.Errorf("the safety snapshot is of %s, for %s", safety.Environment, safety.Restore)
	}
	w.restore(safety, "staging")
	if got := w.state("staging"); got != before {
		t.Errorf("after undoing:\n%s\nwant:\n%s", got, before)
	}
	w.mustBeWhole()
}

func TestWhatARestoreMadeNewIsNamed(t *testing.T) {
	w := newWorld(t)
	w.fill("master", "day1")
	s := w.create("master")
	if o := w.restore(s, "staging"); !slices.Equal(o.Created, []string{"orders", "settings"}) || o.Safety == nil {
		t.Errorf("into a place with uploads alone: made new %q, safety snapshot %v", o.Created, o.Safety)
	}
	if o := w.restore(s, "staging"); len(o.Created) > 0 {
		t.Errorf("into a place that has everything: made new %q", o.Created)
	}
}

// stopAt has the n-th step, from 0, and all after it fail. at is the name of the first of
// these, or "" if there are fewer.
func stopAt(n int, failure error) (step func(string) error, at *string) {
	at = new(string)
	var steps sync.Mutex // all parts are staged at the same time
	return func(name string) error {
		steps.Lock()
		defer steps.Unlock()
		if n--; n >= 0 {
			return nil
		}
		if *at == "" {
			*at = name
		}
		return failure
	}, at
}

// TestKilledAtEveryStepOneRecoveryMakesItWhole stops a restore as if its process
// had died before each of its steps; a new process recovers.
func TestKilledAtEveryStepOneRecoveryMakesItWhole(t *testing.T) {
	w := newWorld(t)
	w.fill("master", "day1")
	s := w.create("master")
	want := w.state("master")
	restored, undone := 0, 0
	for n := 0; ; n++ {
		w.fill("staging", "before")
		before := w.state("staging")
		r, session := w.restoration(s, "staging")
		step, at := stopAt(n, errStopped)
		r.step = step
		_, err := r.Restore(t.Context(), session)
		if *at == "" {
			w.must(err)
			r.Close()
			break
		}
		if !errors.Is(err, errStopped) {
			t.Fatalf("stopped at %q: %v", *at, err)
		}
		r.Close() // the death of the process closes everything, and does nothing else
		recovered := &Restoration{Creation: w.creation("staging"), Place: r.Place}
		done, err := recovered.Recover(t.Context(), w.begin)
		if err != nil {
			t.Fatalf("stopped at %q: recover: %v", *at, err)
		}
		if swapping := strings.HasPrefix(*at, "swap ") || *at == "journal committed"; done != nil && (done.LosesWrites() != swapping || done.Mixed() != swapping) {
			t.Errorf("stopped at %q: it says that it may be a mixture: %v, and loses writes: %v", *at, done.Mixed(), done.LosesWrites())
		}
		switch got := w.state("staging"); {
		case got == want:
			restored++
			w.mustHaveSafety(*at, before, s.Name.String())
		case got == before:
			undone++
		default:
			t.Fatalf("stopped at %q: a mixture:\n%s\nbefore:\n%s\nrestored:\n%s", *at, got, before, want)
		}
		if left := w.leftovers("staging"); len(left) > 0 {
			t.Errorf("stopped at %q: left behind: %s", *at, left)
		}
	}
	if restored < 2 || undone < 5 {
		t.Errorf("%d restores were completed and %d undone: some steps were not reached", restored, undone)
	}
	t.Attr("cases", strconv.Itoa(restored+undone))
	w.mustBeWhole()
}

// TestKilledRecoveries: one recovery after the other dies, each one step later, and the
// last makes the target whole. What was replaced is in one safety snapshot.
func TestKilledRecoveries(t *testing.T) {
	w := newWorld(t)
	w.fill("master", "day1")
	s := w.create("master")
	want := w.state("master")
	cases, saved := 0, 0
	for n := 0; ; n++ {
		w.fill("staging", "before")
		before := w.state("staging")
		r, session := w.restoration(s, "staging")
		var at *string
		r.step, at = stopAt(n, errStopped)
		_, err := r.Restore(t.Context(), session)
		r.Close()
		if *at == "" {
			w.must(err)
			break
		}
		for m := 0; ; m++ {
			recovered := &Restoration{Creation: w.creation("staging"), Place: r.Place}
			var late *string
			recovered.step, late = stopAt(m, errStopped)
			_, err := recovered.Recover(t.Context(), w.begin)
			recovered.Close()
			if *late == "" {
				if err != nil {
					t.Fatalf("stopped at %q and %d times while it was recovered: %v", *at, m, err)
				}
				break
			}
			cases++
		}
		switch got := w.state("staging"); got {
		case want:
			saved++
			w.mustHaveSafety(*at, before, s.Name.String())
		case before:
		default:
			t.Fatalf("stopped at %q: a mixture:\n%s\nbefore:\n%s\nrestored:\n%s", *at, got, before, want)
		}
		if n := w.saved(s.Name); n != saved {
			t.Fatalf("stopped at %q: %d safety snapshots of %d restores", *at, n, saved)
		}
		if left := w.leftovers("staging"); len(left) > 0 {
			t.Errorf("stopped at %q: left behind: %s", *at, left)
		}
	}
	if t.Attr("cases", strconv.Itoa(cases)); cases == 0 {
		t.Error("no recovery has died")
	}
	w.mustBeWhole()
}

// TestKilledWhileTheJournalIsWritten: a journal that was not renamed into place
// does not count, and the next command removes it, whichever state it was of.
func TestKilledWhileTheJournalIsWritten(t *testing.T) {
	w := newWorld(t)
	w.fill("master", "day1")
	s := w.create("master")
	w.fill("staging", "before")
	before := w.state("staging")
	for _, stop := range []string{"journal staging", "journal prepared", "journal swapping", "journal committed"} {
		r, session := w.restoration(s, "staging")
		r.step = func(name string) error {
			if name != stop {
				return nil
			}
			w.must(os.WriteFile(r.Place.next(), []byte(`{"version": 1, "sta`), 0o600))
			return errStopped
		}
		if _, err := r.Restore(t.Context(), session); !errors.Is(err, errStopped) {
			t.Fatalf("stopped at %q: %v", stop, err)
		}
		r.Close()
		recovered := &Restoration{Creation: w.creation("staging"), Place: r.Place}
		if _, err := recovered.Recover(t.Context(), w.begin); err != nil {
			t.Fatalf("stopped at %q: recover: %v", stop, err)
		}
		if got := w.state("staging"); got != before {
			t.Errorf("stopped at %q: the target is\n%s\nwant:\n%s", stop, got, before)
		}
		if _, err := os.Stat(r.Place.next()); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("stopped at %q: %s is left behind (%v)", stop, r.Place.next(), err)
		}
	}
}

// saved counts the safety snapshots of restores of a snapshot.
func (w *world) saved(before repo.Name) (n int) {
	w.t.Helper()
	all, err := w.repo.Snapshots(w.t.Context())
	w.must(err)
	for _, one := range all {
		if one.Restore == before {
			n++
		}
	}
	return n
}

// mustHaveSafety restores the newest snapshot of staging elsewhere in mind: it
// must be the safety snapshot of what was there before.
func (w *world) mustHaveSafety(at, before, of string) {
	w.t.Helper()
	all, err := w.repo.Snapshots(w.t.Context())
	w.must(err)
	newest := all[len(all)-1]
	if newest.Environment != "staging" || newest.Restore.String() != of {
		w.t.Fatalf("stopped at %q: there is no safety snapshot", at)
	}
	w.restore(newest.Snapshot, "staging")
	if got := w.state("staging"); got != before {
		w.t.Errorf("stopped at %q: the safety snapshot gives\n%s\nwant:\n%s", at, got, before)
	}
}

// TestFailureAtEveryStepLeavesTheTargetAsItWas: a step fails and the process lives on.
func TestFailureAtEveryStepLeavesTheTargetAsItWas(t *testing.T) {
	w := newWorld(t)
	w.fill("master", "day1")
	s := w.create("master")
	broken := errors.New("the power supply smells")
	said := 0
	for n := 0; ; n++ {
		w.fill("staging", "before")
		before := w.state("staging")
		r, session := w.restoration(s, "staging")
		step, at := stopAt(n, broken)
		r.step = step
		_, err := r.Restore(t.Context(), session)
		r.Close()
		if *at == "" {
			w.must(err)
			t.Attr("cases", strconv.Itoa(n))
			if said < 5 {
				t.Errorf("%d failures said that nothing was replaced", said)
			}
			break
		}
		if !errors.Is(err, broken) {
			t.Fatalf("failure at %q: %v", *at, err)
		}
		if _, undone := errors.AsType[*UndoneError](err); undone {
			said++
			if left := w.leftovers("staging"); w.state("staging") != before || len(left) > 0 {
				t.Errorf("failure at %q: it says that nothing was replaced, and that is not so (%q)", *at, left)
			}
		}
		recovered := &Restoration{Creation: w.creation("staging"), Place: r.Place}
		if _, err := recovered.Recover(t.Context(), w.begin); err != nil {
			t.Fatal(err)
		}
		committed := strings.HasPrefix(*at, "safety") || strings.HasPrefix(*at, "discard") || *at == "journal saved" || *at == "journal removed"
		if got := w.state("staging"); !committed && got != before {
			t.Errorf("failure at %q: the target is\n%s\nwant:\n%s", *at, got, before)
		}
		if left := w.leftovers("staging"); len(left) > 0 {
			t.Errorf("failure at %q: left behind: %s", *at, left)
		}
	}
}

// What could not be undone does not say that it was.
func TestAFailureThatIsNotUndoneDoesNotSaySo(t *testing.T) {
	w := newWorld(t)
	w.fill("master", "day1")
	s := w.create("master")
	w.fill("staging", "before")
	r, session := w.restoration(s, "staging")
	defer r.Close()
	r.step = func(name string) error {
		if name != "swap uploads" {
			return nil
		}
		w.must(os.RemoveAll(r.Place.dir)) // the journal can be stored no more
		return errors.New("the disk is gone")
	}
	_, err := r.Restore(t.Context(), session)
	if _, undone := errors.AsType[*UndoneError](err); undone || err == nil || !strings.Contains(err.Error(), "undoing it failed") {
		t.Errorf("%v", err)
	}
}

func TestWhatDoesNotFitIsRefused(t *testing.T) {
	w := newWorld(t)
	w.fill("master", "day1")
	s := w.create("master")
	plan := func(change func(*Restoration)) error {
		r := &Restoration{Creation: w.creation("staging"), Snapshot: s, Place: PlaceOf(w.dir, "shop", "staging")}
		change(r)
		defer r.Close()
		_, err := r.Plan(t.Context(), "00000000000000000000")
		return err
	}
	for name, c := range map[string]struct {
		change func(*Restoration)
		want   string
	}{
		"target lacks a service": {func(r *Restoration) { r.Parts = r.Parts[1:] }, `has no "orders", which the snapshot has`},
		"snapshot lacks a named service": {func(r *Restoration) {
			r.Named = true
			r.Parts[0].Name = "other"
		}, `has no "other"`},
		"another kind": {func(r *Restoration) { r.Parts[0].Engine = files.Engine; r.Parts[0].URL = r.Parts[2].URL }, "is of the kind sqlite in the snapshot and files"},
	} {
		if err := plan(c.change); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}
