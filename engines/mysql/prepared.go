package mysql

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"strings"
)

// prepared lists the server's prepared transactions (XA), as the statements that end
// them name them. They keep their locks without a connection, and over restarts, until
// somebody ends them; of what tables, the server does not say. Who may not ask
// (MySQL: XA_RECOVER_ADMIN) gets none.
func (s *session) prepared(ctx context.Context) (names []string) {
	err := s.each(ctx, "XA RECOVER", func(rows *sql.Rows) error {
		var format, global, branch int
		var id []byte
		if err := rows.Scan(&format, &global, &branch, &id); err != nil {
			return err
		}
		if global < 0 || branch < 0 || global+branch != len(id) {
			return fmt.Errorf("XA RECOVER gave %q", id)
		}
		names = append(names, nameOfXA(format, id[:global], id[global:]))
		return nil
	})
	if err != nil {
		return nil
	}
	return names
}

// nameOfXA is how a transaction is named in XA ROLLBACK. Format 1 is what goes without saying.
func nameOfXA(format int, global, branch []byte) string {
	part := func(id []byte) string {
		if text := string(id); ascii(id) && strconv.Quote(text) == `"`+text+`"` && !strings.Contains(text, "'") {
			return "'" + text + "'"
		}
		return fmt.Sprintf("X'%x'", id)
	}
	switch {
	case format != 1:
		return fmt.Sprintf("%s,%s,%d", part(global), part(branch), format)
	case len(branch) > 0:
		return part(global) + "," + part(branch)
	}
	return part(global)
}

// warnOfPrepared says, before anything is replaced, that prepared transactions may stop it.
func (s *session) warnOfPrepared(ctx context.Context) []string {
	names := s.prepared(ctx)
	if len(names) == 0 {
		return nil
	}
	return []string{fmt.Sprintf("%s at %s has transactions that are prepared and not ended (XA RECOVER): %s; if one has changed tables of database %s these cannot be replaced until it is ended by XA COMMIT or XA ROLLBACK",
		s.place.product(), s.place.address, strings.Join(names, " and "), s.place.database)}
}

// blamePrepared says, of a lock that was waited for in vain, that it may be a prepared
// transaction's, which no list of connections shows.
func (s *session) blamePrepared(ctx context.Context, err error) error {
	if number(err) != errLockTimeout {
		return err
	}
	names := s.prepared(ctx)
	if len(names) == 0 {
		return err
	}
	return fmt.Errorf("the lock may be that of a prepared transaction, which needs no connection (XA COMMIT or XA ROLLBACK ends it): %s: %w", strings.Join(names, " or "), err)
}
