package storage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// draft is a temporary file in the directory beneath which it will have its name.
// What holds of a Put holds of it too: it is synced before it has a name, and the
// directory of its name after.
type draft struct {
	l         *Local
	dir       *handle[*os.Root]
	temporary string
	file      *objectFile // nil once it is closed
	err       error       // what a write failed with
	ended     bool
}

// Begin implements Storage.
func (l *Local) Begin(ctx context.Context, dir string) (Draft, error) {
	for {
		if err := check(ctx, "begin", dir); err != nil {
			return nil, err
		}
		d, err := l.begin(dir)
		if err == nil {
			return d, nil
		}
		if !errors.Is(err, errAgain) {
			return nil, failed("begin", dir, err)
		}
	}
}

func (l *Local) begin(dir string) (*draft, error) {
	if err := l.trusted(); err != nil {
		return nil, err
	}
	d, err := l.dirs.get(dir, l.openDirectory)
	if err != nil {
		return nil, err
	}
	temporary := temporaryName()
	file, err := l.create(d.value, temporary)
	if err != nil {
		l.dirs.release(d)
		if errors.Is(err, fs.ErrNotExist) { // a Delete emptied the directory and removed it
			l.dirs.drop(dir)
			return nil, errAgain
		}
		return nil, err
	}
	return &draft{l: l, dir: d, temporary: temporary, file: file}, nil
}

// Write implements Draft.
func (d *draft) Write(ctx context.Context, p []byte) error {
	err := context.Cause(ctx)
	if err == nil {
		err = d.l.step("write", func() error { return d.file.append(p) })
	}
	if err != nil {
		d.err = err
		return failed("write", d.dir.key, err)
	}
	return nil
}

// Commit implements Draft.
func (d *draft) Commit(ctx context.Context, name string) error {
	defer d.Discard()
	if err := check(ctx, "put", name); err != nil {
		return err
	}
	if !strings.HasPrefix(name, d.dir.key+"/") {
		return failed("put", name, fmt.Errorf("%w: it was begun beneath %s", fs.ErrInvalid, d.dir.key))
	}
	err := d.l.trusted()
	if err == nil {
		err = d.l.seal(d.file, d.err)
		d.file = nil
	}
	if err == nil {
		err = errAgain
	}
	for errors.Is(err, errAgain) {
		err = d.name(ctx, path.Dir(name), path.Base(name))
	}
	if err != nil {
		return failed("put", name, err)
	}
	return nil
}

// name links the file to its name in dir, and makes that durable. The directory is
// told by its descriptor: had it been removed, and another one made, its name would
// lead into one that this Local does not sync.
func (d *draft) name(ctx context.Context, dir, base string) error {
	l := d.l
	to, err := l.dirs.get(dir, l.openDirectory)
	if err != nil {
		return err
	}
	defer l.dirs.release(to)
	if err := context.Cause(ctx); err != nil {
		return err
	}
	err = l.step("link", func() error { return link(d.dir.value, d.temporary, to.value, base) })
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if _, gone := d.dir.value.Lstat(d.temporary); gone != nil {
			return err
		}
		l.dirs.drop(dir) // a Delete emptied it and removed it
		return errAgain
	case errors.Is(err, fs.ErrExist):
		err = d.compare(to.value, base)
	}
	if err != nil {
		return err
	}
	d.remove()
	return l.syncDirectory(to.value)
}

// link is linkat(2) between two open directories.
func link(from *os.Root, old string, to *os.Root, new string) error {
	source, err := from.Open(".")
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := to.Open(".")
	if err != nil {
		return err
	}
	defer target.Close()
	return unix.Linkat(int(source.Fd()), old, int(target.Fd()), new, 0)
}

// compare resolves a name that is taken.
func (d *draft) compare(to *os.Root, base string) error {
	ours, err := openObject(d.dir.value, d.temporary)
	if err != nil {
		return err
	}
	defer ours.Close()
	return d.l.compare(to, base, ours)
}

// Discard implements Draft.
func (d *draft) Discard() {
	if d.file != nil {
		_ = d.file.Close() // nobody will have it
		d.file = nil
	}
	d.remove()
}

// remove ends the temporary name. If it fails, the leftover is removed a day later.
func (d *draft) remove() {
	if !d.ended {
		d.ended = true
		_ = d.l.step("unlink", func() error { return d.dir.value.Remove(d.temporary) })
		d.l.dirs.release(d.dir)
	}
}
