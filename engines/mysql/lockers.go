package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	driver "github.com/go-sql-driver/mysql"
)

// lockedError says of a table that could not be read, because somebody kept it locked for
// as long as that was waited for, who it was. Other errors are passed on.
func (s *source) lockedError(ctx context.Context, t table, err error) error {
	refused, is := errors.AsType[*driver.MySQLError](err)
	if !is || refused.Number != errLockTimeout {
		return err
	}
	of := "table_schema = " + literal(s.from()) + " AND table_name = " + literal(t.name)
	who := ""
	// The other connections are busy.
	if asking, e := s.connect(ctx, s.db, "", maxBlock); e == nil {
		who = asking.lockers(ctx, of, keepsFromReading)
		_ = asking.Close() // it has only asked
	}
	if who == "" {
		who = howToAsk(s.control.server, of)
	}
	return fmt.Errorf("table %s.%s: somebody keeps it locked, so that it could not be read; %s: %w", s.from(), t.name, who, refused)
}

// blameLockers says of tables that could not be renamed because of somebody's lock who has
// it: whoever has used one of them in a transaction keeps it, too.
func (t *target) blameLockers(ctx context.Context, err error) error {
	if number(err) != errLockTimeout {
		return err
	}
	of := fmt.Sprintf("table_schema IN (%s, %s, %s)", literal(t.database), literal(t.staging), literal(t.retired))
	who := t.control.lockers(ctx, of, keepsFromChanging)
	if who == "" {
		if prepared := t.control.blamePrepared(ctx, err); prepared != err {
			return prepared
		}
		who = howToAsk(t.control.server, of)
	}
	return fmt.Errorf("%w; %s", err, who)
}

const (
	// keepsFromReading are the locks of LOCK TABLES … WRITE, and of a definition that
	// changes; the others let a table be read.
	keepsFromReading  = "lock_type IN ('SHARED_NO_READ_WRITE', 'EXCLUSIVE')"
	keepsFromChanging = "lock_type <> ''"
)

// lockers says who has such a lock on the tables of a condition, "" where the server does
// not let this user know. It may be a connection that sleeps, in no database.
func (s *session) lockers(ctx context.Context, of, kept string) string {
	for _, locks := range []string{
		// MySQL has it; MariaDB, where performance_schema is switched on.
		`SELECT processlist_id AS connection, lock_type, object_schema AS table_schema, object_name AS table_name FROM performance_schema.metadata_locks
			JOIN performance_schema.threads ON thread_id = owner_thread_id WHERE object_type = 'TABLE' AND lock_status = 'GRANTED' AND processlist_id IS NOT NULL`,
		// A plugin of MariaDB's.
		`SELECT thread_id AS connection, REPLACE(lock_mode, 'MDL_', '') AS lock_type, table_schema, table_name FROM information_schema.metadata_lock_info
			WHERE lock_type = 'Table metadata lock'`,
	} {
		var found []string
		err := s.each(ctx, `SELECT DISTINCT connection, user, command, time FROM (`+locks+`) AS locks LEFT JOIN information_schema.processlist ON id = connection
			WHERE connection <> CONNECTION_ID() AND `+of+` AND `+kept+` ORDER BY connection LIMIT 5`, func(rows *sql.Rows) error {
			var id int64
			var user, command sql.NullString
			var since sql.NullInt64
			err := rows.Scan(&id, &user, &command, &since)
			text := fmt.Sprintf("connection %d", id)
			if user.Valid {
				text += fmt.Sprintf(" of user %s (%s for %v)", user.String, command.String, time.Duration(since.Int64)*time.Second)
			}
			found = append(found, fmt.Sprintf("%s, which KILL %d ends", text, id))
			return err
		})
		if err == nil && found != nil {
			return "it is kept by " + strings.Join(found, "; ")
		}
	}
	return ""
}

// howToAsk is what tells an administrator who has tables of a condition locked: SHOW
// PROCESSLIST shows connections, and of none what it has locked.
func howToAsk(v server, of string) string {
	line := "INSTALL SONAME 'metadata_lock_info'; SELECT thread_id, lock_mode, table_name FROM information_schema.metadata_lock_info WHERE " + of
	if v.mysql {
		line = "SELECT processlist_id, lock_type, object_name FROM performance_schema.metadata_locks JOIN performance_schema.threads ON thread_id = owner_thread_id WHERE " +
			strings.NewReplacer("table_schema", "object_schema", "table_name", "object_name").Replace(of)
	}
	return "an administrator sees by whom (LOCK TABLES … WRITE does it, also of a connection that sleeps) with " + line
}
