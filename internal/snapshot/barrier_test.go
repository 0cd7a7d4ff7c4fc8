package snapshot

import (
	"context"
	"errors"
	"testing"

	"holdfast/engines"
)

type someGate struct{}

func (someGate) Hold(context.Context, HoldMode) (Held, error) {
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
