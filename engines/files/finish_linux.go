package files

import (
	"context"
	"fmt"

	"golang.org/x/sys/unix"

	"holdfast/internal/tree"
)

// The order in which attributes are given matters: chown takes set-id bits and
// capabilities away, an ACL changes the mode, and whatever is made in a
// directory moves its times. So: content, owner, extended attributes, times, mode.
//
// Without root a file belongs to whoever restores; its group is kept where that
// is allowed; a set-id bit whose owner or group was not kept is dropped, because
// it would lend somebody else's rights.

// firstMode is the mode with which a file is made: mostly the one it is to have,
// which saves a step. Set-id bits come last; and whoever is not root may give
// extended attributes to a file only while the mode lets them write to it. Until
// the end nobody else reaches the file: it lies beneath .holdfast.
func firstMode(e *tree.Entry) uint32 {
	if len(e.Xattrs) > 0 {
		return 0o600
	}
	return e.Mode & 0o777
}

// finish gives the file or directory name in dir, which fd has open, those
// attributes of e that it does not have yet. path is for messages.
func (w *writer) finish(dir int, name string, fd int, path string, e *tree.Entry) error {
	st, err := statAt(fd, "")
	if err != nil {
		return err
	}
	mode, err := w.own(path, e, &st, func(uid, gid int) error { return unix.Fchown(fd, uid, gid) })
	if err != nil {
		return err
	}
	if err := w.attribute(attributesOf(fd), path, e); err != nil {
		return err
	}
	if err := w.disk.setTimes(dir, name, e.MTime); err != nil {
		return err
	}
	if st.mode&0o7777 == mode && mode&^0o777 == 0 && len(e.Xattrs) == 0 {
		return nil // neither a new owner nor anything else has changed it
	}
	return w.disk.do("chmod", name, func() error { return unix.Fchmod(fd, mode) })
}

// own gives what chown changes, and st describes, to the owner of e, and returns
// the mode it may have.
func (w *writer) own(path string, e *tree.Entry, st *stat, chown func(uid, gid int) error) (mode uint32, err error) {
	uid, gid := int(w.owners.uid(e.User, e.UID)), int(w.owners.gid(e.Group, e.GID))
	if uid == int(st.uid) && gid == int(st.gid) {
		return e.Mode, nil
	}
	try := func(uid, gid int) error {
		return w.disk.do("chown", e.Name, func() error { return chown(uid, gid) })
	}
	err = try(uid, gid)
	if err == nil {
		return e.Mode, nil
	}
	if !refused(err) {
		return 0, err
	}
	mode = e.Mode
	if uid != unix.Geteuid() {
		mode &^= unix.S_ISUID
	}
	if err = try(-1, gid); refused(err) {
		if e.Type != tree.Directory {
			mode &^= unix.S_ISGID
		}
		err = nil
	}
	w.lost.count("owner or group not kept without root; it belongs to the restoring user", path)
	return mode, err
}

// refused reports whether the system does not let us: for lack of rights, or
// because the number means nothing in this user namespace.
func refused(err error) bool { return err == unix.EPERM || err == unix.EINVAL }

func (w *writer) attribute(a attributeIO, path string, e *tree.Entry) error {
	if len(e.Xattrs) == 0 {
		return nil
	}
	return w.disk.do("xattrs", e.Name, func() error {
		var full error
		a.write(e.Xattrs, func(name string, err error) {
			if err == unix.ENOSPC || err == unix.EDQUOT || err == unix.EIO {
				full = err
				return
			}
			w.lost.count(fmt.Sprintf("extended attribute %s not set: %v", name, err), path)
		})
		return full
	})
}

// special makes what is neither file nor directory.
func (w *writer) special(_ context.Context, dir int, at *place, e *tree.Entry) error {
	path := at.path(e.Name)
	err := w.node(dir, e)
	if refused(err) || unsupported(err) {
		w.lost.one(path, fmt.Sprintf("%s not made: %v", e.Type, err))
		return nil
	}
	if err != nil {
		return err
	}
	handle, st, err := openHandle(dir, e.Name)
	if err != nil {
		return err
	}
	defer unix.Close(handle)
	if st.kind() != e.Type {
		return unix.EEXIST
	}
	mode, err := w.own(path, e, &st, func(uid, gid int) error {
		return unix.Fchownat(handle, "", uid, gid, unix.AT_EMPTY_PATH|unix.AT_SYMLINK_NOFOLLOW)
	})
	if err != nil {
		return err
	}
	if err := w.attribute(attributesOfHandle(handle), path, e); err != nil {
		return err
	}
	if err := w.disk.setTimes(dir, e.Name, e.MTime); err != nil || e.Type == tree.Symlink {
		return err
	}
	return w.disk.do("chmod", e.Name, func() error { return unix.Chmod(handlePath(handle), mode) })
}

func (w *writer) node(dir int, e *tree.Entry) error {
	if e.Type == tree.Symlink {
		return w.disk.do("symlink", e.Name, func() error { return unix.Symlinkat(e.Target, dir, e.Name) })
	}
	kinds := map[tree.Type]uint32{tree.FIFO: unix.S_IFIFO, tree.Socket: unix.S_IFSOCK, tree.CharDevice: unix.S_IFCHR, tree.BlockDevice: unix.S_IFBLK}
	device := unix.Mkdev(uint32(e.Device>>32), uint32(e.Device))
	return w.disk.do("mknod", e.Name, func() error { return unix.Mknodat(dir, e.Name, kinds[e.Type]|0o600, int(device)) })
}
