package mysql

import (
	"bytes"
	"context"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"io"

	"holdfast/engines"
	"holdfast/engines/dump"
)

// sequence is the stream that sets a sequence to where it stands.
func (s *session) sequence(ctx context.Context, t table) ([]byte, error) {
	var next, cycles string
	if err := s.one(ctx, "SELECT next_not_cached_value, cycle_count FROM "+quote(t.name), &next, &cycles); err != nil {
		return nil, lost(t, err)
	}
	return fmt.Appendf(nil, "-- Sequence %s\n%sDO SETVAL(%s, %s, 0, %s);\n-- %s\n",
		quote(t.name), header(dataMode), quote(t.name), next, cycles, saidRemote), nil
}

// read lets use read the stream of a table, whose rows come over sessions, each within
// its transaction. The table's definition is compared with the one that was read before
// the mark: last when its rows were read and nobody could change it, because all
// sessions that read of it still held it. Then it is let go, whether use has come so far
// or not, so that nobody who wants to change it has to wait for the rest.
func read(ctx context.Context, t table, sessions []*session, huge dump.Turn, use func(*inserts) error) error {
	first := sessions[0]
	counter, err := first.unchanged(ctx, t)
	if err != nil {
		return err
	}
	for _, s := range sessions {
		if err := s.exec(ctx, "SAVEPOINT holdfast"); err != nil {
			return err
		}
	}
	if counter, err = first.counterAt(ctx, t, counter); err != nil {
		return lost(t, err)
	}
	rows := readAhead(ctx, t, sessions, huge, func(ctx context.Context) error { return letGo(ctx, t, sessions) })
	err = use(newInserts(t, counter, rows.Next))
	if reading := rows.Close(); reading != nil && (err == nil || !errors.Is(reading, dump.ErrAbandoned)) {
		return reading
	}
	return err
}

// letGo compares the table's definition and lets others change it.
func letGo(ctx context.Context, t table, sessions []*session) error {
	same, err := sessions[0].same(ctx, t)
	if err != nil {
		return lost(t, err)
	}
	if !same {
		return fmt.Errorf("table %s was changed, renamed or truncated after the mark: %w", t.name, engines.ErrPointLost)
	}
	for _, s := range sessions {
		if err := s.exec(ctx, "ROLLBACK TO SAVEPOINT holdfast"); err != nil {
			return err
		}
	}
	return nil
}

// unchanged returns ErrPointLost unless the table's definition is the one that was
// read before, and the AUTO_INCREMENT counter as it is now.
func (s *session) unchanged(ctx context.Context, t table) (counter string, err error) {
	create, counter, err := s.definition(ctx, t)
	if err != nil {
		return "", lost(t, err)
	}
	if !bytes.Equal(create, t.create) {
		return "", fmt.Errorf("table %s: its definition changed: %w", t.name, engines.ErrPointLost)
	}
	return counter, nil
}

// readSpan reads a part of a table, without the detour that database/sql takes for
// every value.
func (s *session) readSpan(ctx context.Context, t table, p span, lane *dump.Lane[batch]) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	err := s.Raw(func(conn any) error {
		rows, err := s.rows(ctx, conn.(sqldriver.QueryerContext), t.query(p))
		if err != nil {
			return s.place.explain(ctx, "read", err)
		}
		if err = handOver(ctx, t, rows, lane); err != nil {
			err = s.place.explain(ctx, "read", err)
			cancel() // or Close would read the rest
		}
		_ = rows.Close() // the rows are all read, or an error is returned
		return err
	})
	if err != nil {
		return lost(t, err)
	}
	return nil
}

// handOver makes batches of rows.
func handOver(ctx context.Context, t table, rows rows, lane *dump.Lane[batch]) error {
	into := newBatches(t, func() error { return lane.Huge(ctx) })
	for {
		some := lane.Fresh()
		err := into.fill(some, rows)
		if err != nil && err != io.EOF {
			return err
		}
		if len(some.rows) > 0 {
			if err := lane.Put(ctx, some, len(some.text), len(some.rows)); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
	}
}

// lost names the table in the error that reading it has ended with, and makes ErrPointLost
// of the server's errors that mean it. What is one already names the table that it is about.
func lost(t table, err error) error {
	if errors.Is(err, engines.ErrPointLost) {
		return err
	}
	switch number(err) {
	case errTableChanged, errNoSuchTable, errUnknownColumn:
		return fmt.Errorf("table %s was changed or dropped after the mark: %w: %w", t.name, engines.ErrPointLost, err)
	}
	return fmt.Errorf("table %s: %w", t.name, err)
}
