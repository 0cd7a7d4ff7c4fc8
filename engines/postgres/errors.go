package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"regexp"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// The server's codes that something is decided on
// (https://www.postgresql.org/docs/current/errcodes-appendix.html).
const (
	codeNoDatabase    = "3D000"
	codeNoSchema      = "3F000"
	codeNoTable       = "42P01"
	codeNoColumn      = "42703"
	codeNoObject      = "42704"
	codeDependent     = "2BP01"
	codeNoFunction    = "42883"
	codePrivilege     = "42501"
	codeWrongPassword = "28P01"
	codeNotAllowed    = "28000"
	codeTooMany       = "53300"
	codeInUse         = "55006"
	codeLocked        = "55P03" // lock_timeout
	codeCanceled      = "57014" // also statement_timeout
	codeDeadlock      = "40P01"
	codeBadValue      = "22023"
	codeNoFile        = "58P01" // of an extension that is not installed
	codeNotSupported  = "0A000"
	codeWrongObject   = "42809"
)

// code returns the server's code of err, or "".
func code(err error) string {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// explain says, of an error of the driver, what failed and what can be done about
// it. What ended a context comes first: the driver reports it in many guises.
func (p place) explain(ctx context.Context, doing string, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	at := p.at()
	var network *net.OpError
	var connecting *pgconn.ConnectError
	switch c := code(err); {
	case c == codeWrongPassword:
		return fmt.Errorf("%s refuses user %s: the password is wrong: %w", at, p.user, brief(err))
	case c == codeNotAllowed:
		return fmt.Errorf("%s refuses user %s: no such user, or pg_hba.conf does not let it in from here: %w", at, p.user, brief(err))
	case c == codeTooMany:
		return fmt.Errorf("%s has no connection left for user %s (%d are needed): raise max_connections, or the limit of the role: %w", at, p.user, p.reading.Connections+4, brief(err))
	case c == codeNoDatabase:
		return fmt.Errorf("%s has no database %s: %w", at, p.database, brief(err))
	case c == codePrivilege:
		return fmt.Errorf("%s: user %s lacks a privilege to %s (database %s): %w", at, p.user, doing, p.database, brief(err))
	case c == codeLocked:
		return fmt.Errorf("%s, database %s: could not %s, because somebody holds a lock that is in the way (pg_locks and pg_stat_activity tell who): %w", at, p.database, doing, brief(err))
	case c != "":
		return fmt.Errorf("%s, database %s: %s: %w", at, p.database, doing, brief(err))
	case errors.As(err, &connecting) || errors.As(err, &network) && network.Op == "dial":
		return fmt.Errorf("%s cannot be reached: is it running, and is the address right? %w", at, brief(err))
	}
	return fmt.Errorf("%s, database %s: %s: the connection was lost: %w", at, p.database, doing, err)
}

// brief leaves out of err what the driver says about the address.
func brief(err error) error {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return e
	}
	var network *net.OpError
	if errors.As(err, &network) {
		return network
	}
	return err
}

var (
	// waiting matches what only says for how long the next statement waits.
	waiting = regexp.MustCompile(`^SET LOCAL lock_timeout = \d+; `)
	// onObject matches statements whose object is named in messages: those by which a
	// restore locks, moves and drops things.
	onObject = regexp.MustCompile(`^(LOCK TABLE|(?:CREATE|ALTER|DROP) (?:SCHEMA|DATABASE)|TRUNCATE|ANALYZE) (?:ONLY |IF EXISTS )?((?:"(?:[^"]|"")+"|[^\s.";]+)(?:\.(?:"(?:[^"]|"")+"|[^\s.";]+))?)`)
)

// verb is what a statement does, for messages: its first words, and to what a restore
// does it. It shows no values.
func verb(statement string) string {
	statement = waiting.ReplaceAllString(statement, "")
	if m := onObject.FindStringSubmatch(statement); m != nil {
		return strings.ToLower(m[1]) + " " + m[2]
	}
	words := strings.Fields(strings.ToLower(statement[:min(len(statement), 200)]))
	if len(words) > 0 && (words[0] == "select" || words[0] == "show" || words[0] == "with") {
		return "read"
	}
	return strings.Join(words[:min(len(words), 2)], " ")
}
