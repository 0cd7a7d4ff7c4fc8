package repo

import (
	"errors"
	"fmt"
	"io/fs"

	"holdfast/internal/seal"
)

// The errors that callers decide on.
var (
	// ErrNoRepository: nothing at that place is a repository.
	ErrNoRepository = errors.New("no repository")
	// ErrExists: Init found a repository.
	ErrExists = errors.New("there is a repository already")
	// ErrWrongSecret: no key slot opens with the password or token.
	ErrWrongSecret = errors.New("wrong password or token")
	// ErrNoSlot: there is no key slot at all, so no secret is wrong.
	ErrNoSlot = errors.New("there is no key slot of the repository")
	// ErrNoSnapshot: no snapshot has that name.
	ErrNoSnapshot = errors.New("no such snapshot")
	// ErrSessionEnded: somebody ended this session before it could commit; what
	// it wrote may be collected, and it has to be run again.
	ErrSessionEnded = errors.New("the session was ended by another process before it was committed; run it again")
)

// ErrStray: an object is none of those that a repository has in its place.
var ErrStray = errors.New("it is no object of the repository: somebody has put it there, or renamed one")

// DamagedError says that an object does not hold what it must.
type DamagedError struct {
	Object string // "packs/3f/3f02…", "blob 1a2b3c4d5e", "snapshots/…"
	Err    error
}

func (e *DamagedError) Error() string {
	// What is foreign is not damaged.
	if errors.Is(e.Err, ErrStray) {
		return fmt.Sprintf("%s: %v", e.Object, ErrStray)
	}
	if epoch, ok := errors.AsType[*seal.EpochError](e.Err); ok {
		return fmt.Sprintf("%s: %v", e.Object, epoch)
	}
	if version, ok := errors.AsType[*seal.VersionError](e.Err); ok {
		return fmt.Sprintf("%s: %v", e.Object, version)
	}
	return fmt.Sprintf("%s is damaged: %v", e.Object, e.Err)
}

func (e *DamagedError) Unwrap() error { return e.Err }

// Is makes it an fs.ErrInvalid, unless the object is foreign.
func (e *DamagedError) Is(target error) bool { return target == fs.ErrInvalid && !Foreign(e.Err) }

// MissingError says that the repository refers to an object that is not there.
type MissingError struct{ Object string }

func (e *MissingError) Error() string { return e.Object + " is missing" }

// AmbiguousError says that a prefix stands for several snapshots.
type AmbiguousError struct {
	Prefix string
	Names  []Name
}

func (e *AmbiguousError) Error() string {
	return fmt.Sprintf("%q stands for %d snapshots, among them %s and %s; give more digits",
		e.Prefix, len(e.Names), e.Names[0], e.Names[1])
}

func outOfOrder(previous, name string) error {
	return fmt.Errorf("entry %q was put after %q, out of order", name, previous)
}

// split returns the errors that were joined.
func split(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	return []error{err}
}
