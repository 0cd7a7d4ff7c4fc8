package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// stand is how far a server had come when the database was marked; zero where that
// cannot be told.
type stand struct {
	file     string // of the binary log; "" where there is none
	position uint64
	// Without a binary log, on MariaDB: how many rows of all databases were ever
	// inserted, updated and deleted, temporary tables not counted; and when that was, in
	// Unix time by the server's clock.
	rows   string
	second int64
}

// countRows is for servers without a binary log.
func (s *source) countRows(ctx context.Context) (err error) {
	if s.unheld {
		return nil
	}
	if err = s.control.one(ctx, "SELECT UNIX_TIMESTAMP()", &s.marked.second); err == nil {
		s.marked.rows, err = s.control.changedRows(ctx)
	}
	return err
}

func (s *session) changedRows(ctx context.Context) (string, error) {
	var counts []string
	err := s.each(ctx, "SHOW GLOBAL STATUS WHERE Variable_name IN ('Handler_write', 'Handler_update', 'Handler_delete')",
		func(rows *sql.Rows) error {
			var name, value string
			err := rows.Scan(&name, &value)
			counts = append(counts, value)
			return err
		})
	return strings.Join(counts, " "), err
}

// stands asks where the server is in its binary log now.
func (s *source) stands(ctx context.Context) (now stand, err error) {
	if s.control.server.mysql {
		local, err := s.logStatus(ctx)
		return stand{file: local.File, position: local.Position}, err
	}
	// A transaction's snapshot knows its place in the log, whatever the privileges.
	if err := s.control.exec(ctx, "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY"); err != nil {
		return now, err
	}
	now.file, now.position, err = s.control.snapshotStatus(ctx)
	return now, errors.Join(err, s.control.exec(ctx, "ROLLBACK"))
}

// Moved says whether somebody has written to the database since the mark (snapshot's
// witness). Other databases of the server do not count, where that can be told.
func (s *source) Moved(ctx context.Context) (string, error) {
	before := s.marked
	if before == (stand{}) {
		return "", nil
	}
	if before.file == "" {
		rows, err := s.control.changedRows(ctx)
		if err != nil || rows == before.rows {
			return "", err
		}
		return s.touchedSince(ctx, before.second)
	}
	now, err := s.stands(ctx)
	if err != nil || now == before {
		return "", err
	}
	moved := fmt.Sprintf("from %s:%d to %s:%d", before.file, before.position, now.file, now.position)
	if now.file != before.file {
		return moved, nil // a log is seldom full just then
	}
	tables, err := s.logged(ctx, before)
	switch {
	case number(err) == errNeedPrivilege:
		return moved + " (of which database is known to users with BINLOG MONITOR, on MySQL REPLICATION SLAVE)", nil
	case err != nil || len(tables) == 0:
		return "", err
	}
	return moved + ": " + named(tables), nil
}

// maxLogged bounds the events that are looked at for who wrote.
const maxLogged = 1000

// logged names what of the database the binary log tells of since the mark.
func (s *source) logged(ctx context.Context, since stand) ([]string, error) {
	found := map[string]bool{}
	err := s.control.each(ctx, fmt.Sprintf("SHOW BINLOG EVENTS IN %s FROM %d LIMIT %d", literal(since.file), since.position, maxLogged),
		func(rows *sql.Rows) error {
			var file, kind, info string
			var at, server, end uint64
			if err := rows.Scan(&file, &at, &kind, &server, &end, &info); err != nil {
				return err
			}
			if table, ok := s.concerns(info); ok {
				found[table] = true
			}
			return nil
		})
	return slices.Sorted(maps.Keys(found)), err
}

// concerns takes an event's description apart: "table_id: 18 (shop.orders)", or
// "use `shop`; INSERT …".
func (s *source) concerns(info string) (table string, ok bool) {
	if _, rest, is := strings.Cut(info, " ("+s.database+"."); is && strings.HasPrefix(info, "table_id: ") {
		return strings.TrimSuffix(rest, ")"), true
	}
	return "a statement", strings.HasPrefix(info, "use "+quote(s.database)+";")
}

// touchedSince names the tables that were changed in the second of the mark or later.
// It is asked only where something was changed on the server since.
func (s *source) touchedSince(ctx context.Context, second int64) (string, error) {
	var tables []string
	err := s.control.each(ctx, fmt.Sprintf(`SELECT table_name FROM information_schema.tables
		WHERE table_schema = %s AND update_time >= FROM_UNIXTIME(%d) ORDER BY table_name`, literal(s.database), second), func(rows *sql.Rows) error {
		var name string
		err := rows.Scan(&name)
		tables = append(tables, name)
		return err
	})
	if err != nil || len(tables) == 0 {
		return "", err
	}
	return "rows were changed: " + named(tables), nil
}

// named lists a few names.
func named(names []string) string {
	const most = 5
	if n := len(names) - most; n > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), n)
	}
	return strings.Join(names, ", ")
}
