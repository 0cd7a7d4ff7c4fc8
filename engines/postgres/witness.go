package postgres

import (
	"context"
	"fmt"
	"strings"
)

// stand is how far a server had come when the database was marked.
type stand struct {
	xmax     string // below it, every transaction that wrote had ended
	sessions string // of clients, ever, of this database; "" where the server does not count them
	at       string // by the server's clock
}

// standing is the query for a stand. Numbers of transactions are given to those only
// that write: checkpoints, statistics and readers take none.
func (s *source) standing() string {
	sessions := "NULL"
	if s.control.version >= 150000 { // before, what it counts comes late
		sessions = "(SELECT sessions FROM pg_stat_database WHERE datname = current_database())"
	}
	return "SELECT txid_snapshot_xmax(txid_current_snapshot()), " + sessions + ", clock_timestamp()"
}

// Moved says whether somebody has written to the database since the mark (snapshot's
// witness). The number of the next transaction is the whole server's: where it has
// grown, it counts if a client of this database has been at work meanwhile, as far as
// the user may see. So neither autovacuum nor the neighbours count.
func (s *source) Moved(ctx context.Context) (string, error) {
	if s.marked == (stand{}) {
		return "", nil
	}
	row, err := s.control.row(ctx, s.standing())
	if err != nil || row[0] == s.marked.xmax {
		return "", err
	}
	// Idle since: with its last statement at work in between.
	rows, err := s.control.rows(ctx, `SELECT DISTINCT coalesce(nullif(application_name, ''), usename) FROM pg_stat_activity
		WHERE datname = current_database() AND backend_type = 'client backend'
		AND application_name <> current_setting('application_name') AND greatest(query_start, state_change) >= `+literal(s.marked.at)+` ORDER BY 1`)
	if err != nil || len(rows) == 0 && row[1] == s.marked.sessions {
		return "", err
	}
	names := []string{}
	for _, r := range rows {
		names = append(names, r[0])
	}
	if row[1] != s.marked.sessions {
		names = append(names, "a session that began meanwhile")
	}
	return fmt.Sprintf("from transaction %s to %s, by %s", s.marked.xmax, row[0], strings.Join(names, ", ")), nil
}
