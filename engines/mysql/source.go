package mysql

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"holdfast/engines"
)

// The rungs of the privileges, as recorded in the snapshot.
const (
	// rungReload: BACKUP STAGE makes several connections see one instant.
	rungReload = "reload"
	// rungSchema: one connection, which sees one instant by itself.
	rungSchema = "schema"
)

const (
	// maxBlock bounds how long the mark waits for others, and so they behind it.
	maxBlock = time.Second
	// patience bounds how long reading a table waits for somebody who changes it:
	// nobody queues behind that.
	patience = time.Minute
	// maxPinned bounds what is read of tables without snapshots under the hold.
	maxPinned = 1 << 20
	// longRunning is from when on a statement is worth a note.
	longRunning = 10 * time.Second
	// readers is how many connections read tables at a time.
	readers = 2
)

// source captures one database.
type source struct {
	place
	now func() time.Time
	// retired is what is known of data that a restore has put aside: they are read
	// from there, and nobody changes them.
	retired *retiredData

	db      *sql.DB
	control *session   // BACKUP STAGE; then looks after the others
	readers []*session // each in a transaction since the mark
	rung    string
	server  string

	catalog catalog
	names   []string          // of tables and views, as of the catalog
	pinned  map[string][]byte // streams of sequences, and of tables that were read under the hold
	point   engines.Point
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
	if s.control, err = s.connect(ctx, s.db, s.from(), maxBlock); err != nil {
		return err
	}
	if s.server, err = serverOf(s.control.version); err != nil {
		return err
	}
	if err := s.privileges(ctx); err != nil {
		return err
	}
	for range readers {
		reader, err := s.connect(ctx, s.db, s.from(), patience)
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

// privileges finds the rung, and refuses a user to whom parts of the database are
// invisible: without an error they would be missing from the snapshot.
func (s *source) privileges(ctx context.Context) error {
	g, err := s.control.grants(ctx)
	if err != nil {
		return err
	}
	s.rung = rungSchema
	if g.allow("RELOAD", "") || s.retired != nil {
		s.rung = rungReload
	}
	missing := g.missing(s.from(), "SELECT", "SHOW VIEW", "TRIGGER", "EVENT")
	if len(missing) == 0 {
		return nil
	}
	line, err := s.control.grantLine(ctx, strings.Join(missing, ", "), escapePattern(s.from()))
	if err != nil {
		return err
	}
	return fmt.Errorf("user %s at MariaDB %s cannot see all of database %s: %s", s.user, s.address, s.database, line)
}

// lookAround notes what may make the mark wait.
func (s *source) lookAround(ctx context.Context) error {
	var count int
	var longest float64
	err := s.control.one(ctx, fmt.Sprintf(`SELECT COUNT(*), COALESCE(MAX(time_ms), 0) / 1000 FROM information_schema.processlist
		WHERE db = DATABASE() AND command = 'Query' AND time_ms >= %d`, longRunning.Milliseconds()), &count, &longest)
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

// Mark implements engines.Source.
func (s *source) Mark(ctx context.Context, _ engines.Sink) (engines.Point, error) {
	if s.control == nil {
		return engines.Point{}, errors.New("mark before prepare")
	}
	for _, reader := range s.readers {
		if err := reader.exec(ctx, "ROLLBACK"); err != nil {
			return engines.Point{}, err
		}
	}
	s.pinned = map[string][]byte{}
	s.point = engines.Point{Server: s.server, Rung: s.rung}
	if s.retired != nil {
		s.point.At, s.point.Rung = s.retired.at, ""
		return s.point, s.begin(ctx)
	}
	if s.rung == rungReload {
		err := s.markStaged(ctx)
		if number(err) != errLockTimeout && number(err) != errBackupRunning {
			return s.point, err
		}
		// Somebody changes a table or takes a backup. One connection does not need to wait.
		s.point.Rung = rungSchema
		for _, reader := range s.readers {
			if err := reader.exec(ctx, "ROLLBACK"); err != nil {
				return s.point, err
			}
		}
	}
	return s.point, s.begin(ctx)
}

// markStaged marks while the server lets nobody commit.
func (s *source) markStaged(ctx context.Context) (err error) {
	defer func() {
		// Also when the context has ended: nobody may stay blocked.
		if e := s.control.exec(context.WithoutCancel(ctx), "BACKUP STAGE END"); err == nil {
			err = e
		}
	}()
	for _, stage := range []string{"START", "BLOCK_COMMIT"} {
		if err := s.control.exec(ctx, "BACKUP STAGE "+stage); err != nil {
			return err
		}
	}
	if err := s.begin(ctx); err != nil {
		return err
	}
	return s.pin(ctx)
}

// begin opens the transactions: on all connections, or where they would not see
// the same, on the first.
func (s *source) begin(ctx context.Context) error {
	for i, reader := range s.readers {
		if i > 0 && s.point.Rung == rungSchema {
			break
		}
		if err := reader.exec(ctx, "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY"); err != nil {
			return err
		}
	}
	if s.retired == nil {
		s.point.At = s.now()
		if err := s.position(ctx); err != nil {
			return err
		}
		if err := s.refresh(ctx); err != nil {
			return err
		}
	}
	return s.sequences(ctx)
}

// sequences reads where the sequences stand: that is part of no snapshot.
func (s *source) sequences(ctx context.Context) (err error) {
	for _, t := range s.catalog.tables {
		if !t.sequence {
			continue
		}
		if s.pinned[t.name], err = s.readers[0].sequence(ctx, t); err != nil {
			return err
		}
	}
	return nil
}

// position reads where the first transaction stands in the binary log. The server
// keeps that for each snapshot; no privilege is needed.
func (s *source) position(ctx context.Context) error {
	status := map[string]string{}
	err := s.readers[0].each(ctx, "SHOW SESSION STATUS LIKE 'binlog_snapshot_%'", func(rows *sql.Rows) error {
		var name, value string
		err := rows.Scan(&name, &value)
		status[strings.ToLower(name)] = value
		return err
	})
	if err != nil || status["binlog_snapshot_file"] == "" {
		return err
	}
	s.point.Position = status["binlog_snapshot_file"] + ":" + status["binlog_snapshot_position"]
	var gtid sql.NullString
	err = s.readers[0].one(ctx, fmt.Sprintf("SELECT BINLOG_GTID_POS(%s, %s)", literal(status["binlog_snapshot_file"]),
		status["binlog_snapshot_position"]), &gtid)
	if err == nil && gtid.String != "" {
		s.point.Position += " " + gtid.String
	}
	return err
}

// refresh reads the definitions anew if tables came or went since they were read.
func (s *source) refresh(ctx context.Context) error {
	names, err := s.control.names(ctx)
	if err != nil || slices.Equal(names, s.names) {
		return err
	}
	return s.readCatalog(ctx)
}

// pin reads the tables that have no snapshots, as far as they are small: now
// nobody can write to them.
func (s *source) pin(ctx context.Context) error {
	reader := s.readers[0]
	if err := reader.exec(ctx, fmt.Sprintf("SET SESSION lock_wait_timeout = %d", int(maxBlock.Seconds()))); err != nil {
		return err
	}
	left := int64(maxPinned)
	for _, t := range s.catalog.tables {
		if t.snapshots || t.rowless() || t.sequence || t.size > left {
			continue
		}
		left -= t.size
		var text bytes.Buffer
		err := reader.read(ctx, t, func(r *rowReader) error {
			_, err := text.ReadFrom(r)
			return err
		})
		switch {
		case number(err) == errLockTimeout: // then later, and with a note
		case err != nil:
			return err
		default:
			s.pinned[t.name] = text.Bytes()
		}
	}
	return reader.exec(ctx, fmt.Sprintf("SET SESSION lock_wait_timeout = %d", int(patience.Seconds())))
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
