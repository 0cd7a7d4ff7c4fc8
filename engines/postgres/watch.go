package postgres

import (
	"context"
	"strings"
	"time"

	"holdfast/engines/dump"
)

// watcher looks who waits for what is being read.
type watcher struct {
	guard *session
	now   func() time.Time
	waits dump.Waits // of processes
}

// blocked returns what somebody has been waiting for longer than dump.MaxBlock while a
// session of ours, one of pg_dump's included, is in the way.
func (w *watcher) blocked(ctx context.Context) (string, error) {
	rows, err := w.guard.rows(ctx, `SELECT DISTINCT ON (l.pid) l.pid, coalesce(l.relation::regclass::text, l.locktype)
		FROM pg_locks l, pg_stat_activity a
		WHERE NOT l.granted AND a.pid = ANY (pg_blocking_pids(l.pid)) AND a.application_name = current_setting('application_name')
		AND l.pid NOT IN (SELECT pid FROM pg_stat_activity WHERE application_name = current_setting('application_name'))`)
	waiting := map[string]string{}
	for _, row := range rows {
		waiting[row[0]] = strings.TrimPrefix(row[1], "public.")
	}
	return w.waits.TooLong(w.now(), waiting), err
}
