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
	who := howToAsk(s.control.server, s.from(), t.name)
	// The other connections are busy.
	if asking, e := s.connect(ctx, s.db, "", maxBlock); e == nil {
		who = asking.lockers(ctx, s.from(), t.name)
		_ = asking.Close() // it has only asked
	}
	return fmt.Errorf("table %s.%s: somebody keeps it locked, so that it could not be read: %s: %w", s.from(), t.name, who, refused)
}

// keepsFromReading are the locks of LOCK TABLES … WRITE, and of a definition that changes;
// the others let a table be read.
const keepsFromReading = "'SHARED_NO_READ_WRITE', 'EXCLUSIVE'"

// lockers says who keeps a table from being read, or how to ask, where the server does not
// let this user know. It may be a connection that sleeps, and that is in no database.
func (s *session) lockers(ctx context.Context, database, table string) string {
	of := "table_schema = " + literal(database) + " AND table_name = " + literal(table)
	for _, query := range []string{
		// MySQL has it; MariaDB, where performance_schema is switched on.
		`SELECT processlist_id, processlist_user, processlist_command, processlist_time
			FROM (SELECT owner_thread_id, lock_type, object_schema AS table_schema, object_name AS table_name
				FROM performance_schema.metadata_locks WHERE object_type = 'TABLE' AND lock_status = 'GRANTED') AS locks
			JOIN performance_schema.threads ON thread_id = owner_thread_id WHERE ` + of + ` AND lock_type IN (` + keepsFromReading + `) ORDER BY 1`,
		// A plugin of MariaDB's.
		`SELECT thread_id, user, command, time FROM information_schema.metadata_lock_info
			LEFT JOIN information_schema.processlist ON id = thread_id
			WHERE lock_type = 'Table metadata lock' AND ` + of + ` AND REPLACE(lock_mode, 'MDL_', '') IN (` + keepsFromReading + `) ORDER BY 1`,
	} {
		var found []string
		err := s.each(ctx, query, func(rows *sql.Rows) error {
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
			return strings.Join(found, "; ")
		}
	}
	return howToAsk(s.server, database, table)
}

// howToAsk is what tells an administrator who keeps a table locked: SHOW PROCESSLIST shows
// connections, and of none what it has locked.
func howToAsk(v server, database, table string) string {
	of := literal(database) + " AND table_name = " + literal(table)
	line := "INSTALL SONAME 'metadata_lock_info'; SELECT thread_id, lock_mode FROM information_schema.metadata_lock_info WHERE table_schema = " + of
	if v.mysql {
		line = "SELECT processlist_id, lock_type FROM performance_schema.metadata_locks JOIN performance_schema.threads ON thread_id = owner_thread_id WHERE object_schema = " +
			strings.Replace(of, "table_name", "object_name", 1)
	}
	return "an administrator sees who (LOCK TABLES … WRITE does it, also of a connection that sleeps) by " + line
}
