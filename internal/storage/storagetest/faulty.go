package storagetest

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"strings"
	"sync"
	"time"

	"holdfast/internal/storage"
)

// Faulty is a storage that fails where it is told to.
//
//	faulty := storagetest.NewFaulty(storagetest.NewMemory())
//	full := faulty.Inject(storagetest.Fault{
//		Ops: storagetest.Put, Names: storagetest.Under("packs"), Nth: 3, Effect: storagetest.Full(),
//	})
//	…
//	full.Stop()
type Faulty struct {
	hooked

	mu    sync.Mutex
	rules []*Rule
}

// NewFaulty returns a storage that does what inner does until faults are injected.
func NewFaulty(inner storage.Storage) *Faulty {
	f := &Faulty{}
	f.hooked = hooked{inner: inner, hook: f.apply}
	return f
}

// Fault says which calls are struck, and how.
type Fault struct {
	Ops    Op                // 0: all
	Names  func(string) bool // which objects, of a List which prefix; nil: all
	Nth    int               // only the n-th call that matches, from 1; 0: every one
	Effect Effect
}

// Effect stands in for an operation; do has the operation done.
type Effect func(ctx context.Context, c *Call, do func() error) error

// Rule is a fault at work.
type Rule struct {
	faulty  *Faulty
	fault   Fault
	stopped bool
	calls   int
	hits    int
}

// Inject adds a fault. Where several strike the same call, the first is the
// outermost.
func (f *Faulty) Inject(fault Fault) *Rule {
	if fault.Ops == 0 {
		fault.Ops = Any
	}
	if fault.Names == nil {
		fault.Names = func(string) bool { return true }
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	r := &Rule{faulty: f, fault: fault}
	f.rules = append(f.rules, r)
	return r
}

func (f *Faulty) apply(ctx context.Context, c *Call, do func() error) error {
	effects := f.strike(c)
	for i := len(effects) - 1; i >= 0; i-- {
		inner := do
		do = func() error { return effects[i](ctx, c, inner) }
	}
	err := do()
	var named *fs.PathError
	if err == nil || err == io.EOF || errors.As(err, &named) {
		return err
	}
	return failed(c.Op, c.Name, err)
}

func (f *Faulty) strike(c *Call) []Effect {
	f.mu.Lock()
	defer f.mu.Unlock()
	var effects []Effect
	for _, r := range f.rules {
		if r.stopped || r.fault.Ops&c.Op == 0 || !r.fault.Names(c.Name) {
			continue
		}
		r.calls++
		if r.fault.Nth == 0 || r.fault.Nth == r.calls {
			r.hits++
			effects = append(effects, r.fault.Effect)
		}
	}
	return effects
}

// Calls returns how many calls matched.
func (r *Rule) Calls() int {
	r.faulty.mu.Lock()
	defer r.faulty.mu.Unlock()
	return r.calls
}

// Hits returns how many calls were struck: a test that injects a fault looks
// whether it was reached.
func (r *Rule) Hits() int {
	r.faulty.mu.Lock()
	defer r.faulty.mu.Unlock()
	return r.hits
}

// Stop makes the fault strike no more, and not count either.
func (r *Rule) Stop() { r.set(true) }

// Start undoes Stop.
func (r *Rule) Start() { r.set(false) }

func (r *Rule) set(stopped bool) {
	r.faulty.mu.Lock()
	defer r.faulty.mu.Unlock()
	r.stopped = stopped
}

// Under matches the objects beneath prefix, and a List of it.
func Under(prefix string) func(string) bool {
	return func(name string) bool { return name == prefix || strings.HasPrefix(name, prefix+"/") }
}

// Is matches one object.
func Is(name string) func(string) bool {
	return func(other string) bool { return other == name }
}

// Fail does nothing but return err.
func Fail(err error) Effect {
	return func(context.Context, *Call, func() error) error { return err }
}

// FailAfter has the operation done and returns err nevertheless: the answer was
// lost. A List yields its objects first.
func FailAfter(err error) Effect {
	return func(_ context.Context, _ *Call, do func() error) error {
		return errors.Join(err, do())
	}
}

// Full says that there is no room.
func Full() Effect { return Fail(storage.ErrFull) }

// Hang answers nothing until the context ends.
func Hang() Effect {
	return func(ctx context.Context, _ *Call, _ func() error) error {
		<-ctx.Done()
		return context.Cause(ctx)
	}
}

// Slow waits for d first.
func Slow(d time.Duration) Effect {
	return func(ctx context.Context, _ *Call, do func() error) error {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-timer.C:
			return do()
		}
	}
}

// Short lets a ReadAt read n bytes at most, and fail if that is less than asked for.
func Short(n int) Effect {
	return func(_ context.Context, c *Call, do func() error) error {
		if c.Op != ReadAt || len(c.P) <= n {
			return do()
		}
		c.P = c.P[:n]
		if err := do(); err != nil {
			return err
		}
		return io.ErrUnexpectedEOF
	}
}

// Flip changes the lowest bit of the object's byte at off, when it is read.
func Flip(off int64) Effect {
	return func(_ context.Context, c *Call, do func() error) error {
		err := do()
		if at := off - c.Off; c.Op == ReadAt && at >= 0 && at < int64(c.N) {
			c.P[at] ^= 1
		}
		return err
	}
}
