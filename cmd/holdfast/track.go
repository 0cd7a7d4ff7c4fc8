package main

import (
	"sync/atomic"
	"time"

	"holdfast/internal/activity"
	"holdfast/internal/snapshot"
)

// tracker is told by an operation how far it is, and tells the activity's record
// and the bar.
type tracker struct {
	counts    *activity.Progress
	estimated bool
	step      atomic.Pointer[string]
	stored    atomic.Int64 // the highest total that was told
}

var _ snapshot.Progress = (*tracker)(nil)

// newTracker begins now; estimated says that what is expected is a guess.
func newTracker(now time.Time, estimated bool) *tracker {
	t := &tracker{counts: activity.NewProgress(now), estimated: estimated}
	t.Step("")
	return t
}

func (t *tracker) Expect(bytes uint64) { t.counts.Add(activity.Counts{Expected: int64(bytes)}) }
func (t *tracker) Read(bytes int)      { t.counts.Add(activity.Counts{Read: int64(bytes)}) }
func (t *tracker) Kept(bytes uint64)   { t.counts.Add(activity.Counts{Kept: int64(bytes)}) }
func (t *tracker) Entry()              { t.counts.Add(activity.Counts{Files: 1}) }
func (t *tracker) Step(what string)    { t.step.Store(&what) }

func (t *tracker) Stored(total uint64) {
	for {
		before := t.stored.Load()
		grown := int64(total) - before
		if grown <= 0 {
			return
		}
		if t.stored.CompareAndSwap(before, int64(total)) {
			t.counts.Add(activity.Counts{Stored: grown})
			return
		}
	}
}

func (t *tracker) poll(now time.Time) progress {
	c := t.counts.Snapshot(now).Counts
	return progress{Step: *t.step.Load(), Bytes: uint64(c.Read + c.Kept), TotalBytes: uint64(c.Expected),
		Estimated: t.estimated, Files: uint64(c.Files), Stored: uint64(c.Stored)}
}

// show draws the tracker's progress until stop is called.
func (app *env) show(t *tracker) (stop func()) {
	return app.watch(func() progress { return t.poll(app.now()) })
}
