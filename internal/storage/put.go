package storage

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
)

// errAgain says that what was looked at was deleted meanwhile, so that the same
// step can now have another outcome.
var errAgain = errors.New("deleted meanwhile")

const temporaryPrefix = ".tmp-"

// temporaryName returns a name that nobody else uses.
func temporaryName() string { return temporaryPrefix + rand.Text() }

func isTemporary(name string) bool { return strings.HasPrefix(name, temporaryPrefix) }

// Put implements Storage.
func (l *Local) Put(ctx context.Context, name string, data []byte) error {
	for {
		if err := check(ctx, "put", name); err != nil {
			return err
		}
		err := l.putOnce(ctx, path.Dir(name), path.Base(name), data)
		if err == nil {
			return nil
		}
		if !errors.Is(err, errAgain) {
			return failed("put", name, err)
		}
	}
}

func (l *Local) putOnce(ctx context.Context, dir, base string, data []byte) error {
	if err := l.trusted(); err != nil {
		return err
	}
	d, err := l.dirs.get(dir, l.openDirectory)
	if err != nil {
		return err
	}
	defer l.dirs.release(d)
	temporary := temporaryName()
	if err := l.write(d.value, temporary, data); err != nil {
		if errors.Is(err, fs.ErrNotExist) { // a Delete emptied the directory and removed it
			l.dirs.drop(dir)
			return errAgain
		}
		return err
	}
	err = context.Cause(ctx)
	if err == nil {
		err = l.step("link", func() error { return d.value.Link(temporary, base) })
	}
	// If this fails, the leftover is removed a day later; the object is what counts.
	_ = l.step("unlink", func() error { return d.value.Remove(temporary) })
	if errors.Is(err, fs.ErrExist) {
		err = l.compare(d.value, base, bytes.NewReader(data))
	}
	if err != nil {
		return err
	}
	return l.syncDirectory(d.value)
}

// write leaves a synced and closed file, or none.
func (l *Local) write(d *os.Root, temporary string, data []byte) error {
	f, err := l.create(d, temporary)
	if err != nil {
		return err
	}
	err = l.step("write", func() error { return f.append(data) })
	if err = l.seal(f, err); err != nil {
		_ = d.Remove(temporary)
	}
	return err
}

// create makes a new file.
func (l *Local) create(d *os.Root, temporary string) (*objectFile, error) {
	f := &objectFile{}
	err := l.step("create", func() (err error) {
		f.File, err = d.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
		return err
	})
	if err == nil {
		l.owner.has(f.File)
	}
	return f, err
}

// seal syncs a file, unless writing it has failed, and closes it.
func (l *Local) seal(f *objectFile, writing error) error {
	err := writing
	if err == nil {
		err = l.step("fsync", f.Sync)
	}
	if closing := l.step("close", f.Close); err == nil {
		err = closing
	}
	return err
}

// compare resolves a name that is taken: nil if the object there holds what want
// yields and is as durable as if it had been written here.
func (l *Local) compare(d *os.Root, base string, want io.Reader) error {
	info, err := d.Lstat(base)
	if errors.Is(err, fs.ErrNotExist) {
		return errAgain
	}
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return obstacle(info.Mode())
	}
	f, err := openObject(d, base)
	if errors.Is(err, fs.ErrNotExist) {
		return errAgain
	}
	if err != nil {
		return err
	}
	defer f.Close()
	same := false
	err = l.step("read existing", func() (err error) {
		same, err = equal(f, want)
		return err
	})
	if err = unreadable(err); errors.Is(err, ErrUnreadable) {
		return fmt.Errorf("%w: %w", ErrExist, err) // whatever it holds, nobody can rely on it
	}
	if err != nil {
		return err
	}
	if !same {
		return ErrExist
	}
	// Who put it has synced it; who copied the repository here perhaps has not.
	return l.step("fsync existing", f.Sync)
}

// equal reports whether two readers yield the same.
func equal(a, b io.Reader) (bool, error) {
	var left, right [32 << 10]byte
	for {
		n, err := io.ReadFull(a, left[:])
		m, other := io.ReadFull(b, right[:])
		for _, err := range []error{err, other} {
			if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
				return false, err
			}
		}
		if n != m || !bytes.Equal(left[:n], right[:m]) {
			return false, nil
		}
		if err != nil {
			return true, nil // both end here
		}
	}
}

// openDirectory makes dir where it is missing, and its name durable in any case:
// another process may have made it a moment ago and not have come to that. While
// the directory is open it cannot be replaced by another one unnoticed, since
// creating a file in a removed directory fails; so this need not be done again.
func (l *Local) openDirectory(dir string) (*os.Root, error) {
	if dir == "." {
		return l.root.OpenRoot(".")
	}
	parent, err := l.dirs.get(path.Dir(dir), l.openDirectory)
	if err != nil {
		return nil, err
	}
	defer l.dirs.release(parent)
	err = l.step("mkdir", func() error { return parent.value.Mkdir(path.Base(dir), dirMode) })
	if errors.Is(err, fs.ErrNotExist) && parent.key != "." {
		l.dirs.drop(parent.key)
		return nil, errAgain
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	made := err == nil
	d, err := parent.value.OpenRoot(path.Base(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errAgain
	}
	if err != nil {
		if info, other := parent.value.Lstat(path.Base(dir)); other == nil && !info.IsDir() && !info.Mode().IsRegular() {
			err = fmt.Errorf("%s: %w", dir, obstacle(info.Mode()))
		}
		return nil, err
	}
	if made {
		l.owner.hasDirectory(d)
	}
	if err := l.syncDirectory(parent.value); err != nil {
		_ = d.Close()
		return nil, err
	}
	return d, nil
}

// syncDirectory makes the names in d durable. A failure is final for l.
func (l *Local) syncDirectory(d *os.Root) error {
	f, err := d.Open(".")
	if err != nil {
		return err
	}
	defer f.Close()
	if err := l.step("fsync directory", f.Sync); err != nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.unsynced = fmt.Errorf("%s could not be synced to disk; look at the disk, then start again: %w", f.Name(), err)
		return l.unsynced
	}
	return nil
}

func (l *Local) trusted() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.unsynced
}
