package quiesce

import (
	"context"
	"time"
)

// How those that waited go on: minWindow at a time, or as many as ran before the
// hold if that is more. Each that ends lets the next one go; and every
// windowDoubles that number doubles, so that the queue empties in bounded time
// however slow the site is.
const (
	minWindow     = 64
	windowDoubles = 50 * time.Millisecond
)

// release lets the requests go on and returns the hold's tally, for settle. It does
// nothing where nothing is held.
func (g *Gate) release() *Tally {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch g.state {
	case Draining, Held, Refusing:
		g.set(Releasing)
		g.admit()
		g.widenLater()
	}
	return g.tally
}

// admit lets as many go on as the window allows, and opens the gate once nobody
// waits any more.
func (g *Gate) admit() {
	if g.state != Releasing {
		return
	}
	for g.waiting.n > 0 && g.running.n < g.window {
		g.decide(g.waiting.first, goOn)
	}
	if g.waiting.n == 0 {
		g.set(Open)
	}
}

func (g *Gate) widenLater() {
	if g.state == Releasing {
		time.AfterFunc(windowDoubles, g.widen)
	}
}

func (g *Gate) widen() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.state != Releasing {
		return
	}
	g.window *= 2
	g.admit()
	g.widenLater()
}

// settle returns what became of the requests of a released hold once all of them
// have gone on.
func (g *Gate) settle(ctx context.Context, t *Tally) Tally {
	_ = g.await(ctx, func() bool { return g.state != Releasing || g.tally != t }) // then it is what it is
	g.mu.Lock()
	defer g.mu.Unlock()
	if t == nil {
		return Tally{}
	}
	return *t
}
