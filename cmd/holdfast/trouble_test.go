package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"holdfast/internal/soak"
	"holdfast/repo/repotest"
)

func TestTwoCreatesAtOnce(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteConfig)
	s.rows("master", "one", 40000)
	s.files("master", "one", 300)
	s.repository()
	first := s.command("-e", "master", "snapshot", "create")
	s.must(first.Start())
	defer func() { _ = first.Wait() }()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		if found, _ := filepath.Glob(s.path("repo/activities/*/0*")); len(found) > 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the first create does not begin")
		}
	}
	s.must(first.Process.Signal(syscall.SIGSTOP))
	_, stderr, code := s.run("-e", "master", "snapshot", "create")
	list := s.ok("-e", "master", "snapshot", "list")
	s.must(first.Process.Signal(syscall.SIGCONT))
	running := twentyDigits.FindString(list)
	if code != int(exitBusy) || running == "" || !strings.Contains(stderr, running) {
		t.Errorf("exit code %d, %q; want %d and the running one named (%s)", code, stderr, exitBusy, running)
	}
}

func TestUnreadableFileIsNamedAndTheRestIsSaved(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteConfig)
	s.rows("master", "one", 10)
	s.files("master", "one", 3)
	s.repository()
	// A directory that even root cannot list does not exist; a file on a file
	// system that refuses to read it does.
	s.must(os.Symlink("/proc/self/mem", s.path("master/uploads/link"))) // kept as a link, not followed
	s.must(exec.Command("mkfifo", s.path("master/uploads/pipe")).Run())
	s.create()
	s.must(syscall.Mount("/proc/self", s.path("master/uploads/00"), "", syscall.MS_BIND, ""))
	defer func() { s.must(syscall.Unmount(s.path("master/uploads/00"), syscall.MNT_DETACH)) }()
	stdout, stderr, code := s.run("-e", "master", "snapshot", "create")
	if code != 0 || !strings.HasPrefix(stdout, "Snapshot name: ") || !strings.Contains(stderr, "uploads") {
		t.Errorf("another file system inside: exit code %d\n%s%s", code, stdout, stderr)
	}
}

// inNamespace re-executes the test inside a mount namespace of its own, where it
// can mount what nobody else sees.
func inNamespace(t *testing.T) bool {
	t.Helper()
	if os.Getenv("HOLDFAST_TEST_NAMESPACE") == t.Name() {
		if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
			t.Fatal(err)
		}
		return true
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), "HOLDFAST_TEST_NAMESPACE="+t.Name())
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	if os.Getuid() != 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWUSER,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}}
	}
	out, err := cmd.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("--- PASS: "+t.Name())) {
		t.Fatalf("in a mount namespace (root, or user namespaces, are needed): %v\n%s", err, out)
	}
	return false
}

