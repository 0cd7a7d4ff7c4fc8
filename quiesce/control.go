package quiesce

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// Control answers on a gate's control socket.
type Control struct {
	Keeper *Keeper
	Group  int // whose members may hold requests; below 0 nobody's
}

// maxControl bounds the connections that are served at once, and those over which
// nothing has been said yet.
const maxControl = 64

// How often, and after which pause, the place of another gate is asked for again. One
// that was killed while it began a hook has left it to that hook, until that is a program
// of its own.
const (
	lockTries = 20
	lockPause = 25 * time.Millisecond
)

// maxSocketPath bounds the path of a Unix socket, in bytes: the last one in the kernel's
// structure is 0.
const maxSocketPath = len(unix.RawSockaddrUnix{}.Path) - 1

// ListenControl makes the socket, in place of one that nobody listens on any more.
// group may use it, unless it is below 0. unlock gives the place to another gate.
func ListenControl(path string, group int) (l *net.UnixListener, unlock func(), err error) {
	// It gets its name when its permissions are right.
	hidden := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".new")
	if len(hidden) > maxSocketPath {
		return nil, nil, fmt.Errorf("the path of the control socket %s is %d bytes too long for the kernel", path, len(hidden)-maxSocketPath)
	}
	lock, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, nil, fmt.Errorf("make the control socket: %w", err)
	}
	defer func() {
		if err != nil {
			lock.Close()
		}
	}()
	for tries := lockTries; ; tries-- {
		if err = unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err == nil {
			break
		}
		if tries == 0 {
			return nil, nil, fmt.Errorf("another gate listens on %s", path)
		}
		time.Sleep(lockPause)
	}
	if info, err := os.Lstat(path); err == nil && info.Mode()&fs.ModeSocket == 0 {
		return nil, nil, fmt.Errorf("%s is there and is no socket", path)
	} else if err == nil {
		if err := os.Remove(path); err != nil {
			return nil, nil, fmt.Errorf("remove the socket of an earlier gate: %w", err)
		}
	}
	_ = os.Remove(hidden)
	l, err = net.ListenUnix("unix", &net.UnixAddr{Name: hidden, Net: "unix"})
	if err != nil {
		return nil, nil, fmt.Errorf("make the control socket: %w", err)
	}
	l.SetUnlinkOnClose(false)
	mode := fs.FileMode(0o600)
	if group >= 0 {
		mode = 0o660
		err = os.Chown(hidden, -1, group)
	}
	if err = errors.Join(err, os.Chmod(hidden, mode)); err == nil {
		err = os.Rename(hidden, path)
	}
	if err != nil {
		l.Close()
		return nil, nil, fmt.Errorf("make the control socket: %w", err)
	}
	return l, func() { os.Remove(path); lock.Close() }, nil
}

// Serve answers until ctx ends. Leases are the keeper's to end.
func (c *Control) Serve(ctx context.Context, l *net.UnixListener) error {
	var clients errgroup.Group
	var silent lobby
	served := make(chan struct{}, maxControl)
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	for {
		conn, err := l.AcceptUnix()
		if isPassing(err) {
			c.Keeper.logf("control socket: %v", err)
			select {
			case <-time.After(filePause):
			case <-ctx.Done():
			}
			continue
		}
		if err != nil {
			_ = clients.Wait() // they return no errors
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("control socket: %w", err)
		}
		silent.enter(conn)
		clients.Go(func() error {
			defer conn.Close()
			w, asked, peer := c.listen(ctx, conn)
			silent.leave(conn)
			if w == nil {
				return nil
			}
			select {
			case served <- struct{}{}:
				_ = w.send(c.answer(ctx, asked, w, int(peer.Pid))) // it may be gone
				<-served
			default:
				_ = w.send(event{Event: eventError, Code: "failed", Message: fmt.Sprintf("the gate serves %d clients already", maxControl)})
			}
			return nil
		})
	}
}

// isPassing reports whether accepting may succeed later.
func isPassing(err error) bool {
	return lacksFiles(err) || errors.Is(err, unix.ENOBUFS) || errors.Is(err, unix.ENOMEM) || errors.Is(err, unix.ECONNABORTED)
}

