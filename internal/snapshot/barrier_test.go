package snapshot

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"holdfast/engines"
	"holdfast/repo"
)

type someGate struct{}

func (someGate) Hold(context.Context, HoldMode, string) (Held, error) {
	return nil, errors.New("not to be called")
}

func TestSourcesAreToldWhetherTheyWillBeHeld(t *testing.T) {
	for _, c := range []struct {
		barrier Barrier
		live    bool
		unheld  bool
	}{
		{NoBarrier{}, false, true}, {NoBarrier{}, true, true}, {someGate{}, false, false}, {someGate{}, true, true},
	} {
		var told []bool
		engine := engines.Engine{Source: func(s engines.Service) (engines.Source, error) {
			told = append(told, s.Unheld)
			return nil, nil
		}}
		creation := Creation{Barrier: c.barrier, Live: c.live, Parts: []Part{{Engine: engine}}}
		if _, err := creation.open(); err != nil || len(told) != 1 || told[0] != c.unheld {
			t.Errorf("%T, live %v: told %v, %v; want %v", c.barrier, c.live, told, err, c.unheld)
		}
	}
}

// adrift is a source that knows of something which is not at its point.
type adrift struct{ engines.Source }

func (s adrift) Send(ctx context.Context, sink engines.Sink) (engines.Result, error) {
	result, err := s.Source.Send(ctx, sink)
	result.Apart = []string{"orders/sessions"}
	return result, err
}

func TestWhatIsNotAtTheInstantIsNamedAndTheSnapshotIsNotOne(t *testing.T) {
	for _, apart := range []bool{false, true} {
		w := newWorld(t)
		w.fill("master", "day1")
		c := w.creation("master")
		c.Barrier = heldBefore{Released{Held: time.Millisecond, Hold: &repo.Hold{}}}
		if known := c.Parts[0].Engine.Source; apart {
			c.Parts[0].Engine.Source = func(s engines.Service) (engines.Source, error) {
				source, err := known(s)
				return adrift{source}, err
			}
		}
		session, err := w.begin(t.Context())
		w.must(err)
		s, err := c.Create(t.Context(), session)
		w.must(err)
		want, note := repo.OneInstant, ""
		if apart {
			want, note = repo.PerService, "not at this instant: orders/sessions"
		}
		if s.Consistency != want || slices.Contains(s.Services[0].Notes, note) != apart {
			t.Errorf("apart %v: %s, %q", apart, s.Consistency, s.Services[0].Notes)
		}
	}
}
