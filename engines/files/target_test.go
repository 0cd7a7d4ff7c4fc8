package files

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"holdfast/engines"
	"holdfast/engines/enginetest"
	"holdfast/internal/tree"
)

func newTestTarget(t testing.TB, s engines.Service) *target {
	t.Helper()
	made, err := Engine.Target(s, testToken)
	check(t, err)
	t.Cleanup(func() { made.Close() })
	return made.(*target)
}

// restore runs a target to the end, as a restore without accidents does.
func restore(t testing.TB, s engines.Service, entries []tree.Entry, content engines.Content) engines.Staged {
	t.Helper()
	ctx := context.Background()
	target := newTestTarget(t, s)
	_, err := target.Plan(ctx, entries)
	check(t, err)
	staged, err := target.Stage(ctx, entries, content)
	check(t, err, target.Swap(ctx), target.Discard(ctx), target.Close())
	return staged
}

// copyTree makes an exact copy to compare with later.
func copyTree(t testing.TB, from string) string {
	t.Helper()
	to := filepath.Join(scratchDir(t), "copy")
	run(t, "cp", "-a", from, to)
	wantSame(t, from, to)
	return to
}

func TestRestoreIsExact(t *testing.T) {
	root := filepath.Join(scratchDir(t), "mount")
	check(t, os.Mkdir(root, 0o755))
	richTree(t, root)
	reference := copyTree(t, root)
	sink := enginetest.NewMemory()
	entries := capture(t, mountService(root), sink).Entries

	// What is there when the restore comes: changed, removed and new names.
	run(t, "chmod", "-R", "u+rwx", root)
	run(t, "rm", "-rf", filepath.Join(root, "2026"), filepath.Join(root, "sparse"), filepath.Join(root, "fifo"))
	write(t, root, map[string]string{"plain.txt": "changed", "new": "1", "fifo/now/a/directory": "x", "2026": "now a file"})
	check(t, os.Chmod(root, 0o777), os.Chown(root, 0, 0), unix.Setxattr(root, "user.other", []byte("x"), 0))
	run(t, "setfacl", "-m", "u:33:rwx", "-d", "-m", "u:33:rwx", root)
	before, err := os.Stat(root)
	check(t, err)

	if staged := restore(t, mountService(root), entries, sink); len(staged.Losses)+len(staged.Notes) != 0 {
		t.Errorf("losses %v, notes %v", staged.Losses, staged.Notes)
	}
	wantSame(t, reference, root)
	after, err := os.Stat(root)
	check(t, err)
	if !os.SameFile(before, after) {
		t.Error("the mount itself was replaced by another directory")
	}
	var st unix.Stat_t
	check(t, unix.Stat(filepath.Join(root, "sparse"), &st))
	if st.Blocks*512 > 1<<20 {
		t.Errorf("the sparse file takes %d bytes on the disk", st.Blocks*512)
	}
	// rsync does not compare the times of symlinks' directories closer than this, nor does it
	// know capabilities by name: the second snapshot does.
	again := enginetest.NewMemory()
	second := capture(t, mountService(root), again)
	wantSameTree(t, list(t, sink, entries), list(t, again, second.Entries))
}

// wantSameTree compares all that a restore brings back: not inodes and ctimes.
func wantSameTree(t testing.TB, want, got map[string]tree.Entry) {
	t.Helper()
	group := func(all map[string]tree.Entry, link uint64) string {
		first := ""
		for p, e := range all {
			if link != 0 && e.Link == link && (first == "" || p < first) {
				first = p
			}
		}
		return first
	}
	for p, w := range want {
		g, ok := got[p]
		if !ok {
			t.Errorf("%q is missing", p)
			continue
		}
		if group(want, w.Link) != group(got, g.Link) {
			t.Errorf("%q: links %q and %q", p, group(want, w.Link), group(got, g.Link))
		}
		w.CTime, w.Inode, w.Link, w.Suspect = g.CTime, g.Inode, g.Link, g.Suspect
		if w.Type == tree.Directory {
			w.Content = g.Content
		}
		if !sameEntry(&w, &g) {
			t.Errorf("%q:\nwas %+v\nis  %+v", p, w, g)
		}
	}
	for p := range got {
		if _, ok := want[p]; !ok {
			t.Errorf("%q should not be there", p)
		}
	}
}

