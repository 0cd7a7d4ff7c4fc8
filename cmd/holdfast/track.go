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
	counts *activity.Progress
	phase  atomic.Pointer[phase]
	stored atomic.Int64 // the highest total that was told in this phase
}

// phase is what the bar shows from its nought to its end.
type phase struct {
	number    int
	step      string
	estimated bool            // what is expected is a guess
	before    activity.Counts // what was counted in the phases before
}

var _ snapshot.Progress = (*tracker)(nil)

// newTracker begins now.
func newTracker(now time.Time) *tracker {
	t := &tracker{counts: activity.NewProgress(now)}
	t.phase.Store(&phase{})
	return t
}

func (t *tracker) Expect(bytes uint64) { t.counts.Add(activity.Counts{Expected: int64(bytes)}) }
func (t *tracker) Read(bytes int)      { t.counts.Add(activity.Counts{Read: int64(bytes)}) }
func (t *tracker) Kept(bytes uint64)   { t.counts.Add(activity.Counts{Kept: int64(bytes)}) }
func (t *tracker) Entry()              { t.counts.Add(activity.Counts{Files: 1}) }

func (t *tracker) Step(what string) {
	p := *t.phase.Load()
	p.step = what
	t.phase.Store(&p)
}

// Phase implements snapshot.Progress. Nothing of the phase before is told any more.
func (t *tracker) Phase(what string, guessed bool) {
	t.stored.Store(0)
	t.phase.Store(&phase{t.phase.Load().number + 1, what, guessed, t.counts.Total()})
}

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

func (t *tracker) poll() progress {
	p := t.phase.Load()
	c, b := t.counts.Total(), p.before
	return progress{Phase: p.number, Step: p.step, Bytes: uint64(c.Read + c.Kept - b.Read - b.Kept), TotalBytes: uint64(c.Expected - b.Expected),
		Estimated: p.estimated, Files: uint64(c.Files - b.Files), Stored: uint64(c.Stored - b.Stored)}
}

// show draws the tracker's progress until stop is called.
func (app *env) show(t *tracker) (stop func()) {
	return app.watch(t.poll)
}
