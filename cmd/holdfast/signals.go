package main

import (
	"context"
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// interruptible returns a context that the first SIGINT or SIGTERM ends, with
// errInterrupted as its cause. A second one ends the process at once. stop gives
// the signals back to the system.
func interruptible(parent context.Context, c *console) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(parent)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	done := make(chan struct{})
	var watcher sync.WaitGroup
	watcher.Go(func() {
		for {
			select {
			case <-done:
				return
			case <-signals:
			}
			if ctx.Err() != nil {
				c.clear()
				os.Exit(int(exitInterrupted))
			}
			c.say("interrupted; cleaning up (once more ends it at once)")
			cancel(errInterrupted) // after the remark, which would else come behind the last line
		}
	})
	return ctx, func() {
		signal.Stop(signals)
		close(done)
		watcher.Wait()
		cancel(nil)
	}
}
