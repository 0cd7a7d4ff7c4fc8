package dump

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"holdfast/engines"
)

// MaxBlock bounds how long others wait for a table that is being read.
const MaxBlock = time.Second

const watchEvery = 200 * time.Millisecond

// GivingWay runs work and looks meanwhile who waits for it: reading a table keeps
// others from changing its definition; a statement that tries waits, and every
// visitor of the table behind it. blocked returns a table that somebody has been
// waiting for too long (see Waits), or "". work is then told to end, with
// ErrPointLost as the cause: a point can be marked again.
//
// blocked is given ctx, not work's, so that it can go on when work has ended.
func GivingWay(ctx context.Context, blocked func(context.Context) (table string, err error), work func(context.Context) error) error {
	working, giveWay := context.WithCancelCause(ctx)
	defer giveWay(nil)
	ended := make(chan struct{})
	var group errgroup.Group
	group.Go(func() error {
		err := watch(ctx, ended, blocked, giveWay)
		if err != nil {
			giveWay(err)
		}
		return err
	})
	err := work(working)
	close(ended)
	if watched := group.Wait(); err == nil {
		err = watched
	}
	return err
}

func watch(ctx context.Context, ended <-chan struct{}, blocked func(context.Context) (string, error), giveWay context.CancelCauseFunc) error {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-ended:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
		table, err := blocked(ctx)
		if err != nil {
			return err
		}
		if table != "" {
			giveWay(fmt.Errorf("table %s: somebody who wants to change it waited for more than %v while it was read: %w",
				table, MaxBlock, engines.ErrPointLost))
		}
	}
}

// Waits remembers since when somebody has been waiting.
type Waits struct {
	since map[string]time.Time // by whoever waits
}

// TooLong is told, each time it was looked, who waits for which table; "" is one that
// we are not reading. It returns a table that somebody has been waiting for as long as
// MaxBlock, or "".
func (w *Waits) TooLong(now time.Time, waiting map[string]string) string {
	if w.since == nil {
		w.since = map[string]time.Time{}
	}
	for who := range w.since {
		if _, still := waiting[who]; !still {
			delete(w.since, who)
		}
	}
	for who, table := range waiting {
		if table == "" {
			continue
		}
		if _, known := w.since[who]; !known {
			w.since[who] = now
		}
		if now.Sub(w.since[who]) >= MaxBlock {
			return table
		}
	}
	return ""
}
