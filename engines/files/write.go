package files

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"iter"
	"sync"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"holdfast/engines"
	"holdfast/internal/tree"
)

// writer makes directory trees from entries. The names in them are not trusted:
// each is made new, by its single name, in a directory that is open.
//
// Its tasks are bounded as the walker's are.
type writer struct {
	content engines.Content
	disk    *disk
	rules   *rules // what they leave out is not made
	owners  *owners
	lost    *ledger
	links   int // directory with one name for each hard-link group
	current int // the mount as it is now; -1 for none

	tasks   *errgroup.Group
	cancel  context.CancelCauseFunc
	stripes [64]sync.Mutex // by hard-link group: the first name is made alone
	buffers sync.Pool      // of *[256 << 10]byte
}

// build runs make with a writer for what is in the directory dir, which nobody
// else uses, and makes durable what it did. current is the mount whose data will
// be replaced, or -1; name is for losses.
func build(d *disk, dir, current int, content engines.Content, r *rules, name string, make func(*writer) error) (engines.Staged, error) {
	links, err := d.makeDirectory(dir, dirLinks)
	if err != nil {
		return engines.Staged{}, err
	}
	defer unix.Close(links)
	w := &writer{
		content: content, disk: d, rules: r, owners: newOwners(), lost: newLedger(name), links: links, current: current,
		buffers: sync.Pool{New: func() any { b := [256 << 10]byte{}; return &b }},
	}
	if err := make(w); err != nil {
		return engines.Staged{}, err
	}
	if err := errors.Join(d.removeTree(dir, dirLinks), d.syncAll(dir)); err != nil {
		return engines.Staged{}, err
	}
	return w.lost.staged(), nil
}

// mount makes way[0], under the name building, and in it either all beneath it
// or, if way is longer, what its last entry stands for.
func (w *writer) mount(ctx context.Context, dir int, at *place, way []tree.Entry) error {
	e := &way[0]
	if err := w.disk.mkdir(dir, dirBuilding); err != nil {
		return err
	}
	fd, err := openDirectory(dir, dirBuilding)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if len(way) > 1 {
		err = w.way(ctx, fd, at, way[1:])
	} else {
		err = w.directoryListing(ctx, fd, at, e)
	}
	if err != nil {
		return err
	}
	return w.finish(dir, dirBuilding, fd, at.path(""), e)
}

// way makes the directories on the way to the last of the entries, and that.
func (w *writer) way(ctx context.Context, dir int, at *place, way []tree.Entry) error {
	e := &way[0]
	if len(way) == 1 {
		_, err := w.run(ctx, dir, at, func(yield func(tree.Entry, error) bool) { yield(*e, nil) })
		return err
	}
	if err := w.disk.mkdir(dir, e.Name); err != nil {
		return err
	}
	fd, err := openDirectory(dir, e.Name)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := w.way(ctx, fd, at.child(e.Name), way[1:]); err != nil {
		return err
	}
	return w.finish(dir, e.Name, fd, at.path(e.Name), e)
}

// directoryListing makes all that is beneath e in the directory fd.
func (w *writer) directoryListing(ctx context.Context, fd int, at *place, e *tree.Entry) error {
	sum, err := w.run(ctx, fd, at, w.content.Children(ctx, *e))
	if err != nil {
		return err
	}
	return sum.matches(e)
}

// run makes entries in the directory dir, which stands at at, with as many tasks
// as are allowed.
func (w *writer) run(ctx context.Context, dir int, at *place, entries iter.Seq2[tree.Entry, error]) (total, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	w.cancel, w.tasks = cancel, &errgroup.Group{}
	w.tasks.SetLimit(parallel())
	sum, err := w.listing(ctx, dir, at, entries)
	if err != nil {
		cancel(err)
	}
	_ = w.tasks.Wait() // what a task returns has cancelled ctx already
	if cause := context.Cause(ctx); cause != nil {
		return sum, cause
	}
	return sum, err
}

// total is what a listing adds up to.
type total struct{ entries, size uint64 }

func (t total) matches(e *tree.Entry) error {
	if t.entries != e.Entries || t.size != e.Size {
		return fmt.Errorf("its listing has %d entries of %d bytes, not %d of %d: %w", t.entries, t.size, e.Entries, e.Size, tree.ErrInvalid)
	}
	return nil
}

