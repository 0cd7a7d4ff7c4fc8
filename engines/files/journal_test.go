package files

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"holdfast/internal/tree"
)

// TestAFileThatTakesAJournalsInode: SQLite removes its journal after each transaction, and
// the next file that is made has its inode, as what a site writes anew and renames
// into place. That one must not pass for the journal.
func TestAFileThatTakesAJournalsInode(t *testing.T) {
	root := scratchDir(t)
	write(t, root, map[string]string{"a": "a file of some length", "db": "database", "db-journal": "journal", "z-config": "before"})
	for i := range window { // names that are looked at before the last one is
		write(t, root, map[string]string{fmt.Sprintf("m%03d", i): ""})
	}
	inode := func(name string) uint64 {
		var st unix.Stat_t
		check(t, unix.Stat(filepath.Join(root, name), &st))
		return st.Ino
	}
	journal := inode("db-journal")
	mount := mountService(root)
	mount.Avoid = []string{filepath.Join(root, "db"), filepath.Join(root, "db-journal")}
	found, _, result := captureWhile(t, mount, "a", 1, func() {
		check(t, os.Remove(filepath.Join(root, "db-journal")))
		write(t, root, map[string]string{"new": "after"})
		if inode("new") != journal { // as ext4 does; what is asked holds anywhere
			t.Log("this filesystem does not use the inode again at once")
		}
		check(t, os.Rename(filepath.Join(root, "new"), filepath.Join(root, "z-config")))
	})
	if e, ok := found["uploads/z-config"]; !ok || e.Type != tree.File || e.Size != 5 || len(result.Losses) > 0 {
		t.Errorf("z-config: %v %+v, losses %v", ok, e, result.Losses)
	}
}
