package files

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"holdfast/internal/tree"
)

// attempts is how often a file that changes while it is read is read on the last
// pass. Before, once is enough: it is suspect, and read again then.
const attempts = 3

const changed = "changed while it was read"

// read brings an item to its entry, or makes it absent. Its errors are the
// sink's; what the filesystem refuses is lost by name.
func (w *walker) read(ctx context.Context, l *listing, it *item) error {
	switch it.stat.kind() {
	case tree.Directory:
		return w.subdirectory(ctx, l, it)
	case tree.File:
		return w.file(ctx, l, it)
	}
	w.special(l, it)
	return nil
}

func (w *walker) subdirectory(ctx context.Context, l *listing, it *item) (err error) {
	at := l.at.child(it.name)
	it.entry = w.describe(it)
	if it.stat.crosses(&w.root) {
		return w.foreign(ctx, at, it)
	}
	if at.depth > maxDepth {
		w.lose(at.path(""), fmt.Sprintf("what it holds lies more than %d directories deep", maxDepth))
		return w.empty(ctx, it)
	}
	fd, err := openDirectory(l.fd, it.name)
	switch err {
	case nil:
	case unix.ENOENT:
		it.absent = true
		return nil
	case unix.ENOTDIR, unix.ELOOP:
		w.giveUp(l, it, changed)
		return nil
	default:
		w.lose(at.path(""), "what it holds cannot be read: "+err.Error())
		return w.empty(ctx, it)
	}
	defer unix.Close(fd)
	w.watch.add(fd, at)
	if it.stat, err = statAt(fd, ""); err != nil {
		w.giveUp(l, it, err.Error())
		return nil
	}
	it.entry = w.describe(it)
	if it.stat.crosses(&w.root) {
		return w.foreign(ctx, at, it)
	}
	w.readAttributes(attributesOf(fd), l.at, it)
	it.entry, err = w.directory(ctx, fd, at, it)
	return err
}

// foreign records a mount point: a snapshot keeps to one filesystem.
func (w *walker) foreign(ctx context.Context, at *place, it *item) error {
	w.note(at.path("") + ": another filesystem is mounted here; stored as an empty directory")
	return w.empty(ctx, it)
}

func (w *walker) empty(ctx context.Context, it *item) (err error) {
	it.entry, err = w.sink.PutDirectory(ctx, it.entry, tree.Stream{}, func(func(tree.Entry, error) bool) {})
	return err
}

// giveUp leaves the item out and says why.
func (w *walker) giveUp(l *listing, it *item, reason string) {
	w.lose(l.at.path(it.name), reason)
	it.absent = true
}

// special records what has neither listing nor content.
func (w *walker) special(l *listing, it *item) {
	handle, st, err := openHandle(l.fd, it.name)
	if err == unix.ENOENT {
		it.absent = true
		return
	}
	if err != nil {
		w.giveUp(l, it, err.Error())
		return
	}
	defer unix.Close(handle)
	if st.kind() != it.stat.kind() {
		w.giveUp(l, it, changed)
		return
	}
	it.stat = st
	it.entry = w.describe(it)
	w.readAttributes(attributesOfHandle(handle), l.at, it)
	if st.kind() == tree.Symlink {
		if it.entry.Target, err = readLink(handle, st.size); err != nil {
			w.giveUp(l, it, err.Error())
		}
	}
}

// readAttributes fills the extended attributes in. Changing one moves ctime.
func (w *walker) readAttributes(a attributeIO, at *place, it *item) {
	if w.unchanged(it.before, &it.stat) {
		it.entry.Xattrs = it.before.Xattrs
		return
	}
	xattrs, err := a.read()
	if err != nil {
		w.lose(at.path(it.name), err.Error())
	}
	it.entry.Xattrs = xattrs
}

