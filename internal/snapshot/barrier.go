package snapshot

import (
	"context"
	"errors"
	"fmt"
	"time"

	"holdfast/repo"
)

// Barrier holds an environment's requests while points are marked or data is
// swapped. The gate fills it; without one there is NoBarrier.
type Barrier interface {
	// Hold returns once requests are held and running ones have finished, or with
	// an error, in which case nothing is held. Errors wrap ErrHoldTime where it took
	// too long. holder says to people who it is.
	Hold(ctx context.Context, mode HoldMode, holder string) (Held, error)
}

// ErrHoldTime: requests could not be held, or not for as long as was needed.
var ErrHoldTime = errors.New("holding the requests took too long")

// HoldMode says what becomes of the requests when the holder dies.
type HoldMode uint8

const (
	// HoldMark fails open: the site goes on, the snapshot does not.
	HoldMark HoldMode = iota
	// HoldSwap fails closed: nobody sees half a restore.
	HoldSwap
)

// Held is a hold that is on. It ends with Release or Abandon.
type Held interface {
	// Lost is closed when requests have gone on by themselves. nil never is.
	Lost() <-chan struct{}
	// Release lets the requests go on.
	Release() Released
	// Abandon leaves the hold as if this process had died: in mode HoldSwap
	// requests wait until the environment is whole again.
	Abandon()
}

// Released says what a hold amounted to.
type Released struct {
	Held time.Duration
	// Broken says why requests went on before Release; nil if they did not. It wraps
	// ErrHoldTime where that was the reason.
	Broken error
	Hold   *repo.Hold // nil where nothing was held
}

// NoBarrier holds nothing.
type NoBarrier struct{}

// Hold implements Barrier.
func (NoBarrier) Hold(context.Context, HoldMode, string) (Held, error) { return notHeld{}, nil }

type notHeld struct{}

func (notHeld) Lost() <-chan struct{} { return nil }
func (notHeld) Release() Released     { return Released{} }
func (notHeld) Abandon()              {}

// heldBefore is a hold that is over: what was then put aside is of its time.
type heldBefore struct{ Released }

func (h heldBefore) Hold(context.Context, HoldMode, string) (Held, error) { return h, nil }
func (heldBefore) Lost() <-chan struct{}                                  { return nil }
func (h heldBefore) Release() Released                                    { return h.Released }
func (heldBefore) Abandon()                                               {}

// holdToMark holds the requests, calls mark under the hold and says what the hold
// amounted to. Where it takes too long, mark is not called or its context ends;
// unless c.OrLive is set: then mark goes on, and what was held does not count.
func (c *Creation) holdToMark(ctx context.Context, holder string, mark func(context.Context) error) (Released, error) {
	held, err := c.barrier().Hold(ctx, HoldMark, holder)
	late := errors.Is(err, ErrHoldTime) && c.OrLive
	if err != nil && !late {
		return Released{}, fmt.Errorf("hold the requests: %w", err)
	}
	if late {
		return Released{Broken: err, Hold: &repo.Hold{Broken: err.Error()}}, mark(ctx)
	}
	marking, stop := context.WithCancel(ctx)
	defer stop()
	if !c.OrLive {
		over := make(chan struct{})
		defer func() { <-over }()
		go func() {
			defer close(over)
			select {
			case <-held.Lost():
				stop()
			case <-marking.Done():
			}
		}()
	}
	err = mark(marking)
	released := held.Release() // before anything else, whatever happened
	stop()
	if released.Broken == nil {
		return released, err
	}
	if !c.OrLive {
		return released, fmt.Errorf("the requests went on before all was marked: %w", released.Broken)
	}
	if released.Hold == nil {
		released.Hold = &repo.Hold{}
	}
	released.Hold.Broken = released.Broken.Error()
	return released, err
}

func (c *Creation) consistency(r Released) repo.Consistency {
	switch {
	case c.Live || r.Broken != nil:
		return repo.Live
	case r.Hold != nil && r.Hold.Unheld == 0:
		return repo.OneInstant
	}
	return repo.PerService
}
