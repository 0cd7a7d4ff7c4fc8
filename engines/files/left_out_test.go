package files

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/engines/enginetest"
	"holdfast/internal/tree"
)

func pathsOf(t *testing.T, root string, change func(*source)) ([]string, []string) {
	t.Helper()
	made, err := Engine.Source(mountService(root))
	check(t, err)
	if change != nil {
		change(made.(*source))
	}
	sink := enginetest.NewMemory()
	result := captureFrom(t, made, sink)
	if len(result.Losses) != 0 {
		t.Errorf("losses: %s", lossReasons(result.Losses))
	}
	var paths []string
	for p := range list(t, sink, result.Entries) {
		paths = append(paths, strings.TrimPrefix(p, "uploads/"))
	}
	slices.Sort(paths)
	return slices.DeleteFunc(paths, func(p string) bool { return p == "uploads" }), result.Notes
}

func TestExcludedPathsAreNotInTheSnapshot(t *testing.T) {
	root := scratchDir(t)
	write(t, root, map[string]string{"a.log": "x", "keep.log": "x", "cache/a": "x", "deep/cache/b": "x", "deep/c": "x", ".holdfast/x/y": "x", "deep/.holdfast": "x"})
	s := mountService(root)
	s.Exclude = []string{"*.log", "!keep.log", "/uploads/cache/", "uploads/deep/**/b"}
	sink := enginetest.NewMemory()
	all := list(t, sink, capture(t, s, sink).Entries)
	var got []string
	for p := range all {
		got = append(got, p)
	}
	slices.Sort(got)
	want := []string{"uploads", "uploads/deep", "uploads/deep/.holdfast", "uploads/deep/c", "uploads/deep/cache", "uploads/keep.log"}
	if !slices.Equal(got, want) {
		t.Errorf("in the snapshot:\n%q, want\n%q", got, want)
	}
}

func TestCacheDirectoriesKeepTheirTagOnly(t *testing.T) {
	root := scratchDir(t)
	tag := string(cacheTag) + "\n# made by a test\n"
	write(t, root, map[string]string{
		cacheTagName: tag, "top": "x", // the mount itself was configured; it is wanted
		"cache/CACHEDIR.TAG": tag, "cache/a": "x", "cache/sub/b": "x",
		"fake/CACHEDIR.TAG": "Signature: something else", "fake/c": "x",
		"linked/d": "x",
	})
	check(t, os.Symlink("../cache/CACHEDIR.TAG", filepath.Join(root, "linked/CACHEDIR.TAG")))
	paths, notes := pathsOf(t, root, nil)
	want := []string{"CACHEDIR.TAG", "cache", "cache/CACHEDIR.TAG", "fake", "fake/CACHEDIR.TAG", "fake/c", "linked", "linked/CACHEDIR.TAG", "linked/d", "top"}
	if !slices.Equal(paths, want) {
		t.Errorf("in the snapshot:\n%q, want\n%q", paths, want)
	}
	if len(notes) != 1 || !strings.HasPrefix(notes[0], "uploads/cache: ") {
		t.Errorf("notes: %q", notes)
	}
}

