package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// database is one connection to a database file.
type database struct {
	*sql.Conn
	pool     *sql.DB
	path     string
	patience time.Duration
}

// locate follows symbolic links, as SQLite does, so that what stands beside the
// database stands beside the real one. Where nothing is at path it returns the
// place where a database would be created, and errMissing.
func locate(path string) (string, error) {
	real, err := filepath.EvalSymlinks(path)
	if err == nil {
		info, err := os.Stat(real)
		if err == nil && !info.Mode().IsRegular() {
			err = errors.New("that is not a file")
		}
		return real, err
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if _, err := os.Lstat(path); err == nil {
		return "", errors.New("that is a symbolic link to nothing")
	}
	dir, err := filepath.EvalSymlinks(filepath.Dir(path))
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, filepath.Base(path)), errMissing
}

// open connects to the database at path, which exists. patience is how long one
// lock of others is waited for.
func open(ctx context.Context, path string, patience time.Duration, pragmas ...string) (*database, error) {
	query := url.Values{"mode": {"rw"}, "_pragma": {busyTimeout}}
	// A connection that could write reads a database whose last user was killed,
	// and tidies away a -wal and -shm that it had to create; one that could not
	// would leave them. So mode=ro is for files that we may only read.
	if unix.Access(path, unix.W_OK) != nil {
		query.Set("mode", "ro")
	}
	dsn := url.URL{Scheme: "file", Path: path, RawQuery: query.Encode()}
	connector, err := sqlite.NewConnector(dsn.String())
	if err != nil {
		return nil, err
	}
	pool := sql.OpenDB(connector)
	conn, err := pool.Conn(ctx)
	if err != nil {
		pool.Close()
		return nil, explain(path, err)
	}
	d := &database{Conn: conn, pool: pool, path: path, patience: patience}
	for _, pragma := range pragmas { // some of them read the database
		if err := d.do(ctx, "PRAGMA "+pragma); err != nil {
			return nil, errors.Join(err, d.close())
		}
	}
	return d, nil
}

// openReader opens for reading only.
func openReader(ctx context.Context, path string, patience time.Duration) (*database, error) {
	return open(ctx, path, patience, "query_only = 1")
}

// openWriter opens to replace pages. What has to be replaced may be damaged, and
// writable_schema makes SQLite open it all the same; commits are durable when
// they return; the checkpoint is left to whoever writes next.
func openWriter(ctx context.Context, path string, patience time.Duration) (*database, error) {
	return open(ctx, path, patience, "writable_schema = 1", "synchronous = EXTRA", "wal_autocheckpoint = 0")
}

// close ends the connection, and with it any transaction. A nil database is none.
func (d *database) close() error {
	if d == nil {
		return nil
	}
	err := d.Conn.Close()
	if errors.Is(err, sql.ErrConnDone) {
		err = nil
	}
	return errors.Join(err, d.pool.Close())
}

// busyTimeout is short: SQLite sleeps longer the longer it has waited, up to 100
// ms, and next to busy writers whoever sleeps that long never has a turn. Asking
// again from the start, patiently does better.
const busyTimeout = "busy_timeout(8)"

// patiently calls f until it is no longer told that the database is busy, or the
// patience is used up. f is told so only after having waited for busyTimeout, and
// gives another error once its context is done.
func (d *database) patiently(f func() error) error {
	for end := time.Now().Add(d.patience); ; {
		err := f()
		if !is(err, sqlite3.SQLITE_BUSY) || time.Now().After(end) {
			return err
		}
	}
}

// do runs one statement.
func (d *database) do(ctx context.Context, statement string, args ...any) error {
	return explain(d.path, d.patiently(func() error {
		_, err := d.ExecContext(ctx, statement, args...)
		return err
	}))
}

