package quiesce

import (
	"context"
	"errors"
	"fmt"
	"log"
	"sync"
	"time"
)

// Bounds of a hold, where nothing else is said.
const (
	DefaultDrain   = 5 * time.Second
	DefaultMaxHold = 10 * time.Second
)

// ErrRecoveryBusy is returned by a Keeper's Recover where another process works on
// the environment, and so has finished what there was to be finished.
var ErrRecoveryBusy = errors.New("another process works on the environment")

// Keeper gives out the lease of a gate, one at a time, and sees to it that it ends.
//
// Invariants:
//
//  1. Requests are held, or refused, only while there is a lease that has not
//     ended.
//  2. What is frozen, or may be, stands in Record; it is thawed, and then taken out.
//  3. A lease of mode Mark ends when its holder releases it or is gone, or when
//     max-hold is over. One of mode Swap ends when its holder releases it, or,
//     orphaned, when it is settled. Either can be ended by force.
type Keeper struct {
	Gate    *Gate
	Drain   time.Duration // 0 is DefaultDrain
	MaxHold time.Duration // 0 is DefaultMaxHold
	Freeze  []Freezable
	Hooks   Hooks
	Record  Record
	// Recover brings the data that an orphaned lease was about to where it was
	// before the restore, or after it. nil: somebody else does.
	Recover func(context.Context) error
	Log     *log.Logger // nil is the standard one

	mu         sync.Mutex
	lease      *Lease
	adopted    bool          // TakeOver found a swap that was interrupted
	longest    time.Duration // a request waited, of all holds
	recoveries sync.WaitGroup
	stop       context.CancelFunc // ends recoveries
	stopped    context.Context
}

func (k *Keeper) logf(format string, args ...any) {
	to := k.Log
	if to == nil {
		to = log.Default()
	}
	to.Printf(format, args...)
}

// shorter returns asked, at most allowed.
func shorter(asked, allowed, otherwise time.Duration) time.Duration {
	if allowed <= 0 {
		allowed = otherwise
	}
	if asked <= 0 {
		return allowed
	}
	return min(asked, allowed)
}

// Acquire holds the requests: it returns once running ones have finished and all
// that is to be frozen is. After an error nothing is held. ctx ends with the
// holder.
func (k *Keeper) Acquire(ctx context.Context, r Request) (*Lease, error) {
	ctx, giveUp := context.WithCancel(ctx)
	defer giveUp()
	l := newLease(k, r)
	l.giveUp = giveUp
	if err := k.take(l); err != nil {
		return nil, err
	}
	maxHold := shorter(r.MaxHold, k.MaxHold, DefaultMaxHold)
	err := k.hold(ctx, l, maxHold)
	close(l.acquired)
	if err != nil {
		l.end(err)
		<-l.done
		return nil, l.Cause()
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if l.ended {
		return nil, l.cause
	}
	l.overdue = time.AfterFunc(maxHold-time.Since(l.since), func() { l.late(maxHold) })
	return l, nil
}

func (k *Keeper) take(l *Lease) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if other := k.lease; other != nil {
		return fmt.Errorf("%w: %s", ErrBusy, other.request.Holder)
	}
	k.lease = l
	return nil
}

func (k *Keeper) hold(ctx context.Context, l *Lease, maxHold time.Duration) error {
	// Those who waited in the hold before go on first; that is not this hold's time.
	before, cancel := context.WithTimeout(ctx, maxHold)
	defer cancel()
	if err := k.Gate.shut(before); err != nil {
		return ended(ctx, fmt.Errorf("%w: those held before have not gone on yet", ErrBusy))
	}
	k.mu.Lock()
	l.since = time.Now()
	k.mu.Unlock()
	ctx, cancelHold := context.WithTimeout(ctx, maxHold)
	defer cancelHold()
	drain, cancelDrain := context.WithTimeout(ctx, shorter(l.request.Drain, k.Drain, DefaultDrain))
	defer cancelDrain()
	if err := k.Gate.drain(drain); err != nil {
		return ended(ctx, fmt.Errorf("%w: %w", ErrRunning, err))
	}
	l.drained = time.Since(l.since)
	if err := k.freeze(ctx, l); err != nil {
		return ended(ctx, fmt.Errorf("%w: %w", ErrFreeze, err))
	}
	return nil
}

// ended returns err, unless it came of the holder's end.
func ended(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return fmt.Errorf("%w: its holder is gone", ErrLost)
	}
	return err
}

// refuse answers all requests with 503 for as long as l lasts.
func (k *Keeper) refuse(l *Lease) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if l.ended {
		return
	}
	k.logf("%s: requests were held for as long as is allowed; they are refused until it has ended", l.request.Holder)
	k.Gate.refuseAll()
}

// orphan keeps a lease of mode Swap whose holder is gone, and begins to recover.
func (k *Keeper) orphan(l *Lease) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if l.ended || l.orphaned || k.stopped != nil && k.stopped.Err() != nil {
		return
	}
	l.orphaned = true
	k.logf("%s: its holder is gone in the middle of a swap; requests go on when the environment is whole again", l.request.Holder)
	k.startRecovery(l, false)
}

// Settled says that the data is whole: an orphaned lease ends.
func (k *Keeper) Settled() {
	k.mu.Lock()
	l := k.lease
	if l == nil || !l.orphaned {
		k.mu.Unlock()
		return
	}
	k.mu.Unlock()
	l.end(nil)
}

// Force ends whatever lease there is.
func (k *Keeper) Force() {
	k.mu.Lock()
	l := k.lease
	k.mu.Unlock()
	if l != nil {
		l.end(fmt.Errorf("%w: it was released by force", ErrLost))
		<-l.done
	}
}

// Status is a gate at one moment.
type Status struct {
	State   State    `json:"state"`
	Holder  string   `json:"holder,omitempty"`
	Mode    Mode     `json:"mode,omitempty"`
	Held    float64  `json:"held_seconds,omitempty"`
	Orphan  bool     `json:"orphaned,omitempty"`
	Frozen  []string `json:"frozen,omitempty"`
	Running int      `json:"running"`
	Passing int      `json:"passing"`
	Waiting int      `json:"waiting"`
	Totals  Totals   `json:"totals"`
	// LongestWait is that of all requests of all holds.
	LongestWait time.Duration `json:"longest_wait_ns"`
}

// Status returns what the gate does now.
func (k *Keeper) Status() Status {
	k.mu.Lock()
	defer k.mu.Unlock()
	g := k.Gate
	g.mu.Lock()
	s := Status{State: g.now(), Running: g.running.n, Passing: g.passing.n, Waiting: g.waiting.n, Totals: g.totals, LongestWait: k.longest}
	g.mu.Unlock()
	if l := k.lease; l != nil {
		s.Holder, s.Mode, s.Orphan = l.request.Holder, l.request.Mode, l.orphaned
		if s.State == Draining || s.State == Held || s.State == Refusing {
			s.Held = time.Since(l.since).Seconds()
		}
		s.Frozen = namesOf(l.frozen)
	}
	return s
}
