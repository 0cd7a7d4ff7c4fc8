package activity

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// ErrNotRecorded is wrapped where an operation has ended but that could not be
// written down: readers will take it for interrupted.
var ErrNotRecorded = errors.New("the end of the activity could not be recorded")

const (
	// writeEvery is the least time between two writes of what only changes.
	writeEvery = 5 * time.Second
	// aliveEvery is the longest time between two writes; readers take an operation
	// that is silent for staleAfter for interrupted.
	aliveEvery = 30 * time.Second
	// lastTries is how often the end is written until it succeeds.
	lastTries = 3
)

// Recorder writes an operation's record. It may be used from several goroutines.
type Recorder struct {
	series   numbered
	now      func() time.Time
	progress *Progress
	id       string
	caller   context.Context
	steady   context.Context // the caller's without its end
	stop     context.CancelFunc
	writes   sync.WaitGroup

	mu     sync.Mutex
	record Record // always within the bounds
	dirty  bool   // changed since it was written
	ended  bool

	turn   chan struct{} // for one writer at a time, who alone uses what follows
	number uint64        // the newest that may be there
	there  []uint64      // all that may be there
}

// Start writes the first record of an operation, of which record says the Holder,
// the Project and the Environment, and goes on writing in the background until
// Finish. progress, from which the percentage comes, may be nil.
func Start(ctx context.Context, objects Objects, record Record, progress *Progress, now func() time.Time) (*Recorder, error) {
	record.State, record.Started = InProgress, seconds(now())
	record.Results = slices.Clone(record.Results)
	steady := context.WithoutCancel(ctx)
	background, stop := context.WithCancel(steady)
	r := &Recorder{
		series:   numbered{objects, "activities/" + record.Activity},
		now:      now,
		progress: progress,
		id:       record.Activity,
		caller:   ctx,
		steady:   steady,
		stop:     stop,
		record:   record,
		turn:     make(chan struct{}, 1),
	}
	if err := r.Flush(ctx); err != nil {
		stop()
		return nil, err
	}
	r.writes.Go(func() { r.keep(background) })
	return r, nil
}

// Run calls f between Start and Finish. It returns f's error; one that wraps
// ErrNotRecorded means that f's work is done.
func Run(ctx context.Context, objects Objects, record Record, progress *Progress, now func() time.Time, f func(context.Context, *Recorder) error) error {
	r, err := Start(ctx, objects, record, progress, now)
	if err != nil {
		return err
	}
	defer r.join() // should f panic
	err = f(ctx, r)
	if notRecorded := r.Finish(err); err == nil {
		err = notRecorded
	}
	return err
}

// SetSnapshot says which snapshot is being created, restored or deleted.
func (r *Recorder) SetSnapshot(name string) {
	r.change(func() { r.record.Snapshot = name[:min(len(name), maxName)] })
}

// AddResult adds lines for people. What a record cannot hold is cut off, visibly.
func (r *Recorder) AddResult(lines ...string) {
	r.change(func() {
		for _, line := range lines {
			switch n := len(r.record.Results); {
			case n < maxResults-1:
				r.record.Results = append(r.record.Results, shorten(line))
			case n == maxResults-1:
				r.record.Results = append(r.record.Results, cutOff)
			}
		}
	})
}

// WriteJournal replaces the journal and returns when that is durable, or an error;
// then it may or may not be.
func (r *Recorder) WriteJournal(ctx context.Context, journal []byte) error {
	if len(journal) > MaxJournal {
		return fmt.Errorf("record activity %s: a journal of %d bytes, more than %d", r.id, len(journal), MaxJournal)
	}
	r.change(func() { r.record.Journal = bytes.Clone(journal) })
	return r.Flush(ctx)
}

// Flush returns when all that was said is durable; otherwise that takes seconds.
func (r *Recorder) Flush(ctx context.Context) error {
	if err := r.write(ctx); err != nil {
		return fmt.Errorf("record activity %s: %w", r.id, err)
	}
	return nil
}

func (r *Recorder) change(change func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.ended {
		change()
		r.dirty = true
	}
}

// Finish writes what became of the operation: complete, cancelled where err comes
// from a context that was, else failed. It does so also when the caller's context has
// ended, and tries several times. An error wraps ErrNotRecorded.
func (r *Recorder) Finish(err error) error {
	r.join()
	r.mu.Lock()
	if r.ended {
		r.mu.Unlock()
		return nil
	}
	r.end(err)
	r.mu.Unlock()
	for try := 1; ; try++ {
		attempt, cancel := context.WithTimeout(r.steady, answerWithin)
		err := r.write(attempt)
		cancel()
		if err == nil {
			return nil
		}
		if try == lastTries {
			return fmt.Errorf("%w: %w", ErrNotRecorded, err)
		}
		if err := sleep(r.steady, time.Second); err != nil {
			return err
		}
	}
}

func (r *Recorder) join() {
	r.stop()
	r.writes.Wait()
}

// end sets the final state; with mu held.
func (r *Recorder) end(err error) {
	r.ended = true
	r.record.Finished = seconds(r.now())
	r.record.State = Failed
	switch {
	case err == nil:
		r.record.State = Complete
		if r.progress != nil {
			r.progress.Done()
		}
		return
	case errors.Is(err, ErrLost) || errors.Is(context.Cause(r.caller), ErrLost):
	case errors.Is(err, context.Canceled) || errors.Is(r.caller.Err(), context.Canceled):
		r.record.State = Cancelled
	}
	r.record.Error = shorten(err.Error())
}

// keep writes what has changed, and now and then that there is nothing new.
func (r *Recorder) keep(ctx context.Context) {
	for sleep(ctx, writeEvery) == nil {
		if !r.due() {
			continue
		}
		attempt, cancel := context.WithTimeout(ctx, answerWithin)
		_ = r.write(attempt) // it is still due at the next turn; Finish reports
		cancel()
	}
}

func (r *Recorder) due() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.dirty || r.percent() != r.record.Percent || r.now().Sub(r.record.Updated) >= aliveEvery
}

// percent is what the record should say; with mu held.
func (r *Recorder) percent() int {
	switch {
	case r.record.State == Complete:
		return 100
	case r.progress == nil || r.ended:
		return r.record.Percent
	}
	return min(99, r.progress.Snapshot(r.now()).Percent)
}

// write makes a new object and removes the older ones.
func (r *Recorder) write(ctx context.Context) error {
	select {
	case r.turn <- struct{}{}:
		defer func() { <-r.turn }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	data, err := r.encode()
	if err != nil {
		return err
	}
	r.number++ // never the number of an attempt that failed: it may be there
	r.there = append(r.there, r.number)
	if err := r.series.create(ctx, r.number, data); err != nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.dirty = true
		return err
	}
	r.there = slices.DeleteFunc(r.there, func(n uint64) bool {
		return n != r.number && r.series.objects.Remove(ctx, r.series.name(n)) == nil
	})
	return nil
}

func (r *Recorder) encode() ([]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.record.Percent = r.percent()
	r.record.Updated = seconds(r.now())
	r.dirty = false
	return encode(&r.record)
}

const cutOff = "…"

// shorten keeps a text within the bounds of a record.
func shorten(text string) string {
	if len(text) <= maxText {
		return text
	}
	return strings.ToValidUTF8(text[:maxText-len(cutOff)], "") + cutOff
}
