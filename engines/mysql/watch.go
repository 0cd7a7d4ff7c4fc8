package mysql

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"sync"
	"time"

	"holdfast/engines/dump"
)

// watcher looks who waits for the tables that are being read.
type watcher struct {
	control *session
	asking  *sync.Mutex // control
	now     func() time.Time

	mu      sync.Mutex
	reading map[string]bool // tables
	waits   dump.Waits      // of connections, and their statements
}

func newWatcher(s *source) *watcher {
	return &watcher{control: s.control, asking: &s.asking, now: s.now, reading: map[string]bool{}}
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

// blocked returns a table that is being read while somebody has been waiting for
// it for longer than dump.MaxBlock. Whom the server lets us see depends on PROCESS;
// sessions of our own user are always seen.
func (w *watcher) blocked(ctx context.Context) (string, error) {
	waiting := map[string]string{}
	w.asking.Lock()
	err := w.control.each(ctx, `SELECT id, info FROM information_schema.processlist
		WHERE state = 'Waiting for table metadata lock' AND info IS NOT NULL`, func(rows *sql.Rows) error {
		var id int64
		var statement string
		err := rows.Scan(&id, &statement)
		waiting[fmt.Sprint(id, " ", statement)] = statement
		return err
	})
	w.asking.Unlock()
	w.mu.Lock()
	defer w.mu.Unlock()
	tables := map[string]string{}
	for id, statement := range waiting {
		tables[id] = w.named(statement)
	}
	return w.waits.TooLong(w.now(), tables), err
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