// file records a file with its content.
func (w *walker) file(ctx context.Context, l *listing, it *item) error {
	tries := 1
	if w.pass.last {
		tries = attempts
	}
	for try := 1; ; try++ {
		end, err := w.content(ctx, l, it, try == attempts)
		if err != nil {
			return err
		}
		switch {
		case end == gone && try > 1:
			w.giveUp(l, it, "removed while it was read")
		case end == gone:
			it.absent = true
		case end == moved && try < tries:
			continue
		case end == moved:
			w.lose(l.at.path(it.name), changed)
			it.entry.Suspect = true
		}
		return nil
	}
}

// outcome is what came of reading a file once.
type outcome uint8

const (
	settled outcome = iota // the item is what the file was, or is lost for good
	moved                  // it changed meanwhile; the item holds what was read, or is absent
	gone                   // there is no such name
)

// content reads a file once. plain reads the holes of a sparse file as zeros,
// which never promises more than is there.
func (w *walker) content(ctx context.Context, l *listing, it *item, plain bool) (end outcome, err error) {
	it.absent = false
	fd, st, err := w.openFile(l.fd, it.name)
	switch err {
	case nil:
	case unix.ENOENT:
		return gone, nil
	case errOther, unix.ELOOP, unix.ENXIO, unix.ENODEV:
		w.giveUp(l, it, changed)
		return settled, nil
	default:
		w.giveUp(l, it, err.Error())
		return settled, nil
	}
	defer unix.Close(fd)
	it.stat = st
	it.entry = w.describe(it)
	if it.entry.Link != 0 {
		first, read, ok := w.links.meet(ctx, &st)
		if ok {
			read.Name = it.name
			it.entry = read
			return settled, nil
		}
		defer func() { first.settle(it.entry, st, err == nil && end == settled && !it.absent) }()
	}
	w.readAttributes(attributesOf(fd), l.at, it)
	return w.put(ctx, l, it, fd, plain)
}

// errOther says that there is something else now where a file was to be read.
var errOther = errors.New("not the file that was there before")

// openFile opens the file name for reading.
//
// Where files must not be opened, name may have become one of them a moment ago:
// then it is looked at through a handle first, and what the handle stands for is
// opened, not the name. That takes three times as long, so it is not done where
// there is nothing to be afraid of.
func (w *walker) openFile(dir int, name string) (fd int, st stat, err error) {
	if !w.rules.guarded {
		return regular(openRegular(dir, name))
	}
	handle, st, err := regular(openHandle(dir, name))
	if err != nil {
		return -1, stat{}, err
	}
	defer unix.Close(handle)
	if w.rules.avoids(st.node) {
		return -1, stat{}, errOther
	}
	fd, err = openFile(handle)
	return fd, st, err
}

// regular passes on what was opened if it is a regular file.
func regular(fd int, st stat, err error) (int, stat, error) {
	if err == nil && st.kind() != tree.File {
		unix.Close(fd)
		return -1, stat{}, errOther
	}
	return fd, st, err
}

// put gives the open file to the sink and looks whether it stayed as it was.
func (w *walker) put(ctx context.Context, l *listing, it *item, fd int, plain bool) (outcome, error) {
	it.entry.Size = it.stat.size
	if !it.entry.Suspect {
		awaitWrites(fd)
	}
	if !plain {
		it.entry.Holes = holesOf(fd, &it.stat)
	}
	var base tree.Stream
	if it.before != nil && it.before.Type == tree.File {
		base = it.before.Content
	}
	r := newReader(ctx, fd, &it.stat, it.entry.Holes)
	stored, err := w.sink.Put(ctx, it.entry, base, r)
	r.release(0)
	switch {
	case context.Cause(ctx) != nil:
		return settled, context.Cause(ctx)
	case r.err == errShrank:
		it.absent = true
		return moved, nil
	case r.err != nil:
		w.giveUp(l, it, r.err.Error())
		return settled, nil
	case err != nil:
		return settled, fmt.Errorf("store %s: %w", l.at.path(it.name), err)
	}
	it.entry = stored
	after, err := statAt(fd, "")
	if err != nil || !after.sameState(&it.stat) || stored.Size != it.stat.size {
		return moved, nil
	}
	return settled, nil
}
