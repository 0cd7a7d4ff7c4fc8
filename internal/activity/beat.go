package activity

import (
	"fmt"
	"time"

	"holdfast/internal/process"
)

// The times of a lease. A living holder writes every beatEvery. What is silent for
// staleAfter, which is eight heartbeats, may be taken over.
//
// Whose clock? The record says when the holder's clock thought it was written, and
// clocks differ. To call a live holder dead because our clock is ahead would put
// two operations to work on one environment; to call a dead one alive for long
// would keep backups from being made. So a record's time is used in one direction
// only, to refuse at once: it is recent, somebody is working. Where it looks old, or
// lies in the future (so one of the clocks is wrong), the place is watched: a
// single new heartbeat within confirmFor shows a living holder, whatever the clocks
// say. Without any, an old record is stale after confirmFor, and one from the future,
// of which nothing can be said, after staleAfter.
const (
	beatEvery  = 15 * time.Second
	staleAfter = 2 * time.Minute
	confirmFor = 40 * time.Second // of two heartbeats one would be seen, be the storage slow
	watchEvery = 5 * time.Second
)

// Beat is what an object of a place holds: a heartbeat, or the release.
type Beat struct {
	Holder
	// Token is drawn once for each lease: what tells it from another lease of the
	// same process.
	Token string    `cbor:"4,keyasint"`
	Since time.Time `cbor:"5,keyasint"` // when the lease was acquired
	At    time.Time `cbor:"6,keyasint"` // when this was written
	// Released is set in the last object that the holder writes.
	Released bool `cbor:"7,keyasint,omitempty"`
}

func (b *Beat) validate() error {
	if err := b.Holder.validate(); err != nil {
		return err
	}
	if len(b.Token) < 16 || len(b.Token) > 64 || !validTime(b.Since) || !validTime(b.At) {
		return fmt.Errorf("heartbeat of activity %s: %w", b.Activity, ErrInvalid)
	}
	return nil
}

func (b *Beat) toUTC() { b.Since, b.At = b.Since.UTC(), b.At.UTC() }

// verdict is what is thought of a place's newest heartbeat.
type verdict int

const (
	free  verdict = iota // the place can be taken
	busy                 // somebody works there
	watch                // it is too early to tell
)

// judge decides about a place whose newest object is b. watched is for how long
// nothing newer has been seen.
func (b *Beat) judge(self process.Process, now time.Time, watched time.Duration) verdict {
	age := now.Sub(b.At)
	switch {
	case b.Released, self.Gone(b.Process), watched >= staleAfter:
		return free
	case age >= staleAfter && watched >= confirmFor:
		return free
	case age >= staleAfter, age < -beatEvery, watched > 0:
		return watch
	}
	return busy
}

// BusyError says who holds the place that was asked for.
type BusyError struct {
	Activity string
	Kind     Kind
	Host     string
	PID      int
	Since    time.Time
}

// Error says which operation is running, where, since when, and what to do.
func (e *BusyError) Error() string {
	return fmt.Sprintf("%s %s is running on %s (process %d) since %s; wait until it is done, or end it there, and try again",
		e.Kind, e.Activity, e.Host, e.PID, e.Since.Local().Format("2006-01-02 15:04:05 MST"))
}

func (b *Beat) busy() error {
	return &BusyError{Activity: b.Activity, Kind: b.Kind, Host: b.Process.Host, PID: b.Process.PID, Since: b.Since}
}
