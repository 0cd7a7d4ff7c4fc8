package quiesce

import (
	"context"
	"errors"
	"time"
)

// How long after a recovery that failed the next one begins: recoverFirst, then
// twice as long each time, up to recoverLast.
const (
	recoverFirst = time.Second
	recoverLast  = 30 * time.Second
)

// Start thaws what a keeper before this one has left frozen. If that one died under
// a lease of mode Swap, or if Recover finds something that it cannot finish at
// once, requests are refused until the environment is whole. It must be called
// before anything else; Stop ends it.
func (k *Keeper) Start(ctx context.Context) error {
	k.stopped, k.stop = context.WithCancel(context.WithoutCancel(ctx))
	left, err := k.Record.load()
	if err != nil {
		return err
	}
	if left.Mode == Swap {
		k.logf("%s: the gate before this one ended in the middle of a swap; requests are refused until the environment is whole again", left.Holder)
		k.adopt(left)
		return nil
	}
	for _, t := range k.thaw(left.Frozen, left.Hooked) {
		k.logf("%s", t)
	}
	if k.Recover == nil {
		return nil
	}
	// A crash of the whole machine takes Record with it, but not the journal.
	if err := k.Recover(ctx); err != nil && !errors.Is(err, ErrRecoveryBusy) {
		k.logf("what may be left of a restore could not be finished: %v; requests are refused until it is", err)
		k.adopt(record{Holder: "recovery"})
	}
	return nil
}

// adopt makes a lease of what is left of another.
func (k *Keeper) adopt(left record) {
	l := &Lease{keeper: k, request: Request{Mode: Swap, Holder: left.Holder}, since: time.Now(), frozen: left.Frozen, hooked: left.Hooked,
		lost: make(chan struct{}), done: make(chan struct{}), orphaned: true}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.lease = l
	k.Gate.refuseAll()
	k.startRecovery(l)
}

// startRecovery calls Recover until it succeeds or l has ended otherwise.
func (k *Keeper) startRecovery(l *Lease) {
	if k.Recover == nil {
		return
	}
	ctx := k.stopped
	if ctx == nil {
		ctx = context.Background()
	}
	k.recoveries.Go(func() {
		for wait := recoverFirst; ; wait = min(2*wait, recoverLast) {
			err := k.Recover(ctx)
			if err == nil {
				l.end(nil)
				return
			}
			k.logf("%s: recovery: %v; again in %s", l.request.Holder, err, wait)
			select {
			case <-time.After(wait):
			case <-l.done:
				return
			case <-ctx.Done():
				return
			}
		}
	})
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
		l.end(errors.Join(ErrLost, errors.New("the gate ends")))
		<-l.done
	}
	k.recoveries.Wait()
}
