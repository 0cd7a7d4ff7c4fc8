package quiesce

import (
	"context"
	"net/http"
	"sync"
	"time"
)

// State is what a gate does with requests.
type State string

const (
	// Open: they go on.
	Open State = "open"
	// Draining: new ones wait, running ones finish.
	Draining State = "draining"
	// Held: new ones wait, none is running.
	Held State = "held"
	// Releasing: those that waited go on, in order; new ones stand behind them.
	Releasing State = "releasing"
	// Refusing: all are answered 503.
	Refusing State = "refusing"
)

// DefaultQueue is how many requests wait at most where nothing else is said.
const DefaultQueue = 16384

// Gate is a handler in front of a site. Its zero value with a Site is open.
//
// Invariants, of which every method keeps all under mu:
//
//  1. A request is put among running where the state is Open, or where it is the
//     first of waiting and the state is Releasing; nowhere else. So once the state
//     is Draining, running only shrinks, and when it is empty none is on.
//  2. waiting is empty where the state is Open or Refusing. So nobody overtakes.
//  3. A visit is in one list at most. Who takes it out of waiting, under mu,
//     decides what becomes of it: go on, be refused, or be forgotten because its
//     client is gone. So it is decided once, and once only.
type Gate struct {
	// Site is where requests go on to.
	Site http.Handler
	// Queue bounds how many wait; 0 is DefaultQueue.
	Queue int
	// Pass lists paths that are never held. One that ends with / or * stands for
	// all that begin with it.
	Pass []string
	// RetryAfter is what the refused are told; 0 is 5 s.
	RetryAfter time.Duration

	mu      sync.Mutex
	state   State         // "" is Open
	running visits        // held back by nothing, and waited for
	passing visits        // never held, and not waited for
	waiting visits        // the queue, oldest first
	window  int           // while Releasing: how many may be running
	changed chan struct{} // closed when state or running changed what somebody waits for
	tally   *Tally        // of the hold that is on, or was last; nil before the first
	totals  Totals
}

// Tally is what became of the requests of one hold.
type Tally struct {
	Requests    int           `json:"requests"` // that waited
	LongestWait time.Duration `json:"longest_wait_ns"`
	Passed      int           `json:"passed"` // that were not held, by their kind or because only their client was slow
	// Unheld counts those of Passed that may have written while requests were held:
	// other methods than GET, HEAD and OPTIONS, and upgraded connections over which a visitor
	// said something. FirstUnheld names one of them.
	Unheld      int    `json:"unheld"`
	FirstUnheld string `json:"first_unheld,omitempty"`
	Refused     int    `json:"refused"` // with 503
	Left        int    `json:"left"`    // whose client hung up while it waited
}

// Totals counts since the gate was started.
type Totals struct {
	Requests int `json:"requests"`
	Holds    int `json:"holds"`
	Waited   int `json:"waited"`
	Passed   int `json:"passed"`
	Refused  int `json:"refused"`
	Left     int `json:"left"`
}

// verdict is what is decided about a request.
type verdict uint8

const (
	goOn verdict = iota
	refuse
	clientGone
)

// enter returns once it is decided what becomes of v. After goOn the caller calls
// leave.
func (g *Gate) enter(ctx context.Context, v *visit, passes bool) verdict {
	g.mu.Lock()
	g.totals.Requests++
	switch {
	case passes:
		g.putPassing(v)
		g.mu.Unlock()
		return goOn
	case g.state == Open || g.state == "":
		g.running.push(v)
		g.mu.Unlock()
		return goOn
	case g.state == Refusing || g.waiting.n >= g.bound():
		g.tally.Refused++
		g.totals.Refused++
		g.mu.Unlock()
		return refuse
	}
	v.decided = make(chan verdict, 1)
	g.waiting.push(v)
	g.tally.Requests++
	g.totals.Waited++
	g.mu.Unlock()
	return g.wait(ctx, v)
}

// wait returns once it is decided what becomes of v, or its client is gone. net/http
// tells of that only while nothing has come that it has not read: neither a body nor the
// next request. So the connection is looked at, too.
func (g *Gate) wait(ctx context.Context, v *visit) verdict {
	tick := time.NewTicker(lookTime)
	defer tick.Stop()
	for conn := visitorOf(ctx).conn; ; {
		select {
		case d := <-v.decided:
			return d
		case <-ctx.Done():
			return g.hangUp(v)
		case <-tick.C:
			if hasHungUp(conn) {
				return g.hangUp(v)
			}
		}
	}
}

