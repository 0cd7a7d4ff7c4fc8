package files

import (
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"

	"holdfast/internal/tree"
)

// stat is what the kernel says about one file.
type stat struct {
	node
	mount        uint64 // id of the mount it is on; 0 where the kernel is too old to say
	mode         uint32 // with the type bits
	links        uint32
	uid, gid     uint32
	size, blocks uint64
	mtime, ctime tree.Time
	device       uint64 // as in tree.Entry
}

// statAt looks at name in the directory dir without following a symlink, and
// without mounting anything; "" stands for dir itself, which may be of any type.
func statAt(dir int, name string) (stat, error) {
	flags := unix.AT_SYMLINK_NOFOLLOW | unix.AT_NO_AUTOMOUNT
	if name == "" {
		flags |= unix.AT_EMPTY_PATH
	}
	var s unix.Statx_t
	for {
		err := unix.Statx(dir, name, flags, unix.STATX_BASIC_STATS|unix.STATX_MNT_ID, &s)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return stat{}, err
		}
		break
	}
	st := stat{
		node:  node{unix.Mkdev(s.Dev_major, s.Dev_minor), s.Ino},
		mode:  uint32(s.Mode),
		links: s.Nlink,
		uid:   s.Uid, gid: s.Gid,
		size: s.Size, blocks: s.Blocks,
		mtime: tree.Time{Sec: s.Mtime.Sec, Nsec: s.Mtime.Nsec},
		ctime: tree.Time{Sec: s.Ctime.Sec, Nsec: s.Ctime.Nsec},
	}
	if s.Mask&unix.STATX_MNT_ID != 0 {
		st.mount = s.Mnt_id
	}
	if t := st.kind(); t == tree.CharDevice || t == tree.BlockDevice {
		st.device = uint64(s.Rdev_major)<<32 | uint64(s.Rdev_minor)
	}
	return st, nil
}

// kind returns 0 for what Linux may invent yet.
func (s *stat) kind() tree.Type {
	switch s.mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return tree.Directory
	case unix.S_IFREG:
		return tree.File
	case unix.S_IFLNK:
		return tree.Symlink
	case unix.S_IFIFO:
		return tree.FIFO
	case unix.S_IFSOCK:
		return tree.Socket
	case unix.S_IFCHR:
		return tree.CharDevice
	case unix.S_IFBLK:
		return tree.BlockDevice
	}
	return 0
}

// sameState reports whether nothing was done to the file between s and t.
func (s *stat) sameState(t *stat) bool {
	return s.node == t.node && s.size == t.size && s.mtime == t.mtime && s.ctime == t.ctime
}

// crosses reports whether the thing lies on another filesystem than the
// directory root. Directories are told apart by device too (a btrfs subvolume
// has inode numbers of its own); other things are not, because an overlay gives
// its files the devices of its layers.
func (s *stat) crosses(root *stat) bool {
	return s.mount != root.mount || s.kind() == tree.Directory && s.dev != root.dev
}

// openRoot opens a mount, the one path that is followed as the user wrote it.
func openRoot(path string) (int, error) {
	fd, err := open(unix.AT_FDCWD, path, unix.O_RDONLY|unix.O_DIRECTORY)
	switch err {
	case nil:
		return fd, nil
	case unix.ENOENT:
		return -1, fmt.Errorf("%s does not exist; create it or correct the mount's path: %w", path, err)
	case unix.ENOTDIR:
		return -1, fmt.Errorf("%s is not a directory; a mount must be one: %w", path, err)
	}
	return -1, fmt.Errorf("open %s: %w", path, err)
}

// open is openat for names (not paths), close-on-exec and patient.
func open(dir int, name string, flags int) (int, error) { return openMode(dir, name, flags, 0) }

func openMode(dir int, name string, flags int, mode uint32) (int, error) {
	for {
		fd, err := unix.Openat(dir, name, flags|unix.O_CLOEXEC|unix.O_NOCTTY, mode)
		if err != unix.EINTR {
			return fd, err
		}
	}
}

// openDirectory opens the directory name for reading; a symlink is ENOTDIR or ELOOP.
func openDirectory(dir int, name string) (int, error) {
	return open(dir, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW)
}

// openHandle returns a descriptor that stands for name, of whatever type,
// without opening it: no device notices, no lock is lost when it is closed.
func openHandle(dir int, name string) (int, stat, error) {
	fd, err := open(dir, name, unix.O_PATH|unix.O_NOFOLLOW)
	if err != nil {
		return -1, stat{}, err
	}
	st, err := statAt(fd, "")
	if err != nil {
		unix.Close(fd)
		return -1, stat{}, err
	}
	return fd, st, nil
}

// openFile opens the file behind a handle for reading.
func openFile(handle int) (int, error) {
	return openQuietly(unix.AT_FDCWD, handlePath(handle), 0)
}

// openRegular opens name, which was a regular file a moment ago, for reading.
// What has come in its place meanwhile does not block, and a symlink is ELOOP;
// the stat says what was opened.
func openRegular(dir int, name string) (int, stat, error) {
	fd, err := openQuietly(dir, name, unix.O_NOFOLLOW)
	if err != nil {
		return -1, stat{}, err
	}
	st, err := statAt(fd, "")
	if err != nil {
		unix.Close(fd)
		return -1, stat{}, err
	}
	return fd, st, nil
}

// openQuietly leaves the access time alone where that is allowed.
func openQuietly(dir int, name string, flags int) (int, error) {
	flags |= unix.O_RDONLY | unix.O_NONBLOCK
	fd, err := open(dir, name, flags|unix.O_NOATIME)
	if err == unix.EPERM {
		fd, err = open(dir, name, flags)
	}
	return fd, err
}

// handlePath is a path for what a descriptor stands for, however deep that is,
// for the calls that do not take descriptors.
func handlePath(fd int) string { return "/proc/self/fd/" + strconv.Itoa(fd) }

// openBeneath opens the directory that names lead to from dir, one by one.
func openBeneath(dir int, names []string) (int, error) {
	at, err := openDirectory(dir, ".")
	for _, name := range names {
		if err != nil {
			return -1, err
		}
		parent := at
		at, err = openDirectory(parent, name)
		unix.Close(parent)
	}
	return at, err
}

// readLink returns the target of the symlink that handle stands for.
func readLink(handle int, size uint64) (string, error) {
	for n := max(int(size)+1, 64); ; n *= 2 {
		buf := make([]byte, n)
		got, err := unix.Readlinkat(handle, "", buf)
		if err != nil {
			return "", err
		}
		if got < n {
			return string(buf[:got]), nil
		}
	}
}
