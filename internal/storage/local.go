package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sync"
	"syscall"
)

// Local is a Storage in a directory: one file per object, under the object's name.
//
// What the directory can be trusted for, and why:
//
//  1. An object appears whole: it is written to a temporary file beside its final
//     name, synced, closed, and linked to that name by link(2), which never
//     replaces anything and decides every race, between hosts too.
//  2. When Put returns nil the object survives a power loss: its bytes were synced
//     before it had a name, its directory after, and the parents of a directory
//     before it was first used.
//  3. Nothing is synced twice. After a failed fsync the kernel may count lost pages
//     as written, so a second one proves nothing: a temporary file that was not
//     synced or closed is removed, and after a directory that was not synced this
//     Local puts nothing any more.
//  4. Of what lies in the directory only regular files whose names ValidName allows
//     are objects. Everything else (symbolic links, lost+found, .DS_Store) is
//     neither listed, read nor deleted; an object in whose place it stands is
//     missing, and cannot be put. Others names it, and MoveOther takes it away.
//  5. A name cannot lead out of the directory: ValidName knows no dots, and os.Root
//     refuses links that lead outside.
//
// Temporary files are called .tmp- and something random. Those of a killed writer
// are removed by the List that comes across them a day later: by then their writer
// is dead, or has slept so long that it may start over (its link finds no file;
// nothing else happens). Asking whether the writer lives could only be answered on
// its own host.
//
// Directories have mode 0700, objects 0400, and the owner of the directory: what root has
// put, who else works in it must be able to read.
type Local struct {
	root  *os.Root
	owner *owner           // nil where everything is made with the right one
	files *cache[*os.File] // objects that were read from
	dirs  *cache[*os.Root] // directories that were put to; durable, with their parents

	// step runs one step of Put or Delete; tests make it fail.
	step func(what string, do func() error) error

	mu       sync.Mutex
	unsynced error // why no directory can be trusted any more
}

// Descriptors that are kept: objects for reading, which come in runs, and all the
// directories that packs are spread over, with those of the other objects.
const (
	keptFiles = 64
	keptDirs  = 256 + 32
)

const (
	dirMode  = 0o700
	fileMode = 0o400
)

// OpenLocal opens the storage in an existing directory; where there is none, the
// error wraps fs.ErrNotExist. The caller closes it.
func OpenLocal(dir string) (*Local, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, failed("open", dir, err)
	}
	return &Local{
		root:  root,
		owner: ownerOf(root),
		files: newCache[*os.File](keptFiles),
		dirs:  newCache[*os.Root](keptDirs),
		step:  func(_ string, do func() error) error { return do() },
	}, nil
}

// CreateLocal makes the directory, and its parents where they are missing, and
// opens the storage in it. The directory may exist but must be empty, or the
// error wraps fs.ErrExist. It finds out whether the file system can do what Local
// relies on.
func CreateLocal(dir string) (*Local, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, failed("create", dir, err)
	}
	if err := makeDirectory(abs); err != nil {
		return nil, failed("create", dir, err)
	}
	l, err := OpenLocal(abs)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(l.checkEmpty(), l.probe()); err != nil {
		_ = l.Close()
		return nil, failed("create", dir, err)
	}
	return l, nil
}

// makeDirectory is MkdirAll, each new directory made durable.
func makeDirectory(dir string) error {
	err := os.Mkdir(dir, dirMode)
	parent := filepath.Dir(dir)
	if errors.Is(err, fs.ErrNotExist) && parent != dir {
		if err := makeDirectory(parent); err != nil {
			return err
		}
		err = os.Mkdir(dir, dirMode)
	}
	if errors.Is(err, fs.ErrExist) {
		return nil // whether it is a directory shows when it is opened
	}
	if err != nil {
		return err
	}
	d, err := os.Open(parent)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (l *Local) checkEmpty() error {
	entries, err := fs.ReadDir(l.root.FS(), ".")
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() != "lost+found" && !isTemporary(e.Name()) {
			return fmt.Errorf("%w: it must be empty, but holds %q", fs.ErrExist, e.Name())
		}
	}
	return nil
}

// probe fails where link(2) is missing or replaces what is there, or where
// directories cannot be synced.
func (l *Local) probe() error {
	from, to := temporaryName(), temporaryName()
	defer func() { _, _ = l.root.Remove(from), l.root.Remove(to) }()
	if err := l.write(l.root, from, nil); err != nil {
		return err
	}
	if err := l.root.Link(from, to); err != nil {
		return fmt.Errorf("the file system cannot make hard links, which a repository needs; choose another: %w", err)
	}
	if err := l.root.Link(from, to); !errors.Is(err, fs.ErrExist) {
		return errors.New("the file system lets a hard link replace a file, so a repository cannot be safe there; choose another")
	}
	return l.syncDirectory(l.root)
}

// Close releases what is kept open. Operations that still run end undisturbed,
// later ones fail with fs.ErrClosed.
func (l *Local) Close() error {
	l.files.close()
	l.dirs.close()
	return l.root.Close()
}

