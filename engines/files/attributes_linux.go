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

// apply gives an open directory the attributes a. Whoever is not root, and not
// the directory's owner, may exchange what it holds but not this: then it stays
// as it is.
func (d *disk) apply(fd int, a attributes) error {
	steps := []struct {
		op   string
		call func() error
	}{
		{"chown", func() error { return unix.Fchown(fd, int(a.UID), int(a.GID)) }},
		{"xattrs", func() error { attributesOf(fd).replace(a.Xattrs, func(string, error) {}); return nil }},
		{"times", func() error { return setTimes(fd, ".", a.MTime) }},
		{"chmod", func() error { return unix.Fchmod(fd, a.Mode) }},
	}
	for _, s := range steps {
		if err := d.do(s.op, ".", s.call); err != nil && (err != unix.EPERM || unix.Geteuid() == 0) {
			return err
		}
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
