package postgres

import (
	"context"
	"fmt"
)

// ties are what holds on to one database and to no copy of it.
type ties struct {
	subscriptions []string // by which changes come in
}

// tiesOf reads them. All of it is the server's, and can be seen by everybody from any
// database.
func (s *session) tiesOf(ctx context.Context, database string) (ties, error) {
	rows, err := s.rows(ctx, `SELECT 'subscription', subname FROM pg_subscription
		WHERE subdbid = (SELECT oid FROM pg_database WHERE datname = `+literal(database)+`) ORDER BY 1, 2`)
	var found ties
	for _, row := range rows {
		switch row[0] {
		case "subscription":
			found.subscriptions = append(found.subscriptions, quote(row[1]))
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
	}
	return nil
}

// first names the first of a list that is not empty, and counts the others.
func first(names []string) string {
	if more := len(names) - 1; more > 0 {
		return fmt.Sprintf(" %s (and %d more)", names[0], more)
	}
	return " " + names[0]
}

// untied refuses a database that cannot be replaced because of what holds on to it.
func (t *target) untied(ctx context.Context) error {
	found, err := t.any().tiesOf(ctx, t.database)
	if err != nil {
		return err
	}
	return found.refusal(t.database, t.address)
}

// held explains an error of the server's that databases are in use, as far as it is not
// sessions that use them.
func (t *target) held(ctx context.Context, databases []string, err error) error {
	if code(err) != codeInUse {
		return err
	}
	for _, name := range databases {
		found, looking := t.server.tiesOf(ctx, name)
		if looking != nil {
			return err // which says more
		}
		if why := found.refusal(name, t.address); why != nil {
			return fmt.Errorf("%w: %w", why, err)
		}
	}
	return err
}
