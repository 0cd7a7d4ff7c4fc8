package mysql

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"sync"
	"time"

	"holdfast/engines"
	"holdfast/engines/dump"
)

// The rungs of the privileges, as recorded in the snapshot.
const (
	// rungReload: several connections see one instant, because nobody could commit
	// while their transactions began.
	rungReload = "reload"
	// rungSchema: one connection, which sees one instant by itself.
	rungSchema = "schema"
)

const (
	// maxBlock bounds how long the mark waits for others, and so they behind it.
	maxBlock = dump.MaxBlock
	// patience bounds how long reading a table waits for somebody who changes it:
	// nobody queues behind that.
	patience = time.Minute
	// maxPinned bounds what is read of tables without snapshots under the hold.
	maxPinned = 1 << 20
	// longRunning is from when on a statement is worth a note.
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

	db      *sql.DB
	control *session   // keeps others from committing; then looks after the readers
	asking  sync.Mutex // control, while tables are sent
	readers []*session // each in a transaction since the mark
	rung    string

	catalog catalog
	names   []string          // of tables and views, as of the catalog
	pinned  map[string][]byte // streams of sequences, and of tables that were read under the hold
	longest []int             // statements of the catalog's tables that were sent, in bytes
	point   engines.Point
	marked  stand
	notes   []string
}

// retiredData is what the journal of a restore tells about the data it put aside.
type retiredData struct {
	database           string
	charset, collation string
	objects            []object
	at                 time.Time
}

// from is the database that is read.
func (s *source) from() string {
	if s.retired != nil {
		return s.retired.database
	}
	return s.database
}

// Prepare implements engines.Source.
func (s *source) Prepare(ctx context.Context, _ engines.Sink) error {
	var err error
	if s.db, err = s.pool(); err != nil {
		return err
	}
	// To no database yet: who may do nothing in it is told what to grant.
	if s.control, err = s.connect(ctx, s.db, "", maxBlock); err != nil {
		return err
	}
	s.known = s.control.server.product()
	if err := s.privileges(ctx); err != nil {
		return err
	}
	if err := s.control.use(ctx, s.from()); err != nil {
		return err
	}
	for range s.reading.Connections {
		reader, err := s.openReader(ctx)
		if err != nil {
			return err
		}
		s.readers = append(s.readers, reader)
		if s.rung == rungSchema {
			break
		}
	}
	if err := s.lookAround(ctx); err != nil {
		return err
	}
	return s.readCatalog(ctx)
}

func (s *source) openReader(ctx context.Context) (*session, error) {
	reader, err := s.connect(ctx, s.db, s.from(), patience)
	if err != nil {
		return nil, err
	}
	reader.outside = func(ctx context.Context, table string) (map[string]string, error) {
		s.asking.Lock()
		defer s.asking.Unlock()
		// A question that was cut off would end the connection, which the next mark needs: other
		// readers end when one of them finds the point lost.
		ctx, cancel := engines.Answering(context.WithoutCancel(ctx), s.at(), s.answer)
		defer cancel()
		return s.control.spaces(ctx, table)
	}
	return reader, nil
}

// privileges finds the rung, and refuses a user to whom parts of the database are
// invisible: without an error they would be missing from the snapshot.
func (s *source) privileges(ctx context.Context) error {
	g, err := s.control.grants(ctx)
	if err != nil {
		return err
	}
	s.rung = rungSchema
	if s.mayStop(g) || s.retired != nil {
		s.rung = rungReload
	}
	missing := g.missing(s.from(), "SELECT", "SHOW VIEW", "TRIGGER", "EVENT")
	if !s.seesRoutines(ctx, g) {
		missing = append(missing, "EXECUTE")
	}
	if len(missing) == 0 {
		return s.seesAccounts(ctx, g)
	}
	line, err := s.control.grantLine(ctx, strings.Join(missing, ", "), escapePattern(s.from()))
	if err != nil {
		return err
	}
	return fmt.Errorf("user %s at %s %s cannot see all of database %s: %s", s.user, s.product(), s.address, s.database, line)
}

