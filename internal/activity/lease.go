package activity

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"
)

var (
	// ErrLost is wrapped by the cause with which a holder's context ends when the
	// lease is no longer its own.
	ErrLost = errors.New("the lease was lost")
	// ErrNotReleased is wrapped where the work is done but the lease could not be
	// given back. It is free as soon as this process has ended; for other machines,
	// some minutes later.
	ErrNotReleased = errors.New("the lease could not be released")

	// errTaken says that another holder has the next number.
	errTaken = errors.New("the place was taken")
)

const (
	// lingerFor is how long a number stays after it was superseded: longer than a
	// listing takes.
	lingerFor = time.Minute
	// retryEvery is the pause after a heartbeat that failed.
	retryEvery = 5 * time.Second
	// answerWithin bounds one heartbeat, and the release.
	answerWithin = 10 * time.Second
)

// Lease is the right to be the only operation at work on a place. It is held from
// Acquire until Release, or until it is lost.
type Lease struct {
	series numbered
	now    func() time.Time
	beat   Beat // of which At and Released are set for each object

	ctx    context.Context // ends with the lease, and with the caller's context
	end    context.CancelCauseFunc
	steady context.Context // the caller's without its end: for the release
	stop   context.CancelFunc
	beats  sync.WaitGroup

	// For the heartbeats; after they have ended, for Release.
	number   uint64    // the newest object of this lease
	good     time.Time // when it was written
	trail    []stamp   // it and its predecessors, as far as they are needed to sweep
	released bool
}

// stamp is a number and the time from which it was there.
type stamp struct {
	number uint64
	at     time.Time
}

// Acquire takes the lease of a place, 20 hex digits that stand for an environment.
// Where an operation is at work the error is a *BusyError: at once where that has
// recently been heard of, else after watching the place for up to two minutes.
// What was left by a process of this machine that is gone is taken over at once.
//
// Heartbeats are written until Release, also after ctx has ended: the holder still
// has to put things in order then.
func Acquire(ctx context.Context, objects Objects, place string, holder Holder, now func() time.Time) (*Lease, error) {
	if !validID(place) {
		return nil, fmt.Errorf("place %q is not 20 hex digits: %w", place, ErrInvalid)
	}
	l := &Lease{
		series: numbered{objects, "leases/" + place},
		now:    now,
		beat:   Beat{Holder: holder, Token: rand.Text()},
	}
	for {
		err := l.try(ctx)
		if err == nil {
			break
		}
		if !errors.Is(err, errTaken) {
			return nil, err
		}
		if err := sleep(ctx, 100*time.Millisecond); err != nil {
			return nil, err
		}
	}
	l.ctx, l.end = context.WithCancelCause(ctx)
	l.steady = context.WithoutCancel(ctx)
	steady, stop := context.WithCancel(l.steady)
	l.stop = stop
	l.beats.Go(func() { l.keep(steady) })
	return l, nil
}

// Context is the caller's, and ends with ErrLost as its cause when the lease is
// lost: the holder must leave the environment alone from then on.
func (l *Lease) Context() context.Context { return l.ctx }

// Hold calls f while it holds the lease of a place, with the lease's context. It
// returns f's error, with ErrLost where the lease was lost meanwhile. An error
// that wraps ErrNotReleased means that f's work is done.
func Hold(ctx context.Context, objects Objects, place string, holder Holder, now func() time.Time, f func(ctx context.Context) error) (err error) {
	l, err := Acquire(ctx, objects, place, holder, now)
	if err != nil {
		return err
	}
	defer func() {
		if notReleased := l.Release(); err == nil {
			err = notReleased
		}
	}()
	err = f(l.Context())
	if cause := context.Cause(l.Context()); err != nil && errors.Is(cause, ErrLost) && !errors.Is(err, ErrLost) {
		return fmt.Errorf("%w: %w", cause, err)
	}
	return err
}

// try makes one attempt; errTaken if somebody else was quicker.
func (l *Lease) try(ctx context.Context) error {
	number, newest, err := l.look(ctx)
	if err != nil {
		return err
	}
	l.trail = nil
	if number > 0 {
		if err := l.await(ctx, number, newest); err != nil {
			return err
		}
		l.trail = []stamp{{number, newest.At}}
	}
	l.number, l.beat.Since = number, seconds(l.now())
	return l.advance(ctx, false)
}

// look returns the place's newest object, number 0 if it has none. Of a damaged one
// nothing is known but that it is there: it is a heartbeat of long ago, whose holder,
// should he live, will be heard of again.
func (l *Lease) look(ctx context.Context) (number uint64, b Beat, err error) {
	number, data, err := l.series.newest(ctx)
	if err == nil && number > 0 {
		b, err = l.decode(number, data)
	}
	if errors.Is(err, fs.ErrInvalid) || errors.Is(err, ErrInvalid) {
		return number, Beat{}, nil
	}
	return number, b, err
}

