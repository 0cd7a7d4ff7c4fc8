package files

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"
	"sync"
	"unsafe"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// watch learns from the kernel (inotify) which names of a tree are touched, from
// the moment each directory was shown to it. So a second walk needs to look at
// these only.
//
// What it relies on: a change made by a system call queues its event before the
// call returns. So once those who write have stopped, draining the queue leaves
// nothing unknown, but for
//
//   - what is written through shared mappings, which makes no events: mapped
//     files are found otherwise (mapped_linux.go);
//   - files with several names, whose event may name one outside the tree: they
//     are touched from the start;
//   - what another machine writes: only local filesystems are watched.
//
// Where it cannot tell any more (the queue ran over, too many directories) it is
// blind, says why, and everything has to be looked at.
type watch struct {
	file   *os.File // inotify; closing it ends the goroutine
	reader errgroup.Group

	mu      sync.Mutex
	closed  bool
	dirs    map[int32]string // watch descriptor -> path counted from the mount
	touched *touch
	names   int
	came    bool // a file got a name since take, perhaps a second one
	went    bool // a name went since take, perhaps because what it stood for got another one
	blind   error
	buffer  [64 << 10]byte
}

const (
	maxWatched = 1 << 16 // directories; the kernel keeps about 1 KiB for each
	maxTouched = 1 << 17 // names
)

const watchMask = unix.IN_MODIFY | unix.IN_ATTRIB | unix.IN_CREATE | unix.IN_DELETE | unix.IN_MOVED_FROM | unix.IN_MOVED_TO |
	unix.IN_DELETE_SELF | unix.IN_MOVE_SELF | unix.IN_ONLYDIR

// startWatch begins to watch the filesystem that root is on; directories are
// added one by one.
func startWatch(root int) (*watch, error) {
	var fs unix.Statfs_t
	if err := unix.Fstatfs(root, &fs); err != nil {
		return nil, err
	}
	switch uint32(fs.Type) {
	case unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.TMPFS_MAGIC, unix.F2FS_SUPER_MAGIC:
	default:
		return nil, errors.New("it is not known whether this kind of filesystem tells of every change")
	}
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, err
	}
	w := &watch{file: os.NewFile(uintptr(fd), "inotify"), dirs: map[int32]string{}, touched: &touch{}}
	w.reader.Go(w.follow)
	return w, nil
}

// close ends the watch. It may be nil, or closed already.
func (w *watch) close() error {
	if w == nil || w.end() {
		return nil
	}
	err := w.file.Close()
	return errors.Join(err, w.reader.Wait())
}

// end sets closed and returns what it was.
func (w *watch) end() (was bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	was, w.closed = w.closed, true
	return was
}

// follow keeps the queue from running over, until the file is closed.
func (w *watch) follow() error {
	raw, err := w.file.SyscallConn()
	if err != nil {
		return err
	}
	err = raw.Read(func(fd uintptr) bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.drain(int(fd))
		return false // wait for more
	})
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed { // which is what Read calls an error
		return nil
	}
	w.blind = err
	return err
}

// add shows an open directory to the watch: what happens in it from now on is
// known. It must come before the directory's names are read. w may be nil.
func (w *watch) add(dir int, at *place) {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.blind != nil {
		return
	}
	raw, err := w.file.SyscallConn()
	if err != nil {
		w.blind = err
		return
	}
	control := raw.Control(func(fd uintptr) {
		var wd int
		if wd, err = unix.InotifyAddWatch(int(fd), "/proc/self/fd/"+strconv.Itoa(dir), watchMask); err == nil {
			w.dirs[int32(wd)] = at.beneath("")
		}
	})
	switch err = errors.Join(control, err); {
	case errors.Is(err, unix.ENOSPC):
		w.blind = errors.New("the kernel allows no more watches (fs.inotify.max_user_watches)")
	case err != nil:
		w.blind = err
	case len(w.dirs) > maxWatched:
		w.blind = fmt.Errorf("there are more than %d directories", maxWatched)
	}
}

// touch adds a name by hand: what no event will tell of. w may be nil.
func (w *watch) touch(p string) {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.note(p, false)
}

// note records that the thing at p was touched, or all beneath it.
func (w *watch) note(p string, all bool) {
	t, more := w.touched.add(p)
	t.all = t.all || all
	if w.names += more; w.names > maxTouched && w.blind == nil {
		w.blind = fmt.Errorf("more than %d names were touched", maxTouched)
	}
}

// take returns what was touched until now, and begins anew.
func (w *watch) take() (*touch, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	raw, err := w.file.SyscallConn()
	if err != nil {
		return nil, err
	}
	if err := raw.Control(func(fd uintptr) { w.drain(int(fd)) }); err != nil {
		return nil, err
	}
	touched := w.touched
	w.touched, w.names, w.came, w.went = &touch{}, 0, false, false
	return touched, w.blind
}

// anyWent reports whether a name went since take, so that what it stood for may have
// another one now: by a move, or by a link and the removal of the first. w may be nil.
func (w *watch) anyWent() bool {
	_, went := w.changes()
	return went
}

// anyCameOrWent is anyWent where not all directories were watched yet: of a link and a
// removal only the link may have been told of.
func (w *watch) anyCameOrWent() bool {
	came, went := w.changes()
	return came || went
}

func (w *watch) changes() (came, went bool) {
	if w == nil {
		return false, false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if raw, err := w.file.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { w.drain(int(fd)) })
	}
	return w.came, w.went
}

// drain reads all events that are queued.
func (w *watch) drain(fd int) {
	for w.blind == nil {
		n, err := unix.Read(fd, w.buffer[:])
		switch {
		case err == unix.EINTR:
		case err == unix.EAGAIN:
			return
		case err != nil:
			w.blind = fmt.Errorf("read events: %w", err)
		default:
			w.events(w.buffer[:n])
		}
	}
}

// events takes a buffer of struct inotify_event (inotify(7)) apart.
func (w *watch) events(b []byte) {
	for len(b) >= unix.SizeofInotifyEvent {
		e := (*unix.InotifyEvent)(unsafe.Pointer(&b[0]))
		end := unix.SizeofInotifyEvent + int(e.Len)
		if end > len(b) {
			break
		}
		w.event(e.Wd, e.Mask, strings.TrimRight(string(b[unix.SizeofInotifyEvent:end]), "\x00"))
		b = b[end:]
	}
}

func (w *watch) event(wd int32, mask uint32, name string) {
	if mask&unix.IN_Q_OVERFLOW != 0 {
		w.blind = errors.New("more happened than the kernel can queue (fs.inotify.max_queued_events)")
		return
	}
	dir, ok := w.dirs[wd]
	if !ok {
		return
	}
	if mask&(unix.IN_IGNORED|unix.IN_UNMOUNT) != 0 {
		delete(w.dirs, wd)
	}
	w.came = w.came || mask&unix.IN_CREATE != 0 && mask&unix.IN_ISDIR == 0
	w.went = w.went || mask&(unix.IN_MOVED_FROM|unix.IN_MOVED_TO|unix.IN_DELETE) != 0
	// A directory that is new at its place has a past that nobody watched, and one
	// that was moved here is watched under names that it no longer has.
	arrived := mask&unix.IN_ISDIR != 0 && mask&(unix.IN_CREATE|unix.IN_MOVED_TO) != 0
	w.note(dir, false)
	w.note(path.Join(dir, name), arrived)
}
