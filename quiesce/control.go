package quiesce

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// Control answers on a gate's control socket.
type Control struct {
	Keeper *Keeper
	Group  int // whose members may hold requests; below 0 nobody's
}

// maxControl bounds the connections that are served at once.
const maxControl = 64

// ListenControl makes the socket, in place of one that nobody listens on any more.
// group may use it, unless it is below 0. unlock gives the place to another gate.
func ListenControl(path string, group int) (l *net.UnixListener, unlock func(), err error) {
	lock, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, nil, fmt.Errorf("make the control socket: %w", err)
	}
	defer func() {
		if err != nil {
			lock.Close()
		}
	}()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, nil, fmt.Errorf("another gate listens on %s", path)
	}
	if info, err := os.Lstat(path); err == nil && info.Mode()&fs.ModeSocket == 0 {
		return nil, nil, fmt.Errorf("%s is there and is no socket", path)
	} else if err == nil {
		if err := os.Remove(path); err != nil {
			return nil, nil, fmt.Errorf("remove the socket of an earlier gate: %w", err)
		}
	}
	// It gets its name when its permissions are right.
	hidden := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".new")
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
	clients.SetLimit(maxControl)
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	for {
		conn, err := l.AcceptUnix()
		if err != nil {
			_ = clients.Wait() // they return no errors
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("control socket: %w", err)
		}
		clients.Go(func() error {
			defer conn.Close()
			c.serve(ctx, conn)
			return nil
		})
	}
}

func (c *Control) serve(ctx context.Context, conn *net.UnixConn) {
	peer, err := peerOf(conn)
	if err != nil || !mayControl(peer, os.Geteuid(), c.Group) {
		c.Keeper.logf("control: refused a process of user %d: %v", peerUser(peer), err)
		return
	}
	// A client that is slow to speak must not keep the gate from ending.
	defer context.AfterFunc(ctx, func() { conn.SetReadDeadline(time.Now()) })()
	w := newWire(conn)
	_ = conn.SetReadDeadline(time.Now().Add(firstLine))
	line, err := w.receive()
	if err != nil {
		return
	}
	asked, err := decodeCommand(line)
	if err != nil {
		_ = w.send(event{Event: eventError, Code: codeOf(err), Message: err.Error()}) // it is gone anyhow
		return
	}
	_ = w.send(c.answer(ctx, asked, w, int(peer.Pid)))
}

func peerUser(peer *unix.Ucred) int {
	if peer == nil {
		return -1
	}
	return int(peer.Uid)
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
