package main

import (
	"context"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// interruptible returns a context that the first SIGINT, SIGTERM or SIGHUP ends, with
// errInterrupted as its cause. A second one ends the process at once, but for SIGHUP:
// of a terminal that goes the kernel and the shell send one each, and nobody sits there
// who would wait. stop gives the signals back to the system.
func interruptible(parent context.Context, c *console) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(parent)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) { // nohup
		signal.Notify(signals, syscall.SIGHUP)
	}
	done := make(chan struct{})
	var watcher sync.WaitGroup
	watcher.Go(func() {
		for {
			var s os.Signal
			select {
			case <-done:
				return
			case s = <-signals:
			}
			switch {
			case ctx.Err() == nil:
				c.say("interrupted; cleaning up (once more ends it at once)")
				cancel(errInterrupted) // after the remark, which would else come behind the last line
			case s != syscall.SIGHUP:
				c.clear()
				os.Exit(int(exitInterrupted))
			}
		}
	})
	return ctx, func() {
		signal.Stop(signals)
		close(done)
		watcher.Wait()
		cancel(nil)
	}
}

// lasting returns stderr under another number. Who writes to a pipe that nobody reads any
// more is ended by the runtime where that is 1 or 2. It befits what prints something, and
// not a restore, whose remarks went through a "| tee" that Ctrl-C has ended first.
func lasting(stderr *os.File) *os.File {
	fd, err := unix.FcntlInt(stderr.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return stderr // it is closed
	}
	return os.NewFile(uintptr(fd), stderr.Name())
}
