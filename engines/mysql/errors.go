package mysql

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	driver "github.com/go-sql-driver/mysql"
)

// The server's errors that something is decided on
// (https://mariadb.com/kb/en/mariadb-error-codes/).
const (
	errAccessDatabase  = 1044
	errAccessUser      = 1045
	errUnknownDatabase = 1049
	errTooMany         = 1040
	errHostBlocked     = 1129
	errHostDenied      = 1130
	errTableAccess     = 1142
	errNoSuchTable     = 1146
	errUnknownColumn   = 1054
	errSyntax          = 1064
	errTooBig          = 1153
	errUserLimit       = 1203
	errLockTimeout     = 1205
	errDeadlock        = 1213
	errNeedPrivilege   = 1227
	errNoRoutine       = 1305
	errNoView          = 1347
	errViewInvalid     = 1356
	errCannotUser      = 1396
	errTableChanged    = 1412
	errMustChange      = 1820
	errExpired         = 1862
	errNoSequence      = 4091
	errBackupRunning   = 4145
)

// number returns the server's number of err, or 0.
func number(err error) uint16 {
	var e *driver.MySQLError
	if errors.As(err, &e) {
		return e.Number
	}
	return 0
}

// explain says, of an error of the driver, what failed and what can be done about
// it. What ended a context comes first: the driver reports it in many guises.
func (p place) explain(ctx context.Context, doing string, err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	at := p.at()
	var network *net.OpError
	switch n := number(err); {
	case n == errAccessUser:
		return fmt.Errorf("%s refuses user %s: the password is wrong, or the user may not connect from here: %w", at, p.user, err)
	case n == errMustChange || n == errExpired:
		return fmt.Errorf("%s: the password of user %s has expired: set another one, or let it never expire (ALTER USER … PASSWORD EXPIRE NEVER): %w", at, p.user, err)
	case n == errHostDenied || n == errHostBlocked:
		return fmt.Errorf("%s does not talk to this host: allow user %s to connect from here: %w", at, p.user, err)
	case n == errTooMany || n == errUserLimit:
		return fmt.Errorf("%s has no connection left for user %s (%d are needed): raise max_connections or max_user_connections: %w", at, p.user, p.reading.Connections+2, err)
	case n == errUnknownDatabase:
		return fmt.Errorf("%s has no database %s: %w", at, p.database, err)
	case n == errAccessDatabase || n == errTableAccess || n == errNeedPrivilege:
		return fmt.Errorf("%s: user %s lacks a privilege to %s (database %s): %w", at, p.user, doing, p.database, err)
	case n == errTooBig || errors.Is(err, driver.ErrPktTooLarge):
		return fmt.Errorf("%s: a statement of the snapshot is longer than its max_allowed_packet: raise that (SET GLOBAL max_allowed_packet, up to 1073741824), and lower it again when the data are there: %w", at, err)
	case n == errLockTimeout:
		return fmt.Errorf("%s, database %s: could not %s, because somebody holds a lock that is in the way (SHOW PROCESSLIST lists the connections): %w", at, p.database, doing, err)
	case n != 0:
		return fmt.Errorf("%s, database %s: %s: %w", at, p.database, doing, err)
	case errors.As(err, &network) && network.Op == "dial":
		return fmt.Errorf("%s cannot be reached: is it running, and is the address right? %w", at, err)
	case errors.Is(err, driver.ErrInvalidConn) || errors.Is(err, sqldriver.ErrBadConn) || errors.As(err, &network) ||
		errors.Is(err, sql.ErrConnDone):
		return fmt.Errorf("%s, database %s: the connection was lost: %w", at, p.database, err)
	}
	return fmt.Errorf("%s, database %s: %s: %w", at, p.database, doing, err)
}

// verb is what a statement does, for messages: its first words, of a CREATE that and the
// kind of what is created. It shows no values.
func verb(statement string) string {
	words := strings.Fields(strings.ToLower(statement[:min(len(statement), 400)]))
	if len(words) > 0 && (words[0] == "select" || words[0] == "show") {
		return "read"
	}
	if len(words) > 1 && words[0] == "create" { // OR REPLACE, ALGORITHM and DEFINER may be between
		for _, word := range words[1:] {
			if slices.Contains(kinds, strings.ToUpper(word)) || slices.Contains([]string{"table", "sequence", "database", "user", "role"}, word) {
				return "create " + word
			}
		}
	}
	return strings.Join(words[:min(len(words), 2)], " ")
}
