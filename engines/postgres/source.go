package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"holdfast/engines"
	"holdfast/engines/dump"
)

const (
	// patience bounds how long reading a table waits for somebody who changes it:
	// nobody queues behind that.
	patience = time.Minute
	// longRunning is from when on somebody's lock is worth a note.
	longRunning = 10 * time.Second
)

// source captures one database.
type source struct {
	place
	now    func() time.Time
	unheld bool // see engines.Service
	// retired is what is known of data that a restore has put aside: they are read
	// from there, and nobody changes them.
	retired *retiredData

	control *session   // looks, and never in a transaction
	guard   *session   // looks after those who wait for us
	readers []*session // each in a transaction since the mark; the first exports its snapshot
	tool    string     // path of pg_dump

	snapshot  string // as exported
	sequences []sequence
	point     engines.Point
	marked    stand
	notes     []string
}

// retiredData is what a restore tells about the data it put aside.
type retiredData struct {
	database string
	schemas  []schemaName // nil: all, under their names
	at       time.Time
}

// schemaName is a schema and what it is called for the time being.
type schemaName struct {
	Name string
	Now  string
}

// from is the database that is read.
func (s *source) from() string {
	if s.retired != nil {
		return s.retired.database
	}
	return s.database
}

// schemas are those that are read; nil means all of the database's own.
func (s *source) schemas() []string {
	if s.retired == nil || s.retired.schemas == nil {
		return nil
	}
	names := []string{}
	for _, schema := range s.retired.schemas {
		names = append(names, schema.Now)
	}
	return names
}

// shown is what a schema is called in the snapshot.
func (s *source) shown(schema string) string {
	if s.retired != nil {
		for _, other := range s.retired.schemas {
			if other.Now == schema {
				return other.Name
			}
		}
	}
	return schema
}

// Prepare implements engines.Source.
func (s *source) Prepare(ctx context.Context, _ engines.Sink) error {
	if err := s.open(ctx); err != nil {
		return err
	}
	var err error
	if s.tool, err = findDump(ctx, s.control.version); err != nil {
		return err
	}
	if err := s.privileges(ctx); err != nil {
		return err
	}
	if err := s.passwords(ctx); err != nil {
		return err
	}
	return s.lookAround(ctx)
}

// open connects. The sessions have a name of their own, by which the guard knows
// whom others wait for; pg_dump's have it too.
func (s *source) open(ctx context.Context) (err error) {
	s.config = s.config.Copy()
	s.config.RuntimeParams["application_name"] = fmt.Sprintf("%s %x", application, s.now().UnixNano())
	if s.control, err = s.connect(ctx, s.from(), dump.MaxBlock); err != nil {
		return err
	}
	if s.guard, err = s.connect(ctx, s.from(), dump.MaxBlock); err != nil {
		return err
	}
	for range s.reading.Connections {
		reader, err := s.connect(ctx, s.from(), patience)
		if err != nil {
			return err
		}
		s.readers = append(s.readers, reader)
	}
	return nil
}

// privileges refuses a user to whom parts of the database are closed.
func (s *source) privileges(ctx context.Context) error {
	closed, err := s.control.rows(ctx, `SELECT format('%I.%I', n.nspname, c.relname),
		CASE WHEN NOT has_schema_privilege(n.oid, 'USAGE') OR NOT has_table_privilege(c.oid, 'SELECT') THEN 'closed' ELSE 'hidden' END
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relkind IN ('r', 'S') AND n.oid IN (`+within(s.schemas())+`)
		AND (NOT has_schema_privilege(n.oid, 'USAGE') OR NOT has_table_privilege(c.oid, 'SELECT') OR row_security_active(c.oid))
		ORDER BY 2, 1`)
	if err != nil {
		return err
	}
	if len(closed) == 0 {
		return s.largeClosed(ctx)
	}
	role := quote(s.user)
	what, cure := "read", "GRANT pg_read_all_data TO "+role
	if s.control.version < 140000 {
		cure = fmt.Sprintf("GRANT USAGE ON SCHEMA …; GRANT SELECT ON ALL TABLES IN SCHEMA … TO %s; GRANT SELECT ON ALL SEQUENCES IN SCHEMA … TO %s", role, role)
	}
	if closed[0][1] == "hidden" {
		what, cure = "see all rows of", "ALTER ROLE "+role+" BYPASSRLS"
	}
	more := ""
	if len(closed) > 1 {
		more = fmt.Sprintf(" and %d more", len(closed)-1)
	}
	return fmt.Errorf("user %s at PostgreSQL %s cannot %s %s%s in database %s: %s", s.user, s.address, what, closed[0][0], more, s.database, cure)
}

