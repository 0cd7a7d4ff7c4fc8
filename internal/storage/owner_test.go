package storage_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"holdfast/internal/storage"
)

// TestWhatRootPutsBelongsToTheOwner, whose backups go on afterwards.
func TestWhatRootPutsBelongsToTheOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("only root can write where others work: sudo go test ./internal/storage")
	}
	const nobody = 65534
	dir := t.TempDir()
	if err := os.Chown(dir, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	l, err := storage.OpenLocal(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	put(t, l, "config", "data")
	put(t, l, "leases/one/1", "data")
	d, err := l.Begin(t.Context(), "packs")
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Write(t.Context(), []byte("data")); err != nil {
		t.Fatal(err)
	}
	if err := d.Commit(t.Context(), "packs/3f/name"); err != nil {
		t.Fatal(err)
	}
	seen := 0
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		seen++
		if s := info.Sys().(*syscall.Stat_t); s.Uid != nobody || s.Gid != nobody {
			t.Errorf("%s belongs to %d:%d", path, s.Uid, s.Gid)
		}
		return nil
	})
	if err != nil || seen != 8 {
		t.Errorf("%d files and directories, %v", seen, err)
	}
}
