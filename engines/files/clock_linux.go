package files

import (
	"time"

	"golang.org/x/sys/unix"

	"holdfast/internal/tree"
)

// clock tells which files changed too recently for their times to prove that
// they will not change again unseen.
type clock struct {
	since tree.Time // one tick before S, the filesystem's time at the first sync
	until tree.Time // later times were set by hand, no clock gave them
	whole tree.Time // like since, for a file whose times are whole seconds
}

// startClock notes the time S of the filesystem that root is on and then syncs
// that filesystem. The order matters: a page that is dirtied again while the
// sync runs has moved its file's times to S or later.
//
// Where the sync does not work nothing is known about mapped pages, and every
// file is suspect. So it is on filesystems in memory, which have nothing to write
// out: their pages stay dirty, and are written to without moving any times.
func startClock(root int) clock {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_REALTIME_COARSE, &now); err != nil {
		return everything()
	}
	tick := granularity(root)
	if err := unix.Syncfs(root); err != nil || inMemory(root) {
		return everything()
	}
	s := time.Unix(now.Unix())
	return clock{
		since: tree.TimeOf(s.Add(-tick)),
		whole: tree.TimeOf(s.Add(-max(tick, coarse))),
		until: tree.TimeOf(s.Add(24 * time.Hour)),
	}
}

// inMemory reports whether the filesystem has no disk, also where it cannot be told.
func inMemory(root int) bool {
	var fs unix.Statfs_t
	if err := unix.Fstatfs(root, &fs); err != nil {
		return true
	}
	return uint32(fs.Type) == unix.TMPFS_MAGIC || uint32(fs.Type) == unix.RAMFS_MAGIC
}

// filesystemTime is what a local filesystem would stamp a change with now.
func filesystemTime() tree.Time {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_REALTIME_COARSE, &now); err != nil {
		return tree.Time{} // the audit then finds nothing older
	}
	return tree.TimeOf(time.Unix(now.Unix()))
}

func everything() clock {
	long := tree.Time{Sec: -1 << 62}
	return clock{since: long, whole: long, until: tree.Time{Sec: 1 << 62}}
}

// suspects reports whether a file with these times must be read again.
func (c clock) suspects(mtime, ctime tree.Time) bool {
	return c.recent(mtime) || c.recent(ctime)
}

func (c clock) recent(t tree.Time) bool {
	since := c.since
	if t.Nsec == 0 {
		since = c.whole
	}
	return !t.Before(since) && t.Before(c.until)
}

// How far a filesystem's time stamps can be from the clock.
const (
	ticks   = 20 * time.Millisecond // two of the slowest kernel's
	coarse  = 2 * time.Second       // old ext, FAT
	foreign = 10 * time.Minute      // another machine's clock
)

// granularity goes by the type of the filesystem: those known to stamp with the
// kernel's clock to the nanosecond, those known to use a server's, and the rest.
func granularity(root int) time.Duration {
	var fs unix.Statfs_t
	if err := unix.Fstatfs(root, &fs); err != nil {
		return foreign
	}
	switch uint32(fs.Type) {
	case unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC, unix.F2FS_SUPER_MAGIC,
		unix.OVERLAYFS_SUPER_MAGIC, unix.BCACHEFS_SUPER_MAGIC, zfsMagic:
		return ticks
	case unix.EXFAT_SUPER_MAGIC, unix.MSDOS_SUPER_MAGIC, unix.REISERFS_SUPER_MAGIC, unix.NILFS_SUPER_MAGIC:
		return coarse
	}
	return foreign
}

const zfsMagic = 0x2fc12fc1
