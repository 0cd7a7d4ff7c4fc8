package sqlite

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// usedElsewhere refuses a database in WAL mode that another process has open under
// another name: a second hard link, or the single file mounted into a container. Its
// write-ahead log lies beside that name, and what was committed to it would be
// missing in what we read. It sees the processes that this user may look into.
func usedElsewhere(path string) error {
	database, err := os.Stat(path)
	if err != nil {
		return err
	}
	locks, err := os.Open("/proc/locks")
	if err != nil {
		return nil // nobody can tell
	}
	defer locks.Close()
	// In that mode whoever has the database open holds a lock on it.
	writers, readers := lockHolders(locks, []uint64{database.Sys().(*syscall.Stat_t).Ino})
	for _, pid := range append(writers, readers...) {
		if name := otherName(pid, database, path+"-wal"); name != "" {
			return fmt.Errorf("process %d%s has it open as %s, and its write-ahead log lies there: name that path, "+
				"and give a container the directory instead of the single file", pid, command(pid), name)
		}
	}
	return nil
}

// otherName returns the name under which a process has the database open with another
// write-ahead log than the one at the path log, or "".
func otherName(pid int, database fs.FileInfo, log string) string {
	descriptors, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil {
		return ""
	}
	open := map[string]fs.FileInfo{}
	for _, d := range descriptors {
		name, err := os.Readlink(d)
		if err != nil {
			continue // closed meanwhile
		}
		if info, err := os.Stat(d); err == nil {
			open[name] = info
		}
	}
	ours, err := os.Stat(log)
	if err != nil {
		return "" // who had it open has closed it
	}
	for name, info := range open {
		if beside := open[name+"-wal"]; beside != nil && os.SameFile(info, database) && !os.SameFile(beside, ours) {
			return name
		}
	}
	return ""
}
