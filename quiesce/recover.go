package quiesce

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// How long after a recovery that failed the next one begins: recoverFirst, then
// twice as long each time, up to recoverLast.
const (
	recoverFirst = time.Second
	recoverLast  = 30 * time.Second
)

// TakeOver thaws what a keeper before this one has left frozen. If that one died
// under a lease of mode Swap, requests are refused until the environment is whole; also
// if there is a Recover, until Start has asked it. It must come before Control is
// served: whoever came between would write down his own over what is left.
func (k *Keeper) TakeOver() error {
	left, err := k.Record.load()
	if err != nil {
		return err
	}
	if left.Mode == Swap {
		k.logf("%s: the gate before this one ended in the middle of a swap; requests are refused until the environment is whole again", left.Holder)
		k.adopt(left)
		return nil
	}
	if len(left.Frozen) > 0 {
		k.logf("thawing what the gate before this one has left frozen: %s", strings.Join(namesOf(left.Frozen), ", "))
	}
	k.thaw(left.Frozen, left.Hooked)
	if k.Recover != nil {
		// A crash of the whole machine takes Record with it, but not the journal.
		k.adopt(record{Holder: "a gate that starts"})
	}
	return nil
}

// adopt makes an orphaned lease of what is left of another.
func (k *Keeper) adopt(left record) {
	l := newLease(k, Request{Mode: Swap, Holder: left.Holder})
	l.since, l.frozen, l.hooked, l.orphaned = time.Now(), left.Frozen, left.Hooked, true
	close(l.acquired)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.lease, k.adopted = l, left.Mode == Swap
	k.Gate.refuseAll()
}

// Start recovers what TakeOver has taken over; it returns once that was tried.
// Control must be served already, since Recover may use it; requests come after. Stop
// ends what Start begins.
func (k *Keeper) Start(ctx context.Context) {
	k.mu.Lock()
	k.stopped, k.stop = context.WithCancel(context.WithoutCancel(ctx))
	l := k.lease
	if l == nil || !l.orphaned || l.ended {
		k.mu.Unlock()
		return
	}
	tried := k.startRecovery(l, !k.adopted)
	k.mu.Unlock()
	select {
	case <-l.done:
	case <-tried:
	case <-ctx.Done():
	}
}

// startRecovery calls Recover until it succeeds or l has ended otherwise. idle says
// that somebody who works on the environment is no reason to wait.
func (k *Keeper) startRecovery(l *Lease, idle bool) (tried <-chan struct{}) {
	first := make(chan struct{})
	if k.Recover == nil {
		close(first)
		return first
	}
	ctx := k.stopped
	if ctx == nil {
		ctx = context.Background()
	}
	k.recoveries.Go(func() {
		for wait := recoverFirst; ; wait = min(2*wait, recoverLast) {
			err := k.Recover(ctx)
			if err == nil || idle && errors.Is(err, ErrRecoveryBusy) {
				l.end(nil)
			} else {
				k.logf("%s: recovery: %v; again in %s", l.request.Holder, err, wait)
			}
			if wait == recoverFirst {
				close(first)
			}
			select {
			case <-l.done:
				return
			case <-ctx.Done():
				return
			case <-time.After(wait):
			}
		}
	})
	return first
}

// Stop ends what the keeper does by itself. A lease of mode Mark ends; the holder of
// one of mode Swap gets what max-hold leaves it; then, or if it is orphaned, it stays
// in Record for the next keeper, and its requests are refused.
func (k *Keeper) Stop() {
	k.mu.Lock()
	l := k.lease
	if l != nil && l.request.Mode == Swap && !l.orphaned && !l.ended {
		left := shorter(l.request.MaxHold, k.MaxHold, DefaultMaxHold) - time.Since(l.since)
		k.mu.Unlock()
		select {
		case <-l.done:
		case <-time.After(left):
		}
		k.mu.Lock()
		l = k.lease
	}
	if k.stop != nil {
		k.stop()
	}
	if l != nil && l.request.Mode == Swap && !l.ended {
		if l.overdue != nil {
			l.overdue.Stop()
		}
		k.Gate.refuseAll()
	}
	k.mu.Unlock()
	if l != nil && l.request.Mode == Mark {
		l.end(fmt.Errorf("%w: the gate ends", ErrLost))
		<-l.done
	}
	k.recoveries.Wait()
}
