package postgres

import (
	"context"
	"fmt"
	"strings"
	"time"

	"holdfast/engines"
)

// watcher looks who waits for the tables that are being read. Reading a table
// keeps others from changing its definition; a statement that tries waits, and
// every visitor of the table behind it. After maxBlock we give way: a point can be
// marked again.
type watcher struct {
	guard *session
	now   func() time.Time
	since map[string]time.Time // by the process that waits
}

const watchEvery = 200 * time.Millisecond

// watch calls giveWay once somebody waits too long, and returns when ended is
// closed. ctx must outlive both: when it ends, so does the guard's connection.
func (w *watcher) watch(ctx context.Context, ended <-chan struct{}, giveWay context.CancelCauseFunc) error {
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
		table, err := w.blocked(ctx)
		if err != nil {
			return err
		}
		if table != "" {
			giveWay(fmt.Errorf("table %s: somebody who wants to change it waited for more than %v while it was read: %w",
				table, maxBlock, engines.ErrPointLost))
		}
	}
}

// blocked returns what somebody has been waiting for longer than maxBlock while a
// session of ours, one of pg_dump's included, is in the way.
func (w *watcher) blocked(ctx context.Context) (string, error) {
	rows, err := w.guard.rows(ctx, `SELECT DISTINCT ON (l.pid) l.pid, coalesce(l.relation::regclass::text, l.locktype)
		FROM pg_locks l, pg_stat_activity a
		WHERE NOT l.granted AND a.pid = ANY (pg_blocking_pids(l.pid)) AND a.application_name = current_setting('application_name')
		AND l.pid NOT IN (SELECT pid FROM pg_stat_activity WHERE application_name = current_setting('application_name'))`)
	waiting := map[string]bool{}
	for _, row := range rows {
		waiting[row[0]] = true
	}
	for pid := range w.since {
		if !waiting[pid] {
			delete(w.since, pid)
		}
	}
	for _, row := range rows {
		if _, known := w.since[row[0]]; !known {
			w.since[row[0]] = w.now()
		}
		if w.now().Sub(w.since[row[0]]) >= maxBlock {
			return strings.TrimPrefix(row[1], "public."), err
		}
	}
	return "", err
}
