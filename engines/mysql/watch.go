package mysql

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"sync"
	"time"

	"holdfast/engines"
)

// watcher looks who waits for the tables that are being read. Reading a table
// keeps others from changing its definition; a statement that tries waits, and
// every visitor of the table behind it. After maxBlock we give way: a point can be
// marked again.
type watcher struct {
	control *session
	now     func() time.Time

	mu      sync.Mutex
	reading map[string]bool      // tables
	since   map[string]time.Time // by connection and statement
}

const watchEvery = 200 * time.Millisecond

func newWatcher(s *source) *watcher {
	return &watcher{control: s.control, now: s.now, reading: map[string]bool{}, since: map[string]time.Time{}}
}

// reads notes that a table is being read, until the returned function is called.
func (w *watcher) reads(table string) (done func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reading[table] = true
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.reading, table)
	}
}

// watch calls giveWay once somebody waits too long, and returns when ended is
// closed. ctx must outlive both: when it ends, so does the control connection.
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

// blocked returns a table that is being read while somebody has been waiting for
// it for longer than maxBlock. Whom the server lets us see depends on PROCESS;
// sessions of our own user are always seen.
func (w *watcher) blocked(ctx context.Context) (string, error) {
	waiting := map[string]string{}
	err := w.control.each(ctx, `SELECT id, info FROM information_schema.processlist
		WHERE state = 'Waiting for table metadata lock' AND info IS NOT NULL`, func(rows *sql.Rows) error {
		var id int64
		var statement string
		err := rows.Scan(&id, &statement)
		waiting[fmt.Sprint(id, " ", statement)] = statement
		return err
	})
	w.mu.Lock()
	defer w.mu.Unlock()
	for id := range w.since {
		if _, still := waiting[id]; !still {
			delete(w.since, id)
		}
	}
	for id, statement := range waiting {
		table := w.named(statement)
		if table == "" {
			continue
		}
		if _, known := w.since[id]; !known {
			w.since[id] = w.now()
		}
		if w.now().Sub(w.since[id]) >= maxBlock {
			return table, err
		}
	}
	return "", err
}

// named returns a table that is being read and that statement names.
func (w *watcher) named(statement string) string {
	q := parse([]byte(statement))
	for i := range q.tokens {
		if name, ok := q.name(i); ok {
			for table := range w.reading {
				if strings.EqualFold(name, table) {
					return table
				}
			}
		}
	}
	return ""
}
