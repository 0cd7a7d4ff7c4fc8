package mysql

import (
	"bytes"
	"context"
	sqldriver "database/sql/driver"
	"fmt"

	"holdfast/engines"
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

// read reads a table within the session's transaction. The table's definition is
// compared with the one that was read before the mark, last when its rows were
// read and nobody could change it; then it is let go, so that nobody who wants to
// change it has to wait for the rest.
func (s *session) read(ctx context.Context, t table, use func(*rowReader) error) error {
	counter, err := s.unchanged(ctx, t)
	if err != nil {
		return err
	}
	if err := s.exec(ctx, "SAVEPOINT holdfast"); err != nil {
		return err
	}
	if counter, err = s.counterAt(ctx, t, counter); err != nil {
		return lost(t, err)
	}
	if err := s.rows(ctx, t, counter, use); err != nil {
		return lost(t, err)
	}
	same, err := s.same(ctx, t)
	if err != nil {
		return lost(t, err)
	}
	if !same {
		return fmt.Errorf("table %s was changed, renamed or truncated after the mark: %w", t.name, engines.ErrPointLost)
	}
	return s.exec(ctx, "ROLLBACK TO SAVEPOINT holdfast")
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

// rows lets use read a table's rows, without the detour that database/sql takes
// for every value.
func (s *session) rows(ctx context.Context, t table, counter string, use func(*rowReader) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	return s.Raw(func(conn any) error {
		rows, err := conn.(sqldriver.QueryerContext).QueryContext(ctx, t.query(), nil)
		if err != nil {
			return fmt.Errorf("table %s: %w", t.name, s.place.explain(ctx, "read", err))
		}
		r := newRowReader(t, counter, rows)
		if err = use(r); err != nil {
			if r.err != nil {
				err = fmt.Errorf("table %s: %w", t.name, s.place.explain(ctx, "read", r.err))
			}
			cancel() // or Close would read the rest of the table
		}
		_ = rows.Close() // the rows are all read, or an error is returned
		return err
	})
}

// lost makes ErrPointLost of the server's errors that mean it.
func lost(t table, err error) error {
	switch number(err) {
	case errTableChanged, errNoSuchTable, errUnknownColumn:
		return fmt.Errorf("table %s was changed or dropped after the mark: %w: %w", t.name, engines.ErrPointLost, err)
	}
	return err
}
