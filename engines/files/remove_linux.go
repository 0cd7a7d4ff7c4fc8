package files

import (
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"holdfast/internal/tree"
)

// removal removes directory trees of any depth with a bounded number of
// descriptors: what lies deeper than levels is first moved up beside the tree.
type removal struct {
	disk   *disk
	bin    int  // the directory that deep trees are moved to
	root   stat // of bin: nothing on another filesystem is removed
	binned int
}

const levels = 64

// Clear removes all that is in dir, which is the caller's alone, also from directories
// whose mode lets nobody write to them.
func Clear(dir string) error {
	root, err := openRoot(dir)
	if err != nil {
		return err
	}
	defer unix.Close(root)
	names, err := readNames(root)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := (&disk{}).removeTree(root, name); err != nil {
			return fmt.Errorf("clear %s: %w", dir, err)
		}
	}
	return nil
}

// removeTree removes name in dir and all beneath it. What is missing is removed already.
func (d *disk) removeTree(dir int, name string) error {
	root, err := statAt(dir, "")
	if err != nil {
		return err
	}
	r := &removal{disk: d, bin: dir, root: root}
	if err := r.remove(dir, name, 0); err != nil {
		return fmt.Errorf("remove %q: %w", name, err)
	}
	return r.emptyBin()
}

// emptyBin removes what was moved up, and what that moves up.
func (r *removal) emptyBin() error {
	for r.binned > 0 {
		r.binned = 0
		if _, err := unix.Seek(r.bin, 0, unix.SEEK_SET); err != nil {
			return err
		}
		names, err := readNames(r.bin)
		for _, name := range names {
			if strings.HasPrefix(name, binPrefix) {
				if err := r.remove(r.bin, name, 0); err != nil {
					return err
				}
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

const binPrefix = "remove-"

func (r *removal) remove(dir int, name string, level int) error {
	err := r.disk.unlink(dir, name)
	if err == nil || err == unix.ENOENT {
		return nil
	}
	if err != unix.EISDIR && err != unix.EPERM { // POSIX says EPERM for a directory
		return err
	}
	if level == levels {
		return r.moveUp(dir, name)
	}
	if err := r.empty(dir, name, level); err != nil {
		return err
	}
	if err := r.disk.rmdir(dir, name); err != unix.ENOENT {
		return err
	}
	return nil
}

func (r *removal) moveUp(dir int, name string) error {
	for {
		r.binned++
		err := r.disk.rename(dir, name, r.bin, binPrefix+strconv.Itoa(r.binned))
		if err != unix.EEXIST {
			return err
		}
	}
}

func (r *removal) empty(dir int, name string, level int) error {
	fd, err := openDirectory(dir, name)
	if err == unix.EACCES {
		fd, err = openClosed(dir, name)
	}
	if err == unix.ENOENT {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	st, err := statAt(fd, "")
	if err != nil {
		return err
	}
	if st.crosses(&r.root) {
		return fmt.Errorf("another filesystem is mounted on %q; unmount it first", name)
	}
	if st.mode&0o300 != 0o300 {
		_ = unix.Fchmod(fd, 0o700) // without root, names can be removed only where we may write
	}
	names, err := readNames(fd)
	for _, n := range names {
		if err := r.remove(fd, n, level+1); err != nil {
			return err
		}
	}
	return err
}

// openClosed opens a directory of ours that not even we may read.
func openClosed(dir int, name string) (int, error) {
	handle, st, err := openHandle(dir, name)
	if err != nil {
		return -1, err
	}
	defer unix.Close(handle)
	if st.kind() != tree.Directory {
		return -1, unix.ENOTDIR
	}
	if err := unix.Chmod(handlePath(handle), 0o700); err != nil {
		return -1, err
	}
	return openDirectory(dir, name)
}
