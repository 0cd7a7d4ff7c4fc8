package load

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// pacers is how many connections share a constant rate.
const pacers = 32

// Paced asks rate times a second for length, evenly, and returns how long each
// answer took, counted from when the request was due: one that had to wait for the
// one before it counts as long as its visitor would have waited.
//
// Each connection has a thread of its own that sleeps, writes and reads in the
// kernel. Go's timers are late by as much as a millisecond, which is more than what
// is measured here.
func Paced(ctx context.Context, address string, rate int, length time.Duration) ([]time.Duration, error) {
	var mu sync.Mutex
	var all []time.Duration
	every := time.Second * pacers / time.Duration(rate)
	start := time.Now().Add(100 * time.Millisecond)
	err := each(ctx, address, pacers, func(i int, c *client) error {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if err := unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0); err != nil {
			return err
		}
		fd, err := blocking(c.conn)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		var took []time.Duration
		for due := start.Add(every * time.Duration(i) / pacers); due.Before(start.Add(length)); due = due.Add(every) {
			if err := ctx.Err(); err != nil {
				return err
			}
			sleepUntil(due)
			if err := askOn(fd, c.answer); err != nil {
				return err
			}
			took = append(took, time.Since(due))
		}
		mu.Lock()
		defer mu.Unlock()
		all = append(all, took...)
		return nil
	})
	if err == nil && len(all) == 0 {
		err = errors.New("nothing was asked")
	}
	return all, err
}

// blocking returns a descriptor of a connection on which calls wait, up to patience.
func blocking(conn net.Conn) (int, error) {
	file, err := conn.(*net.TCPConn).File()
	if err != nil {
		return -1, err
	}
	defer file.Close()
	fd, err := unix.Dup(int(file.Fd())) // which Fd makes blocking
	if err != nil {
		return -1, err
	}
	limit := unix.NsecToTimeval(int64(patience))
	return fd, unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit)
}

func sleepUntil(due time.Time) {
	for left := time.Until(due); left > 0; left = time.Until(due) {
		ts := unix.NsecToTimespec(int64(left))
		_ = unix.Nanosleep(&ts, nil) // a signal may end it: then what is left is slept
	}
}

// askOn asks on a blocking descriptor and reads the answer.
func askOn(fd int, answer []byte) error {
	if n, err := unix.Write(fd, []byte(request)); err != nil || n < len(request) {
		return fmt.Errorf("%d of %d bytes were sent: %w", n, len(request), err)
	}
	for read := 0; read < len(answer); {
		n, err := unix.Read(fd, answer[read:])
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return err
		case n == 0:
			return errors.New("the connection was closed before the answer was whole")
		default:
			read += n
		}
	}
	return isGood(answer)
}
