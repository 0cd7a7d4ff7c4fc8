package quiesce

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// upload is a request's body, counted on its way to the site.
type upload struct {
	io.ReadCloser
	expected int64 // bytes; below 0 where the visitor does not say
	alone    bool  // it has its connection for itself: HTTP/1
	received atomic.Int64
	ended    atomic.Bool // it has come whole
	reading  atomic.Bool // somebody waits for the visitor
	answered atomic.Bool // the answer has begun
}

func (u *upload) Read(p []byte) (int, error) {
	u.reading.Store(true)
	n, err := u.ReadCloser.Read(p)
	u.reading.Store(false)
	u.received.Add(int64(n))
	if err == io.EOF {
		u.ended.Store(true)
	}
	return n, err
}

// isComing reports whether the visitor is still sending. u may be nil.
func (u *upload) isComing() bool {
	return u != nil && !u.ended.Load() && u.received.Load() != u.expected
}

// A visitor who hangs up is noticed by whoever reads from his connection. While the
// site does not read his request's body nobody does, so it is looked at every lookTime.
// What the kernel tells then may be wrong: the visitor's farewell may lie behind bytes
// for which it has no room. So no body stands longer than standTime: longer than the
// usual fronts wait for a server that reads nothing.
const (
	lookTime  = time.Second
	standTime = 2 * time.Minute
)

// errUnread is the cause for which the context of a request ends whose body the site
// does not read.
var errUnread = errors.New("it has not read on in the request's body for " + standTime.String())

// watch ends the request by end if its body stands because nobody reads it, and its
// visitor is gone, or the site has let it stand for standTime and does not answer. stop
// ends the request and the watch.
func (u *upload) watch(ctx context.Context, visitor net.Conn, end context.CancelCauseFunc) (stop func()) {
	ended := make(chan struct{})
	late := time.AfterFunc(lookTime, func() { // most are through by then
		defer close(ended)
		end(u.stand(ctx, visitor))
	})
	return func() {
		end(nil)
		if !late.Stop() {
			<-ended
		}
	}
}

// stand returns why the request must end, or nil once it has.
func (u *upload) stand(ctx context.Context, visitor net.Conn) error {
	tick := time.NewTicker(lookTime)
	defer tick.Stop()
	before, since := u.received.Load(), time.Now()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		received, now := u.received.Load(), time.Now()
		switch {
		case !u.isComing() || u.reading.Load() || received != before:
			before, since = received, now
		case hasHungUp(visitor):
			return context.Canceled
		case now.Sub(since) >= standTime && !u.answered.Load():
			return errUnread
		}
	}
}

// hasHungUp reports whether it is known that nothing comes from the visitor after what
// has come. conn may be nil.
func hasHungUp(conn net.Conn) bool {
	c, ok := conn.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return true // it is closed
	}
	gone := false
	err = raw.Control(func(fd uintptr) {
		poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
		n, err := unix.Poll(poll, 0)
		gone = err == nil && n > 0
	})
	return gone || err != nil
}

// endUpload ends an upload with its answer. An answer must not wait for what the site
// did not want to read: the visitor may send it slowly, or never, having been told 413.
// What is left must be found out here: where net/http does it, after us, it reads the
// connection twice at once.
func (v *visit) endUpload() {
	if v.hijacked { // and closed, by who had it
		_ = v.upload.Close()
		return
	}
	controller := http.NewResponseController(v.ResponseWriter)
	if !v.wrote { // an answer without a body begins here
		v.wrote = true
		v.begins()
	}
	if v.upload.isComing() {
		_ = controller.SetReadDeadline(time.Now()) // whoever reads it stops
	}
	_ = v.upload.Close()
	_ = controller.Flush()
}
