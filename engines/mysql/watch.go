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
	reading map[string][]*session // tables, and who reads them
	waits   dump.Waits            // of connections, and their statements
}

func newWatcher(s *source) *watcher {
	return &watcher{control: s.control, asking: &s.asking, now: s.now, reading: map[string][]*session{}}
}

// reads notes that a table is being read, until the returned function is called.
func (w *watcher) reads(table string, readers []*session) (done func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reading[table] = readers
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.reading, table)
	}
}

// blocked returns a table that is being read while somebody has been waiting for
// it for longer than dump.MaxBlock. Whom the server lets us see depends on PROCESS;
// sessions of our own user are always seen. Our own readers may wait, too, for somebody
// who keeps a table locked: for a table that they all wait for nobody waits because of us.
func (w *watcher) blocked(ctx context.Context) (string, error) {
	waiting := map[uint64]string{}
	w.asking.Lock()
	err := w.control.each(ctx, `SELECT id, info FROM information_schema.processlist
		WHERE state = 'Waiting for table metadata lock' AND info IS NOT NULL`, func(rows *sql.Rows) error {
		var id uint64
		var statement string
		err := rows.Scan(&id, &statement)
		waiting[id] = statement
		return err
	})
	w.asking.Unlock()
	w.mu.Lock()
	defer w.mu.Unlock()
	own, held := map[uint64]bool{}, map[string]bool{}
	for table, readers := range w.reading {
		for _, reader := range readers {
			own[reader.id] = true
			if waiting[reader.id] == "" {
				held[table] = true
			}
		}
	}
	tables := map[string]string{}
	for id, statement := range waiting {
		if !own[id] {
			tables[fmt.Sprint(id, " ", statement)] = w.named(statement, held)
		}
	}
	return w.waits.TooLong(w.now(), tables), err
}

// named returns one of the tables that statement names, with the database's name, or "".
func (w *watcher) named(statement string, tables map[string]bool) string {
	q := parse([]byte(statement))
	for i := range q.tokens {
		if name, ok := q.name(i); ok {
			for table := range tables {
				if strings.EqualFold(name, table) {
					return w.control.current + "." + table
				}
			}
		}
	}
	return ""
}