// one reads a single value.
func (d *database) one(ctx context.Context, value any, query string, args ...any) error {
	err := d.patiently(func() error {
		return d.QueryRowContext(ctx, query, args...).Scan(value)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return err
	}
	return explain(d.path, err)
}

// rollback ends a transaction, also when ctx has been cancelled.
func (d *database) rollback(ctx context.Context) {
	_, _ = d.ExecContext(context.WithoutCancel(ctx), "ROLLBACK") // without one there is nothing to end
}

// read runs f in a read transaction that has begun: nothing in it has to wait.
func (d *database) read(ctx context.Context, f func() error) error {
	if err := d.do(ctx, "BEGIN"); err != nil {
		return err
	}
	defer d.rollback(ctx)
	var pages int
	if err := d.one(ctx, &pages, "PRAGMA page_count"); err != nil {
		return err
	}
	return f()
}

// shape is the size of a database as the current transaction sees it.
type shape struct {
	pageSize int
	pages    uint32
}

func (s shape) bytes() int64 { return int64(s.pageSize) * int64(s.pages) }

func (d *database) shape(ctx context.Context) (s shape, err error) {
	if err = d.one(ctx, &s.pages, "PRAGMA page_count"); err == nil {
		err = d.one(ctx, &s.pageSize, "PRAGMA page_size")
	}
	return s, err
}

// isEmpty reports whether the database is known to hold nothing but what a restore writes
// into it. Of a damaged one that may not be known.
func (d *database) isEmpty(ctx context.Context) bool {
	var held int
	err := d.one(ctx, &held, "SELECT count(*) FROM sqlite_schema WHERE name <> '"+tokenTable+"'")
	return err == nil && held == 0
}

// header reads page 1. A database without pages gives false.
func (d *database) header(ctx context.Context) (h header, ok bool, err error) {
	var page []byte
	err = d.one(ctx, &page, "SELECT data FROM sqlite_dbpage WHERE pgno = 1")
	if errors.Is(err, sql.ErrNoRows) {
		return header{}, false, nil
	}
	if err != nil {
		return header{}, false, err
	}
	h, err = parseHeader(page)
	return h, err == nil, err
}

// is reports whether err carries that primary result code of SQLite.
func is(err error, code int) bool {
	var e *sqlite.Error
	return errors.As(err, &e) && e.Code()&0xff == code
}

// isNoRoomForShm reports whether the -shm could not be given its size, which SQLite calls
// an I/O error. It is made even to read a database in WAL mode that nobody has open.
func isNoRoomForShm(err error) bool {
	var e *sqlite.Error
	return errors.As(err, &e) && e.Code() == sqlite3.SQLITE_IOERR_SHMSIZE
}

// explain turns SQLite's word for what went wrong with the database at path into
// one that says what to do. Whoever returns it names the database.
func explain(path string, err error) error {
	switch {
	case is(err, sqlite3.SQLITE_BUSY):
		return fmt.Errorf("it stayed locked by %s: %w", holder(path), err)
	case is(err, sqlite3.SQLITE_NOTADB):
		return errNoDatabase
	case is(err, sqlite3.SQLITE_CORRUPT):
		return fmt.Errorf("it is damaged; see what sqlite3's .recover can save: %w", err)
	case is(err, sqlite3.SQLITE_CANTOPEN), is(err, sqlite3.SQLITE_READONLY):
		return fmt.Errorf("it cannot be opened%s: %w", obstacle(path), err)
	case is(err, sqlite3.SQLITE_FULL), isNoRoomForShm(err):
		return fmt.Errorf("no space left in %s: %w", filepath.Dir(path), err)
	default:
		return err
	}
}

// obstacle says why SQLite could not open path, as far as that can be seen.
func obstacle(path string) string {
	switch {
	case unix.Access(path, unix.R_OK) != nil:
		return ", this user may not read it"
	case unix.Access(filepath.Dir(path), unix.W_OK) != nil:
		return ", this user may not write to " + filepath.Dir(path) +
			", which WAL mode needs unless an application has the database open"
	default:
		return ""
	}
}
