package files

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"holdfast/engines"
	"holdfast/internal/tree"
)

// What .holdfast/TOKEN can hold. Which of building, staged and retired is there,
// and whether plan is, tells how far a restore came.
const (
	dirBuilding = "building" // Stage is at work
	dirStaged   = "staged"   // complete and durable; while plan is there, partly swapped
	dirRetired  = "retired"  // what Swap put aside; complete
	dirLinks    = "links"    // one name for each hard-link group, while Stage is at work
	dirBetween  = "between"  // where a name waits that cannot be exchanged at once
	dirStrays   = "strays"   // what Revert found in the place of what it knows
	filePlan    = "plan"
	fileCreated = "created" // the mount did not exist before Stage
	fileLock    = "lock"    // in .holdfast: held between Stage and Discard
)

// workshop is .holdfast/TOKEN, open and locked.
type workshop struct {
	disk  *disk
	root  int // the mount
	home  int // .holdfast
	own   int // .holdfast/TOKEN
	lock  int
	token string
}

var errBusy = errors.New("another restore is at work in this mount; wait for its end")

// openWorkshop opens the workshop that is there; own is -1 if there is none in
// .holdfast. Without .holdfast it returns nil.
func openWorkshop(d *disk, mount, token string) (*workshop, error) {
	w, err := enterMount(d, mount, token)
	if err == unix.ENOENT {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	w.own, err = openDirectory(w.home, token)
	if err != nil && err != unix.ENOENT {
		w.close()
		return nil, err
	}
	return w, nil
}

// makeWorkshop makes a new workshop. The mount's times stay as they are.
func makeWorkshop(d *disk, mount, token string) (*workshop, error) {
	root, err := openRoot(mount)
	if errors.Is(err, unix.ENOENT) {
		err = createMount(d, mount, token)
	} else if err == nil {
		err = makeHome(d, root)
		unix.Close(root)
	}
	if err != nil {
		return nil, err
	}
	w, err := enterMount(d, mount, token)
	if err != nil {
		return nil, err
	}
	if err := w.refuseOthers(); err != nil {
		w.close()
		return nil, err
	}
	if w.own, err = d.makeDirectory(w.home, token); err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

// makeHome makes .holdfast.
func makeHome(d *disk, root int) error {
	before, err := statAt(root, "")
	if err != nil {
		return err
	}
	err = d.mkdir(root, hidden)
	if err == unix.EEXIST {
		return nil
	}
	if err != nil {
		return err
	}
	return d.keepTimes(root, before)
}

// createMount makes a mount that has a workshop already, so that nobody ever
// finds it without. See leaveMount for the way back.
func createMount(d *disk, mount, token string) error {
	parent, err := openRoot(filepath.Dir(mount))
	if err != nil {
		return err
	}
	defer unix.Close(parent)
	unfinished := hidden + "-" + token
	dirs := []int{parent}
	defer func() {
		for _, fd := range dirs[1:] {
			unix.Close(fd)
		}
	}()
	for _, name := range []string{unfinished, hidden, token} {
		fd, err := d.makeDirectory(dirs[len(dirs)-1], name)
		if err != nil {
			return err
		}
		dirs = append(dirs, fd)
		if err := secure(d, fd); err != nil {
			return err
		}
	}
	if err := d.writeFile(dirs[3], fileCreated, nil); err != nil {
		return err
	}
	if err := errors.Join(d.sync(dirs[2]), d.sync(dirs[1])); err != nil {
		return err
	}
	if err := d.rename(parent, unfinished, parent, filepath.Base(mount)); err != nil {
		return err
	}
	return d.sync(parent)
}

// enterMount opens the mount and its .holdfast, and locks it. It returns a bare
// ENOENT if there is none. .holdfast disappears with the last restore, so it may
// vanish before it is locked.
func enterMount(d *disk, mount, token string) (*workshop, error) {
	for range 100 {
		w := &workshop{disk: d, token: token, root: -1, home: -1, own: -1, lock: -1}
		vanished, err := w.enter(mount)
		if err == nil && !vanished {
			return w, nil
		}
		w.close()
		if err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("%s comes and goes, or this filesystem cannot tell files apart", filepath.Join(mount, hidden))
}

func (w *workshop) enter(mount string) (vanished bool, err error) {
	if w.root, err = openRoot(mount); errors.Is(err, unix.ENOENT) {
		return false, unix.ENOENT
	} else if err != nil {
		return false, err
	}
	w.home, err = openDirectory(w.root, hidden)
	switch err {
	case nil:
	case unix.ENOENT:
		return false, err
	case unix.ENOTDIR, unix.ELOOP:
		return false, fmt.Errorf("%s is not a directory; a restore needs this name, move it away", filepath.Join(mount, hidden))
	default:
		return false, err
	}
	if err := secure(w.disk, w.home); err != nil {
		return false, fmt.Errorf("%s belongs to somebody else: %w", filepath.Join(mount, hidden), err)
	}
	w.lock, err = openMode(w.home, fileLock, unix.O_RDWR|unix.O_CREAT|unix.O_NOFOLLOW, 0o600)
	if err == unix.ENOENT {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	if err := unix.Flock(w.lock, unix.LOCK_EX|unix.LOCK_NB); err == unix.EWOULDBLOCK {
		return false, errBusy
	} else if err != nil {
		return false, fmt.Errorf("lock %s: %w", filepath.Join(mount, hidden), err)
	}
	return !sameFile(w.lock, w.home, fileLock) || !sameFile(w.home, w.root, hidden), nil
}

// sameFile reports whether name in dir still is what fd has open.
func sameFile(fd, dir int, name string) bool {
	opened, err := statAt(fd, "")
	if err != nil {
		return false
	}
	there, err := statAt(dir, name)
	return err == nil && opened.node == there.node
}

// secure makes a directory ours, closed to others, and free of ACLs that what is
// made in it would inherit.
func secure(d *disk, fd int) error {
	st, err := statAt(fd, "")
	if err != nil {
		return err
	}
	if euid := unix.Geteuid(); int(st.uid) != euid {
		if err := d.do("chown", "", func() error { return unix.Fchown(fd, euid, unix.Getegid()) }); err != nil {
			return err
		}
	}
	for _, acl := range []string{"system.posix_acl_default", "system.posix_acl_access"} {
		_ = d.do("removexattr", acl, func() error { return unix.Fremovexattr(fd, acl) })
	}
	if st.mode&0o7777 == 0o700 {
		return nil
	}
	return d.do("chmod", "", func() error { return unix.Fchmod(fd, 0o700) })
}

// refuseOthers returns an error if another restore has swapped, or begun to, and
// its end is not known.
func (w *workshop) refuseOthers() error {
	names, err := readNames(w.home)
	if err != nil {
		return err
	}
	for _, name := range names {
		if engines.CheckToken(name) != nil || name == w.token {
			continue
		}
		other, err := openDirectory(w.home, name)
		if err != nil {
			continue
		}
		_, err = statAt(other, filePlan)
		unix.Close(other)
		if err == nil {
			return fmt.Errorf("the restore %s was neither finished nor undone; run any command on the environment it went to", name)
		}
	}
	return nil
}

// has reports whether the workshop holds name.
func (w *workshop) has(name string) (bool, error) {
	_, err := statAt(w.own, name)
	if err == unix.ENOENT {
		return false, nil
	}
	return err == nil, err
}

// clear removes all that the workshop holds but for the names in except.
func (w *workshop) clear(except ...string) error {
	if _, err := unix.Seek(w.own, 0, unix.SEEK_SET); err != nil {
		return err
	}
	names, err := readNames(w.own)
	if err != nil {
		return err
	}
	for _, name := range names {
		if slices.Contains(except, name) {
			continue
		}
		if err := w.disk.removeTree(w.own, name); err != nil {
			return err
		}
	}
	return nil
}

// leave removes the empty workshop, and .holdfast with it if it was the last.
func (w *workshop) leave() error {
	if err := w.disk.rmdir(w.home, w.token); err != nil && err != unix.ENOENT {
		return err
	}
	if last, err := isEmpty(w.home, fileLock); err != nil || !last {
		return err
	}
	before, err := statAt(w.root, "")
	if err != nil {
		return err
	}
	if err := w.disk.unlink(w.home, fileLock); err != nil && err != unix.ENOENT {
		return err
	}
	err = w.disk.rmdir(w.root, hidden)
	if err == unix.ENOTEMPTY || err == unix.EEXIST || err == unix.ENOENT {
		return nil // the next restore is there
	}
	if err != nil {
		return err
	}
	return w.disk.keepTimes(w.root, before)
}

// leaveMount takes back a mount that Stage created, if nothing else has come
// into it: it disappears at once, then what is left of it.
func (w *workshop) leaveMount(mount string) (left bool, err error) {
	ours, err := isEmpty(w.root, hidden)
	if err != nil || !ours {
		return false, err
	}
	if alone, err := isEmpty(w.home, fileLock, w.token); err != nil || !alone {
		return false, err
	}
	parent, err := openRoot(filepath.Dir(mount))
	if err != nil {
		return false, err
	}
	defer unix.Close(parent)
	unfinished := hidden + "-" + w.token
	if err := w.disk.rename(parent, filepath.Base(mount), parent, unfinished); err != nil {
		return false, err
	}
	return true, w.disk.removeTree(parent, unfinished)
}

// removeUnfinished removes what createMount and leaveMount leave behind when
// they are killed.
func removeUnfinished(d *disk, mount, token string) error {
	parent, err := openRoot(filepath.Dir(mount))
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(parent)
	unfinished := hidden + "-" + token
	st, err := statAt(parent, unfinished)
	if err == unix.ENOENT {
		return nil
	}
	if err != nil || st.kind() != tree.Directory {
		return err
	}
	return d.removeTree(parent, unfinished)
}

// close releases the lock and all descriptors.
func (w *workshop) close() {
	for _, fd := range []int{w.lock, w.own, w.home, w.root} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}