// seesRoutines reports whether the server lists all routines to the user: to somebody
// who may execute none it lists none.
func (s *source) seesRoutines(ctx context.Context, g grants) bool {
	if g.allow("EXECUTE", s.from()) || g.allow("SELECT", "mysql") {
		return true
	}
	var none int
	return !s.control.server.mysql && s.control.one(ctx, "SELECT COUNT(*) FROM mysql.proc WHERE FALSE", &none) == nil
}

// Foresee implements engines.Foreseer.
func (s *source) Foresee(ctx context.Context) ([]string, error) {
	said := []string{"several connections will read it at one instant"}
	if s.rung != rungReload {
		needs := "RELOAD, BINLOG MONITOR"
		if s.control.server.mysql {
			needs = "RELOAD, PROCESS, BACKUP_ADMIN"
		}
		line, err := s.control.grantLine(ctx, needs, "")
		if err != nil {
			return nil, err
		}
		said = []string{"one connection will read it, at one instant; several could: " + line}
	}
	refusals, err := s.restoreRefusals(ctx)
	return append(said, refusals...), err
}

// restoreRefusals are why a restore into the database would be refused, though its user has
// all that is needed on the database: on the day on which it is wanted that is late. Who has
// not is one for snapshots alone.
func (s *source) restoreRefusals(ctx context.Context) ([]string, error) {
	g, err := s.control.grants(ctx)
	if err != nil || len(g.missing(s.database, whole...)) > 0 {
		return nil, err
	}
	t := s.target(strings.Repeat("0", 20)) // for its names
	t.control = s.control
	lacks, err := t.lacks(ctx, g)
	if err != nil {
		return nil, err
	}
	var said []string
	for _, lack := range lacks {
		said = append(said, fmt.Sprintf("a restore into it would be refused: %v", lack))
	}
	for _, may := range []func(context.Context, []object) error{t.mayDefine, t.mayCreate} {
		switch err := may(ctx, s.catalog.objects); {
		case isDefinitionError(err):
			said = append(said, fmt.Sprintf("a restore into it would be refused: %v", err))
		case err != nil:
			return nil, err
		}
	}
	return said, nil
}

// mayStop reports whether the user may keep others from committing. MySQL's global
// read lock is only asked for by somebody who can see what it would wait for.
func (s *source) mayStop(g grants) bool {
	needs := []string{"RELOAD"}
	if s.control.server.mysql {
		needs = []string{"RELOAD", "PROCESS", "BACKUP_ADMIN"}
	}
	return len(g.missing("", needs...)) == 0
}

// lookAround notes what may make the mark wait.
func (s *source) lookAround(ctx context.Context) error {
	var count int
	var longest float64
	err := s.control.one(ctx, fmt.Sprintf(`SELECT COUNT(*), COALESCE(MAX(time), 0) FROM information_schema.processlist
		WHERE db = DATABASE() AND command IN ('Query', 'Execute') AND time >= %d`, int(longRunning.Seconds())), &count, &longest)
	if err == nil && count > 0 {
		s.notes = append(s.notes, fmt.Sprintf("%d statements had been running for more than %v before the mark, the longest for %.0f s", count, longRunning, longest))
	}
	return err
}

func (s *source) readCatalog(ctx context.Context) (err error) {
	if s.names, err = s.control.names(ctx); err != nil {
		return err
	}
	if s.catalog, err = s.control.catalog(ctx); err != nil {
		return err
	}
	if r := s.retired; r != nil {
		s.catalog.charset, s.catalog.collation, s.catalog.objects = r.charset, r.collation, r.objects
	}
	return nil
}

// Close implements engines.Source.
func (s *source) Close() error {
	if s.db == nil {
		return nil
	}
	// Closing a connection ends its transaction, locks and BACKUP STAGE.
	for _, session := range append(s.readers, s.control) {
		if session != nil {
			_ = session.Close() // the pool closes what is left
		}
	}
	s.readers, s.control = nil, nil
	err := s.db.Close()
	s.db = nil
	return err
}