// listing makes the entries of one directory, one window at a time. A listing
// of at most one window is read to its end before anything beneath is opened.
func (w *writer) listing(ctx context.Context, dir int, at *place, entries iter.Seq2[tree.Entry, error]) (total, error) {
	var sum total
	for some, err := range windows(entries) {
		if err != nil {
			return sum, fmt.Errorf("read the listing of %s: %w", at.path(""), err)
		}
		for i := range some {
			sum.entries += 1 + some[i].Entries
			sum.size += some[i].Size
		}
		if err := w.some(ctx, dir, at, some); err != nil {
			return sum, err
		}
	}
	return sum, context.Cause(ctx)
}

// windows yields the entries in groups, the last one after their source has ended.
func windows(entries iter.Seq2[tree.Entry, error]) iter.Seq2[[]tree.Entry, error] {
	return func(yield func([]tree.Entry, error) bool) {
		var some []tree.Entry
		for e, err := range entries {
			if err != nil {
				yield(nil, err)
				return
			}
			if len(some) == window {
				if !yield(some, nil) {
					return
				}
				some = some[:0]
			}
			some = append(some, e)
		}
		if len(some) > 0 {
			yield(some, nil)
		}
	}
}

func (w *writer) some(ctx context.Context, dir int, at *place, entries []tree.Entry) error {
	var pending sync.WaitGroup
	for i := range entries {
		if context.Cause(ctx) != nil {
			break
		}
		pending.Add(1)
		task := func() error {
			defer pending.Done()
			err := w.entry(ctx, dir, at, &entries[i])
			if err != nil {
				w.cancel(err)
			}
			return err
		}
		if !w.tasks.TryGo(task) {
			_ = task() // cancels ctx
		}
	}
	pending.Wait()
	return context.Cause(ctx)
}

// entry makes one name with all beneath it.
func (w *writer) entry(ctx context.Context, dir int, at *place, e *tree.Entry) error {
	if err := e.Validate(); err != nil {
		return fmt.Errorf("%s: %w", at.path(""), err)
	}
	if w.rules.left(at, e.Name, e.Type == tree.Directory) {
		w.lost.skip()
		return nil
	}
	how := w.special
	switch e.Type {
	case tree.Directory:
		how = w.directory
	case tree.File:
		how = w.file
	}
	var err error
	if e.Link != 0 && e.Type != tree.Directory {
		err = w.linked(ctx, dir, at, e, how)
	} else {
		err = how(ctx, dir, at, e)
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.ENAMETOOLONG), errors.Is(err, unix.EILSEQ):
		w.lost.one(at.path(e.Name), "this filesystem cannot hold such a name: "+err.Error())
		return nil
	case errors.Is(err, unix.EEXIST):
		return fmt.Errorf("%s: two entries make the same name here; restore to a filesystem that tells upper and lower case apart: %w", at.path(e.Name), err)
	case err == context.Cause(ctx):
		return err
	}
	return fmt.Errorf("write %s: %w", at.path(e.Name), err)
}

// maker makes one new name.
type maker func(ctx context.Context, dir int, at *place, e *tree.Entry) error

// linked makes one of several names of the same file. The first of them gets
// another name in links, by which the others find it.
func (w *writer) linked(ctx context.Context, dir int, at *place, e *tree.Entry, how maker) error {
	alone := &w.stripes[e.Link%uint64(len(w.stripes))]
	alone.Lock()
	defer alone.Unlock()
	group := groupOf(at, e)
	err := w.disk.link(w.links, group, dir, e.Name)
	if err == nil {
		return nil
	}
	if err != unix.ENOENT && !cannotLink(err) {
		return err
	}
	if cannotLink(err) {
		w.lost.count("hard links could not be made and became separate files", at.path(e.Name))
	}
	if err := how(ctx, dir, at, e); err != nil {
		return err
	}
	err = w.disk.link(dir, e.Name, w.links, group)
	if err == unix.ENOENT || err == unix.EEXIST || cannotLink(err) {
		return nil // it was lost by name, or the next one will find out
	}
	return err
}

