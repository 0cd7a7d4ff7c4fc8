package files

import (
	"golang.org/x/sys/unix"

	"holdfast/internal/tree"
)

// attributes are what of a directory is not its listing.
type attributes struct {
	Mode   uint32       `cbor:"1,keyasint"`
	UID    uint32       `cbor:"2,keyasint"`
	GID    uint32       `cbor:"3,keyasint"`
	MTime  tree.Time    `cbor:"4,keyasint"`
	Xattrs []tree.Xattr `cbor:"5,keyasint,omitempty"`
}

// readDirectory returns the attributes of an open directory. Extended ones that
// cannot be read are not there for whoever we are.
func readDirectory(fd int) (attributes, error) {
	st, err := statAt(fd, "")
	if err != nil {
		return attributes{}, err
	}
	xattrs, _ := attributesOf(fd).read()
	return attributes{Mode: st.mode & 0o7777, UID: st.uid, GID: st.gid, MTime: st.mtime, Xattrs: xattrs}, nil
}

// keepIrrevocable makes a keep of old what could not be given back without root:
// the owner, a group that need not be ours, and a set-group bit that goes with it.
func (a *attributes) keepIrrevocable(old attributes) {
	if unix.Geteuid() == 0 {
		return
	}
	a.UID, a.GID = old.UID, old.GID
	if (a.Mode|old.Mode)&unix.S_ISGID != 0 {
		a.Mode = old.Mode
	}
}

// apply gives an open directory the attributes a. Whoever is not root, and not
// the directory's owner, may exchange what it holds but not this: then it stays
// as it is.
func (d *disk) apply(fd int, a attributes) error {
	steps := []struct {
		op   string
		done func(st *stat) bool
		call func() error
	}{
		{"chown", func(st *stat) bool { return st.uid == a.UID && st.gid == a.GID },
			func() error { return unix.Fchown(fd, int(a.UID), int(a.GID)) }},
		{"xattrs", func(*stat) bool { return false },
			func() error { attributesOf(fd).replace(a.Xattrs, func(string, error) {}); return nil }},
		{"times", func(st *stat) bool { return st.mtime == a.MTime },
			func() error { return setTimes(fd, ".", a.MTime) }},
		{"chmod", func(st *stat) bool { return st.mode&0o7777 == a.Mode }, // not before: an owner or an ACL changes it
			func() error { return unix.Fchmod(fd, a.Mode) }},
	}
	for _, s := range steps {
		st, err := statAt(fd, "")
		if err == nil && !s.done(&st) {
			err = d.do(s.op, ".", s.call)
		}
		if err != nil && !notOurs(err) {
			return err
		}
	}
	return nil
}

// notOurs reports whether err says no more than that we are neither root nor
// the owner.
func notOurs(err error) bool { return err == unix.EPERM && unix.Geteuid() != 0 }

// keepTimes undoes what making or removing a name did to the directory's time.
func (d *disk) keepTimes(dir int, before stat) error {
	if err := d.setTimes(dir, ".", before.mtime); !notOurs(err) {
		return err
	}
	return nil
}

// setTimes sets the modification time of name in dir, itself and not what a
// symlink leads to.
func (d *disk) setTimes(dir int, name string, mtime tree.Time) error {
	return d.do("times", name, func() error { return setTimes(dir, name, mtime) })
}

func setTimes(dir int, name string, mtime tree.Time) error {
	modified, err := unix.TimeToTimespec(mtime.Time())
	if err != nil {
		return err
	}
	times := []unix.Timespec{{Nsec: unix.UTIME_OMIT}, modified}
	return unix.UtimesNanoAt(dir, name, times, unix.AT_SYMLINK_NOFOLLOW)
}
