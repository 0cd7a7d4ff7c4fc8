package sqlite

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// shared makes a database in a directory that other users can come to, and which
// an application may have open, and then gives both these modes.
func shared(t *testing.T, mode string, directory, file os.FileMode, open bool) string {
	t.Helper()
	top, err := os.MkdirTemp("", "holdfast-sqlite-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(top) })
	dir := filepath.Join(top, "dir")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "s.db")
	shell(t, path, "PRAGMA journal_mode = "+mode+";"+known)
	if open {
		prompt(t, path)("UPDATE account SET balance = 100.0; SELECT count(*) FROM account;")
	}
	for p, mode := range map[string]os.FileMode{top: 0o755, path: file, dir: directory} {
		if err := os.Chmod(p, mode); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { _ = os.Chmod(dir, 0o755) })
	return path
}

// asOther captures a database as a user who is not root; of a file with mode
// r--r--r-- its owner may do no more than others.
func asOther(t *testing.T, path string) (string, error) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", path)
	cmd.Env = append(os.Environ(), roleVariable+"=capture")
	if os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func TestCaptureByWhoMayOnlyRead(t *testing.T) {
	for _, c := range []struct {
		what            string
		mode            string
		directory, file os.FileMode
		open            bool   // an application has it open
		want            string // of the error; "" if it works
	}{
		{"rollback, nothing writable", "delete", 0o555, 0o444, false, ""},
		{"rollback, the directory writable", "delete", 0o777, 0o444, false, ""},
		{"WAL, open, nothing writable", "wal", 0o555, 0o444, true, ""},
		{"WAL, closed, nothing writable", "wal", 0o555, 0o444, false, "may not write to"},
		{"WAL, closed, the directory writable", "wal", 0o777, 0o444, false, "spoil"},
		{"WAL, open, the directory writable", "wal", 0o777, 0o444, true, ""},
		{"WAL, closed, all writable", "wal", 0o777, 0o666, false, ""},
		{"not readable", "delete", 0o755, 0o000, false, "may not read "},
	} {
		path := shared(t, c.mode, c.directory, c.file, c.open)
		before := names(t, filepath.Dir(path))
		out, err := asOther(t, path)
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v: %s", c.what, err, out)
		case c.want != "" && (err == nil || !strings.Contains(out, c.want) || !strings.Contains(out, path)):
			t.Errorf("%s: %v: %s; want %q", c.what, err, out, c.want)
		}
		if after := names(t, filepath.Dir(path)); strings.Join(after, " ") != strings.Join(before, " ") {
			t.Errorf("%s: beside it there was %q, there is %q", c.what, before, after)
		}
	}
}

// TestCaptureOnAFullDisk: that SQLite cannot make a -shm, which it needs for a database in WAL
// mode that nobody has open, is no fault of the disk.
func TestCaptureOnAFullDisk(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("only root can mount a small disk: sudo go test ./engines/sqlite")
	}
	dir := t.TempDir()
	if err := syscall.Mount("small", dir, "tmpfs", 0, "size=256k"); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) }()
	path := filepath.Join(dir, "s.db")
	shell(t, path, "PRAGMA journal_mode = wal; CREATE TABLE t (a);")
	_ = os.WriteFile(filepath.Join(dir, "filler"), make([]byte, 1<<20), 0o600) // as much as there is room for
	s := newSource(t, path)
	if err := s.Prepare(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "no space left in "+dir) {
		t.Errorf("prepare: %v", err)
	}
}