// lookAround notes who would make reading wait: the mark itself waits for nobody.
// When somebody else's transaction began is shown to few users.
func (s *source) lookAround(ctx context.Context) error {
	rows, err := s.control.rows(ctx, fmt.Sprintf(`SELECT DISTINCT l.relation::regclass FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
		WHERE l.granted AND l.mode = 'AccessExclusiveLock' AND l.locktype = 'relation' AND l.pid <> pg_backend_pid()
		AND l.relation IN (SELECT oid FROM pg_class WHERE relkind = 'r' AND relnamespace IN (`+within(s.schemas())+`))
		AND coalesce(a.xact_start < clock_timestamp() - interval '%d seconds', true) ORDER BY 1`, int(longRunning.Seconds())))
	var names []string
	for _, row := range rows {
		names = append(names, strings.TrimPrefix(row[0], "public."))
	}
	if len(names) > 0 {
		s.notes = append(s.notes, "somebody kept tables to himself before the mark, so that reading them had to wait: "+strings.Join(names, ", "))
	}
	return err
}

// position is where the server is in its log.
const position = "CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_insert_lsn() END"

// begin opens a transaction that sees one instant for as long as it lasts.
const begin = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY; "

// Mark implements engines.Source.
func (s *source) Mark(ctx context.Context, _ engines.Sink) (engines.Point, error) {
	if s.tool == "" {
		return engines.Point{}, errors.New("mark before prepare")
	}
	for _, reader := range s.readers {
		if err := reader.exec(ctx, "ROLLBACK"); err != nil {
			return engines.Point{}, err
		}
	}
	if !s.unheld && s.retired == nil {
		row, err := s.control.row(ctx, s.standing())
		if err != nil {
			return engines.Point{}, err
		}
		s.marked = stand{row[0], row[1], row[2]}
	}
	before, err := s.control.value(ctx, "SELECT "+position)
	if err != nil {
		return engines.Point{}, err
	}
	exported, err := s.readers[0].row(ctx, begin+"SELECT pg_export_snapshot(), "+position)
	if err != nil {
		return engines.Point{}, err
	}
	s.snapshot = exported[0]
	s.point = engines.Point{At: s.now(), Server: s.control.product(), Position: before}
	if exported[1] != before {
		s.point.Position += ".." + exported[1] // somebody wrote between the two
	}
	if s.retired != nil {
		s.point.At = s.retired.at
	}
	for _, reader := range s.readers[1:] {
		if err := reader.exec(ctx, begin+"SET TRANSACTION SNAPSHOT "+literal(s.snapshot)); err != nil {
			return s.point, err
		}
	}
	return s.point, s.readSequences(ctx)
}

// readSequences reads where the sequences stand, a moment after the snapshot: they
// may be ahead of what it holds, never behind. One that is dropped meanwhile makes
// the query fail, so it is tried again.
func (s *source) readSequences(ctx context.Context) (err error) {
	for attempt := 1; ; attempt++ {
		s.sequences, err = s.control.sequences(ctx, s.schemas())
		if code(err) != codeNoTable || attempt == 3 {
			return err
		}
	}
}

// Close implements engines.Source.
func (s *source) Close() error {
	for _, session := range slices.Concat(s.readers, []*session{s.guard, s.control}) {
		session.end()
	}
	s.readers, s.guard, s.control, s.tool = nil, nil, nil, ""
	return nil
}

// excluded are the schemas that pg_dump leaves out.
func (s *source) excluded(ctx context.Context) ([]string, error) {
	if s.schemas() == nil {
		return []string{"holdfast_h[fr]_*"}, nil
	}
	rows, err := s.control.rows(ctx, "SELECT nspname FROM pg_namespace WHERE NOT nspname = ANY ("+list(s.schemas())+")")
	var names []string
	for _, row := range rows {
		names = append(names, quote(row[0]))
	}
	return names, err
}

// names puts the names back that retired schemas had. What they are called now
// occurs nowhere else.
func (s *source) names() *strings.Replacer {
	if s.schemas() == nil {
		return nil
	}
	var pairs []string
	for _, schema := range s.retired.schemas {
		pairs = append(pairs, schema.Now, quoteAsNeeded(schema.Name))
	}
	return strings.NewReplacer(pairs...)
}