// hangUp takes a visit out of the queue whose client is gone, unless it was
// decided in the same moment.
func (g *Gate) hangUp(v *visit) verdict {
	g.mu.Lock()
	defer g.mu.Unlock()
	if v.in != &g.waiting {
		return <-v.decided // there already: it is sent under mu
	}
	g.waiting.remove(v)
	g.tally.Left++
	g.totals.Left++
	g.admit()
	return clientGone
}

// leave ends a visit that went on.
func (g *Gate) leave(v *visit) {
	g.mu.Lock()
	defer g.mu.Unlock()
	v.in.remove(v)
	g.shrunk()
}

// shrunk follows where running may have become smaller.
func (g *Gate) shrunk() {
	switch {
	case g.state == Releasing:
		g.admit()
	case g.state == Draining && g.running.n == 0:
		g.notify()
	}
}

// pass stops waiting for a visit that goes on for as long as its client likes.
func (g *Gate) pass(v *visit) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.letPass(v)
	g.shrunk()
}

func (g *Gate) letPass(v *visit) {
	if v.in != &g.running {
		return
	}
	g.running.remove(v)
	g.putPassing(v)
}

func (g *Gate) putPassing(v *visit) {
	g.passing.push(v)
	g.totals.Passed++
	if g.isShut() {
		g.tally.Passed++
	}
	if g.state == Held && v.mayWrite() {
		g.unheld(v, v.method)
	}
}

// said is called when the visitor of an upgraded connection has said something. What
// is said while others finish may be worked on when points are marked.
func (g *Gate) said(v *visit) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.isShut() {
		g.unheld(v, v.upgrade)
	}
}

// unheld counts a visit that may write while requests are held.
func (g *Gate) unheld(v *visit, how string) {
	if v.unheldIn == g.tally {
		return
	}
	v.unheldIn = g.tally
	if g.tally.Unheld++; g.tally.FirstUnheld == "" {
		g.tally.FirstUnheld = brief(how) + " " + brief(v.path)
	}
}

func (g *Gate) isShut() bool { return g.state == Draining || g.state == Held }

func (g *Gate) bound() int {
	if g.Queue > 0 {
		return g.Queue
	}
	return DefaultQueue
}

func (g *Gate) set(s State) {
	g.state = s
	g.notify()
}

func (g *Gate) notify() {
	if g.changed != nil {
		close(g.changed)
		g.changed = nil
	}
}

// await returns once cond, which is called under mu, is true. It may change what
// mu protects.
func (g *Gate) await(ctx context.Context, cond func() bool) error {
	for {
		g.mu.Lock()
		if cond() {
			g.mu.Unlock()
			return nil
		}
		if g.changed == nil {
			g.changed = make(chan struct{})
		}
		changed := g.changed
		g.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// shut begins a hold, once those that waited in the one before have gone on.
func (g *Gate) shut(ctx context.Context) error {
	return g.await(ctx, func() bool {
		if g.state != Open && g.state != "" {
			return false
		}
		g.tally = &Tally{Passed: g.passing.n}
		g.totals.Holds++
		g.window = max(minWindow, g.running.n)
		g.set(Draining)
		return true
	})
}

// drain waits until no counted request is running, or ctx ends: then what only
// waits for its client counts as passed, and for any other it returns a
// *RunningError.
func (g *Gate) drain(ctx context.Context) error {
	drained := func() bool {
		if g.state == Draining && g.running.n == 0 {
			g.set(Held)
			for v := g.passing.first; v != nil; v = v.next {
				if v.mayWrite() {
					g.unheld(v, v.method)
				}
			}
		}
		return g.state != Draining
	}
	if g.await(ctx, drained) == nil {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for v := g.running.first; v != nil; {
		next := v.next
		if v.safe && v.answering {
			g.letPass(v)
		}
		v = next
	}
	if drained() {
		return nil
	}
	return g.stillRunning()
}

// refuseAll answers all that wait, and all that come, with 503.
func (g *Gate) refuseAll() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.now() == Open {
		g.tally = &Tally{}
	}
	for v := g.waiting.first; v != nil; v = g.waiting.first {
		g.decide(v, refuse)
		g.tally.Refused++
		g.totals.Refused++
	}
	g.set(Refusing)
}

// decide takes the first of the queue out of it.
func (g *Gate) decide(v *visit, d verdict) {
	g.waiting.remove(v)
	g.tally.LongestWait = max(g.tally.LongestWait, time.Since(v.since))
	if d == goOn {
		g.running.push(v)
	}
	v.decided <- d
}

// State returns what the gate does now.
func (g *Gate) State() State {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.now()
}

func (g *Gate) now() State {
	if g.state == "" {
		return Open
	}
	return g.state
}
