package mysql

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"holdfast/engines"
)

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
	s.pinned, s.marked = map[string][]byte{}, stand{}
	s.point = engines.Point{Server: s.control.server.String(), Rung: s.rung}
	if s.retired != nil {
		s.point.At, s.point.Rung = s.retired.at, ""
		return s.point, s.begin(ctx)
	}
	if s.rung == rungReload {
		mark := s.markStaged
		if s.control.server.mysql {
			mark = s.markLocked
		}
		err := mark(ctx)
		if number(err) != errLockTimeout && number(err) != errBackupRunning && !errors.Is(err, errBusy) {
			return s.point, err
		}
		// Somebody changes a table, takes a backup or keeps a lock waiting. One
		// connection does not need to wait.
		s.point.Rung = rungSchema
		for _, reader := range s.readers {
			if err := reader.exec(ctx, "ROLLBACK"); err != nil {
				return s.point, err
			}
		}
	}
	return s.point, s.begin(ctx)
}

// markStaged marks MariaDB while it lets nobody commit.
func (s *source) markStaged(ctx context.Context) (err error) {
	defer func() {
		if e := s.unlock(ctx, "BACKUP STAGE END"); err == nil {
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

// unlock executes what lets others go on, also when the context has ended: nobody may stay
// blocked. A server that does not answer even this is told by the end of the connection.
func (s *source) unlock(ctx context.Context, statement string) error {
	ctx, cancel := engines.Answering(context.WithoutCancel(ctx), s.at(), s.answer)
	defer cancel()
	return s.control.exec(ctx, statement)
}

// errBusy is why MySQL's global read lock was not asked for.
var errBusy = errors.New("statements that run for long would make everybody wait")

// markLocked marks MySQL: under the backup lock nobody can change a definition,
// under the global read lock nobody can commit. The latter waits for every statement
// that runs, on all databases of the server, and all others wait behind it; so it is
// not asked for while one has been running for maxBlock already.
func (s *source) markLocked(ctx context.Context) (err error) {
	var running int
	err = s.control.one(ctx, fmt.Sprintf(`SELECT COUNT(*) FROM information_schema.processlist WHERE time >= %d
		AND command IN ('Query', 'Execute') AND id <> CONNECTION_ID() AND user NOT IN ('system user', 'event_scheduler')`, int(maxBlock.Seconds())), &running)
	if err != nil {
		return err
	}
	if running > 0 {
		return fmt.Errorf("%d: %w", running, errBusy)
	}
	for _, lock := range []struct{ take, release string }{
		{"LOCK INSTANCE FOR BACKUP", "UNLOCK INSTANCE"},
		{"FLUSH TABLES WITH READ LOCK", "UNLOCK TABLES"},
	} {
		if err := s.control.exec(ctx, lock.take); err != nil {
			return err
		}
		defer func() {
			if e := s.unlock(ctx, lock.release); err == nil {
				err = e
			}
		}()
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
		err := read(ctx, t, s.readers[:1], nil, func(r *inserts) error {
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
