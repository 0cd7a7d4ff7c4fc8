package files

import (
	"golang.org/x/sys/unix"
)

// disk is every way in which this package changes what is on a disk. Each call
// is one step: a process may die before any of them.
type disk struct {
	// step, if set, is called before each step; tests stop there.
	step func(op, name string) error
	// plainRename does without renameat2, as on filesystems that lack it.
	plainRename bool
}

func (d *disk) do(op, name string, call func() error) error {
	if d.step != nil {
		if err := d.step(op, name); err != nil {
			return err
		}
	}
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}

func (d *disk) mkdir(dir int, name string) error {
	return d.do("mkdir", name, func() error { return unix.Mkdirat(dir, name, 0o700) })
}

// makeDirectory makes the directory name, or takes the one that is there.
func (d *disk) makeDirectory(dir int, name string) (int, error) {
	if err := d.mkdir(dir, name); err != nil && err != unix.EEXIST {
		return -1, err
	}
	return openDirectory(dir, name)
}

func (d *disk) unlink(dir int, name string) error {
	return d.do("unlink", name, func() error { return unix.Unlinkat(dir, name, 0) })
}

func (d *disk) rmdir(dir int, name string) error {
	return d.do("rmdir", name, func() error { return unix.Unlinkat(dir, name, unix.AT_REMOVEDIR) })
}

// rename moves a name to where none must be.
func (d *disk) rename(fromDir int, from string, toDir int, to string) error {
	return d.do("rename", from, func() error {
		if !d.plainRename {
			if err := unix.Renameat2(fromDir, from, toDir, to, unix.RENAME_NOREPLACE); !unsupported(err) {
				return err
			}
		}
		if _, err := statAt(toDir, to); err != unix.ENOENT {
			return unix.EEXIST
		}
		return unix.Renameat(fromDir, from, toDir, to)
	})
}

// replace moves a name over another one.
func (d *disk) replace(dir int, from, to string) error {
	return d.do("replace", from, func() error { return unix.Renameat(dir, from, dir, to) })
}

// exchange lets two names change places at once; supported is false on
// filesystems that cannot.
func (d *disk) exchange(aDir int, a string, bDir int, b string) (supported bool, err error) {
	if d.plainRename {
		return false, nil
	}
	err = d.do("exchange", a, func() error { return unix.Renameat2(aDir, a, bDir, b, unix.RENAME_EXCHANGE) })
	if unsupported(err) {
		return false, nil
	}
	return true, err
}

func unsupported(err error) bool {
	return err == unix.EINVAL || err == unix.ENOSYS || err == unix.ENOTSUP
}

func (d *disk) sync(fd int) error {
	return d.do("sync", "", func() error { return unix.Fsync(fd) })
}

func (d *disk) syncAll(fd int) error {
	return d.do("syncfs", "", func() error { return unix.Syncfs(fd) })
}

// startWriteback lets the kernel begin to write what the file fd holds to the
// disk. Nothing is durable by that.
func (d *disk) startWriteback(fd int) error {
	err := d.do("writeback", "", func() error { return unix.SyncFileRange(fd, 0, 0, unix.SYNC_FILE_RANGE_WRITE) })
	if unsupported(err) {
		return nil
	}
	return err
}

// writeFile makes the file name hold exactly data, durably, or leaves what was there.
func (d *disk) writeFile(dir int, name string, data []byte) error {
	unfinished := name + ".new"
	if err := d.unlink(dir, unfinished); err != nil && err != unix.ENOENT {
		return err
	}
	fd, err := d.create(dir, unfinished, 0o600)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := d.do("write", unfinished, func() error { return writeAll(fd, data, 0) }); err != nil {
		return err
	}
	if err := d.sync(fd); err != nil {
		return err
	}
	if err := d.replace(dir, unfinished, name); err != nil {
		return err
	}
	return d.sync(dir)
}

// create makes a new, empty file. The umask and the directory's default ACL take
// away from mode.
func (d *disk) create(dir int, name string, mode uint32) (fd int, err error) {
	err = d.do("create", name, func() error {
		fd, err = openMode(dir, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW, mode)
		return err
	})
	return fd, err
}

// writeAll writes data at the offset off.
func writeAll(fd int, data []byte, off int64) error {
	for len(data) > 0 {
		n, err := unix.Pwrite(fd, data, off)
		if err != nil && err != unix.EINTR {
			return err
		}
		if n > 0 {
			data, off = data[n:], off+int64(n)
		}
	}
	return nil
}

// readFile returns what the file name holds, at most limit bytes of it.
func readFile(dir int, name string, limit int) ([]byte, error) {
	fd, err := open(dir, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	st, err := statAt(fd, "")
	if err != nil {
		return nil, err
	}
	if st.size > uint64(limit) {
		return nil, unix.EFBIG
	}
	data := make([]byte, st.size)
	for at := 0; at < len(data); {
		n, err := unix.Pread(fd, data[at:], int64(at))
		if err != nil && err != unix.EINTR {
			return nil, err
		}
		if n == 0 {
			return data[:at], nil
		}
		at += max(n, 0)
	}
	return data, nil
}

// link gives a file another name; a symlink is not followed.
func (d *disk) link(fromDir int, from string, toDir int, to string) error {
	return d.do("link", to, func() error { return unix.Linkat(fromDir, from, toDir, to, 0) })
}
