package files

import (
	"context"
	"iter"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"holdfast/engines"
	"holdfast/internal/tree"
)

// walker stores one directory tree in a sink, taking over what has not changed
// since an earlier tree.
//
// Directories and files are worked on in parallel, as far as tasks has room; a
// task that finds none works alone on what it would have handed out. So tasks
// wait for each other downwards only, and never for room.
type walker struct {
	sink   engines.Sink
	rules  *rules
	clock  clock
	pass   pass
	root   stat
	owners *owners
	links  *links
	watch  *watch      // nil, or told of every directory before it is read
	linked atomic.Bool // a file got another name since the earlier tree

	tasks  *errgroup.Group
	cancel context.CancelCauseFunc

	mu     sync.Mutex
	losses []engines.Loss
	notes  []string
}

// pass says which of the walks of one capture this is.
type pass struct {
	last      bool // nothing may read this again, so a file that changes is worth several attempts
	remainder bool // an earlier one has counted already what it found unchanged
	frozen    bool // what is read is a snapshot of the filesystem
	touched   *touch
}

// parallel is the number of tasks beside the caller. Reading waits for disks as
// much as for processors.
func parallel() int { return max(4, 2*runtime.GOMAXPROCS(0)) }

// walk stores the directory fd as name. before is the earlier tree, if there is one.
func (w *walker) walk(ctx context.Context, fd int, name string, before *tree.Entry) (tree.Entry, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	w.cancel, w.tasks = cancel, &errgroup.Group{}
	w.tasks.SetLimit(parallel())

	at := &place{name: name}
	w.watch.add(fd, at)
	st, err := statAt(fd, "")
	if err != nil {
		return tree.Entry{}, err
	}
	w.root = st
	it := item{name: name, stat: st, before: before, touch: w.pass.touched}
	it.entry = w.describe(&it)
	w.readAttributes(attributesOf(fd), at, &it)
	e, err := w.directory(ctx, fd, at, &it)
	if err != nil {
		cancel(err)
	}
	_ = w.tasks.Wait() // what a task returns has cancelled ctx already
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	return e, err
}

// item is one name on its way to an entry.
type item struct {
	name   string
	stat   stat
	before *tree.Entry // the entry of that name in the earlier tree
	touch  *touch      // nil if it is known to be what before says
	entry  tree.Entry
	ready  bool // entry is final
	absent bool // there is nothing to record
}

// pending reports whether a stat did not tell all.
func (it *item) pending() bool { return !it.ready && !it.absent }

// same reports whether the item's entry is the earlier one, to the last bit.
func (it *item) same() bool {
	return !it.absent && it.before != nil && sameEntry(&it.entry, it.before)
}

// listing is a directory while it is walked.
type listing struct {
	fd     int
	at     *place
	names  []string // not looked at yet
	before *earlier
	touch  *touch
	items  []item // the current window
	used   int    // how much of items was ever in use
	owner  lastOwner
}

// takeItems gives l room for a window that another directory is done with, and
// returns what gives it back.
func (l *listing) takeItems() (giveBack func()) {
	room := itemRooms.Get().(*[]item)
	l.items = *room
	return func() {
		clear(l.items[:l.used]) // names and entries go
		*room = l.items[:0]
		itemRooms.Put(room)
	}
}

var itemRooms = sync.Pool{New: func() any { return new([]item) }}

