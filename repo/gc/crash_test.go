package gc_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"holdfast/internal/storage"
	"holdfast/internal/storage/storagetest"
	"holdfast/repo"
	"holdfast/repo/gc"
	"holdfast/repo/repotest"
)

// halfDead is a world in which a collection has everything to do: purged
// snapshots, garbage, deltas whose bases only deleted snapshots need, packs that
// are needed in part, unfinished work, small packs, and what an earlier collection
// has condemned.
func halfDead(t testing.TB) *world {
	t.Helper()
	w := newWorld(t, 6)
	r := repotest.Open(t, w.store)
	unfinished, err := repotest.Begin(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := unfinished.Write(t.Context(), repotest.Files{"half": repotest.Random(77, 100_000)}, nil); err != nil {
		t.Fatal(err)
	}
	if err := unfinished.End(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.delete(t, w.store, 0)
	w.now = w.now.Add(time.Hour)
	if report := collect(t, w.store, w.options(time.Hour)); report.Condemned.Packs == 0 || report.Freed.Packs > 0 {
		t.Fatalf("%+v", report)
	}
	w.delete(t, w.store, 1, 3)
	w.now = w.now.Add(time.Hour)
	return w
}

// again are the options of a collection after one that died.
func (w *world) again() gc.Options {
	o := w.options(0)
	o.Silent = func(_ context.Context, a repo.Announced) (bool, error) { return a.Kind == repo.Collect, nil }
	return o
}

// mustRecover: what is there is whole, and two collections make it what it would
// have become without the accident.
func (w *world) mustRecover(t *testing.T, state *storagetest.Memory, want int64) {
	t.Helper()
	w.mustHold(t, state, 0, 1, 3)
	collect(t, state, w.again())
	collect(t, state, w.again())
	w.mustHold(t, state, 0, 1, 3)
	if under(state, "sessions") > 0 || under(state, "condemned") != 1 || under(state, "snapshots") != 3 || under(state, "trash") > 0 {
		t.Errorf("left behind: %q", state.Names())
	}
	if got := state.Size(); got > want+want/20 {
		t.Errorf("%d bytes are left, %d without the accident", got, want)
	}
}

func TestEveryPrefixOfACollectionIsWhole(t *testing.T) {
	w := halfDead(t)
	recorder := storagetest.NewRecorder(t, w.store.Clone())
	collect(t, recorder, w.options(0))
	last := storagetest.Copy(t, recorder)
	collect(t, last, w.options(0))
	states := 0
	for _, state := range recorder.Prefixes() {
		states++
		w.mustRecover(t, state, last.Size())
		if t.Failed() {
			t.Fatalf("after %d changes", states-1)
		}
	}
	if states < 20 {
		t.Errorf("a collection makes %d changes only", states-1)
	}
	t.Attr("cases", fmt.Sprint(states))
}

// TestSegmentsThatKilledCollectionsLeave: two collections that die one after the other
// before they have removed what they have superseded, and a third one, wherever it
// dies, bring no pack back into the index that is gone.
func TestSegmentsThatKilledCollectionsLeave(t *testing.T) {
	w := halfDead(t)
	cases := 0
	for _, first := range w.killedBetweenSegments(t, w.store) {
		for day := range 8 { // so that the segments are to be joined
			repotest.Put(t, repotest.Open(t, first), repotest.Files{"new": repotest.Random(uint64(200+day), 1000)}, nil)
		}
		for _, second := range w.killedBetweenSegments(t, first) {
			for _, third := range w.killed(t, second) {
				cases++
				if gone := repotest.Gone(t, repotest.Open(t, third)); len(gone) > 0 {
					t.Fatalf("the index names packs that are gone: %x", gone)
				}
			}
			w.mustHold(t, second, 0, 1, 3)
		}
	}
	if t.Attr("cases", fmt.Sprint(cases)); cases == 0 {
		t.Error("no collection leaves segments behind")
	}
}

// killed returns what a collection leaves that dies after each of its changes.
func (w *world) killed(t *testing.T, state *storagetest.Memory) (states []*storagetest.Memory) {
	t.Helper()
	recorder := storagetest.NewRecorder(t, state.Clone())
	collect(t, recorder, w.again())
	for _, prefix := range recorder.Prefixes() {
		states = append(states, prefix)
	}
	return states
}

// killedBetweenSegments returns those states in which there are segments that others
// have superseded, one for each number of them.
func (w *world) killedBetweenSegments(t *testing.T, state *storagetest.Memory) (states []*storagetest.Memory) {
	t.Helper()
	seen := map[string]bool{}
	for _, killed := range w.killed(t, state) {
		current, superseded, err := repotest.Open(t, killed).CurrentSegments(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		key := fmt.Sprint(len(current), len(superseded))
		if len(superseded) > 0 && !seen[key] {
			seen[key] = true
			states = append(states, killed)
		}
	}
	return states
}

func TestEveryFailingCallOfACollection(t *testing.T) {
	w := halfDead(t)
	last := w.store.Clone()
	collect(t, last, w.options(0))
	collect(t, last, w.options(0))
	broken := errors.New("the cable was cut")
	calls := 0
	for name, fault := range map[string]storagetest.Fault{
		"error":       {Ops: storagetest.Any, Effect: storagetest.Fail(broken)},
		"full":        {Ops: storagetest.Put, Effect: storagetest.Full()},
		"answer lost": {Ops: storagetest.Changes, Effect: storagetest.FailAfter(broken)},
	} {
		step := stride(t, 7)
		for n := 1 + rand.IntN(step); ; n += step {
			state := w.store.Clone()
			faulty := storagetest.NewFaulty(state)
			r := repotest.Open(t, faulty)
			struck := fault
			struck.Nth = n
			another := false // copy of what was read can serve, or the probe was answered
			struck.Effect = func(ctx context.Context, c *storagetest.Call, do func() error) error {
				another = c.Op == storagetest.ReadAt && storagetest.Under("packs")(c.Name) ||
					c.Op == storagetest.Put && storagetest.Under("sessions")(c.Name)
				return fault.Effect(ctx, c, do)
			}
			rule := faulty.Inject(struck)
			report, err := gc.Run(t.Context(), r, w.options(0))
			if rule.Hits() == 0 {
				if err != nil || n < 10 {
					t.Fatalf("%d calls, %v", n-1, err)
				}
				break
			}
			calls++
			if err == nil && another {
				continue
			}
			if ended := err == nil && report.Full; !ended && (err == nil || !errors.Is(err, broken) && !errors.Is(err, storage.ErrFull)) {
				t.Errorf("call %d (%s): %v", n, name, err)
			}
			w.mustRecover(t, state, last.Size())
			if t.Failed() {
				t.Fatalf("call %d (%s)", n, name)
			}
		}
	}
	t.Attr("cases", fmt.Sprint(calls))
}

func TestPowerLossAtEveryChangeOfACollection(t *testing.T) {
	w := halfDead(t)
	last := w.store.Clone()
	collect(t, last, w.options(0))
	collect(t, last, w.options(0))
	for n := 0; ; n += stride(t, 3) {
		crash := storagetest.NewCrash(w.store, n, uint64(n))
		_, err := gc.Run(t.Context(), repotest.Open(t, crash), w.options(0))
		if !crash.Crashed() {
			break
		}
		if err == nil {
			t.Fatalf("a crash at change %d went unnoticed", n)
		}
		w.mustRecover(t, crash.Survivor(), last.Size())
		if t.Failed() {
			t.Fatalf("change %d", n)
		}
	}
}