// ReadAt implements Storage. An object that another process has deleted stays
// readable for as long as this one happens to keep it open.
func (l *Local) ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error) {
	if err := check(ctx, "read", name); err != nil {
		return 0, err
	}
	f, err := l.files.get(name, func(name string) (*os.File, error) { return openObject(l.root, name) })
	if err != nil {
		return 0, failed("read", name, err)
	}
	defer l.files.release(f)
	n, err := f.value.ReadAt(p, off)
	if err == nil || err == io.EOF {
		return n, err
	}
	l.files.drop(name) // a network file system may have lost the file's handle
	return n, failed("read", name, unreadable(err))
}

// Stat implements Storage.
func (l *Local) Stat(ctx context.Context, name string) (Info, error) {
	if err := check(ctx, "stat", name); err != nil {
		return Info{}, err
	}
	info, err := statObject(l.root, name)
	if err != nil {
		return Info{}, failed("stat", name, err)
	}
	return Info{Name: name, Size: info.Size()}, nil
}

// Delete implements Storage. Directories that become empty go with the object.
func (l *Local) Delete(ctx context.Context, name string) error {
	if err := check(ctx, "delete", name); err != nil {
		return err
	}
	_, err := statObject(l.root, name)
	if err == nil {
		err = l.step("unlink", func() error { return l.root.Remove(name) })
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return failed("delete", name, err)
	}
	l.files.drop(name)
	dir := path.Dir(name)
	for dir != "." && l.removeEmpty(dir) {
		dir = path.Dir(dir)
	}
	// Where the object was missing too: who deleted it may not have come to this.
	if err := l.syncNearest(dir); err != nil {
		return failed("delete", name, err)
	}
	return nil
}

// removeEmpty removes a directory, never what somebody put in its place.
func (l *Local) removeEmpty(dir string) bool { return l.isDirectory(dir) && l.root.Remove(dir) == nil }

// Move implements Mover. Killed on the way it may leave the object under both names.
func (l *Local) Move(ctx context.Context, name, to string) error {
	if err := errors.Join(check(ctx, "move", name), check(ctx, "move", to)); err != nil {
		return err
	}
	if _, err := statObject(l.root, name); err != nil {
		return failed("move", name, err)
	}
	d, err := l.dirs.get(path.Dir(to), l.openDirectory)
	if err != nil {
		return failed("move", name, err)
	}
	defer l.dirs.release(d)
	if err := l.step("link", func() error { return l.root.Link(name, to) }); err != nil {
		return failed("move", name, err)
	}
	if err := l.syncDirectory(d.value); err != nil {
		return failed("move", name, err)
	}
	return l.Delete(ctx, name)
}

func (l *Local) isDirectory(dir string) bool {
	info, err := l.root.Lstat(dir)
	return err == nil && info.IsDir()
}

// syncNearest syncs dir, or where it is gone the next above it.
func (l *Local) syncNearest(dir string) error {
	for {
		for dir != "." && !l.isDirectory(dir) {
			dir = path.Dir(dir)
		}
		d, err := l.root.OpenRoot(dir)
		if err == nil {
			return errors.Join(l.syncDirectory(d), d.Close())
		}
		if !errors.Is(err, fs.ErrNotExist) || dir == "." {
			return err
		}
	}
}

// openObject opens a regular file for reading.
func openObject(d *os.Root, name string) (*os.File, error) {
	if _, err := statObject(d, name); err != nil {
		return nil, err
	}
	return d.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
}

// statObject treats what is no regular file as missing.
func statObject(d *os.Root, name string) (fs.FileInfo, error) {
	info, err := d.Lstat(name)
	if err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: %w", fs.ErrNotExist, obstacle(info.Mode()))
	}
	if errors.Is(err, syscall.ENOTDIR) {
		return nil, fs.ErrNotExist
	}
	return info, err
}

// check is what every operation begins with.
func check(ctx context.Context, op, name string) error {
	if !ValidName(name) {
		return &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	if err := context.Cause(ctx); err != nil {
		return &fs.PathError{Op: op, Path: name, Err: err}
	}
	return nil
}

// unreadable makes it ErrUnreadable if the medium, or what the file system has noted on
// it, is damaged.
func unreadable(err error) error {
	for _, damage := range []error{syscall.EIO, syscall.EBADMSG, syscall.EUCLEAN} {
		if errors.Is(err, damage) {
			return fmt.Errorf("%w: %w", ErrUnreadable, damage)
		}
	}
	return err
}

// failed names the operation and the object, in place of what package os names.
func failed(op, name string, err error) error {
	switch named := err.(type) {
	case *fs.PathError:
		err = named.Err
	case *os.LinkError:
		err = named.Err
	}
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		err = fmt.Errorf("%w: %w", ErrFull, err)
	}
	if errors.Is(err, syscall.EACCES) {
		err = &forbidden{err}
	}
	return &fs.PathError{Op: op, Path: name, Err: err}
}

// forbidden is ErrForbidden in the system's words.
type forbidden struct{ error }

func (e *forbidden) Is(target error) bool { return target == ErrForbidden }
func (e *forbidden) Unwrap() error        { return e.error }
