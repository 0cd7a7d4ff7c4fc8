package files

import (
	"context"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"holdfast/engines/enginetest"
	"holdfast/internal/tree"
)

func TestSubpathTouchesNothingElse(t *testing.T) {
	root := scratchDir(t)
	richTree(t, root)
	sink := enginetest.NewMemory()
	entries := capture(t, mountService(root), sink).Entries
	s := mountService(root)

	write(t, root, map[string]string{"plain.txt": "changed", "2026/01/a.jpg": "changed", "2026/02/b.jpg": "changed"})
	wanted := copyTree(t, root)
	run(t, "rm", "-rf", filepath.Join(wanted, "2026/01"))
	fresh := scratchDir(t)
	_, err := Extract(context.Background(), sink, entries, fresh)
	check(t, err)
	run(t, "rsync", "-aHAX", filepath.Join(fresh, "uploads/2026/01"), filepath.Join(wanted, "2026"))
	run(t, "touch", "-r", filepath.Join(root, "2026"), filepath.Join(wanted, "2026"))
	s.Subpath = "2026/01"
	restore(t, s, entries, sink)
	wantSame(t, wanted, root)

	// Directories on the way that are missing come back as they were.
	run(t, "rm", "-rf", filepath.Join(root, "linked"))
	s.Subpath = "linked/deep/down"
	restore(t, s, entries, sink)
	if got, err := os.ReadFile(filepath.Join(root, "linked/deep/down/second")); err != nil || string(got) != "one file, three names" {
		t.Errorf("restored %q, %v", got, err)
	}
	if names := namesIn(t, filepath.Join(root, "linked")); len(names) != 1 {
		t.Errorf("beside the subpath: %q", names)
	}

	for _, c := range []struct{ subpath, want string }{
		{"nosuch", "uploads/nosuch: is not in the snapshot"},
		{"plain.txt/x", "is a file in the snapshot"},
	} {
		s.Subpath = c.subpath
		if _, err := newTestTarget(t, s).Stage(context.Background(), entries, sink); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v", c.subpath, err)
		}
	}
}

func TestExcludedAndAvoidedPathsAreNotTouched(t *testing.T) {
	root := scratchDir(t)
	write(t, root, map[string]string{
		"keep.log": "old", "data/app.db": "live", "data/app.db-wal": "live", "data/.holdfast-1f-app.db": "live", "data/table": "old",
		"cache/top/x":    "old",
		"a/b/cache/deep": "old", "a/b/file": "old", "a/gone": "old", "only-here/cache/x": "old", "only-here/y": "old", "goes/z": "old",
	})
	source := scratchDir(t)
	write(t, source, map[string]string{
		"keep.log": "new", "data/app.db": "new", "data/table": "new", "cache/top/x": "new",
		"a/b/cache/deep": "new", "a/b/file": "new", "a/new": "new", "comes/z": "new",
	})
	check(t, os.Chmod(filepath.Join(source, "a/b"), 0o701), os.Chmod(filepath.Join(source, "data"), 0o711))
	sink := enginetest.NewMemory()
	entries := capture(t, mountService(source), sink).Entries

	s := mountService(root)
	s.Exclude = []string{"*.log", "cache/"}
	s.Avoid = []string{filepath.Join(root, "data/app.db"), filepath.Join(root, "data/app.db-wal"), filepath.Join(root, "data/app.db-shm")}
	nodes := func() map[string]uint64 {
		all := map[string]uint64{}
		for _, p := range []string{"", "data", "data/app.db", "data/app.db-wal", "data/.holdfast-1f-app.db", "keep.log", "cache/top/x", "a/b/cache/deep", "only-here/cache/x"} {
			var st unix.Stat_t
			check(t, unix.Lstat(filepath.Join(root, p), &st))
			all[p] = st.Ino
		}
		return all
	}
	untouched := nodes()
	before := copyTree(t, root)
	ctx := context.Background()

	target := newTestTarget(t, s)
	staged, err := target.Stage(ctx, entries, sink)
	check(t, err)
	if len(staged.Notes) != 1 || !strings.Contains(staged.Notes[0], "4 entries") {
		t.Errorf("notes %q", staged.Notes)
	}
	check(t, target.Swap(ctx))
	want := map[string]string{
		"keep.log": "old", "data/app.db": "live", "data/app.db-wal": "live", "data/.holdfast-1f-app.db": "live", "data/table": "new",
		"cache/top/x":    "old",
		"a/b/cache/deep": "old", "a/b/file": "new", "a/new": "new", "only-here/cache/x": "old", "comes/z": "new",
	}
	got := contents(t, root)
	for p, w := range want {
		if got[p] != w {
			t.Errorf("%s: %q, want %q", p, got[p], w)
		}
	}
	if len(got) != len(want) {
		t.Errorf("restored: %q", got)
	}
	if now := nodes(); !equalMaps(now, untouched) {
		t.Errorf("files moved: %v, before %v", now, untouched)
	}
	var st unix.Stat_t
	check(t, unix.Stat(filepath.Join(root, "a/b"), &st))
	if st.Mode&0o7777 != 0o701 {
		t.Errorf("a/b stays where it is, but has to get its mode from the snapshot; it has %o", st.Mode&0o7777)
	}

	// What was put aside is all that was replaced, under its old names.
	retired, err := target.Retired(ctx)
	check(t, err)
	memory := enginetest.NewMemory()
	aside := list(t, memory, captureFrom(t, retired, memory).Entries)
	for _, p := range []string{"uploads/data/table", "uploads/a/b/file", "uploads/a/gone", "uploads/only-here/y", "uploads/goes/z"} {
		if aside[p].Type != tree.File {
			t.Errorf("%s is missing in what was put aside", p)
		}
	}

	check(t, target.Revert(ctx))
	wantSame(t, before, root, "--exclude=/.holdfast")
	if now := nodes(); !equalMaps(now, untouched) {
		t.Errorf("after reverting: %v, before %v", now, untouched)
	}
	check(t, target.Discard(ctx))
	wantSame(t, before, root)
}

