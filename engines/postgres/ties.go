package postgres

import (
	"context"
	"fmt"
	"strings"
)

// ties are what holds on to one database and to no copy of it: other servers that
// follow it or that it follows, and transactions that no session belongs to.
type ties struct {
	subscriptions []string // by which changes come in
	followed      []string // logical replication slots that are in use
	slots         []string // those that are not
	prepared      []string // transactions that wait for COMMIT PREPARED, as literals
}

// settled is the age, in seconds, from which on a prepared transaction is no longer
// expected to end by itself.
const settled = 1

// tiesOf reads them, of transactions those prepared for so many seconds. All of it
// is the server's, and can be seen by everybody from any database.
func (s *session) tiesOf(ctx context.Context, database string, seconds int) (ties, error) {
	rows, err := s.rows(ctx, fmt.Sprintf(`SELECT 'subscription', subname FROM pg_subscription WHERE subdbid = (SELECT oid FROM pg_database WHERE datname = %[1]s)
		UNION ALL SELECT CASE WHEN active THEN 'followed' ELSE 'slot' END, slot_name FROM pg_replication_slots WHERE database = %[1]s
		UNION ALL SELECT 'prepared', gid FROM pg_prepared_xacts WHERE database = %[1]s AND prepared <= clock_timestamp() - interval '%[2]d seconds' ORDER BY 1, 2`,
		literal(database), seconds))
	var found ties
	for _, row := range rows {
		switch row[0] {
		case "subscription":
			found.subscriptions = append(found.subscriptions, quote(row[1]))
		case "followed":
			found.followed = append(found.followed, row[1])
		case "slot":
			found.slots = append(found.slots, row[1])
		case "prepared":
			found.prepared = append(found.prepared, literal(row[1]))
		}
	}
	return found, err
}

// refusal says why a database with such ties cannot be replaced or dropped, and what
// to do; nil where it can.
func (found ties) refusal(database, address string) error {
	at := fmt.Sprintf("database %s at PostgreSQL %s", database, address)
	switch {
	case found.subscriptions != nil:
		name := found.subscriptions[0]
		return fmt.Errorf("%s: subscription%s belongs to the tables that are there now, and would change nothing in restored ones: "+
			"DROP SUBSCRIPTION %s, in that database, and create it anew after the restore (first ALTER SUBSCRIPTION %s DISABLE and ALTER SUBSCRIPTION %s SET (slot_name = NONE) "+
			"where the publisher cannot be reached, or is to keep the slot)", at, first(found.subscriptions), name, name, name)
	case found.prepared != nil:
		name := found.prepared[0]
		return fmt.Errorf("%s: prepared transaction%s holds its locks until somebody ends it: COMMIT PREPARED %s or ROLLBACK PREPARED %s, in that database",
			at, first(found.prepared), name, name)
	case found.followed != nil:
		return fmt.Errorf("%s: logical replication slot%s is in use, and who follows it does not see what a restore does: "+
			"stop that (ALTER SUBSCRIPTION … DISABLE at the subscriber), and begin anew with a new slot after the restore", at, first(found.followed))
	}
	return nil
}

// warnings says what becomes of slots that nobody uses at the moment.
func (found ties) warnings() []string {
	if found.slots == nil {
		return nil
	}
	return []string{"who follows this database by logical replication does not see what a restore does, and has to begin anew; where the database is replaced as a whole, " +
		"the slot goes with the one that it replaces: " + strings.Join(found.slots, ", ")}
}

// first names the first of a list that is not empty, and counts the others.
func first(names []string) string {
	if more := len(names) - 1; more > 0 {
		return fmt.Sprintf(" %s (and %d more)", names[0], more)
	}
	return " " + names[0]
}

// untied refuses a database that cannot be replaced because of what holds on to it,
// and returns warnings.
func (t *target) untied(ctx context.Context) ([]string, error) {
	found, err := t.any().tiesOf(ctx, t.database, settled)
	if err != nil {
		return nil, err
	}
	return found.warnings(), found.refusal(t.database, t.address)
}

// held explains an error of the server's that databases are in use, as far as it is not
// sessions that use them.
func (t *target) held(ctx context.Context, databases []string, err error) error {
	if code(err) != codeInUse {
		return err
	}
	for _, name := range databases {
		found, looking := t.server.tiesOf(ctx, name, 0)
		if looking != nil {
			return err // which says more
		}
		if why := found.refusal(name, t.address); why != nil {
			return fmt.Errorf("%w: %w", why, err)
		}
	}
	return err
}
