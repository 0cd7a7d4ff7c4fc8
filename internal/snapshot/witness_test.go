package snapshot

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"holdfast/engines"
	"holdfast/repo"
)

// watching is a source that says it has moved, or cannot tell.
type watching struct {
	engines.Source
	asked *int
	moved string
	err   error
}

func (w watching) Moved(context.Context) (string, error) {
	*w.asked++
	return w.moved, w.err
}

// A service that was written to between its mark and the release is named, and the
// snapshot is not one instant. Where nobody is held nobody asks.
func TestAServiceThatMovesUnderTheHold(t *testing.T) {
	for _, c := range []struct {
		name    string
		barrier Barrier
		moved   string
		err     error
		is      repo.Consistency
		unheld  string
		note    string
		asked   int
	}{
		{"it stands", &gate{}, "", nil, repo.OneInstant, "", "", 1},
		{"it moves", &gate{}, "from 1 to 2", nil, repo.PerService, "from 1 to 2", "", 1},
		{"it cannot tell", &gate{}, "", errors.New("no privilege"), repo.OneInstant, "", "is not known: no privilege", 1},
		{"nobody is held", NoBarrier{}, "from 1 to 2", nil, repo.PerService, "", "", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.fill("master", "day1")
			creation, asked := w.creation("master"), 0
			creation.Barrier = c.barrier
			known := creation.Parts[0].Engine.Source
			creation.Parts[0].Engine.Source = func(s engines.Service) (engines.Source, error) {
				source, err := known(s)
				return watching{source, &asked, c.moved, c.err}, err
			}
			session, err := w.begin(t.Context())
			w.must(err)
			s, err := creation.Create(t.Context(), session)
			w.must(err)
			first := s.Services[0]
			noted := slices.ContainsFunc(first.Notes, func(n string) bool { return strings.Contains(n, "is not known") })
			if s.Consistency != c.is || first.Unheld != c.unheld || asked != c.asked || noted != (c.note != "") {
				t.Errorf("it is %s, unheld %q, noted %q, and was asked %d times", s.Consistency, first.Unheld, first.Notes, asked)
			}
		})
	}
}

// Somebody who writes to a database beside the gate, after its mark and before the
// release, is found by the real engine.
func TestACronBesideTheGate(t *testing.T) {
	w := newWorld(t)
	w.fill("master", "day1")
	creation := w.creation("master")
	creation.Barrier = &gate{}
	known := creation.Parts[0].Engine.Source
	creation.Parts[0].Engine.Source = func(s engines.Service) (engines.Source, error) {
		source, err := known(s)
		return cron{source, source.(witness), func() { w.exec(w.path("master", s.Name+".db"), "INSERT INTO t VALUES ('cron')") }}, err
	}
	session, err := w.begin(t.Context())
	w.must(err)
	s, err := creation.Create(t.Context(), session)
	w.must(err)
	for i, service := range s.Services {
		if (service.Unheld != "") != (i == 0) {
			t.Errorf("of %s it says %q", service.Name, service.Unheld)
		}
	}
	if s.Consistency != repo.PerService {
		t.Errorf("it is %s", s.Consistency)
	}
}

// cron writes right after the mark.
type cron struct {
	engines.Source
	witness
	write func()
}

func (c cron) Mark(ctx context.Context, sink engines.Sink) (engines.Point, error) {
	point, err := c.Source.Mark(ctx, sink)
	c.write()
	return point, err
}