// lobby has the connections over which nothing has been said yet. Where there are too
// many, the one that has been silent for longest is closed: so who has something to
// say is heard at once, whoever else is there.
type lobby struct {
	mu    sync.Mutex
	conns []net.Conn // the oldest first
}

func (l *lobby) enter(conn net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.conns) == maxControl {
		_ = l.conns[0].Close() // who listens to it is told
		l.conns = slices.Delete(l.conns, 0, 1)
	}
	l.conns = append(l.conns, conn)
}

func (l *lobby) leave(conn net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns = slices.DeleteFunc(l.conns, func(other net.Conn) bool { return other == conn })
}

// listen returns what a client asks for; without a wire where it is not to be answered.
func (c *Control) listen(ctx context.Context, conn *net.UnixConn) (w *wire, asked command, peer *unix.Ucred) {
	peer, err := peerOf(conn)
	if err != nil {
		c.Keeper.logf("control: refused somebody of whom it is not known who he is: %v", err)
		return nil, asked, peer
	}
	if !mayControl(peer, os.Geteuid(), c.Group) {
		c.Keeper.logf("control: refused process %d of user %d, who is neither root nor the gate's own user, nor in its --control-group", peer.Pid, peer.Uid)
		return nil, asked, peer
	}
	// A client that is slow to speak must not keep the gate from ending.
	defer context.AfterFunc(ctx, func() { conn.SetReadDeadline(time.Now()) })()
	w = newWire(conn)
	_ = conn.SetReadDeadline(time.Now().Add(firstLine))
	line, err := w.receive()
	if err != nil {
		return nil, asked, peer
	}
	if asked, err = decodeCommand(line); err != nil {
		_ = w.send(event{Event: eventError, Code: codeOf(err), Message: err.Error()}) // it is gone anyhow
		return nil, asked, peer
	}
	return w, asked, peer
}

// answer does what is asked and returns the last event.
func (c *Control) answer(ctx context.Context, asked command, w *wire, pid int) event {
	switch asked.Op {
	case opStatus:
		status := c.Keeper.Status()
		return event{Event: eventStatus, Status: &status}
	case opSettled:
		c.Keeper.Settled()
		return event{Event: eventDone}
	case opForce:
		c.Keeper.Force()
		return event{Event: eventDone}
	case opHold:
		return c.hold(ctx, asked, w, pid)
	}
	return event{Event: eventError, Code: "protocol", Message: "nothing is held by this connection"}
}

// hold keeps a lease for as long as its holder keeps the connection.
func (c *Control) hold(ctx context.Context, asked command, w *wire, pid int) event {
	ctx, gone := context.WithCancel(ctx)
	defer gone()
	released := make(chan struct{})
	listening := make(chan struct{})
	_ = w.conn.SetReadDeadline(time.Time{})
	go func() { // ends when the connection does, at the latest when serve closes it
		defer close(listening)
		defer gone()
		line, err := w.receive()
		if err != nil {
			return
		}
		if said, err := decodeCommand(line); err == nil && said.Op == opRelease {
			close(released)
			<-ctx.Done()
		}
	}()
	defer func() {
		gone()
		_ = w.conn.SetReadDeadline(time.Now())
		<-listening
	}()
	lease, err := c.Keeper.Acquire(ctx, Request{Mode: asked.Mode, Holder: asked.Holder, PID: pid, Drain: asked.Drain, MaxHold: asked.MaxHold})
	if err != nil {
		return event{Event: eventError, Code: codeOf(err), Message: err.Error()}
	}
	if err := w.send(event{Event: eventHeld, Drained: lease.drained}); err != nil {
		lease.Drop()
		return event{Event: eventError, Code: "lost", Message: "the holder does not read"}
	}
	lost := lease.Lost()
	for {
		select {
		case <-released:
			report := lease.Release()
			return event{Event: eventReleased, Report: &report}
		case <-lost:
			cause := lease.Cause()
			lost = nil
			if err := w.send(event{Event: eventLost, Code: codeOf(cause), Message: cause.Error()}); err != nil {
				return event{Event: eventError, Code: "lost", Message: "the holder does not read"}
			}
		case <-ctx.Done():
			lease.Drop()
			return event{Event: eventError, Code: "lost", Message: "the lease has ended"}
		}
	}
}
