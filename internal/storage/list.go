package storage

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"iter"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"
	"time"
)

// leftover is the age at which a temporary file is removed.
const leftover = 24 * time.Hour

// List implements Storage. It keeps the names of one directory, and of those
// above it, in memory.
func (l *Local) List(ctx context.Context, prefix string) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		dir := "."
		if prefix != "" {
			if err := check(ctx, "list", prefix); err != nil {
				yield(Info{}, err)
				return
			}
			dir = prefix
		}
		info, err := l.root.Lstat(dir)
		if err == nil && !info.IsDir() || errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
			return
		}
		if err != nil {
			yield(Info{}, failed("list", dir, err))
			return
		}
		l.walk(ctx, dir, yield)
	}
}

// walk yields what is beneath dir, and false where it has to end.
func (l *Local) walk(ctx context.Context, dir string, yield func(Info, error) bool) bool {
	d, err := l.root.OpenRoot(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return true // removed meanwhile
	}
	if err != nil {
		yield(Info{}, failed("list", dir, err))
		return false
	}
	defer d.Close()
	names, err := readNames(d)
	if errors.Is(err, fs.ErrNotExist) {
		return true // removed since it was opened: whatever was in it is gone
	}
	if err != nil {
		yield(Info{}, failed("list", dir, err))
		return false
	}
	for _, name := range names {
		if err := context.Cause(ctx); err != nil {
			yield(Info{}, failed("list", dir, err))
			return false
		}
		full := path.Join(dir, name)
		switch {
		case !ValidName(full): // too long
		case strings.HasSuffix(name, "/"):
			if !l.walk(ctx, full, yield) {
				return false
			}
		default:
			info, err := statObject(d, name)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				err = failed("list", full, err)
			}
			if !yield(infoOf(full, info), err) || err != nil {
				return false
			}
		}
	}
	return true
}

func infoOf(name string, info fs.FileInfo) Info {
	if info == nil {
		return Info{}
	}
	return Info{Name: name, Size: info.Size()}
}

// readNames returns the names in d that can be objects, or directories of them,
// with a '/' behind a directory's, and sorted: in the order in which what they
// stand for has to come ("a-b" is before "a/c"). Leftovers are removed on the way.
func readNames(d *os.Root) ([]string, error) {
	f, err := d.Open(".")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var names []string
	for {
		entries, err := f.ReadDir(1024)
		for _, e := range entries {
			name := e.Name()
			switch {
			case isTemporary(name):
				removeLeftover(d, name)
			case !ValidName(name):
			case e.IsDir():
				names = append(names, name+"/")
			case e.Type().IsRegular():
				names = append(names, name)
			}
		}
		if err == io.EOF {
			slices.Sort(names)
			return names, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// removeLeftover removes a temporary file whose writer must be dead. Where it
// cannot (a read-only disk), the file does no harm.
func removeLeftover(d *os.Root, name string) {
	info, err := d.Lstat(name)
	if err == nil && info.Mode().IsRegular() && time.Since(info.ModTime()) > leftover {
		_ = d.Remove(name)
	}
}
