// Package sqlite saves and restores SQLite databases, page by page, while
// applications have them open.
//
// # Create
//
// A snapshot of a service holds one file, NAME.sqlite: the pages of the database
// in their order, as one read transaction sees them, those that are still in the
// -wal included. It is a database that any SQLite opens. In WAL mode readers and
// writers do not meet: Mark begins the transaction, Send reads under it. In
// rollback mode a reader keeps all writers from committing, so there Mark reads
// the whole database into the sink, under the hold, and refuses one that is
// larger than 64 MiB; unless Service.Live says that writers may be locked out.
//
// # Restore
//
// Beside the database, in its directory, with T for the token:
//
//	.holdfast-T-BASE.staged    the new pages, checked, and a table with the token
//	.holdfast-T-BASE.retired   the pages as they were at the swap
//	.holdfast-T-BASE.created   a second name of a database that did not exist
//	.holdfast-BASE.lock        held with flock by the restore that is at work
//
// The database file is never renamed nor replaced: applications would keep the
// old one open, and a -wal that remains would undo the restore without a word.
// Instead Swap is one SQLite transaction on the current file: it takes the write
// lock, brings retired, which Stage has copied already, up to date and syncs it,
// writes those staged pages that differ (through sqlite_dbpage, as SQLite's own
// sqlite3_rsync does), and commits. So the hold costs reading the database, and
// writing no more than what changes. Open connections see the new rows with their next statement, or
// wait, as they would for any other writer.
//
// Why not SQLite's backup API: it accepts no destination with a transaction of
// ours on it. Between a retired copy and the replacement somebody else's commit
// could fall, and would be lost; in one transaction none can. It also locks out
// the readers of a rollback database for the whole copy, and writes every page
// where few differ.
//
// # Invariants
//
//  1. A database that an application may have open is touched by SQLite alone:
//     closing any descriptor of it would drop this process's locks. (The one look
//     that a source takes at a file it may only read ends after all locks.)
//  2. Retired is complete and durable before a page of the current database
//     changes, and no commit of another process falls in between: both happen
//     under the same write lock.
//  3. Whether the swap happened is asked of the database: the token is in its
//     table holdfast_swap, and got there with the other pages, in one transaction.
//     A killed swap either committed or is rolled back by whoever opens next.
//  4. What is created is known by its inode, which the second name holds: Revert
//     removes no file that somebody else has put there.
//  5. The journal mode of the current database stays, and its schema cookie and
//     change counter go up with every swap and revert, never back: that is how
//     open connections notice.
//  6. Apart from those counters, the freed page of the token's table and the
//     version of the last writer, a restored database is equal page by page. If
//     its pages have to take another size, it is equal row by row.
package sqlite

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"holdfast/engines"
)

// Engine is the engine for SQLite databases: sqlite:/absolute/path.
var Engine = engines.Engine{
	Name:    "sqlite",
	Schemes: []string{"sqlite"},
	Grain:   engines.Fine,
	Source: func(s engines.Service) (engines.Source, error) {
		path, err := databasePath(s)
		if err != nil {
			return nil, err
		}
		return &source{
			configured: path, entryName: entryName(s), live: s.Live, unheld: s.Unheld,
			inside: copyInside, patience: patience, now: time.Now,
		}, nil
	},
	Target: func(s engines.Service, token string) (engines.Target, error) {
		path, err := databasePath(s)
		if err != nil {
			return nil, err
		}
		if s.Subpath != "" {
			return nil, fmt.Errorf("restore %s: an SQLite database is restored whole, there is nothing beneath it", s.Name)
		}
		if err := engines.CheckToken(token); err != nil {
			return nil, err
		}
		return &target{configured: path, entryName: entryName(s), token: token, patience: patience, now: time.Now}, nil
	},
}

const (
	// copyInside is the size in bytes up to which a database in rollback mode is
	// read under the hold.
	copyInside = 64 << 20
	// patience is how long one lock of another process is waited for; a caller in
	// a hurry ends the wait by its context.
	patience = 10 * time.Second
)

func entryName(s engines.Service) string { return s.Name + ".sqlite" }

// databasePath returns the path in a service's URL.
func databasePath(s engines.Service) (string, error) {
	bad := func(why string) (string, error) {
		return "", fmt.Errorf("service %s: %s; write sqlite:/absolute/path", s.Name, why)
	}
	switch u := s.URL; {
	case u == nil:
		return bad("there is no URL")
	case u.Host != "" || u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return bad("the URL of an SQLite database has a path and nothing else")
	case u.Opaque != "" || !filepath.IsAbs(u.Path):
		return bad("the path is not absolute")
	case strings.HasSuffix(u.Path, "/"):
		return bad("the path names a directory")
	case strings.Contains(u.Path, "\x00"):
		return bad("the path holds a NUL")
	case s.Password != "":
		return "", fmt.Errorf("service %s: SQLite has no passwords, and encrypted databases are not supported", s.Name)
	default:
		return filepath.Clean(u.Path), nil
	}
}

// errMissing says that there is no database; it is fs.ErrNotExist too.
var errMissing = fmt.Errorf("there is no such database: %w", fs.ErrNotExist)
