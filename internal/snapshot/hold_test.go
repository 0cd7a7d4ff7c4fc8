package snapshot

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"holdfast/engines"
	"holdfast/repo"
)

// gate is a barrier that writes down what is asked of it.
type gate struct {
	refuses error         // Hold fails with it
	lost    chan struct{} // closed: requests went on by themselves
	broken  error         // what Release then says
	log     []string
}

func (g *gate) Hold(_ context.Context, mode HoldMode, _ string) (Held, error) {
	g.log = append(g.log, fmt.Sprintf("hold %d", mode))
	return g, g.refuses
}
func (g *gate) Lost() <-chan struct{} { return g.lost }
func (g *gate) Abandon()              { g.log = append(g.log, "abandon") }
func (g *gate) Release() Released {
	g.log = append(g.log, "release")
	return Released{Held: time.Millisecond, Broken: g.broken, Hold: &repo.Hold{Requests: 3}}
}

// noted is a source that tells the gate's log when it is marked and sent.
type noted struct {
	engines.Source
	gate *gate
	mark func(context.Context) error
}

func (s noted) Mark(ctx context.Context, sink engines.Sink) (engines.Point, error) {
	s.gate.log = append(s.gate.log, "mark")
	if err := s.mark(ctx); err != nil {
		return engines.Point{}, err
	}
	return s.Source.Mark(ctx, sink)
}

func (s noted) Send(ctx context.Context, sink engines.Sink) (engines.Result, error) {
	s.gate.log = append(s.gate.log, "send")
	return s.Source.Send(ctx, sink)
}

func TestRequestsAreHeldForTheMarkingAlone(t *testing.T) {
	tooLong := fmt.Errorf("POST /order ran on: %w", ErrHoldTime)
	closed := make(chan struct{})
	close(closed)
	// Under a hold that is lost, marking goes on until it is told to stop.
	untilTold := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	atOnce := func(context.Context) error { return nil }
	for _, c := range []struct {
		name   string
		gate   gate
		orLive bool
		mark   func(context.Context) error
		log    string
		is     repo.Consistency // "" for an error
	}{
		{"all goes well", gate{}, false, atOnce, "[hold 0 mark release send]", repo.OneInstant},
		{"a gate that is not there", gate{refuses: errors.New("no gate")}, true, atOnce, "[hold 0]", ""},
		{"requests that run on, or fail", gate{refuses: tooLong}, false, atOnce, "[hold 0]", ""},
		{"requests that run on, or live", gate{refuses: tooLong}, true, atOnce, "[hold 0 mark send]", repo.Live},
		{"a hold that is lost, or fail", gate{lost: closed, broken: tooLong}, false, untilTold, "[hold 0 mark release]", ""},
		{"a hold that is lost, or live", gate{lost: closed, broken: tooLong}, true, atOnce, "[hold 0 mark release send]", repo.Live},
		{"a service that does not grant its lock", gate{}, true, func(context.Context) error { return errors.New("lock wait timeout") }, "[hold 0 mark release]", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.fill("master", "day1")
			creation := w.creation("master")
			creation.Barrier, creation.OrLive = &c.gate, c.orLive
			creation.Parts = creation.Parts[:1]
			known := creation.Parts[0].Engine.Source
			creation.Parts[0].Engine.Source = func(s engines.Service) (engines.Source, error) {
				source, err := known(s)
				return noted{source, &c.gate, c.mark}, err
			}
			session, err := w.begin(t.Context())
			w.must(err)
			s, err := creation.Create(t.Context(), session)
			if got := fmt.Sprint(c.gate.log); got != c.log {
				t.Errorf("the order was %s, want %s", got, c.log)
			}
			if (err != nil) != (c.is == "") || err == nil && s.Consistency != c.is {
				t.Fatalf("%+v, %v; want %q", s, err, c.is)
			}
			if err == nil && (s.Gate == nil || (s.Gate.Broken == "") != (c.is == repo.OneInstant)) {
				t.Errorf("the snapshot says of the gate %+v", s.Gate)
			}
			if all, err := w.repo.Snapshots(t.Context()); err != nil || len(all) > 0 != (c.is != "") {
				t.Errorf("there are %d snapshots, %v", len(all), err)
			}
		})
	}
}

// Wherever a restore stops, requests go on only where the target is whole.
func TestRequestsGoOnOnlyWhereTheTargetIsWhole(t *testing.T) {
	for name, failure := range map[string]error{"killed": errStopped, "failed": errors.New("no space left")} {
		w := newWorld(t)
		w.fill("master", "day1")
		s := w.create("master")
		abandoned, released := 0, 0
		for n := 0; ; n++ {
			w.fill("staging", "before")
			r, session := w.restoration(s, "staging")
			g := &gate{}
			r.Barrier = g
			step, at := stopAt(n, failure)
			r.step = step
			_, err := r.Restore(t.Context(), session)
			left, loadErr := r.Place.Load()
			w.must(loadErr)
			r.Close()
			half := left != nil && left.State != Committed
			if left != nil && left.LosesWrites() {
				t.Errorf("%s at %q: it says that writes are lost, though nobody could write", name, *at)
			}
			switch log := fmt.Sprint(g.log); log {
			case "[]":
				if half && left.State == Swapping {
					t.Errorf("%s at %q: it swapped without a hold", name, *at)
				}
			case "[hold 1 abandon]":
				abandoned++
				if !half {
					t.Errorf("%s at %q: requests wait, though the target is whole", name, *at)
				}
			case "[hold 1 release]":
				released++
				if half {
					t.Errorf("%s at %q: requests went on, and the journal is %s", name, *at, left.State)
				}
			default:
				t.Errorf("%s at %q: the gate saw %s", name, *at, log)
			}
			if *at == "" {
				w.must(err)
				break
			}
			recovered := &Restoration{Creation: w.creation("staging"), Place: r.Place}
			_, err = recovered.Recover(t.Context(), w.begin)
			w.must(err)
		}
		if released == 0 || (abandoned == 0) != (name == "failed") {
			t.Errorf("%s: requests were abandoned %d times and released %d times", name, abandoned, released)
		}
	}
}

// What a swap put aside under a hold is of one instant.
func TestTheSafetySnapshotIsOfTheSwapsInstant(t *testing.T) {
	for _, c := range []struct {
		barrier Barrier
		want    repo.Consistency
	}{{&gate{}, repo.OneInstant}, {NoBarrier{}, repo.PerService}} {
		w := newWorld(t)
		w.fill("master", "day1")
		s := w.create("master")
		w.fill("staging", "before")
		r, session := w.restoration(s, "staging")
		r.Barrier = c.barrier
		o, err := r.Restore(t.Context(), session)
		w.must(err)
		r.Close()
		safety, err := w.repo.Snapshot(t.Context(), *o.Safety)
		w.must(err)
		if safety.Consistency != c.want || (o.Gate != nil) != (c.want == repo.OneInstant) {
			t.Errorf("%T: %s, %+v; want %s", c.barrier, safety.Consistency, o.Gate, c.want)
		}
	}
}
