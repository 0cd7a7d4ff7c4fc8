// Package storage is the contract of the place that keeps a repository's
// objects, and the local directory that fulfils it.
//
// Objects are immutable: they are created whole or not at all, never changed,
// and deleted at most once. A name is one or more elements of lower-case
// letters, digits and '-', joined by '/', at most MaxName bytes in all:
// "packs/3f/3f02…". No object's name is the directory of another's: where
// "packs/3f" is an object, "packs/3f/3f02…" cannot be one.
package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"strings"
)

// Info is what a listing says about one object.
type Info struct {
	Name string
	Size int64 // bytes
}

// Storage keeps objects. It may be used from several goroutines, processes and
// hosts at once.
//
// Errors wrap fs.ErrNotExist where an object is missing, ErrExist where a name
// is taken, ErrObstacle where what takes it is no object, ErrFull where there is no
// room, ErrForbidden where this user may not, ErrUnreadable where the medium is damaged, fs.ErrInvalid where a name breaks the rule
// above, the context's cause where it ended; and they name the operation and the object.
type Storage interface {
	// Put creates the object or fails; when it returns nil, the object is durable
	// and visible to every other user of the storage. A name that is taken is
	// ErrExist, unless the object there has exactly these contents: then somebody
	// else, or an earlier attempt, has done the work, and Put returns nil.
	// After any other error the object may or may not come to exist.
	Put(ctx context.Context, name string, data []byte) error
	// Begin begins an object beneath dir whose name is not known before all of it
	// is written.
	Begin(ctx context.Context, dir string) (Draft, error)
	// ReadAt fills p from offset off, as io.ReaderAt does: n < len(p) always comes
	// with an error, io.EOF at the object's end.
	ReadAt(ctx context.Context, name string, p []byte, off int64) (n int, err error)
	// Stat returns the object's size.
	Stat(ctx context.Context, name string) (Info, error)
	// List yields every object whose name begins with prefix + "/", or every
	// object at all where prefix is "", in bytewise order of their names. What is
	// created or deleted meanwhile may or may not be seen. After an error nothing
	// follows.
	List(ctx context.Context, prefix string) iter.Seq2[Info, error]
	// Delete removes the object. A missing one is no error.
	Delete(ctx context.Context, name string) error
}

// Mover is a storage that can move an object that it cannot read.
type Mover interface {
	// Move gives an object another name, which is ErrExist where it is taken.
	Move(ctx context.Context, name, to string) error
}

// Draft is an object that is written before it has a name. One goroutine at a time
// uses it, and ends it with Commit or Discard.
type Draft interface {
	// Write appends p, and does not keep it. A Draft that failed to write cannot be
	// committed.
	Write(ctx context.Context, p []byte) error
	// Commit gives the object its name, which lies beneath the Draft's directory. It
	// returns what Put would for all that was written.
	Commit(ctx context.Context, name string) error
	// Discard forgets what was written. After Commit it does nothing.
	Discard()
}

// MaxName is the length in bytes that a name can have.
const MaxName = 255

// ValidName reports whether name can name an object, or be the prefix of a List.
func ValidName(name string) bool {
	if len(name) > MaxName {
		return false
	}
	for element := range strings.SplitSeq(name, "/") {
		if element == "" || strings.Trim(element, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			return false
		}
	}
	return true
}

var (
	// ErrExist is wrapped by Put when the name is taken by other contents.
	ErrExist = fs.ErrExist
	// ErrFull is wrapped when the storage has no room left.
	ErrFull = errors.New("no space left in the repository")
	// ErrForbidden is wrapped where this user may not read or write what is there.
	ErrForbidden = errors.New("it belongs to another user")
	// ErrUnreadable is wrapped by ReadAt where the object is there, and the medium does
	// not yield what it holds: a bad sector.
	ErrUnreadable = errors.New("the disk cannot read it")
	// ErrTooLong is wrapped by ReadAll where the object is longer than it can be.
	ErrTooLong = errors.New("it is longer than such an object can be")
)

// ReadAll reads a whole object, refusing one of more than limit bytes.
func ReadAll(ctx context.Context, s Storage, name string, limit int64) ([]byte, error) {
	info, err := s.Stat(ctx, name)
	if err != nil {
		return nil, err
	}
	if info.Size > limit {
		return nil, fmt.Errorf("read %s: %w: %d bytes, where %d are the most", name, ErrTooLong, info.Size, limit)
	}
	data := make([]byte, info.Size)
	n, err := s.ReadAt(ctx, name, data, 0)
	if n == len(data) {
		return data, nil
	}
	if err == io.EOF {
		err = fmt.Errorf("read %s: %w after %d of %d bytes", name, io.ErrUnexpectedEOF, n, len(data))
	}
	return nil, err
}

// At returns one object as an io.ReaderAt.
func At(ctx context.Context, s Storage, name string) io.ReaderAt {
	return objectReader{ctx, s, name}
}

type objectReader struct {
	ctx  context.Context
	s    Storage
	name string
}

func (o objectReader) ReadAt(p []byte, off int64) (int, error) {
	return o.s.ReadAt(o.ctx, o.name, p, off)
}
