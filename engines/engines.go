// Package engines is the contract between Holdfast and one kind of data: how a
// consistent point of it becomes named streams, and streams become data again.
// It holds no implementation; each engine is a package beneath it.
//
// # Create
//
//	Prepare        before the hold: connect, check privileges, pre-copy
//	  -- hold --
//	Mark           fixes the point: milliseconds, or for a mount the remainder
//	  -- release --
//	Send           turns the marked point into streams
//	Close          always, whatever happened
//
// # Restore
//
//	Plan           look only: what would be replaced, is there room
//	Stage          build everything beside the current data, verify, sync
//	  -- hold --
//	Swap           staged becomes current, current becomes retired
//	  -- release --
//	Retired        a Source of the data as it was at the swap, for the safety snapshot
//	Discard        remove what is staged or retired
//
// A process can die between any two steps. Whoever comes after makes a Target
// with the same token and calls Revert or Discard: both find out from the data
// itself how far their predecessor came, and both can be called again.
//
// The contract fits a service that pushes (a dump), one that pulls (it fetches
// from us) and a page file alike: an engine decides itself in which order, and
// with how many goroutines, it calls its Sink or Content.
package engines

import (
	"context"
	"errors"
	"io"
	"iter"
	"net/url"
	"time"

	"holdfast/internal/tree"
)

// Service says which data an engine works on. One value serves for a service
// and for a mount.
type Service struct {
	// Name is the service's name in holdfast.yaml, and the first path element of
	// all that it puts into a snapshot.
	Name string
	// URL is where the data is, without a password: sqlite:/srv/settings.db,
	// mysql://shop@127.0.0.1:3306/shop, file:/srv/uploads.
	URL *url.URL
	// Password is never logged, never put into argv, a child's environment or an error.
	Password string

	// Exclude holds patterns in gitignore syntax; a mount's paths are matched as
	// Name/path. What they match is neither read nor, by a restore, touched.
	Exclude []string
	// SchemaOnly holds patterns of tables whose rows are worth nothing: caches,
	// sessions. A snapshot holds the definition of what they match, but none of its
	// rows, and says so in its Notes; a restore makes such a table empty, and says so
	// too. Matches says what a pattern is, and decides.
	SchemaOnly []string
	// Accounts says that a snapshot also holds the server's users or roles who have
	// to do with the data, and that a restore creates those that are missing. Only
	// given to engines whose servers have some.
	Accounts bool
	// Avoid lists absolute paths that must not even be opened: the repository,
	// the cache, and SQLite files that belong to a service, with their -wal, -shm
	// and -journal. (Closing any descriptor of an open SQLite file drops the
	// process's locks on it.)
	Avoid []string
	// Subpath narrows a restore to one path beneath Name; "" is all of it.
	Subpath string
	// Server is given to a target: what Point.Server was when the snapshot was
	// taken, or "" where that is not known.
	Server string
	// Live says that the user accepts (--live) that reading gets in the way of
	// those who write: a source then does what it would refuse otherwise, such as
	// locking writers out for as long as it reads.
	Live bool
	// Unheld says that no requests are held while points are marked. A source may
	// then take what Prepare saw for its point, if that was a moment ago; where a
	// hold comes, it must look again under it.
	Unheld bool
}

// Grain is the size of the pieces in which an engine's data changes.
type Grain uint8

const (
	// Fine suits dumps and page files: rows and pages change one by one.
	Fine Grain = iota
	// Coarse suits files, which are mostly replaced whole.
	Coarse
)

// Engine is one kind of data. The command has one literal list of them.
type Engine struct {
	Name    string   // as recorded in snapshots: "sqlite"
	Schemes []string // URL schemes it answers to
	Grain   Grain
	// Tables is set where data consist of tables, so that Service.SchemaOnly has a
	// meaning. Other engines never see one.
	Tables bool
	// Source and Target do no I/O; they refuse a Service that can never work,
	// saying what was found and what is expected.
	Source func(Service) (Source, error)
	Target func(s Service, token string) (Target, error)
}

// ErrPointLost is wrapped by Send when the marked point has become unreadable
// (a TRUNCATE, a dropped table). The service can be marked again.
var ErrPointLost = errors.New("the marked point was lost")

// Source captures one service. Its methods are called in order, one at a time.
type Source interface {
	// Prepare does all that needs no hold and fails on all that can be known to
	// fail: unreachable, wrong password, missing privileges, missing path.
	Prepare(ctx context.Context, sink Sink) error
	// Mark fixes the point. After ErrPointLost it is called again.
	Mark(ctx context.Context, sink Sink) (Point, error)
	// Send stores the marked point and returns what it amounts to. An error means
	// that nothing of this service can be used.
	Send(ctx context.Context, sink Sink) (Result, error)
	// Close ends transactions and connections; it may be called at any time.
	Close() error
}

// Point is what Mark fixed.
type Point struct {
	At       time.Time // when
	Position string    // the service's own word for it: "binlog.000003:4123", or ""
	Server   string    // product and version: "MariaDB 10.11.6", "SQLite 3.51.1", or ""
	Rung     string    // the privileges that were used, where there is a choice: "schema", or ""
}

// Result is what a source sent.
type Result struct {
	// Entries stand at the top of the snapshot. The first has the service's Name,
	// with or without a file extension; the others begin with it too.
	Entries []tree.Entry
	// Empty says that the service is there and holds nothing: no file, table, key or
	// document. What a restore has put aside need not say so.
	Empty  bool
	Losses []Loss   // what should be in the snapshot and is not: exit code 3
	Notes  []string // what somebody who restores this should know
	// Apart names what may be of another instant than the point, though requests
	// were held: the snapshot is then not at one instant.
	Apart []string
}