// TestRepositoryRunsFull fills the repository's file system at every amount of
// room that a create can meet, from none to enough.
func TestRepositoryRunsFull(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	s := newSite(t, siteConfig)
	s.ownDisk("24m")
	s.rows("master", "one", 100)
	s.files("master", "one", 20)
	s.must(makeRepository(s.path("disk/repo")))
	s.create()
	random := rand.NewChaCha8([32]byte{1})
	big := make([]byte, 4<<20)
	_, _ = random.Read(big) // never fails
	s.write("master/uploads/big", big)

	failed := 0
	for room := 0; room <= 6<<20; room += 512<<10 + 4096 {
		s.fillDisk(room)
		stdout, stderr, code := s.run("-e", "master", "snapshot", "create")
		s.must(os.Remove(s.path("disk/filler")))
		if code == 0 {
			continue
		}
		failed++
		if code != 1 || stdout != "" || !strings.Contains(stderr, "no space left") {
			t.Errorf("with %d bytes of room: exit code %d, stdout %q, %s", room, code, stdout, stderr)
		}
		s.ok("repo", "check", "--read-data")
	}
	if failed < 5 {
		t.Errorf("only %d creates met a full disk", failed)
	}
	name := s.create()
	s.ok("repo", "check", "--read-data")

	// The safety snapshot does not fit: the restore stands, what it replaced is
	// kept, and the next command saves it.
	s.rows("staging", "old", 10)
	_, _ = random.Read(big)
	s.write("staging/uploads/precious", big)
	s.fillDisk(1 << 20)
	_, stderr, code := s.run("-e", "master", "snapshot", "restore", name, "--target", "staging", "--yes")
	if code != 1 || !strings.Contains(stderr, "could not be saved yet") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
	if got, want := s.state("staging"), s.state("master"); got != want && !strings.Contains(got, "holdfast_swap") {
		t.Errorf("the restore does not stand:\n%s\nwant:\n%s", got, want)
	}
	s.must(os.Remove(s.path("disk/filler")))
	_, stderr, code = s.run("-e", "staging", "snapshot", "create")
	if code != 0 || !undoOfStaging.MatchString(stderr) {
		t.Errorf("a create that completed the restore: exit code %d; want the line that takes it back in\n%s", code, stderr)
	}
	if left := s.leftovers(); len(left) > 0 {
		t.Errorf("left behind: %s", left)
	}
	// The same with the command that only recovers.
	s.must(os.Remove(s.path("staging/uploads/big")))
	_, _ = random.Read(big)
	s.write("staging/uploads/other", big)
	s.fillDisk(1 << 20)
	s.run("-e", "master", "snapshot", "restore", name, "--target", "staging", "--yes")
	s.must(os.Remove(s.path("disk/filler")))
	if stdout := s.ok("-e", "staging", "snapshot", "recover"); !undoOfStaging.MatchString(stdout) {
		t.Errorf("recover says %s; want the line that takes the restore back", stdout)
	}
	if found := s.ok("-e", "staging", "snapshot", "find", "precious"); found == "" {
		t.Error("what was replaced is in no snapshot")
	}
}

var undoOfStaging = regexp.MustCompile(`(?m)To undo: holdfast -e staging snapshot restore [0-9a-f]{20}$`)

// ownDisk puts the repository, which is to be made, on a file system of its own: disk/.
func (s *site) ownDisk(size string) {
	s.t.Helper()
	s.must(os.Mkdir(s.path("disk"), 0o755))
	s.must(syscall.Mount("tmpfs", s.path("disk"), "tmpfs", 0, "size="+size))
	s.t.Cleanup(func() { s.must(syscall.Unmount(s.path("disk"), syscall.MNT_DETACH)) })
	s.env = append(s.env, "HOLDFAST_REPO="+s.path("disk/repo"))
}

// fillDisk leaves room bytes on the file system of disk/.
func (s *site) fillDisk(room int) {
	s.t.Helper()
	var st syscall.Statfs_t
	s.must(syscall.Statfs(s.path("disk"), &st))
	n := int(st.Bavail)*int(st.Bsize) - room
	if n < 0 {
		n = 0
	}
	s.must(os.WriteFile(s.path("disk/filler"), make([]byte, n), 0o600))
}

