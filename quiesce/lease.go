package quiesce

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Mode says what becomes of the requests when their holder dies or takes too long.
type Mode string

const (
	// Mark fails open: they go on.
	Mark Mode = "mark"
	// Swap fails closed: they wait on, and are then refused, until somebody says
	// that the data is whole.
	Swap Mode = "swap"
)

// Request asks for a lease. Drain and MaxHold shorten what the gate allows; 0 does
// not.
type Request struct {
	Mode    Mode
	Holder  string // for people: "create 2ca4d90639f706283fee"
	PID     int    // of the holder, which must not be frozen; 0 where it is not known
	Drain   time.Duration
	MaxHold time.Duration
}

// Report says what a hold amounted to.
type Report struct {
	Tally
	// Whole: requests were held from the start until the release was asked for.
	Whole   bool          `json:"whole"`
	Held    time.Duration `json:"held_ns"`
	Drained time.Duration `json:"drained_ns"` // until running requests had finished
	Frozen  []string      `json:"frozen,omitempty"`
	// Trouble tells of what could not be thawed, or of hooks that failed.
	Trouble []string `json:"trouble,omitempty"`
}

// The reasons for which there is no lease, or no longer. Errors wrap one of them.
var (
	ErrBusy    = errors.New("somebody else holds the requests")
	ErrRunning = errors.New("running requests did not finish in time")
	ErrOverdue = errors.New("requests were held for as long as is allowed")
	ErrFreeze  = errors.New("what should be frozen is not")
	ErrLost    = errors.New("the lease is lost")
)

// Lease is one hold of a Keeper's gate. Its methods may be called at any time, by
// several goroutines.
type Lease struct {
	keeper  *Keeper
	request Request

	giveUp   func()        // ends acquiring
	acquired chan struct{} // closed once acquiring has ended, well or not
	lost     chan struct{} // closed when the lease has ended otherwise than by Release

	// By who acquires:
	drained time.Duration
	hooked  bool // --before was begun

	// Under the keeper's mu:
	since    time.Time
	frozen   []Frozen // by who acquires
	overdue  *time.Timer
	orphaned bool
	ended    bool
	cause    error         // why it was lost
	done     chan struct{} // closed once report is complete
	report   Report
}

func newLease(k *Keeper, r Request) *Lease {
	return &Lease{keeper: k, request: r, giveUp: func() {}, acquired: make(chan struct{}), lost: make(chan struct{}), done: make(chan struct{})}
}

// Lost is closed when the lease has ended by itself; requests go on by then. A
// lease of mode Swap is lost by force only.
func (l *Lease) Lost() <-chan struct{} { return l.lost }

// Cause says why the lease was lost; nil if it was not.
func (l *Lease) Cause() error {
	l.keeper.mu.Lock()
	defer l.keeper.mu.Unlock()
	return l.cause
}

// Release lets requests go on, thaws, and returns the report once all that waited
// have gone on.
func (l *Lease) Release() Report {
	l.end(nil)
	<-l.done
	return l.report
}

// Drop says that the holder is gone. A lease of mode Swap then waits, orphaned, to
// be settled.
func (l *Lease) Drop() {
	if l.request.Mode == Swap {
		l.keeper.orphan(l)
		return
	}
	l.end(fmt.Errorf("%w: its holder is gone", ErrLost))
}

// late is called when max-hold is over.
func (l *Lease) late(maxHold time.Duration) {
	if l.request.Mode == Swap {
		l.keeper.refuse(l)
		return
	}
	l.end(fmt.Errorf("%w: %w, %s", ErrLost, ErrOverdue, maxHold))
}

// end ends the lease, once: requests first, then what is frozen, then whoever
// waits for it. cause is why it was lost, or nil.
func (l *Lease) end(cause error) {
	k := l.keeper
	k.mu.Lock()
	if l.ended {
		k.mu.Unlock()
		return
	}
	l.ended, l.cause = true, cause
	if l.overdue != nil {
		l.overdue.Stop()
	}
	held := time.Duration(0)
	if !l.since.IsZero() {
		held = time.Since(l.since)
	}
	tally := k.Gate.release()
	k.mu.Unlock()
	if cause != nil {
		k.logf("%s: %v; requests go on", l.request.Holder, cause)
		close(l.lost)
	}
	l.giveUp()
	<-l.acquired // what is frozen, and hooked, stays as it is from here on
	trouble := k.thaw(l.frozen, l.hooked)
	k.mu.Lock()
	k.lease = nil // the next one may come
	k.mu.Unlock()
	l.report = Report{Tally: k.Gate.settle(context.Background(), tally), Whole: cause == nil, Held: held, Drained: l.drained, Frozen: namesOf(l.frozen), Trouble: trouble}
	k.mu.Lock()
	k.longest = max(k.longest, l.report.LongestWait)
	k.mu.Unlock()
	close(l.done)
}