func TestAnotherFilesystemInTheMount(t *testing.T) {
	needRoot(t)
	root := scratchDir(t)
	write(t, root, map[string]string{"a/mounted/hidden": "x", "a/bound/hidden": "x", "a/file": "x", "cache/sub/y": "x", "outside": "x"})
	elsewhere := scratchDir(t)
	write(t, elsewhere, map[string]string{"in/secret": "x"})
	mount := func(source, target, kind string, flags uintptr) {
		check(t, unix.Mount(source, filepath.Join(root, target), kind, flags, ""))
		t.Cleanup(func() { check(t, unix.Unmount(filepath.Join(root, target), unix.MNT_DETACH)) })
	}
	mount("test", "a/mounted", "tmpfs", 0)
	write(t, root, map[string]string{"a/mounted/secret": "x"})
	mount(elsewhere, "a/bound", "", unix.MS_BIND) // the same filesystem, and yet another mount
	mount(filepath.Join(elsewhere, "in/secret"), "outside", "", unix.MS_BIND)

	paths, notes := pathsOf(t, root, nil)
	want := []string{"a", "a/bound", "a/file", "a/mounted", "cache", "cache/sub", "cache/sub/y"}
	if !slices.Equal(paths, want) {
		t.Errorf("in the snapshot:\n%q, want\n%q", paths, want)
	}
	if len(notes) != 3 || !strings.HasPrefix(notes[0], "uploads/a/bound: another filesystem") || !strings.HasPrefix(notes[2], "uploads/outside: ") {
		t.Errorf("notes: %q", notes)
	}

	// A restore would have to move what is mounted there.
	s := mountService(root)
	sink := enginetest.NewMemory()
	entries := capture(t, s, sink).Entries
	target := newTestTarget(t, s)
	if _, err := target.Plan(t.Context(), entries); err == nil || !strings.Contains(err.Error(), filepath.Join(root, "a/")) {
		t.Errorf("Plan: %v", err)
	}
	if _, err := target.Stage(t.Context(), entries, sink); err == nil {
		t.Error("staged all the same")
	}
	s.Exclude = []string{"/uploads/a", "/uploads/outside"} // then it stays where it is
	restore(t, s, entries, sink)
	s.Exclude, s.Subpath = nil, "cache/sub"
	restore(t, s, entries, sink)
	if got, err := os.ReadFile(filepath.Join(root, "a/mounted/secret")); err != nil || string(got) != "x" {
		t.Errorf("what is mounted there was touched: %q, %v", got, err)
	}
}

func TestMountPointsWithStrangeNames(t *testing.T) {
	table := "36 35 98:0 /mnt1 /mnt\\040two\\011x\\134y rw,noatime master:1 - ext3 /dev/root rw\n\nshort line\n40 35 0:1 / /plain rw - tmpfs t rw\n"
	if got := mountPoints(table); !slices.Equal(got, []string{"/mnt two\tx\\y", "/plain"}) {
		t.Errorf("%q", got)
	}
}

// TestAvoidedFilesAreNeverOpened holds a POSIX lock, which the kernel drops when
// any descriptor of the file is closed in the process.
func TestAvoidedFilesAreNeverOpened(t *testing.T) {
	root := scratchDir(t)
	write(t, root, map[string]string{"data/app.db": "live", "data/other": "x", "repository/packs/a": "x"})
	db := filepath.Join(root, "data/app.db")
	check(t, os.Link(db, filepath.Join(root, "data/another name of it")))
	alias := filepath.Join(scratchDir(t), "alias")
	check(t, os.Symlink(root, alias))

	stillLocked := lockFile(t, db)
	for _, mount := range []string{root, alias} {
		s := mountService(mount)
		s.Avoid = []string{filepath.Join(alias, "data/app.db"), filepath.Join(root, "data/app.db-wal"), filepath.Join(root, "repository")}
		write(t, root, map[string]string{"data/app.db-wal": "live"})
		sink := enginetest.NewMemory()
		result := capture(t, s, sink)
		if len(result.Losses) != 0 {
			t.Errorf("losses: %s", lossReasons(result.Losses))
		}
		var got []string
		for p := range list(t, sink, result.Entries) {
			got = append(got, p)
		}
		slices.Sort(got)
		if want := []string{"uploads", "uploads/data", "uploads/data/other"}; !slices.Equal(got, want) {
			t.Errorf("in the snapshot %q, want %q", got, want)
		}
		restore(t, s, result.Entries, sink)
	}
	if inode(t, filepath.Join(root, "data/another name of it")) != inode(t, db) {
		t.Error("another name of a database was replaced")
	}
	stillLocked()
	s := mountService(root)
	s.Avoid = []string{filepath.Dir(root)}
	source, err := Engine.Source(s)
	check(t, err)
	if err := source.Prepare(t.Context(), enginetest.NewMemory()); err == nil || !strings.Contains(err.Error(), filepath.Dir(root)) {
		t.Errorf("a mount in what must not be read: %v", err)
	}
}