func TestExtractIsExact(t *testing.T) {
	root := scratchDir(t)
	richTree(t, root)
	sink := enginetest.NewMemory()
	entries := capture(t, mountService(root), sink).Entries
	dump, err := sink.Put(context.Background(), tree.Entry{Name: "db.sql", Type: tree.File, Mode: 0o600}, tree.Stream{}, strings.NewReader("CREATE TABLE t;"))
	check(t, err)

	dir := scratchDir(t)
	run(t, "setfacl", "-d", "-m", "u:33:rwx", dir) // must not be inherited
	staged, err := Extract(context.Background(), sink, append([]tree.Entry{dump}, entries...), dir)
	check(t, err)
	if len(staged.Losses)+len(staged.Notes) != 0 {
		t.Errorf("losses %v, notes %v", staged.Losses, staged.Notes)
	}
	wantSame(t, root, filepath.Join(dir, "uploads"))
	if got, err := os.ReadFile(filepath.Join(dir, "db.sql")); err != nil || string(got) != "CREATE TABLE t;" {
		t.Errorf("db.sql: %q, %v", got, err)
	}
	if names := namesIn(t, dir); strings.Join(names, " ") != "db.sql uploads" {
		t.Errorf("in the directory: %q", names)
	}
	if _, err := Extract(context.Background(), sink, entries, dir); err == nil || !strings.Contains(err.Error(), dir+" is not empty") {
		t.Errorf("into a directory with files: %v", err)
	}
	if _, err := Extract(context.Background(), sink, entries, filepath.Join(dir, "nosuch")); !errors.Is(err, unix.ENOENT) {
		t.Errorf("into a missing directory: %v", err)
	}
}

