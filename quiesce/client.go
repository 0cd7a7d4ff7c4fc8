package quiesce

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Client speaks to the gate whose control socket is at this path.
type Client string

// ErrNoGate is wrapped where no gate answers.
var ErrNoGate = errors.New("no gate answers")

func (c Client) dial(ctx context.Context) (*wire, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", string(c))
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, unanswered(string(c), err)
	}
	peer, err := peerOf(conn.(*net.UnixConn))
	if err == nil {
		err = checkGate(peer, os.Geteuid(), string(c))
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return newWire(conn), nil
}

// unanswered says what it means that nobody can be reached at path.
func unanswered(path string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: it is not running, or has lost its socket %s and must be started anew", ErrNoGate, path)
	case errors.Is(err, unix.ECONNREFUSED):
		return fmt.Errorf("%w: it is not running, and has left its socket %s", ErrNoGate, path)
	}
	return fmt.Errorf("%w: %w", ErrNoGate, err)
}

// ask sends a command and returns the first event, which is no error.
func (w *wire) ask(asked command) (event, error) {
	if err := w.send(asked); err != nil {
		return event{}, err
	}
	return w.event()
}

func (w *wire) event() (event, error) {
	line, err := w.receive()
	if errors.Is(err, io.EOF) {
		err = errors.New("the gate has ended, or does not serve this user: it serves root, its own user and the members of its --control-group")
	}
	if err != nil {
		return event{}, err
	}
	e, err := decodeEvent(line)
	if err == nil && e.Event == eventError {
		err = e.failure()
	}
	return e, err
}

// onceTime bounds how long an answer is waited for that takes a moment: with hooks
// to be run, a few seconds.
const onceTime = 30 * time.Second

func (c Client) once(ctx context.Context, op string) (event, error) {
	w, err := c.dial(ctx)
	if err != nil {
		return event{}, err
	}
	defer w.conn.Close()
	ctx, cancel := context.WithTimeout(ctx, onceTime)
	defer cancel()
	defer context.AfterFunc(ctx, func() { w.conn.SetReadDeadline(time.Now()) })()
	return w.ask(command{Op: op})
}

// Status asks what the gate does.
func (c Client) Status(ctx context.Context) (Status, error) {
	e, err := c.once(ctx, opStatus)
	if err != nil || e.Status == nil {
		return Status{}, errors.Join(err)
	}
	return *e.Status, nil
}

// Settled says that no restore of the gate's environment is unfinished: an orphaned
// lease ends.
func (c Client) Settled(ctx context.Context) error {
	_, err := c.once(ctx, opSettled)
	return err
}

// Force ends whatever holds the gate.
func (c Client) Force(ctx context.Context) error {
	_, err := c.once(ctx, opForce)
	return err
}

// Hold is a lease that is held. One of Release and Abandon must be called.
type Hold struct {
	client Client
	wire   *wire
	lost   chan struct{}
	events chan event // what comes after "held"; closed with the connection

	mu    sync.Mutex
	cause error
}

// Hold returns once requests are held and running ones have finished. After an
// error nothing is held. ctx is for waiting only: the lease outlives it.
func (c Client) Hold(ctx context.Context, r Request) (*Hold, error) {
	// By then a gate that is well has held, or has said why not.
	return c.holdWithin(ctx, r, max(r.MaxHold, DefaultMaxHold)+onceTime)
}

func (c Client) holdWithin(ctx context.Context, r Request, bound time.Duration) (*Hold, error) {
	w, err := c.dial(ctx)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, bound,
		fmt.Errorf("%w: what listens at %s has said nothing for %v; end that process and start the gate again", ErrNoGate, string(c), bound))
	defer cancel()
	stop := context.AfterFunc(ctx, func() { w.conn.SetDeadline(time.Now()) })
	e, err := w.ask(command{Op: opHold, Mode: r.Mode, Holder: r.Holder, Drain: r.Drain, MaxHold: r.MaxHold})
	if err == nil && e.Event != eventHeld {
		err = fmt.Errorf("%w: %s in answer to hold", errProtocol, e.Event)
	}
	if !stop() || err != nil {
		w.conn.Close()
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, err
	}
	h := &Hold{client: c, wire: w, lost: make(chan struct{}), events: make(chan event, 1)}
	go h.listen() // until the connection ends, which Release and Abandon see to
	return h, nil
}

func (h *Hold) listen() {
	defer close(h.events)
	for {
		e, err := h.wire.event()
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			h.lose(fmt.Errorf("%w: the gate did not say that it released", ErrLost))
			return
		case err != nil:
			h.lose(fmt.Errorf("%w: the gate has ended; what it has frozen stands until it is started again", ErrLost))
			return
		}
		if e.Event == eventLost {
			h.lose(e.failure())
			continue
		}
		h.events <- e
		return
	}
}

func (h *Hold) lose(cause error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.cause == nil {
		h.cause = cause
		close(h.lost)
	}
}

// Lost is closed when the lease has ended by itself, or the gate is gone.
func (h *Hold) Lost() <-chan struct{} { return h.lost }

// Cause says why it was lost; nil if it was not.
func (h *Hold) Cause() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.cause
}

// releaseTime bounds how long the report of a release is waited for.
const releaseTime = 5 * time.Second

// Release lets requests go on and returns what the hold amounted to, once all that
// waited have gone on. Where the gate is gone it only says so.
func (h *Hold) Release() (Report, error) {
	defer h.wire.conn.Close()
	_ = h.wire.send(command{Op: opRelease}) // where it cannot be, there is no answer
	_ = h.wire.conn.SetReadDeadline(time.Now().Add(releaseTime))
	e, ok := <-h.events
	if ok && e.Report != nil {
		return *e.Report, nil
	}
	return Report{}, cmp.Or(h.Cause(), errors.New("the gate did not say what the hold amounted to"))
}

// Abandon leaves the lease as if its holder had died.
func (h *Hold) Abandon() {
	h.wire.conn.Close()
	<-h.events
}