// lockFile holds a POSIX lock on the file and returns what fails if it is gone.
func lockFile(t *testing.T, path string) (stillLocked func()) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	check(t, err)
	t.Cleanup(func() { f.Close() })
	lock := syscall.Flock_t{Type: syscall.F_WRLCK}
	check(t, syscall.FcntlFlock(f.Fd(), syscall.F_SETLK, &lock))
	return func() {
		t.Helper()
		if out := run(t, "cat", "/proc/locks"); !strings.Contains(out, fmt.Sprintf(":%d 0 EOF", inode(t, path))) {
			t.Error("the lock on the database is gone: somebody opened it")
		}
	}
}

// TestANameThatBecomesAnAvoidedFile: what was a file to be read when it was
// looked at is another name of a database when it is opened.
func TestANameThatBecomesAnAvoidedFile(t *testing.T) {
	root := scratchDir(t)
	write(t, root, map[string]string{"busy": strings.Repeat("a", 1000), "app.db": "live"})
	db := filepath.Join(root, "app.db")
	stillLocked := lockFile(t, db)
	s := mountService(root)
	s.Avoid = []string{db}
	all, _, result := captureWhile(t, s, "busy", 1, func() {
		check(t, os.Link(db, db+".tmp"), os.Chtimes(filepath.Join(root, "busy"), time.Unix(1, 0), time.Unix(1, 0)),
			os.Rename(db+".tmp", filepath.Join(root, "busy")))
	})
	if _, there := all["uploads/busy"]; there || lossReasons(result.Losses) != "uploads/busy: "+changed {
		t.Errorf("in the snapshot: %v; losses %q", there, lossReasons(result.Losses))
	}
	stillLocked()
}

func inode(t *testing.T, path string) uint64 {
	t.Helper()
	var st unix.Stat_t
	check(t, unix.Lstat(path, &st))
	return st.Ino
}

// deepTree makes a chain of directories far beyond PATH_MAX, with a file in each
// of some.
func deepTree(t *testing.T, root string, levels int, name string) {
	t.Helper()
	fd, err := openRoot(root)
	check(t, err)
	for i := range levels {
		check(t, unix.Mkdirat(fd, name, 0o755))
		next, err := openDirectory(fd, name)
		check(t, err, unix.Close(fd))
		fd = next
		if i%50 == 49 || i == levels-1 {
			f, err := openMode(fd, fmt.Sprintf("file-%d", i), unix.O_CREAT|unix.O_WRONLY, 0o644)
			check(t, err, writeAll(f, []byte("x"), 0), unix.Fsetxattr(f, "user.x", []byte("1"), 0), unix.Close(f))
			check(t, unix.Symlinkat("target", fd, "link"))
		}
	}
	check(t, unix.Close(fd))
}

func TestPathsBeyondPathMax(t *testing.T) {
	for _, c := range []struct {
		levels int
		name   string
	}{{60, strings.Repeat("d", 255)}, {2500, "d"}} {
		root := scratchDir(t)
		deepTree(t, root, c.levels, c.name)
		settle(t)
		sink := enginetest.NewMemory()
		result := capture(t, mountService(root), sink)
		if len(result.Losses) != 0 {
			t.Fatalf("losses: %s", lossReasons(result.Losses))
		}
		first := list(t, sink, result.Entries)
		if want := c.levels + 1 + (c.levels+49)/50*2; len(first) != want {
			t.Errorf("%d entries, want %d", len(first), want)
		}
		next := sink.Next(result.Entries)
		capture(t, mountService(root), next)
		if len(next.Visited) != 0 {
			t.Errorf("unchanged, and read: %d files", len(next.Visited))
		}
		restore(t, mountService(root), result.Entries, sink) // removes as deep a tree, too
		again := enginetest.NewMemory()
		wantSameTree(t, first, list(t, again, capture(t, mountService(root), again).Entries))
	}
}

func TestTreesThatAreTooDeep(t *testing.T) {
	root := scratchDir(t)
	write(t, root, map[string]string{"beside": "x"})
	deepTree(t, root, maxDepth+10, "d")
	sink := enginetest.NewMemory()
	result := capture(t, mountService(root), sink)
	if len(result.Losses) != 1 || !strings.Contains(result.Losses[0].Reason, "directories deep") {
		t.Errorf("losses: %.200s", lossReasons(result.Losses))
	}
	all := list(t, sink, result.Entries)
	if all["uploads/beside"].Type != tree.File || len(all) < maxDepth {
		t.Errorf("%d entries", len(all))
	}
}