// groupOf names the file that e in at is one of several names of. The number alone does not:
// several services have their own, and while a site that is not held was read, an inode may
// have been one file and then another.
func groupOf(at *place, e *tree.Entry) string {
	h := sha256.New()
	fmt.Fprintf(h, "%q %d %d %d %d %q", at.elements(e.Name)[0], e.Type, e.Size, e.MTime.Sec, e.MTime.Nsec, e.Target)
	for _, r := range e.Content.Refs {
		h.Write(r.ID[:])
	}
	return fmt.Sprintf("%d-%x", e.Link, h.Sum(nil))
}

func cannotLink(err error) bool {
	return err == unix.EMLINK || err == unix.EPERM || err == unix.EXDEV || unsupported(err)
}

func (w *writer) directory(ctx context.Context, dir int, at *place, e *tree.Entry) error {
	if at.depth >= maxDepth {
		return fmt.Errorf("lies more than %d directories deep: %w", maxDepth, tree.ErrInvalid)
	}
	if err := w.disk.mkdir(dir, e.Name); err != nil {
		return err
	}
	fd, err := openDirectory(dir, e.Name)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	here := at.child(e.Name)
	sum, err := w.listing(ctx, fd, here, w.content.Children(ctx, *e))
	if err != nil {
		return err
	}
	if err := sum.matches(e); err != nil {
		return err
	}
	return w.finish(dir, e.Name, fd, at.path(e.Name), e)
}

func (w *writer) file(ctx context.Context, dir int, at *place, e *tree.Entry) error {
	fd, err := w.disk.create(dir, e.Name, firstMode(e))
	if err != nil {
		return err
	}
	err = w.fill(ctx, fd, at, e)
	if err == nil {
		err = w.finish(dir, e.Name, fd, at.path(e.Name), e)
	}
	return errors.Join(err, unix.Close(fd))
}

// fill writes the content of e, exactly as much as e says there is.
func (w *writer) fill(ctx context.Context, fd int, at *place, e *tree.Entry) error {
	if len(e.Content.Refs) > 0 {
		content := w.open(ctx, at, e)
		err := w.copy(fd, content, dataOf(e.Size, e.Holes))
		if err := errors.Join(err, content.Close()); err != nil {
			return err
		}
	}
	if len(e.Holes) > 0 {
		return w.disk.do("truncate", e.Name, func() error { return unix.Ftruncate(fd, int64(e.Size)) })
	}
	return nil
}

func (w *writer) copy(fd int, content io.Reader, data []tree.Extent) error {
	buffer := w.buffers.Get().(*[256 << 10]byte)
	defer w.buffers.Put(buffer)
	to := &extents{disk: w.disk, fd: fd, left: data}
	// Content that hands on its own buffers (io.WriterTo) does not need this one.
	if _, err := io.CopyBuffer(to, content, buffer[:]); err != nil {
		return err
	}
	if len(to.left) > 0 {
		return fmt.Errorf("its content ends early: %w", tree.ErrInvalid)
	}
	if to.dirty < writebackLast {
		return nil
	}
	return w.disk.startWriteback(fd)
}

// The disk begins to write while the processors still work: after each so many
// bytes of a file, and at its end where so many are left. (For small files the
// kernel's own pace is as good.)
const (
	writebackEach = 8 << 20
	writebackLast = 256 << 10
)

// extents writes what comes to the parts of a file that hold data.
type extents struct {
	disk  *disk
	fd    int
	left  []tree.Extent // changed as they are filled
	dirty int           // bytes whose writeback was not started
}

// Write implements io.Writer.
func (x *extents) Write(p []byte) (int, error) {
	written := 0
	for written < len(p) {
		if len(x.left) == 0 {
			return written, fmt.Errorf("its content is longer than its entry says: %w", tree.ErrInvalid)
		}
		part := &x.left[0]
		piece := p[written:]
		piece = piece[:min(uint64(len(piece)), part.Length)]
		if err := x.disk.do("write", "", func() error { return writeAll(x.fd, piece, int64(part.Offset)) }); err != nil {
			return written, err
		}
		written += len(piece)
		if x.dirty += len(piece); x.dirty >= writebackEach {
			x.dirty = 0
			if err := x.disk.startWriteback(x.fd); err != nil {
				return written, err
			}
		}
		part.Offset, part.Length = part.Offset+uint64(len(piece)), part.Length-uint64(len(piece))
		if part.Length == 0 {
			x.left = x.left[1:]
		}
	}
	return written, nil
}
