package demosite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"

	_ "modernc.org/sqlite" // the driver "sqlite"
)

// A Site is an open site. It may be used from several goroutines.
type Site struct {
	place    Place
	incoming string // uploads are written here first
	db       *sql.DB
	history  *os.File
	writing  sync.Mutex   // held during a change: history and database agree on the order
	underway sync.RWMutex // held for reading by uploads whose file may have no row yet
}

// A Place is where the data of a site lies, be it the current one or a copy.
type Place struct {
	Database string // the SQLite file
	Uploads  string // the directory
}

// In returns the place of the site that Create makes in dir.
func In(dir string) Place {
	return Place{Database: filepath.Join(dir, "site.db"), Uploads: filepath.Join(dir, "uploads")}
}

// HistoryFile returns where the site in dir writes its history: beside dir, never in it.
func HistoryFile(dir string) string { return filepath.Clean(dir) + ".history" }

// Open opens the site in dir. The caller closes it.
func Open(ctx context.Context, dir string) (*Site, error) {
	s := &Site{place: In(dir), incoming: filepath.Join(dir, "incoming")}
	for _, needed := range []string{s.place.Uploads, s.incoming} {
		if err := os.MkdirAll(needed, 0o755); err != nil {
			return nil, err
		}
	}
	var err error
	s.history, err = os.OpenFile(HistoryFile(dir), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	s.db, err = openDatabase(ctx, s.place.Database, "rwc", "journal_mode(WAL)", "synchronous(NORMAL)", "busy_timeout(10000)")
	if err != nil {
		return nil, errors.Join(err, s.history.Close())
	}
	return s, nil
}

// Close closes database and history. Requests must have ended.
func (s *Site) Close() error { return errors.Join(s.db.Close(), s.history.Close()) }

// Place returns where the site's data lies.
func (s *Site) Place() Place { return s.place }

// Seq returns the number of the last committed change.
func (s *Site) Seq(ctx context.Context) (int64, error) { return readSeq(ctx, s.db) }

// Settled returns the number of the last committed change once every upload that
// is underway has its row: the end of a Window, when asked after the copy is made.
func (s *Site) Settled(ctx context.Context) (int64, error) {
	s.underway.Lock()
	defer s.underway.Unlock()
	return s.Seq(ctx)
}

func openDatabase(ctx context.Context, path, mode string, pragmas ...string) (*sql.DB, error) {
	query := url.Values{"mode": {mode}, "_txlock": {"immediate"}, "_pragma": pragmas}
	name := url.URL{Scheme: "file", OmitHost: true, Path: path, RawQuery: query.Encode()}
	db, err := sql.Open("sqlite", name.String())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(8)
	if err := db.PingContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", path, err), db.Close())
	}
	return db, nil
}

func readSeq(ctx context.Context, db *sql.DB) (seq int64, err error) {
	err = db.QueryRowContext(ctx, "SELECT seq FROM state WHERE id = 1").Scan(&seq)
	return seq, err
}

// A transaction is a change being made.
type transaction struct {
	ctx        context.Context
	tx         *sql.Tx
	statements map[string]*sql.Stmt
	change     Change
}

// commit makes one change: all that do does, or nothing. It returns its number.
func (s *Site) commit(ctx context.Context, do func(*transaction) error) (int64, error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return 0, err
	}
	defer tx.Rollback()
	t := &transaction{ctx: ctx, tx: tx, statements: map[string]*sql.Stmt{}}
	if err := t.count(); err != nil {
		return 0, err
	}
	if err := do(t); err != nil {
		return 0, err
	}
	if err := t.change.write(s.history); err != nil {
		return 0, err
	}
	return t.change.Seq, tx.Commit()
}

// count makes this the next change.
func (t *transaction) count() error {
	err := t.tx.QueryRowContext(t.ctx, "SELECT coalesce(max(seq), 0) + 1 FROM state").Scan(&t.change.Seq)
	if err != nil {
		return err
	}
	return t.put("state", 1, t.change.Seq)
}

// put inserts a row or replaces the one with its id. values are int64 or string,
// in the order of the columns.
func (t *transaction) put(table string, id int64, values ...any) error {
	row := append([]any{id}, values...)
	sum, err := hashRow(table, row)
	if err != nil {
		return err
	}
	statement, ok := t.statements[table]
	if !ok {
		marks := strings.Repeat(", ?", len(values))
		statement, err = t.tx.PrepareContext(t.ctx, fmt.Sprintf("INSERT OR REPLACE INTO %s VALUES (?%s)", table, marks))
		if err != nil {
			return err
		}
		t.statements[table] = statement
	}
	if _, err := statement.ExecContext(t.ctx, row...); err != nil {
		return fmt.Errorf("put row %d of %s: %w", id, table, err)
	}
	t.change.Put = append(t.change.Put, rowHash{rowKey{table, id}, sum})
	return nil
}

// remove deletes a row. A row that is not there is no error.
func (t *transaction) remove(table string, id int64) error {
	if _, err := t.tx.ExecContext(t.ctx, "DELETE FROM "+table+" WHERE id = ?", id); err != nil {
		return fmt.Errorf("remove row %d of %s: %w", id, table, err)
	}
	t.change.Removed = append(t.change.Removed, rowKey{table, id})
	return nil
}

// nextID returns an id that table has not used yet.
func (t *transaction) nextID(table string) (id int64, err error) {
	err = t.tx.QueryRowContext(t.ctx, "SELECT coalesce(max(id), 0) + 1 FROM "+table).Scan(&id)
	return id, err
}