func equalMaps(a, b map[string]uint64) bool {
	for k := range a {
		if a[k] != b[k] {
			return false
		}
	}
	return len(a) == len(b)
}

// contents returns the contents of all files beneath root, without .holdfast.
func contents(t testing.TB, root string) map[string]string {
	t.Helper()
	all := map[string]string{}
	check(t, filepath.Walk(root, func(p string, info os.FileInfo, err error) error {
		if err != nil {
			return err
		}
		if info.IsDir() && info.Name() == hidden {
			return filepath.SkipDir
		}
		if info.Mode().IsRegular() {
			f, err := os.Open(p)
			if err != nil {
				return err
			}
			defer f.Close()
			data, err := io.ReadAll(f)
			if err != nil {
				return err
			}
			rel, _ := filepath.Rel(root, p)
			all[rel] = string(data)
		}
		return nil
	}))
	return all
}

func TestWhatStaysMustHaveAPlaceInTheSnapshot(t *testing.T) {
	root := scratchDir(t)
	write(t, root, map[string]string{"data/cache/x": "excluded", "data/y": "1"})
	source := scratchDir(t)
	write(t, source, map[string]string{"data": "a file now"})
	sink := enginetest.NewMemory()
	entries := capture(t, mountService(source), sink).Entries
	s := mountService(root)
	s.Exclude = []string{"cache"}
	target := newTestTarget(t, s)
	_, err := target.Stage(context.Background(), entries, sink)
	if !errors.Is(err, errInTheWay) || !strings.Contains(err.Error(), filepath.Join(root, "data")) {
		t.Errorf("a file in place of a directory with excluded files: %v", err)
	}
	check(t, target.Discard(context.Background()))
}

// TestOverlays: an overlay cannot move the directories of its lower layer.
func TestOverlays(t *testing.T) {
	needRoot(t)
	base := memoryDir(t)
	in := func(p string) string { return filepath.Join(base, p) }
	write(t, base, map[string]string{"lower/a-file": "lower", "lower/dir/x": "lower", "lower/z": "lower", "upper/only-upper/x": "upper"})
	check(t, os.Mkdir(in("work"), 0o755), os.Mkdir(in("mount"), 0o755))
	check(t, unix.Mount("overlay", in("mount"), "overlay", 0, "lowerdir="+in("lower")+",upperdir="+in("upper")+",workdir="+in("work")+",redirect_dir=off"))
	t.Cleanup(func() { check(t, unix.Unmount(in("mount"), unix.MNT_DETACH)) })
	source := scratchDir(t)
	write(t, source, map[string]string{"a-file": "new", "dir": "a file now", "only-upper/y": "new"})
	sink := enginetest.NewMemory()
	entries := capture(t, mountService(source), sink).Entries
	before := contents(t, in("mount"))

	target := newTestTarget(t, mountService(in("mount")))
	_, err := target.Stage(t.Context(), entries, sink)
	check(t, err)
	if err := target.Swap(t.Context()); !errors.Is(err, unix.EXDEV) || !strings.Contains(err.Error(), "exchange dir in "+in("mount")) {
		t.Errorf("Swap: %v", err)
	}
	check(t, target.Revert(t.Context()), target.Discard(t.Context()))
	if after := contents(t, in("mount")); !maps.Equal(before, after) {
		t.Errorf("reverted: %q, before %q", after, before)
	}
	// What is not from the lower layer can be moved.
	check(t, os.Remove(in("mount/dir/x")), os.Remove(in("mount/dir")))
	restore(t, mountService(in("mount")), entries, sink)
	if after := contents(t, in("mount")); !maps.Equal(after, contents(t, source)) {
		t.Errorf("restored: %q", after)
	}
}
