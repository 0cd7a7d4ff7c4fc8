package storage

import (
	"os"
	"syscall"
)

// owner is whom a storage belongs to in which root works. One backup by root, such as before
// an upgrade, must not keep those of the user who takes them each night from succeeding.
type owner struct{ uid, gid int }

func ownerOf(root *os.Root) *owner {
	info, err := root.Stat(".")
	if err != nil || os.Geteuid() != 0 {
		return nil
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || stat.Uid == 0 {
		return nil
	}
	return &owner{int(stat.Uid), int(stat.Gid)}
}

// has gives a file its owner; nil gives none. It is best effort: root of another machine may not.
func (o *owner) has(f *os.File) {
	if o != nil {
		_ = f.Chown(o.uid, o.gid)
	}
}

// hasDirectory is has for an open directory: what stands under its name by now may be something else.
func (o *owner) hasDirectory(d *os.Root) {
	if o == nil {
		return
	}
	if f, err := d.Open("."); err == nil {
		o.has(f)
		_ = f.Close() // only read from
	}
}