// directory stores the directory fd, which it is described by, and all beneath it.
//
// As long as everything equals the earlier listing, nothing is put: it can be
// had from there again. PutDirectory is called no sooner than the first window
// is complete, so that it does not nest where directories are small.
func (w *walker) directory(ctx context.Context, fd int, at *place, it *item) (tree.Entry, error) {
	e, before := it.entry, it.before
	if before != nil && before.Type != tree.Directory {
		before = nil
	}
	names, err := readNames(fd)
	if err == unix.ENOENT && at.depth > 0 {
		it.absent = true // it was removed a moment ago
		return e, nil
	}
	if err != nil {
		w.lose(at.path(""), "its listing cannot be read to the end: "+err.Error())
	}
	if at.depth > 0 && slices.Contains(names, cacheTagName) && isCache(fd) {
		names = []string{cacheTagName}
		w.note(at.path("") + ": marked as a cache by " + cacheTagName + "; of what it holds only this mark is stored")
	}
	l := &listing{fd: fd, at: at, names: names, before: openEarlier(ctx, w.sink, before), touch: it.touch, owner: lastOwner{owners: w.owners}}
	defer l.before.close()
	defer l.takeItems()()

	kept := 0
	for {
		more := len(l.names) > 0
		if err := w.window(ctx, l); err != nil {
			return e, err
		}
		if l.before.differs || slices.ContainsFunc(l.items, func(it item) bool { return !it.same() }) {
			break
		}
		if !more {
			e.Content, e.Size, e.Entries = before.Content, before.Size, before.Entries
			return e, nil
		}
		kept += len(l.items)
	}
	if l.before.err != nil && context.Cause(ctx) == nil {
		w.note(at.path("") + ": its listing in the earlier tree cannot be read, so all of it was read again: " + l.before.err.Error())
	}
	var base tree.Stream
	if before != nil {
		base = before.Content
	}
	return w.sink.PutDirectory(ctx, e, base, w.children(ctx, l, before, kept))
}

// children yields the first kept entries of the earlier listing, the current
// window, and the rest.
func (w *walker) children(ctx context.Context, l *listing, before *tree.Entry, kept int) iter.Seq2[tree.Entry, error] {
	return func(yield func(tree.Entry, error) bool) {
		if kept > 0 {
			n := 0
			for e, err := range w.sink.Children(ctx, *before) {
				if !yield(e, err) || err != nil {
					return
				}
				if n++; n == kept {
					break
				}
			}
		}
		for {
			for i := range l.items {
				if it := &l.items[i]; !it.absent && !yield(it.entry, nil) {
					return
				}
			}
			if len(l.names) == 0 {
				return
			}
			if err := w.window(ctx, l); err != nil {
				yield(tree.Entry{}, err)
				return
			}
		}
	}
}

// window brings the next names of l to entries.
func (w *walker) window(ctx context.Context, l *listing) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	n := min(window, len(l.names))
	l.items = slices.Grow(l.items[:0], n)
	l.used = max(l.used, n)
	for _, name := range l.names[:n] {
		l.items = append(l.items, item{name: name, before: l.before.find(name), touch: l.touch.child(name)})
		if !w.look(l, &l.items[len(l.items)-1]) {
			l.items = l.items[:len(l.items)-1]
		}
	}
	if l.names = l.names[n:]; len(l.names) == 0 {
		l.before.finish() // holds nothing open while we are further down
	}
	if err := w.complete(ctx, l); err != nil {
		return err
	}
	for i := range l.items {
		it := &l.items[i]
		if it.entry.Link != 0 {
			w.meetLink(l, it)
		}
		if it.entry.Suspect && it.entry.Type == tree.File {
			w.touch(l.at, it.name) // a mapping may have changed it since, and told nobody
		}
	}
	return nil
}

// meetLink notes a thing that has other names: events may go by those.
func (w *walker) meetLink(l *listing, it *item) {
	w.touch(l.at, it.name)
	if it.before == nil || it.before.Link == 0 {
		w.linked.Store(true)
	}
}

// touch has the name looked at again by the next pass, if this is the first.
func (w *walker) touch(at *place, name string) {
	if !w.pass.remainder {
		w.watch.touch(at.beneath(name))
	}
}

