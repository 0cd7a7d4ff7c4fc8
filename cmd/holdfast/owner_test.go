package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestASnapshotByRoot, such as one before an upgrade, keeps nobody out of his own repository;
// and who finds in it what is not his is told what to do.
func TestASnapshotByRoot(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Fatal("only root can write where others work: sudo go test ./cmd/holdfast")
	}
	const nobody = 65534
	s := newSite(t, siteConfig)
	s.rows("master", "one", 10)
	s.repository()
	s.must(os.Chmod(filepath.Dir(s.dir), 0o755))
	for _, args := range [][]string{{"cp", os.Args[0], s.path("holdfast")}, {"chmod", "755", s.path("holdfast")}, {"chown", "-R", "nobody:", s.dir}} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", args, err, out)
		}
	}
	byNobody := func() (string, int) {
		cmd := exec.Command(s.path("holdfast"), "-e", "master", "snapshot", "create")
		cmd.Dir, cmd.Env = s.dir, append(s.env, "XDG_CACHE_HOME="+s.path("cache-of-nobody"))
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		out, _ := cmd.CombinedOutput() // the exit code says it all
		return string(out), cmd.ProcessState.ExitCode()
	}
	if out, code := byNobody(); code != 0 {
		t.Fatalf("before: exit code %d\n%s", code, out)
	}
	s.write("master/uploads/new", []byte("new"))
	s.create()
	if out, code := byNobody(); code != 0 {
		t.Errorf("after one by root: exit code %d\n%s", code, out)
	}
	segments, err := filepath.Glob(s.path("repo/index/*"))
	s.must(err)
	for _, segment := range segments {
		s.must(os.Chown(segment, 0, 0))
	}
	if out, code := byNobody(); code != 1 || !strings.Contains(out, "permission denied") || !strings.Contains(out, "\nhint: the repository, or some of it, belongs to another user") {
		t.Errorf("with an index of root's: exit code %d\n%s", code, out)
	}
}
