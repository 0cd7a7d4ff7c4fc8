package storagetest

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"

	"holdfast/internal/storage"
)

// ErrCrashed is wrapped by every operation on a Crash after the power went.
var ErrCrashed = errors.New("the machine has lost power")

// Crash is a storage on a machine that loses power. It lets a number of changes
// succeed; the next one is cut short, and a coin decides what is found of it
// after the restart. All that was acknowledged is there.
type Crash struct {
	hooked
	// Tears makes the coin have a third side: an object that holds only the
	// beginning of its bytes. No storage that keeps the contract leaves one, but a
	// disk that lies about having written does. Set it before use.
	Tears bool

	mu    sync.Mutex
	state *Memory
	coin  *rand.Rand
	left  int // changes that still succeed
	dark  bool
	torn  string
}

// NewCrash returns a storage that holds what base holds, which it leaves alone,
// and lets `changes` changes succeed. Equal seeds give equal outcomes.
func NewCrash(base *Memory, changes int, seed uint64) *Crash {
	c := &Crash{state: base.Clone(), left: changes, coin: rand.New(rand.NewPCG(seed, uint64(changes)))}
	c.hooked = hooked{inner: c.state, hook: c.pass}
	return c
}

// Crashed reports whether the power is gone.
func (c *Crash) Crashed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.dark
}

// Torn returns the object of which only the beginning was found, or "".
func (c *Crash) Torn() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.torn
}

// Survivor returns what is there after a restart.
func (c *Crash) Survivor() *Memory { return c.state.Clone() }

func (c *Crash) pass(ctx context.Context, call *Call, do func() error) error {
	switch c.fate(call) {
	case lost:
		return failed(call.Op, call.Name, ErrCrashed)
	case unanswered:
		return failed(call.Op, call.Name, errors.Join(ErrCrashed, do()))
	case torn:
		half := call.Data[:c.coin.IntN(len(call.Data))]
		return failed(call.Op, call.Name, errors.Join(ErrCrashed, c.state.Put(ctx, call.Name, half)))
	}
	return do()
}

type fate int

const (
	done fate = iota
	lost
	unanswered
	torn
)

func (c *Crash) fate(call *Call) fate {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.dark:
		return lost
	case call.Op&Changes == 0:
		return done
	case c.left > 0:
		c.left--
		return done
	}
	c.dark = true
	sides := 2
	if c.Tears && call.Op == Put && len(call.Data) > 0 {
		sides = 3
	}
	f := lost + fate(c.coin.IntN(sides))
	if f == torn {
		c.torn = call.Name
	}
	return f
}

var _ = []storage.Storage{(*Memory)(nil), (*Recorder)(nil), (*Faulty)(nil), (*Crash)(nil)}
