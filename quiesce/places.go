package quiesce

import (
	"context"
	"errors"
	"log"
	"math"
	"net"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A process may have so many files open. If visitors had them all, those who were held
// would go on to a site that cannot be reached, and what is frozen could not be thawed. So
// visitors have three quarters of the files but for spareFiles, and connections to the
// site the rest: most of those who were held wait their turn.

// spareFiles is how many are left to the gate itself, at most: for the control socket
// first of all, what is frozen, and hooks.
const spareFiles = 4 * maxControl

// filePause is waited for before it is tried again to open a file.
const filePause = 200 * time.Millisecond

// visitorPlaces returns how many visitors may be connected at a time.
func visitorPlaces() int {
	var files unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err != nil {
		return math.MaxInt32
	}
	return placesIn(min(files.Cur, math.MaxInt32))
}

func placesIn(files uint64) int { return max(1, int(files-min(spareFiles, files/4))*3/4) }

// places is a listener that accepts no more connections than there are places. Who
// comes then waits in the kernel.
type places struct {
	net.Listener
	taken chan struct{} // has room for as many; several listeners may share it
	full  *sync.Once    // says so
	done  chan struct{}
	close func() error
}

// withPlaces returns listeners that accept n connections at a time, all together.
func withPlaces(listeners []net.Listener, n int) []net.Listener {
	taken, full := make(chan struct{}, n), &sync.Once{}
	bounded := make([]net.Listener, len(listeners))
	for i, l := range listeners {
		done := make(chan struct{})
		bounded[i] = &places{Listener: l, taken: taken, full: full, done: done, close: sync.OnceValue(func() error {
			close(done)
			return l.Close()
		})}
	}
	return bounded
}

// Accept implements net.Listener.
func (p *places) Accept() (net.Conn, error) {
	select {
	case p.taken <- struct{}{}:
	default:
		p.full.Do(func() {
			log.Printf("%d visitors are connected, who have three quarters of the files that the gate may open (ulimit -n, LimitNOFILE=); those who come wait", cap(p.taken))
		})
		select {
		case p.taken <- struct{}{}:
		case <-p.done:
			return nil, net.ErrClosed
		}
	}
	conn, err := p.Listener.Accept()
	if err != nil {
		<-p.taken
		return nil, err
	}
	return &placed{stream: conn.(stream), leave: sync.OnceFunc(func() { <-p.taken })}, nil
}

// Close implements net.Listener.
func (p *places) Close() error { return p.close() }

// stream is a connection of TCP, or over a Unix socket.
type stream interface {
	net.Conn
	syscall.Conn
	CloseWrite() error
}

// placed is a connection that has a place until it is closed.
type placed struct {
	stream
	leave func()
}

// Close implements net.Conn.
func (p *placed) Close() error {
	defer p.leave()
	return p.stream.Close()
}

// lacksFiles reports whether err says that no more files can be opened, by this process
// or by all.
func lacksFiles(err error) bool { return errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) }

// onceThereAreFiles does what must be done, again and again while there are no files for
// it, or until ctx ends.
func onceThereAreFiles(ctx context.Context, do func() error) error {
	for {
		err := do()
		if !lacksFiles(err) {
			return err
		}
		select {
		case <-time.After(filePause):
		case <-ctx.Done():
			return err
		}
	}
}
