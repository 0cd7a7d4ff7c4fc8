package snapshot

import (
	"context"
	"time"

	"holdfast/repo"
)

// Barrier holds an environment's requests while points are marked or data is
// swapped. The gate fills it; without one there is NoBarrier.
type Barrier interface {
	// Hold returns once requests are held and running ones have finished, or with
	// an error, in which case nothing is held.
	Hold(ctx context.Context, mode HoldMode) (Held, error)
}

// HoldMode says what becomes of the requests when the holder dies.
type HoldMode uint8

const (
	// HoldMark fails open: the site goes on, the snapshot does not.
	HoldMark HoldMode = iota
	// HoldSwap fails closed: nobody sees half a restore.
	HoldSwap
)

// Held is a hold that is on.
type Held interface {
	// Release lets the requests go on and says how long they were held, and
	// whether that lasted all the time: false means that they went on too early.
	Release() (held time.Duration, whole bool)
}

// NoBarrier holds nothing.
type NoBarrier struct{}

// Hold implements Barrier.
func (NoBarrier) Hold(context.Context, HoldMode) (Held, error) { return notHeld{}, nil }

type notHeld struct{}

func (notHeld) Release() (time.Duration, bool) { return 0, false }

func consistency(live, whole bool) repo.Consistency {
	switch {
	case live:
		return repo.Live
	case whole:
		return repo.OneInstant
	}
	return repo.PerService
}
