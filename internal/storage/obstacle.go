package storage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"path"
)

// ErrObstacle is wrapped where something that is no file stands in an object's place.
// There is no object, so that reading wraps fs.ErrNotExist too, and none can be put.
var ErrObstacle = errors.New("something that is no file stands in its place")

// Other is what is in a storage and is no object, or may be none: a directory of
// objects, too.
type Other struct {
	Name string
	Mode fs.FileMode // its type alone
}

// Err is an ErrObstacle that says what stands there.
func (o Other) Err() error { return obstacle(o.Mode) }

func obstacle(mode fs.FileMode) error {
	if mode.IsRegular() {
		return fileError{}
	}
	what, known := map[fs.FileMode]string{fs.ModeDir: "a directory", fs.ModeSymlink: "a symbolic link", fs.ModeNamedPipe: "a FIFO", fs.ModeSocket: "a socket"}[mode.Type()]
	if !known {
		what = "a device"
	}
	return fmt.Errorf("%w: %s", ErrObstacle, what)
}

// fileError is the ErrObstacle of a file where objects are to be beneath.
type fileError struct{}

func (fileError) Error() string { return "a file stands where a directory must be" }
func (fileError) Unwrap() error { return ErrObstacle }

// Mixed is a storage that can hold something else than objects.
type Mixed interface {
	// Others yields, in no order that matters, what is no object and has a name that
	// one could have: prefix itself, or one that begins with prefix + "/"; of the whole
	// storage where prefix is "". Files come too: only who knows the objects' names can
	// tell whether one stands where a directory must be. It opens nothing but directories.
	Others(ctx context.Context, prefix string) iter.Seq2[Other, error]
	// MoveOther gives what is no object another name, or, where that is taken, one that
	// begins with it. A missing one is no error.
	MoveOther(ctx context.Context, name, to string) error
}

// Others implements Mixed.
func (l *Local) Others(ctx context.Context, prefix string) iter.Seq2[Other, error] {
	return func(yield func(Other, error) bool) {
		from := "."
		if prefix != "" {
			from = prefix
		}
		info, err := l.root.Lstat(from)
		if err == nil && !info.IsDir() { // the walk would follow it
			yield(Other{prefix, info.Mode().Type()}, nil)
			return
		}
		err = fs.WalkDir(l.root.FS(), from, func(name string, d fs.DirEntry, err error) error {
			switch {
			case ctx.Err() != nil:
				return failed("list", from, context.Cause(ctx))
			case errors.Is(err, fs.ErrNotExist):
				return nil // removed meanwhile
			case err != nil:
				return failed("list", name, err)
			case name == ".":
				return nil
			case !ValidName(name) && d.IsDir():
				return fs.SkipDir
			case ValidName(name) && !yield(Other{name, d.Type()}, nil):
				return fs.SkipAll
			}
			return nil
		})
		if err != nil {
			yield(Other{}, err)
		}
	}
}

// MoveOther implements Mixed.
func (l *Local) MoveOther(ctx context.Context, name, to string) error {
	if err := errors.Join(check(ctx, "move", name), check(ctx, "move", to)); err != nil {
		return err
	}
	switch _, err := statObject(l.root, name); {
	case err == nil:
		return failed("move", name, ErrExist) // it is an object
	case errors.Is(err, ErrObstacle):
	case errors.Is(err, fs.ErrNotExist):
		return nil
	default:
		return failed("move", name, err)
	}
	d, err := l.dirs.get(path.Dir(to), l.openDirectory)
	if err != nil {
		return failed("move", name, err)
	}
	defer l.dirs.release(d)
	free := to
	for n := 2; ; n++ {
		if _, err := l.root.Lstat(free); errors.Is(err, fs.ErrNotExist) {
			break
		} else if err != nil {
			return failed("move", name, err)
		}
		free = fmt.Sprintf("%s-%d", to, n)
	}
	l.dirs.drop(name)
	if err := l.step("rename", func() error { return l.root.Rename(name, free) }); err != nil {
		return failed("move", name, err)
	}
	return errors.Join(l.syncDirectory(d.value), l.syncNearest(path.Dir(name)))
}