// complete does for each item what a stat could not. Tasks that find room help
// the caller; each takes item after item, so that a file costs no goroutine.
func (w *walker) complete(ctx context.Context, l *listing) error {
	left := 0
	for i := range l.items {
		if l.items[i].pending() {
			left++
		}
	}
	if left == 0 {
		return nil
	}
	var next atomic.Int32
	var helpers sync.WaitGroup
	work := func() bool { // on one item
		for ctx.Err() == nil {
			i := int(next.Add(1)) - 1
			if i >= len(l.items) {
				return false
			}
			it := &l.items[i]
			if !it.pending() {
				continue
			}
			if err := w.read(ctx, l, it); err != nil {
				w.cancel(err)
			}
			return true
		}
		return false
	}
	help := func() error {
		defer helpers.Done()
		for work() {
		}
		return nil
	}
	for more := true; more; more = work() {
		if left--; left > 0 {
			helpers.Add(1)
			if !w.tasks.TryGo(help) {
				helpers.Done()
			}
		}
	}
	helpers.Wait()
	return context.Cause(ctx)
}

// look decides by stat alone, where it can; it returns false where there is
// nothing to record.
func (w *walker) look(l *listing, it *item) bool {
	if it.touch == nil && it.before != nil {
		it.entry, it.ready = *it.before, true
		return true
	}
	if it.touch == nil {
		it.touch = wholeTree // it came since the kernel was asked, so nothing of it is known
	}
	if w.rules.stays(l.at, it.name) {
		return false
	}
	var err error
	if it.stat, err = statAt(l.fd, it.name); err != nil {
		if err != unix.ENOENT {
			w.lose(l.at.path(it.name), err.Error())
		}
		return false
	}
	st := &it.stat
	folder := st.kind() == tree.Directory
	switch {
	case w.rules.excluded(l.at, it.name, folder) || w.rules.avoids(st.node):
		return false
	case st.kind() == 0:
		w.lose(l.at.path(it.name), "neither file nor directory nor anything else that can be stored")
		return false
	case st.crosses(&w.root) && !folder:
		w.note(l.at.path(it.name) + ": lies on another filesystem that is mounted here; left out")
		return false
	case w.pass.frozen && folder && st.ino == emptySubvolume:
		// What it stands for was looked at before; it is no part of the mount's instant.
		if it.before == nil {
			w.lose(l.at.path(it.name), "a subvolume of its own that came while the snapshot was taken")
			return false
		}
		it.entry, it.ready = *it.before, true
	case !folder && w.unchanged(it.before, st):
		it.entry = *it.before
		w.own(&it.entry, st, &l.owner)
		it.ready = true
		if !w.pass.remainder {
			w.sink.Keep(it.entry)
		}
	}
	return true
}

// unchanged reports whether the earlier entry stands for the file as it is now.
func (w *walker) unchanged(e *tree.Entry, st *stat) bool {
	return e != nil && !e.Suspect && fits(e, st)
}

// fits reports whether the entry says what stat does, as far as that tells of
// the content.
func fits(e *tree.Entry, st *stat) bool {
	return e.Type == st.kind() && e.MTime == st.mtime && e.CTime == st.ctime &&
		e.Inode == st.ino && (e.Type != tree.File || e.Size == st.size)
}

// describe returns what stat says about the item, as an entry.
func (w *walker) describe(it *item) tree.Entry {
	st := &it.stat
	e := tree.Entry{
		Name: it.name, Type: st.kind(), MTime: st.mtime, CTime: st.ctime, Inode: st.ino, Device: st.device,
		Suspect: w.clock.suspects(st.mtime, st.ctime),
	}
	w.own(&e, st, &lastOwner{owners: w.owners})
	return e
}

func (w *walker) own(e *tree.Entry, st *stat, last *lastOwner) {
	e.Mode = st.mode & 0o7777
	e.UID, e.GID = st.uid, st.gid
	e.User, e.Group = last.names(st.uid, st.gid)
	// An overlay's layers number their files each for themselves.
	if st.links > 1 && e.Type != tree.Directory && st.dev == w.root.dev {
		e.Link = st.ino
	} else {
		e.Link = 0
	}
}

func (w *walker) lose(path, reason string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.losses = append(w.losses, engines.Loss{Path: path, Reason: reason})
}

func (w *walker) note(text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.notes = append(w.notes, text)
}
