package snapshot

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"holdfast/engines"
)

// failing is a target of which some methods fail.
type failing struct {
	engines.Target
	revert, discard error
}

func (f failing) Revert(ctx context.Context) error {
	if f.revert != nil {
		return f.revert
	}
	return f.Target.Revert(ctx)
}

func (f failing) Discard(ctx context.Context) error {
	if f.discard != nil {
		return f.discard
	}
	return f.Target.Discard(ctx)
}

// fail has the target of one part fail to discard.
func fail(parts []Part, name string, discard error) {
	for i, p := range parts {
		if p.Name != name {
			continue
		}
		parts[i].Engine.Target = func(s engines.Service, token string) (engines.Target, error) {
			target, err := p.Engine.Target(s, token)
			return failing{target, nil, discard}, err
		}
	}
}

// Wherever a restore dies: a recovery that cannot remove what it has left removes what else
// there is, and says that this is all, unless parts were being swapped.
func TestWhatCannotBeRemovedIsALeftover(t *testing.T) {
	w := newWorld(t)
	w.fill("master", "day1")
	s := w.create("master")
	want := w.state("master")
	busy := errors.New("somebody is connected")
	leftovers, mixtures := 0, 0
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
		journal, err := r.Place.Load()
		w.must(err)
		recover := func(discard error) error {
			recovered := &Restoration{Creation: w.creation("staging"), Place: r.Place}
			fail(recovered.Parts, "orders", discard)
			_, err := recovered.Recover(t.Context(), w.begin)
			return err
		}
		if journal != nil {
			err := recover(busy)
			_, whole := errors.AsType[*LeftoverError](err)
			if whole == (journal.State == Swapping) || !errors.Is(err, busy) {
				t.Errorf("stopped at %q, with the journal %s: %v", *at, journal.State, err)
			}
			if whole {
				leftovers++
			} else {
				mixtures++
			}
			got := strings.ReplaceAll(w.state("staging"), ",holdfast_swap", "") // a table that Discard removes
			if got != before && got != want {
				t.Errorf("stopped at %q: a mixture passes for whole:\n%s", *at, got)
			}
			for _, left := range w.leftovers("staging") {
				if strings.Contains(left, "uploads") || strings.Contains(left, "settings") {
					t.Errorf("stopped at %q: %s is left because of another part", *at, left)
				}
			}
		}
		w.must(recover(nil))
		if left := w.leftovers("staging"); len(left) > 0 {
			t.Errorf("stopped at %q: left behind: %s", *at, left)
		}
	}
	if leftovers < 10 || mixtures < 3 {
		t.Errorf("%d leftovers and %d mixtures: some steps were not reached", leftovers, mixtures)
	}
	w.mustBeWhole()
}

// Requests do not wait for what a restore that was taken back has left.
func TestRequestsGoOnBesideALeftover(t *testing.T) {
	broken, busy := errors.New("no space left"), errors.New("somebody is connected")
	for _, c := range []struct {
		revert, discard error
		log             string
	}{{nil, busy, "[hold 1 release]"}, {busy, nil, "[hold 1 abandon]"}} {
		w := newWorld(t)
		w.fill("master", "day1")
		s := w.create("master")
		w.fill("staging", "before")
		r, session := w.restoration(s, "staging")
		g := &gate{}
		r.Barrier = g
		for _, target := range r.targets {
			if target.part.Name == "orders" {
				target.target = failing{target.target, c.revert, c.discard}
			}
		}
		r.step = func(name string) error {
			if name == "swap uploads" {
				return broken
			}
			return nil
		}
		_, err := r.Restore(t.Context(), session)
		r.Close()
		if _, undone := errors.AsType[*UndoneError](err); undone || !errors.Is(err, broken) || !errors.Is(err, busy) {
			t.Error(err)
		}
		if log := fmt.Sprint(g.log); log != c.log {
			t.Errorf("the gate saw %s, want %s", log, c.log)
		}
	}
}

// A mount or a database whose disk is not there may be half swapped.
func TestWhatIsNotMountedIsNotTakenBack(t *testing.T) {
	for _, name := range []string{"uploads", "orders.db"} {
		w := newWorld(t)
		w.fill("master", "day1")
		s := w.create("master")
		w.fill("staging", "before")
		before := w.state("staging")
		r, session := w.restoration(s, "staging")
		r.step = func(step string) error {
			if step == "journal committed" {
				return errStopped
			}
			return nil
		}
		_, err := r.Restore(t.Context(), session)
		r.Close()
		if !errors.Is(err, errStopped) {
			t.Fatal(err)
		}
		recover := func() error {
			recovered := &Restoration{Creation: w.creation("staging"), Place: r.Place}
			_, err := recovered.Recover(t.Context(), w.begin)
			return err
		}
		mounted, away := w.path("staging"), w.path("away")
		if name == "uploads" {
			mounted = w.path("staging", name)
		}
		w.must(os.Rename(mounted, away))
		w.must(os.MkdirAll(w.path("staging", "uploads"), 0o755))
		if err := recover(); err == nil || !strings.Contains(err.Error(), "is its disk mounted?") {
			t.Errorf("without %s: %v", name, err)
		}
		w.must(os.RemoveAll(mounted))
		w.must(os.Rename(away, mounted))
		w.must(recover())
		if got := w.state("staging"); got != before {
			t.Errorf("with %s again:\n%s\nwant:\n%s", name, got, before)
		}
	}
}