func namesIn(t testing.TB, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	check(t, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestRestoreWhereThereIsNothing(t *testing.T) {
	root := scratchDir(t)
	richTree(t, root)
	sink := enginetest.NewMemory()
	entries := capture(t, mountService(root), sink).Entries
	ctx := context.Background()

	parent := scratchDir(t)
	s := mountService(filepath.Join(parent, "new"))
	target := newTestTarget(t, s)
	if plan, err := target.Plan(ctx, entries); err != nil || !plan.Creates {
		t.Fatalf("plan %+v, %v", plan, err)
	}
	_, err := target.Stage(ctx, entries, sink)
	check(t, err)
	check(t, target.Revert(ctx), target.Discard(ctx), target.Close())
	if names := namesIn(t, parent); len(names) != 0 {
		t.Errorf("discarded, but left behind: %q", names)
	}
	restore(t, s, entries, sink)
	wantSame(t, root, filepath.Join(parent, "new"))

	missing := newTestTarget(t, mountService(filepath.Join(parent, "no/such")))
	if _, err := missing.Plan(ctx, entries); err == nil || !strings.Contains(err.Error(), filepath.Join(parent, "no")) {
		t.Errorf("neither mount nor parent: %v", err)
	}
}

func TestPlanSaysWhatIsReplaced(t *testing.T) {
	root := scratchDir(t)
	write(t, root, map[string]string{"a": "1", "dir/b": strings.Repeat("x", 1500), "cache/c": "excluded"})
	sink := enginetest.NewMemory()
	s := mountService(root)
	s.Exclude = []string{"/uploads/cache"}
	entries := capture(t, s, sink).Entries
	for _, c := range []struct{ subpath, want string }{
		{"", "directory " + root + " (2 files, 1.5 KiB)"},
		{"dir", "directory " + root + "/dir (1 file, 1.5 KiB)"},
		{"a", "file " + root + "/a (1 B)"},
	} {
		s.Subpath = c.subpath
		plan, err := newTestTarget(t, s).Plan(context.Background(), entries)
		if err != nil || plan.Replaces != c.want || plan.Creates {
			t.Errorf("%q: %+v, %v; want %q", c.subpath, plan, err, c.want)
		}
	}
	s.Subpath = "nosuch/x"
	if plan, err := newTestTarget(t, s).Plan(context.Background(), entries); err != nil || !plan.Creates {
		t.Errorf("a path that is missing here: %+v, %v", plan, err)
	}
	s.Subpath = "a/x"
	if _, err := newTestTarget(t, s).Plan(context.Background(), entries); err == nil || !strings.Contains(err.Error(), "not a directory") {
		t.Errorf("beneath a file: %v", err)
	}
	if len(namesIn(t, root)) != 3 {
		t.Error("Plan left something behind")
	}
}

func TestRetiredIsWhatWasThere(t *testing.T) {
	root := scratchDir(t)
	richTree(t, root)
	settle(t)
	sink := enginetest.NewMemory()
	old := capture(t, mountService(root), sink)
	was := list(t, sink, old.Entries)
	empty := scratchDir(t)
	write(t, empty, map[string]string{"plain.txt": "other"})
	other := enginetest.NewMemory()
	entries := capture(t, mountService(empty), other).Entries

	ctx := context.Background()
	target := newTestTarget(t, mountService(root))
	if _, err := target.Retired(ctx); err == nil {
		t.Error("there is something retired before the swap")
	}
	_, err := target.Stage(ctx, entries, other)
	check(t, err, target.Swap(ctx), target.Close())
	fresh := newTestTarget(t, mountService(root))
	retired, err := fresh.Retired(ctx)
	check(t, err)
	next := sink.Next(old.Entries)
	result := captureFrom(t, retired, next)
	if len(result.Losses)+len(result.Notes) != 0 {
		t.Errorf("losses %v, notes %v", result.Losses, result.Notes)
	}
	wantSameTree(t, was, list(t, next, result.Entries))
	for _, name := range next.Visited {
		if name == "a.jpg" || name == "b.jpg" || name == "first" {
			t.Errorf("%s lies deeper than what was moved; it need not be read again", name)
		}
	}
	check(t, fresh.Discard(ctx))
}

func TestTwoRestoresCannotMeet(t *testing.T) {
	root := scratchDir(t)
	write(t, root, map[string]string{"a": "1"})
	sink := enginetest.NewMemory()
	entries := capture(t, mountService(root), sink).Entries
	ctx := context.Background()
	first := newTestTarget(t, mountService(root))
	_, err := first.Stage(ctx, entries, sink)
	check(t, err)

	made, err := Engine.Target(mountService(root), "ffffffffffffffffffff")
	check(t, err)
	second := made.(*target)
	defer second.Close()
	if _, err := second.Stage(ctx, entries, sink); !errors.Is(err, errBusy) {
		t.Errorf("while another one is at work: %v", err)
	}
	check(t, first.Swap(ctx), first.Close())
	if _, err := second.Stage(ctx, entries, sink); err == nil || !strings.Contains(err.Error(), testToken) {
		t.Errorf("after another one that was not finished: %v", err)
	}
	check(t, second.Discard(ctx))
	check(t, newTestTarget(t, mountService(root)).Discard(ctx))
	_, err = second.Stage(ctx, entries, sink)
	check(t, err, second.Swap(ctx), second.Discard(ctx))
	if names := namesIn(t, root); len(names) != 1 {
		t.Errorf("left behind: %q", names)
	}
}

func TestTooLittleRoomIsKnownBeforeAnythingIsStaged(t *testing.T) {
	needRoot(t)
	small := scratchDir(t)
	check(t, unix.Mount("small", small, "tmpfs", 0, "size=1m,nr_inodes=100"))
	t.Cleanup(func() { check(t, unix.Unmount(small, 0)) })
	source := scratchDir(t)
	write(t, source, map[string]string{"a": strings.Repeat("x", 600_000)})
	check(t, os.Link(filepath.Join(source, "a"), filepath.Join(source, "b")))
	sparse(t, filepath.Join(source, "sparse"), 64<<20, map[int64]string{0: "x"})
	sink := enginetest.NewMemory()
	entries := capture(t, mountService(source), sink).Entries
	restore(t, mountService(small), entries, sink) // holes take no room, the second name neither
	wantSame(t, source, small)

	fresh := newTestTarget(t, mountService(small))
	plan, err := fresh.Plan(context.Background(), entries)
	check(t, err)
	if !strings.Contains(plan.Replaces, "are free") {
		t.Errorf("the plan does not say that it is tight: %q", plan.Replaces)
	}
	if _, err := fresh.Stage(context.Background(), entries, sink); err == nil ||
		!strings.Contains(err.Error(), "596 KiB are needed") || !strings.Contains(err.Error(), "are free") {
		t.Errorf("a second copy does not fit: %v", err)
	}
	if _, err := os.Lstat(filepath.Join(small, hidden)); !os.IsNotExist(err) {
		t.Errorf("something was staged: %v", err)
	}
	many := scratchDir(t)
	for i := range 120 {
		check(t, os.WriteFile(filepath.Join(many, string(rune('a'+i))), nil, 0o644))
	}
	entries = capture(t, mountService(many), sink).Entries
	if _, err := fresh.Stage(context.Background(), entries, sink); err == nil || !strings.Contains(err.Error(), "121 inodes are needed") {
		t.Errorf("more files than inodes: %v", err)
	}
}