// TestAFullDiskIsCollected: with not one byte left, on the disk that holds the cache
// directory too, snapshots can be deleted and their space given back; others stay.
func TestAFullDiskIsCollected(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	s := newSite(t, siteConfig)
	s.ownDisk("48m")
	s.env = append(s.env, "XDG_CACHE_HOME="+s.path("disk/cache"))
	s.rows("master", "one", 100)
	s.must(makeRepository(s.path("disk/repo")))
	s.ok("repo", "gc") // makes the reserve
	random := rand.NewChaCha8([32]byte{2})
	big := make([]byte, 1<<20)
	var names []string
	for day := range 16 { // packs that are needed in part are among them
		_, _ = random.Read(big) // never fails
		s.write("master/uploads/big", big)
		s.write(fmt.Sprintf("master/uploads/small%d", day), big[:100_000])
		names = append(names, s.create())
	}
	s.fillDisk(0)
	if _, stderr, code := s.run("-e", "master", "snapshot", "create"); code != 1 || !strings.Contains(stderr, "no space left") {
		t.Fatalf("there is room: exit code %d, %s", code, stderr)
	}
	for _, name := range names[:15] {
		s.fillDisk(0)
		s.ok("snapshot", "delete", name, "--yes")
	}
	s.fillDisk(0)
	s.must(syscall.Mount("", s.path("disk"), "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""))
	s.ok("repo", "gc", "--grace", "0", "--dry-run")
	s.must(syscall.Mount("", s.path("disk"), "", syscall.MS_REMOUNT, ""))
	s.ok("repo", "gc", "--grace", "0")
	var after syscall.Statfs_t
	s.must(syscall.Statfs(s.path("disk"), &after))
	if room := int(after.Bavail) * int(after.Bsize); room < 12<<20 {
		t.Errorf("%d bytes are free of the 15 MiB that were deleted", room)
	}
	s.ok("repo", "check", "--read-data")
	if reserve, err := os.ReadDir(s.path("disk/repo/reserve")); err != nil || len(reserve) < 2 {
		t.Errorf("the reserve was not made anew: %v, %v", reserve, err)
	}
	s.create()
	s.ok("-e", "master", "snapshot", "restore", names[15], "--target", "staging", "--yes", "--no-safety-snapshot")
}

// TestAFullDiskWithoutAReserve: where others have taken the room of the reserve, too, what is
// recorded of operations that are over makes some, and the collection goes on from there.
func TestAFullDiskWithoutAReserve(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	s := newSite(t, siteConfig)
	s.ownDisk("24m")
	s.rows("master", "one", 100)
	s.must(makeRepository(s.path("disk/repo")))
	random := rand.NewChaCha8([32]byte{3})
	big := make([]byte, 1<<20)
	for range 8 {
		_, _ = random.Read(big) // never fails
		s.write("master/uploads/big", big)
		s.ok("snapshot", "delete", s.create(), "--yes")
	}
	for range 8 {
		s.create()
	}
	last := s.create()
	s.must(os.RemoveAll(s.path("disk/repo/reserve")))
	s.fillDisk(0)
	if _, stderr, code := s.run("-e", "master", "snapshot", "create"); code != 1 || !strings.Contains(stderr, "no space left") {
		t.Fatalf("there is room: exit code %d, %s", code, stderr)
	}
	out, stderr, code := s.run("repo", "gc", "--grace", "0")
	if code != 0 || !strings.Contains(out, "Freed ") || !strings.Contains(stderr, "warning: the repository is full: the records of ") {
		t.Errorf("exit code %d\n%s%s", code, out, stderr)
	}
	if reserve, err := os.ReadDir(s.path("disk/repo/reserve")); err != nil || len(reserve) < 2 {
		t.Errorf("the reserve was not made anew: %v, %v", reserve, err)
	}
	s.create()
	s.ok("repo", "check", "--read-data")
	s.ok("-e", "master", "snapshot", "restore", last, "--target", "staging", "--yes", "--no-safety-snapshot")
}

// TestParityThatRunsOutOfRoom is on, as everything says, and completed by what comes next.
func TestParityThatRunsOutOfRoom(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	s := newSite(t, siteConfig)
	s.ownDisk("24m")
	s.rows("master", "one", 100)
	s.must(makeRepository(s.path("disk/repo")))
	s.write("master/uploads/large", repotest.Random(1, 2<<20))
	s.create()
	s.fillDisk(64 << 10)
	for range 2 {
		_, stderr, code := s.run("repo", "parity", "on", "--percent", "100")
		if code != int(exitFailed) || !strings.Contains(stderr, "parity is on, and does not cover all yet") || !strings.Contains(stderr, "hint: the next snapshot or \"holdfast repo gc\"") {
			t.Errorf("exit code %d, %s", code, stderr)
		}
	}
	stats := regexp.MustCompile(`(?m)^Parity +100 %, .*; \d+ objects? not covered$`)
	if text := s.ok("repo", "stats"); !stats.MatchString(text) || strings.Contains(text, "; 0 objects") {
		t.Errorf("stats: %s", text)
	}
	if _, stderr, code := s.run("repo", "check"); code != 0 || !strings.Contains(stderr, "parity is on; objects that it does not cover yet: ") {
		t.Errorf("check: exit code %d, %s", code, stderr)
	}
	s.must(os.Remove(s.path("disk/filler")))
	s.ok("repo", "gc")
	if text := s.ok("repo", "stats"); !stats.MatchString(text) || !strings.Contains(text, "; 0 objects not covered") {
		t.Errorf("stats after a collection: %s", text)
	}
	if _, stderr, _ := s.run("repo", "check"); strings.Contains(stderr, "parity") {
		t.Errorf("check after a collection: %s", stderr)
	}
	s.ok("repo", "parity", "off")
	if text := s.ok("repo", "stats"); !strings.Contains(text, "Parity       off\n") {
		t.Errorf("stats after it was switched off: %s", text)
	}
}

func TestNoRoomForStagingIsFoundBeforeItStarts(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	s := newSite(t, siteConfig)
	s.rows("master", "one", 100)
	s.files("master", "one", 5)
	s.write("master/uploads/big", bytes.Repeat([]byte("big"), 1<<20))
	s.repository()
	name := s.create()
	s.must(syscall.Mount("tmpfs", s.path("staging"), "tmpfs", 0, "size=2m"))
	defer func() { s.must(syscall.Unmount(s.path("staging"), syscall.MNT_DETACH)) }()
	s.write("staging/uploads/old", []byte("old"))
	for _, how := range []string{"--dry-run", "--yes"} {
		_, stderr, code := s.run("-e", "master", "snapshot", "restore", name, "--target", "staging", how)
		if code != 1 || !strings.Contains(stderr, "too little room") || strings.Contains(stderr, "nothing was replaced") {
			t.Errorf("%s: exit code %d, %s", how, code, stderr)
		}
	}
	for _, how := range []string{"--dry-run", "--quiet"} {
		_, stderr, code := s.run("snapshot", "restore", name, "--to", s.path("staging/not/there"), how)
		if code != 1 || !strings.Contains(stderr, "too little room") {
			t.Errorf("into a directory, %s: exit code %d, %s", how, code, stderr)
		}
	}
	s.ok("snapshot", "restore", name, "--to", s.path("not/there"), "--dry-run")
	if left := s.leftovers(); len(left) > 0 {
		t.Errorf("left behind: %s", left)
	}
	if data, err := os.ReadFile(s.path("staging/uploads/old")); err != nil || string(data) != "old" {
		t.Errorf("the target has changed: %v", err)
	}
}

// TestMemoryDoesNotGrowWithTheTree takes snapshots of many small files.
func TestMemoryDoesNotGrowWithTheTree(t *testing.T) {
	n := 10_000
	if soak.On(t) {
		n = 1_000_000
	}
	t.Parallel()
	s := newSite(t, strings.ReplaceAll(siteConfig, `services: {settings: "sqlite:master/settings.db"}`, "services: {}"))
	for i := range n {
		if i%500 == 0 {
			s.must(os.MkdirAll(s.path("master/uploads", fmt.Sprint(i/500)), 0o755))
		}
		s.must(os.WriteFile(s.path("master/uploads", fmt.Sprint(i/500), fmt.Sprint(i)), fmt.Appendf(nil, "file %d of many", i), 0o644))
	}
	s.repository()
	// What was written right before the first snapshot is suspect in it, and is
	// recorded as unchanged by the second: the third has nothing to store.
	for day := range 3 {
		cmd := s.command("-e", "master", "snapshot", "create", "--json")
		out, err := cmd.Output()
		s.must(err)
		peak := cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss
		t.Logf("%d files, day %d: peak %d KiB", n, day, peak)
		if peak > 400<<10 {
			t.Errorf("day %d took %d KiB of memory", day, peak)
		}
		if day == 2 && !strings.Contains(string(out), `"new": 0,`) {
			t.Errorf("an unchanged tree stored something anew:\n%.3000s", out)
		}
	}
}