func (l *Lease) read(ctx context.Context, number uint64) (Beat, error) {
	data, err := l.series.objects.Read(ctx, l.series.name(number))
	if err != nil {
		return Beat{}, err
	}
	return l.decode(number, data)
}

func (l *Lease) decode(number uint64, data []byte) (b Beat, err error) {
	if err := decode(data, &b); err != nil {
		return Beat{}, fmt.Errorf("read %s: %w", l.series.name(number), err)
	}
	return b, nil
}

// await returns nil when the place, whose newest object is b, can be taken.
func (l *Lease) await(ctx context.Context, number uint64, b Beat) error {
	for watched := time.Duration(0); ; watched += watchEvery {
		switch b.judge(l.beat.Process, l.now(), watched) {
		case free:
			return nil
		case busy:
			return b.busy()
		}
		if err := sleep(ctx, watchEvery); err != nil {
			return err
		}
		newer, c, err := l.look(ctx)
		if err != nil {
			return err
		}
		if newer != number && c.Token == b.Token && !c.Released {
			return c.busy() // it lives, whatever its clock says
		}
		if newer != number {
			return errTaken
		}
	}
}

// advance creates the lease's next number. When it returns nil the lease is held.
func (l *Lease) advance(ctx context.Context, release bool) error {
	beat := l.beat
	beat.At, beat.Released = seconds(l.now()), release
	data, err := encode(&beat)
	if err != nil {
		return err
	}
	for next := l.number + 1; ; next++ {
		err := l.series.create(ctx, next, data)
		if err == nil {
			return l.confirm(ctx, next, beat.At)
		}
		// An attempt that failed may have succeeded all the same: this one, or an
		// earlier one, whose heartbeat is in the way.
		there, readError := l.read(ctx, next)
		switch {
		case readError == nil && there == beat:
			return l.confirm(ctx, next, beat.At)
		case readError == nil && there.Token == beat.Token:
		case errors.Is(err, fs.ErrExist) && (readError == nil || errors.Is(readError, fs.ErrNotExist)):
			return errTaken
		case errors.Is(err, fs.ErrExist):
			return readError // it may be this lease's own: ask again
		default:
			return err
		}
	}
}

// confirm looks whether the number that was created is the highest. It is not
// where this process slept between its last look and the creation, others have
// held the place meanwhile, and the number was used and removed.
func (l *Lease) confirm(ctx context.Context, number uint64, at time.Time) error {
	numbers, err := l.series.list(ctx)
	if err != nil {
		return err
	}
	if len(numbers) > 0 && numbers[len(numbers)-1] > number {
		return errTaken
	}
	l.number, l.good = number, l.now()
	l.trail = append(l.trail, stamp{number, at})
	l.sweep(ctx, numbers)
	return nil
}

// sweep removes the numbers beneath the highest that has been there for
// lingerFor. What cannot be removed is removed next time, or by the next holder.
func (l *Lease) sweep(ctx context.Context, numbers []uint64) {
	for len(l.trail) > 1 && l.now().Sub(l.trail[1].at) >= lingerFor {
		l.trail = l.trail[1:]
	}
	if l.now().Sub(l.trail[0].at) < lingerFor {
		return
	}
	for _, n := range numbers {
		if n < l.trail[0].number {
			_ = l.series.objects.Remove(ctx, l.series.name(n))
		}
	}
}

// keep writes heartbeats until ctx ends or the lease is lost.
func (l *Lease) keep(ctx context.Context) {
	wait := beatEvery
	for sleep(ctx, wait) == nil {
		// Whoever wants to take over waits until staleAfter and then watches for
		// confirmFor: shortly after staleAfter this holder gives up first. But only
		// after an attempt that began then, since this process may have slept.
		left := staleAfter - l.now().Sub(l.good)
		attempt, cancel := context.WithTimeout(ctx, min(max(left, retryEvery), answerWithin))
		err := l.advance(attempt, false)
		cancel()
		switch {
		case err == nil:
			wait = beatEvery
		case ctx.Err() != nil:
			return
		case errors.Is(err, errTaken):
			l.end(fmt.Errorf("%w: another operation has taken over, as nothing had been heard of this one for %v; see what is running before you try again", ErrLost, staleAfter))
			return
		case left <= 0:
			l.end(fmt.Errorf("%w: no heartbeat could be written for %v: %w", ErrLost, staleAfter, err))
			return
		default:
			wait = retryEvery
		}
	}
}

// Release ends the heartbeats and gives the place back, also when the caller's
// context has ended. It does nothing for a lease that was lost or released. An
// error wraps ErrNotReleased.
func (l *Lease) Release() error {
	l.stop()
	l.beats.Wait()
	defer l.end(errors.New("the lease was released"))
	if l.released || errors.Is(context.Cause(l.ctx), ErrLost) {
		return nil
	}
	l.released = true
	ctx, cancel := context.WithTimeout(l.steady, answerWithin)
	defer cancel()
	if err := l.advance(ctx, true); err != nil && !errors.Is(err, errTaken) {
		return fmt.Errorf("%w: %w", ErrNotReleased, err)
	}
	return nil
}
