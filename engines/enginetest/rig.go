package enginetest

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"holdfast/engines"
	"holdfast/internal/tree"
)

// rig is one case's workbench: it makes places, captures and restores them, and
// fails the test at the first thing that goes wrong.
type rig struct {
	*testing.T
	h      Harness
	ctx    context.Context
	tokens int
	writes atomic.Int64
}

func (r *rig) must(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

// place makes a place with data of that kind, and looks for litter at the end.
func (r *rig) place(kind Kind) Place {
	r.Helper()
	p := r.h.Place(r.T)
	r.must(p.Fill(r.ctx, kind))
	r.Cleanup(func() {
		if !r.Failed() {
			r.ctx = context.Background() // the test's own has ended
			r.clean(p, "at the end")
		}
	})
	return p
}

// clean fails the test if an engine left something at p.
func (r *rig) clean(p Place, when string) {
	r.Helper()
	litter, err := p.Litter(r.ctx)
	if err != nil {
		r.Fatalf("look for litter %s: %v", when, err)
	}
	if len(litter) > 0 {
		r.Fatalf("left behind %s: %s", when, strings.Join(litter, ", "))
	}
}

func (r *rig) dump(p Place) string {
	r.Helper()
	s, err := p.Dump(r.ctx)
	r.must(err)
	return s
}

// same fails the test unless p holds exactly the data that want is the dump of.
func (r *rig) same(p Place, want, when string) {
	r.Helper()
	if got := r.dump(p); got != want {
		r.Fatalf("%s the data are others: %s", when, firstDifference(want, got))
	}
}

func firstDifference(want, got string) string {
	at := 0
	for at < len(want) && at < len(got) && want[at] == got[at] {
		at++
	}
	excerpt := func(s string) string { return s[max(0, at-40):min(len(s), at+80)] }
	return fmt.Sprintf("at byte %d of %d and %d:\nwant …%q…\ngot  …%q…", at, len(want), len(got), excerpt(want), excerpt(got))
}

// snapshot is what one capture gave.
type snapshot struct {
	*Memory
	entries []tree.Entry
	empty   bool
}

// around says what happens around a mark: whom it holds, and what is done before
// and after they are released.
type around struct {
	gate           *sync.RWMutex
	held, released func()
}

// capture takes p into sink, which stands before memory.
func (r *rig) capture(ctx context.Context, p Place, memory *Memory, sink engines.Sink, a around) (snapshot, error) {
	source, err := r.h.Engine.Source(p.Service())
	if err != nil {
		return snapshot{}, err
	}
	return r.drain(ctx, source, p.Service().Name, memory, sink, a)
}

// drain takes a source through all its steps, and closes it.
func (r *rig) drain(ctx context.Context, source engines.Source, name string, memory *Memory, sink engines.Sink, a around) (snapshot, error) {
	r.Helper()
	defer func() {
		if err := source.Close(); err != nil {
			r.Errorf("close the source: %v", err)
		}
	}()
	if err := source.Prepare(ctx, sink); err != nil {
		return snapshot{}, fmt.Errorf("prepare: %w", err)
	}
	if a.gate != nil {
		a.gate.Lock()
	}
	point, err := source.Mark(ctx, sink)
	if err == nil && a.held != nil {
		a.held()
	}
	if a.gate != nil {
		a.gate.Unlock()
	}
	if err != nil {
		return snapshot{}, fmt.Errorf("mark: %w", err)
	}
	if a.released != nil {
		a.released()
	}
	if age := time.Since(point.At); age < 0 || age > time.Minute {
		r.Errorf("the point is of %v, which is not now", point.At)
	}
	result, err := source.Send(ctx, sink)
	if err != nil {
		return snapshot{}, fmt.Errorf("send: %w", err)
	}
	r.validate(name, result)
	return snapshot{memory, result.Entries, result.Empty}, nil
}

func (r *rig) validate(name string, result engines.Result) {
	r.Helper()
	if len(result.Entries) == 0 {
		r.Fatal("send gave no entries")
	}
	for i, e := range result.Entries {
		if err := e.Validate(); err != nil {
			r.Errorf("entry %d: %v", i, err)
		}
		if !strings.HasPrefix(e.Name, name) {
			r.Errorf("entry %q does not begin with the service's name, %q", e.Name, name)
		}
	}
	for _, l := range result.Losses {
		r.Errorf("loss: %s: %s", l.Path, l.Reason)
	}
}

// take captures p quietly, with parent as its parent snapshot if it has entries.
func (r *rig) take(p Place, parent snapshot) snapshot {
	r.Helper()
	memory := NewMemory()
	if parent.Memory != nil {
		memory = parent.Next(parent.entries)
	}
	s, err := r.capture(r.ctx, p, memory, memory, around{})
	r.must(err)
	return s
}

// target opens a target with a token of its own.
func (r *rig) target(p Place) (engines.Target, string) {
	r.Helper()
	r.tokens++
	token := fmt.Sprintf("%020x", 0xfeed0000+r.tokens)
	return r.again(p, token), token
}

// again opens a target with the token of an earlier one, as recovery does.
func (r *rig) again(p Place, token string) engines.Target {
	r.Helper()
	target, err := r.h.Engine.Target(p.Service(), token)
	r.must(err)
	return target
}

// staged opens a target and stages s.
func (r *rig) staged(p Place, s snapshot) (engines.Target, string) {
	r.Helper()
	target, token := r.target(p)
	_, err := target.Plan(r.ctx, s.entries)
	r.must(err)
	_, err = target.Stage(r.ctx, s.entries, s)
	r.must(err)
	return target, token
}

// finish discards and closes.
func (r *rig) finish(target engines.Target) {
	r.Helper()
	r.must(target.Discard(r.ctx))
	r.must(target.Close())
}

// restore does a whole restore.
func (r *rig) restore(p Place, s snapshot) {
	r.Helper()
	target, _ := r.staged(p, s)
	r.must(target.Swap(r.ctx))
	r.finish(target)
}

// write makes some writes, one after the other.
func (r *rig) write(p Place, writes int) {
	r.Helper()
	for range writes {
		r.must(p.Write(r.ctx, int(r.writes.Add(1))))
	}
}

// traffic is a site at work: goroutines that write until they are stopped, each
// write passing a gate.
type traffic struct {
	gate  sync.RWMutex
	done  chan struct{}
	once  sync.Once
	group errgroup.Group
}

// traffic starts writers at p and returns once they have written.
func (r *rig) traffic(p Place) *traffic {
	r.Helper()
	const writers = 3
	w := &traffic{done: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.ctx)) // a write that has begun is finished
	r.Cleanup(func() {
		cancel() // but where the case has failed
		_ = w.stop()
	})
	for range writers {
		w.group.Go(func() error {
			for {
				select {
				case <-w.done:
					return nil
				default:
				}
				w.gate.RLock()
				n := r.writes.Add(1)
				err := p.Write(ctx, int(n))
				w.gate.RUnlock()
				if err != nil {
					return fmt.Errorf("write %d: %w", n, err)
				}
			}
		})
	}
	w.more(r, 2*writers)
	return w
}

// more waits until there have been that many writes more, or a writer has failed.
func (w *traffic) more(r *rig, writes int64) {
	r.Helper()
	from := r.writes.Load()
	for deadline := time.Now().Add(time.Minute); r.writes.Load() < from+writes; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			r.Fatalf("the writers stand still: %v", w.stop())
		}
	}
}

// stop ends the writers and returns the first error that one of them had.
func (w *traffic) stop() error {
	w.once.Do(func() { close(w.done) })
	return w.group.Wait()
}
