package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestRestoreOntoAFreshDisk: a disk's root is a mount point, which no directory
// can take the place of; and here nothing can be made beside it either.
func TestRestoreOntoAFreshDisk(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	s := newSite(t, siteConfig)
	s.rows("master", "one", 100)
	s.files("master", "one", 20)
	s.repository()
	name := s.create()
	for _, disk := range []string{"srv", "srv/rescue"} {
		s.must(os.MkdirAll(s.path(disk), 0o755))
		s.must(syscall.Mount("tmpfs", s.path(disk), "tmpfs", 0, "size=24m"))
		defer func() { s.must(syscall.Unmount(s.path(disk), syscall.MNT_DETACH)) }()
	}
	s.must(os.Mkdir(s.path("srv/rescue/lost+found"), 0o700))
	s.must(syscall.Mount("", s.path("srv"), "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""))
	s.ok("snapshot", "-e", "master", "restore", name, "--to", s.path("srv/rescue"))
	if data, err := os.ReadFile(s.path("srv/rescue/uploads/common")); err != nil || string(data) != "one" {
		t.Errorf("restored %q, %v", data, err)
	}
	names, err := filepath.Glob(s.path("srv/rescue/.*"))
	if s.must(err); len(names) > 0 {
		t.Errorf("left behind: %s", names)
	}
}

// TestRestoreWithoutRoot restores into a directory of nobody's, whose parent is
// root's; what cannot be kept so is said.
func TestRestoreWithoutRoot(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("this test must run as root")
	}
	const nobody = 65534
	s := newSite(t, siteConfig)
	s.rows("master", "one", 10)
	s.files("master", "one", 3)
	s.repository()
	name := s.create()
	s.must(os.MkdirAll(s.path("parent/own"), 0o755))
	s.must(os.Chown(s.path("parent/own"), nobody, nobody))
	s.must(os.Chmod(filepath.Dir(s.dir), 0o755))
	for _, args := range [][]string{{"cp", os.Args[0], s.path("holdfast")}, {"chmod", "755", s.path("holdfast")},
		{"chown", "-R", "nobody", s.path("repo")}} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", args, err, out)
		}
	}
	cmd := exec.Command(s.path("holdfast"), "-e", "master", "snapshot", "restore", name, "--to", "parent/own", "--quiet")
	cmd.Dir, cmd.Env = s.dir, s.env
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	_ = cmd.Run() // the exit code says it all
	said := strings.Split(stderr.String(), "\n")
	if code := cmd.ProcessState.ExitCode(); code != int(exitIncomplete) || len(said) != 3 ||
		said[0] != "holdfast: "+name+" is restored to "+s.path("parent/own")+", but not all is as it was" ||
		!strings.HasPrefix(said[1], "holdfast: owner or group not kept without root") {
		t.Errorf("exit code %d\n%s", code, stderr.String())
	}
	if data, err := os.ReadFile(s.path("parent/own/uploads/common")); err != nil || string(data) != "one" {
		t.Errorf("restored %q, %v", data, err)
	}
}

// TestVerifiedWithoutRoot removes the scratch directory, whatever modes the restored ones have.
func TestVerifiedWithoutRoot(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("this test must run as root")
	}
	const nobody = 65534
	s := newSite(t, siteConfig)
	s.rows("master", "one", 10)
	s.write("master/uploads/closed/deep/file", []byte("data"))
	s.must(os.Mkdir(s.path("scratch"), 0o777))
	for _, args := range [][]string{{"cp", os.Args[0], s.path("holdfast")}, {"chmod", "755", s.path("holdfast"), filepath.Dir(s.dir)},
		{"chmod", "-R", "555", s.path("master/uploads/closed")}} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", args, err, out)
		}
	}
	s.repository()
	name := s.create()
	if out, err := exec.Command("chown", "-R", "nobody", s.path("repo"), s.path("scratch")).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	cmd := exec.Command(s.path("holdfast"), "-e", "master", "repo", "check", "--verify-restore", name, "--scratch", "scratch")
	cmd.Dir, cmd.Env = s.dir, s.env
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	out, err := cmd.CombinedOutput()
	left, unread := os.ReadDir(s.path("scratch"))
	if err != nil || unread != nil || len(left) > 0 {
		t.Errorf("%v: %d left behind\n%s", err, len(left), out)
	}
}
