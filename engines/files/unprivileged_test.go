package files

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"holdfast/engines/enginetest"
	"holdfast/internal/tree"
)

// The tests run as root; this environment variable makes the test program run
// one of them again as nobody, in the directory that it names.
const asNobody = "HOLDFAST_TEST_AS_NOBODY"

const (
	nobody     = 65534
	extraGroup = 1234 // nobody is in it here
)

func TestWithoutRoot(t *testing.T) {
	if dir := os.Getenv(asNobody); dir != "" {
		withoutRoot(t, dir)
		return
	}
	needRoot(t)
	needTools(t, "setfattr")
	dir := scratchDir(t)
	in := func(p string) string { return filepath.Join(dir, p) }
	write(t, dir, map[string]string{
		"source/plain": "plain", "source/suid": "x", "source/sgid": "x", "source/secret": "secret", "source/closed/file": "x",
		"source/capable": "x", "source/dir/file": "x", "mount/old/file": "old", "shared/old": "old", "foreign/old": "old",
	})
	check(t,
		os.Chown(in("source/plain"), 33, 33),
		os.Chown(in("source/suid"), 33, 33), unix.Chmod(in("source/suid"), 0o6755),
		os.Chown(in("source/sgid"), 33, extraGroup), unix.Chmod(in("source/sgid"), 0o6755),
		os.Chmod(in("source/secret"), 0o600), os.Chmod(in("source/closed"), 0o700),
		unix.Mknod(in("source/null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))),
		unix.Setxattr(in("source/plain"), "user.x", []byte("1"), 0),
		os.Chmod(in("source/dir"), 0o555),
	)
	run(t, "setfattr", "-n", "security.capability", "-v", "0x0100000200040000000000000000000000000000", in("source/capable"))
	run(t, "chown", "-R", fmt.Sprint(nobody), in("mount"))
	check(t, os.Chmod(in("mount/old"), 0o555), os.Chmod(dir, 0o755),
		os.Chown(in("shared"), 0, extraGroup), os.Chmod(in("shared"), 0o775))

	// As nobody may not look into the directory of the test program, it gets a copy.
	self, err := os.Executable()
	check(t, err)
	run(t, "cp", self, in("test"))
	check(t, os.Chmod(in("test"), 0o755))
	cmd := exec.Command(in("test"), "-test.run=^TestWithoutRoot$", "-test.v")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), asNobody+"="+dir, "TMPDIR="+in("mount"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody, Groups: []uint32{extraGroup}}}
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: TestWithoutRoot") {
		t.Errorf("as nobody: %v\n%s", err, out)
	}
}

func withoutRoot(t *testing.T, dir string) {
	ctx := context.Background()
	in := func(p string) string { return filepath.Join(dir, p) }
	sink := enginetest.NewMemory()
	result := capture(t, mountService(in("source")), sink)
	if got, want := lossReasons(result.Losses), "uploads/closed: what it holds cannot be read: permission denied\nuploads/secret: permission denied"; got != want {
		t.Errorf("losses of the snapshot:\n%s\nwant\n%s", got, want)
	}
	all := list(t, sink, result.Entries)
	if _, there := all["uploads/secret"]; there || all["uploads/closed"].Type != tree.Directory || all["uploads/plain"].User != "www-data" {
		t.Errorf("entries: %v", all)
	}

	s := mountService(in("mount"))
	was := fingerprint(t, in("mount"))
	target := newTestTarget(t, s)
	_, err := target.Plan(ctx, result.Entries)
	check(t, err)
	staged, err := target.Stage(ctx, result.Entries, sink)
	check(t, err)
	var losses []string
	for _, l := range staged.Losses {
		losses = append(losses, l.Path+": "+l.Reason)
	}
	want := []string{
		"uploads: extended attribute security.capability not set: operation not permitted: uploads/capable",
		"uploads: owner or group not kept without root; it belongs to the restoring user: 8 times, first at uploads",
		"uploads/null: character device not made: operation not permitted",
	}
	if !slices.Equal(losses, want) {
		t.Errorf("losses of the restore:\n%q\nwant\n%q", losses, want)
	}
	check(t, target.Swap(ctx))
	for p, want := range map[string]struct {
		mode uint32
		gid  uint32
	}{"plain": {0o644, nobody}, "suid": {0o755, nobody}, "sgid": {0o2755, extraGroup}, "dir": {0o555, nobody}} {
		st, err := statAt(unix.AT_FDCWD, in("mount/"+p))
		check(t, err)
		if st.mode&0o7777 != want.mode || st.uid != nobody || st.gid != want.gid {
			t.Errorf("%s: mode %o, owner %d:%d, want mode %o, group %d", p, st.mode&0o7777, st.uid, st.gid, want.mode, want.gid)
		}
		if st.mtime != all["uploads/"+p].MTime {
			t.Errorf("%s: its time is %v, was %v", p, st.mtime, all["uploads/"+p].MTime)
		}
	}
	check(t, target.Revert(ctx))
	wantFingerprint(t, "reverted", was, fingerprint(t, in("mount")))
	check(t, target.Swap(ctx), target.Discard(ctx))
	if got := contents(t, in("mount")); got["plain"] != "plain" || got["old/file"] != "" {
		t.Errorf("restored %q", got)
	}

	// A directory of somebody else that we may write to keeps its attributes.
	shared := newTestTarget(t, mountService(in("shared")))
	staged, err = shared.Stage(ctx, result.Entries, sink)
	check(t, err, shared.Swap(ctx), shared.Discard(ctx))
	st, err := statAt(unix.AT_FDCWD, in("shared"))
	check(t, err)
	if st.mode&0o7777 != 0o775 || st.uid != 0 || len(staged.Notes) != 1 {
		t.Errorf("a directory of root: mode %o, owner %d, notes %q", st.mode&0o7777, st.uid, staged.Notes)
	}

	foreign := newTestTarget(t, mountService(in("foreign")))
	if _, err := foreign.Plan(ctx, result.Entries); err == nil || !strings.Contains(err.Error(), in("foreign")+" cannot be written to") {
		t.Errorf("a directory that we may not write to: %v", err)
	}
}