// Loss names a thing that could not be saved or restored as it was.
type Loss struct {
	_      struct{} `cbor:",toarray"`
	Path   string   `json:"path"` // as in the snapshot: uploads/2026/a.jpg
	Reason string   `json:"reason"`
}

// Foreseer is a Source that can say, once it is prepared, what its point will be worth
// and what would make that better, in sentences. A Source may lack it.
type Foreseer interface {
	Foresee(ctx context.Context) ([]string, error)
}

// Sink takes what a Source sends. It may be used from several goroutines.
//
// A Source may read back, with Children and Open, what it has put, once Mark is
// called: what Prepare put is readable then.
type Sink interface {
	Content
	// Parent returns the top-level entry of that name in the parent snapshot.
	Parent(name string) (tree.Entry, bool)
	// Put stores what content yields, to its end, as the content of e, a file, and
	// returns e with Content set, and with Size set where e has no Holes. base is
	// the same thing's stream in the parent snapshot, the source of deltas; the
	// zero Stream where there is none.
	Put(ctx context.Context, e tree.Entry, base tree.Stream, content io.Reader) (tree.Entry, error)
	// Join makes e a file whose content is that of parts, one after the other,
	// without reading them.
	Join(ctx context.Context, e tree.Entry, parts ...tree.Stream) (tree.Entry, error)
	// PutDirectory stores children, which come in order of their names, as the
	// listing of e, and returns e with Content, Size and Entries set. It stops at
	// the first error that children yield and returns it.
	PutDirectory(ctx context.Context, e tree.Entry, base tree.Stream, children iter.Seq2[tree.Entry, error]) (tree.Entry, error)
	// Keep says that e was taken over from the parent unread. It only counts.
	Keep(e tree.Entry)
}

// Content gives back what a snapshot holds. It may be used from several goroutines.
type Content interface {
	// Children yields the entries of a directory in order of their names.
	Children(ctx context.Context, directory tree.Entry) iter.Seq2[tree.Entry, error]
	// Open reads a file's content, its holes left out (tree.FillHoles puts them
	// back). Every byte that it yields has been verified.
	Open(ctx context.Context, file tree.Entry) io.ReadCloser
}

// PresentContent is Content that fetches only what is not there already. What
// offers Content may lack it.
type PresentContent interface {
	// OpenPresent is Open for a file that may be there already, whole or in part:
	// present reads that, with the file's holes left out. What its bytes prove to be
	// right, at their place, is taken from there. It may change at any time.
	OpenPresent(ctx context.Context, file tree.Entry, present io.ReaderAt) io.ReadCloser
}

// Target replaces the data of one service. token, 20 hex digits, names this
// restore; all that is built beside the current data carries it.
//
// Current data changes in Swap and Revert only.
type Target interface {
	// Plan looks whether the restore can work (reachable, privileges, room for
	// staging) and says what it would replace. entries are the service's entries
	// at the top of the snapshot.
	Plan(ctx context.Context, entries []tree.Entry) (Plan, error)
	// Stage builds the new data beside the current data, verifies it and makes
	// it durable.
	Stage(ctx context.Context, entries []tree.Entry, content Content) (Staged, error)
	// Swap makes staged data current and keeps what was current as retired.
	Swap(ctx context.Context) error
	// Revert undoes a Swap, also one that stopped half way, and does nothing
	// where none began. The data is then as it was before Swap.
	Revert(ctx context.Context) error
	// Retired returns a Source of the data that Swap put aside. Only after Swap.
	Retired(ctx context.Context) (Source, error)
	// Discard removes what is staged or retired under the token, and marks of the
	// swap that were left in the current data. It never undoes a Swap.
	Discard(ctx context.Context) error
	// Close releases locks and connections; it may be called at any time.
	Close() error
}

// Checker is a Target that can say more about whether the restore can work once it
// reads the snapshot. Check comes after Plan, changes nothing either, and adds what it
// finds to plan. A Target may lack it.
type Checker interface {
	Check(ctx context.Context, entries []tree.Entry, content Content, plan *Plan) error
}

// Finder is a Target whose data lies where it may be out of reach without an error: on a
// disk that is not mounted, Revert and Discard find nothing that was begun. A Target may
// lack it.
type Finder interface {
	// Found reports whether anything is staged or retired under the token.
	Found(ctx context.Context) (bool, error)
}

// Plan is what a Target would do.
type Plan struct {
	// Replaces describes what is there now: "database shop (12 tables, 3.4 MiB)".
	Replaces string
	// Creates is set where there is nothing to replace.
	Creates bool
	// Empties is set besides where Retired serves all the same, and yields that
	// nothing was there: so the restore can be undone.
	Empties bool
	// Empty is set where there is something to replace that holds nothing, as in Result.
	Empty bool
	// Emptied names tables that are empty afterwards, because the snapshot was not to
	// hold their rows. See Service.SchemaOnly.
	Emptied []string
	// Unsaved names tables that are there now and whose rows Retired leaves out, for the
	// same reason on the target's side: whoever undoes the restore gets them back empty.
	Unsaved []string
	// Unreadable is why Retired could not be read, as far as that can be known before; nil
	// where it can be. Nobody then has to find a restore done whose undoing cannot be saved.
	Unreadable error
	// Warnings are what should be known before it begins, such as data of a newer
	// server than the one that is to take it: whole sentences.
	Warnings []string
}

// Staged tells what Stage could not make exactly as it was.
type Staged struct {
	Losses []Loss
	Notes  []string
}
