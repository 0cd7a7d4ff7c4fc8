package files

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/engines"
	"holdfast/internal/tree"
)

// captureWhile captures a mount while, under the hold, do happens in the middle
// of reading the file name, each of the first times it is read.
func captureWhile(t *testing.T, mount engines.Service, name string, times int, do func()) (map[string]tree.Entry, *meddler, engines.Result) {
	t.Helper()
	ctx := context.Background()
	sink := newMeddler()
	made, err := Engine.Source(mount)
	check(t, err)
	made.(*source).clock = func(int) clock { return everything() } // all is read again under the hold
	made.(*source).follow = unwatched
	check(t, made.Prepare(ctx, sink))
	sink.when[name], sink.runs[name] = do, times
	_, err = made.Mark(ctx, sink)
	check(t, err)
	result, err := made.Send(ctx, sink)
	check(t, err)
	return list(t, sink, result.Entries), sink, result
}

func TestFilesThatChangeWhileTheyAreRead(t *testing.T) {
	const path = "uploads/dir/busy"
	whole := strings.Repeat("a", 100_000)
	for _, c := range []struct {
		what    string
		sparse  bool
		times   int // how many of the readings are disturbed
		change  func(file string, n int) error
		content string // afterwards; "" if it is not in the snapshot
		loss    string
	}{
		{"once, in place", false, 1, overwrite, strings.Repeat("1", 100_000), ""},
		{"twice, in place", false, 2, overwrite, strings.Repeat("2", 100_000), ""},
		{"always, in place", false, attempts, overwrite, "", changed},
		{"grows once", false, 1, grow, whole + "more1", ""},
		{"grows always", false, attempts, grow, "", changed},
		{"shrinks once", false, 1, shrink, strings.Repeat("a", 50_000), ""},
		{"shrinks always", false, attempts, shrink, "", changed},
		{"sparse, shrinks once", true, 1, shrink, "-", ""},
		{"sparse, shrinks always", true, attempts, shrink, "", changed},
		{"is replaced by another file", false, 1, renameOver, "another", ""},
		{"is removed", false, 1, func(file string, _ int) error { return os.Remove(file) }, "", "removed while it was read"},
		{"becomes a directory", false, 1, func(file string, _ int) error { return errors.Join(os.Remove(file), os.Mkdir(file, 0o755)) }, "", changed},
		{"becomes a FIFO", false, 1, func(file string, _ int) error { return errors.Join(os.Remove(file), unix.Mkfifo(file, 0o644)) }, "", changed},
		{"becomes a socket", false, 1, func(file string, _ int) error {
			return errors.Join(os.Remove(file), unix.Mknod(file, unix.S_IFSOCK|0o644, 0))
		}, "", changed},
		{"becomes a symlink", false, 1, func(file string, _ int) error { return errors.Join(os.Remove(file), os.Symlink("/etc/passwd", file)) }, "", changed},
	} {
		whileRead := func(t *testing.T, avoid ...string) {
			root := scratchDir(t)
			mount := mountService(root)
			mount.Avoid = avoid
			file := filepath.Join(root, "dir/busy")
			write(t, root, map[string]string{"dir/busy": whole, "dir/other": "other", "z": "z"})
			if c.sparse {
				sparse(t, file, 1<<20, map[int64]string{0: "x", 500_000: "y", 900_000: "z"})
			}
			n := 0
			all, sink, result := captureWhile(t, mount, "busy", c.times, func() {
				n++
				check(t, c.change(file, n))
			})
			e, there := all[path]
			if want := c.loss; lossReasons(result.Losses) != "" || want != "" {
				if lossReasons(result.Losses) != path+": "+want {
					t.Errorf("losses %q, want %q", lossReasons(result.Losses), want)
				}
			}
			if c.loss == changed && there {
				if !e.Suspect {
					t.Error("never settled, and yet the next snapshot would trust its times")
				}
			}
			if want := c.content != "" || c.times == attempts; want != there {
				t.Errorf("in the snapshot: %v", there)
			}
			if there {
				got, err := sink.File(context.Background(), result.Entries, path)
				check(t, err)
				if uint64(len(got)) != e.Size {
					t.Errorf("its size is %d, its content has %d bytes", e.Size, len(got))
				}
				if c.content != "" && c.content != "-" && string(got) != c.content {
					t.Errorf("content of %d bytes, want %d: %.20q", len(got), len(c.content), got)
				}
			}
			if all["uploads/dir/other"].Type != tree.File || all["uploads/z"].Type != tree.File {
				t.Error("its neighbours are missing")
			}
		}
		t.Run(c.what, func(t *testing.T) { whileRead(t) })
		// Where files must not be opened, others are opened in another way.
		t.Run(c.what+", beside a database", func(t *testing.T) {
			database := filepath.Join(scratchDir(t), "database")
			check(t, os.WriteFile(database, nil, 0o644))
			whileRead(t, database)
		})
	}
}

func overwrite(file string, n int) error {
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteString(strings.Repeat(fmt.Sprint(n), 100_000))
	// The writes may come within one tick of the clock, which re-reading cannot see.
	at := time.Unix(int64(n), 0)
	return errors.Join(err, os.Chtimes(file, at, at))
}

func grow(file string, n int) error {
	f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = fmt.Fprintf(f, "more%d", n)
	return err
}

func shrink(file string, n int) error {
	st, err := os.Stat(file)
	if err != nil {
		return err
	}
	return os.Truncate(file, st.Size()/2)
}

func renameOver(file string, _ int) error {
	return errors.Join(os.WriteFile(file+".tmp", []byte("another"), 0o644), os.Rename(file+".tmp", file))
}

func TestFilesThatVanishBeforeTheyAreRead(t *testing.T) {
	root := scratchDir(t)
	names := map[string]string{"a": "read first"}
	for i := range 40 {
		names[fmt.Sprintf("b%02d", i)] = "x"
	}
	write(t, root, names)
	// While a is read the others, already listed, are removed; some are being read then.
	all, _, result := captureWhile(t, mountService(root), "a", 1, func() {
		for name := range names {
			if name != "a" {
				check(t, os.Remove(filepath.Join(root, name)))
			}
		}
	})
	for _, l := range result.Losses {
		if l.Reason != "removed while it was read" {
			t.Errorf("loss %+v", l)
		}
	}
	if all["uploads/a"].Type != tree.File {
		t.Errorf("entries: %v", all)
	}
}

// TestDuringThePreCopyNothingIsLost: what changes then is read again under the hold.
func TestDuringThePreCopyNothingIsLost(t *testing.T) {
	root := scratchDir(t)
	write(t, root, map[string]string{"busy": strings.Repeat("a", 1000), "removed": strings.Repeat("b", 1000)})
	sparse(t, filepath.Join(root, "sparse"), 1<<20, map[int64]string{0: "x", 500_000: "y"})
	settle(t)
	sink := newMeddler()
	sink.when["sparse"] = func() { check(t, shrink(filepath.Join(root, "sparse"), 1)) }
	sink.when["busy"] = func() { check(t, overwrite(filepath.Join(root, "busy"), 1)) }
	sink.when["removed"] = func() { check(t, os.Remove(filepath.Join(root, "removed"))) }
	result := capture(t, mountService(root), sink)
	if len(result.Losses) != 0 {
		t.Errorf("losses: %s", lossReasons(result.Losses))
	}
	got, err := sink.File(context.Background(), result.Entries, "uploads/busy")
	check(t, err)
	if string(got) != strings.Repeat("1", 100_000) {
		t.Errorf("read %d bytes %.10q", len(got), got)
	}
	all := list(t, sink, result.Entries)
	if _, there := all["uploads/removed"]; there {
		t.Error("removed before the mark, and in the snapshot")
	}
	if size := all["uploads/sparse"].Size; size != 1<<19 {
		t.Errorf("the file that was cut has %d bytes", size)
	}
}

func TestAnErrorOfTheSinkEndsTheWalk(t *testing.T) {
	root := scratchDir(t)
	for i := range 600 {
		write(t, root, map[string]string{fmt.Sprintf("%d/%d", i%7, i): "x"})
	}
	full := errors.New("the repository is full")
	source, err := Engine.Source(mountService(root))
	check(t, err)
	sink := &failing{meddler: newMeddler(), after: 100, err: full}
	if err := source.Prepare(context.Background(), sink); !errors.Is(err, full) || !strings.Contains(err.Error(), root) {
		t.Errorf("Prepare: %v", err)
	}
	stopped, cancel := context.WithCancelCause(context.Background())
	cancel(full)
	if err := source.Prepare(stopped, newMeddler()); !errors.Is(err, full) {
		t.Errorf("Prepare after it was cancelled: %v", err)
	}
}

// TestADirectoryThatIsRemovedBeforeItIsRead was open by then, and has no names any more.
func TestADirectoryThatIsRemovedBeforeItIsRead(t *testing.T) {
	root := scratchDir(t)
	check(t, os.Mkdir(filepath.Join(root, "gone"), 0o755))
	parent, err := openRoot(root)
	check(t, err)
	defer unix.Close(parent)
	fd, err := openDirectory(parent, "gone")
	check(t, err)
	defer unix.Close(fd)
	st, err := statAt(fd, "")
	check(t, err, os.Remove(filepath.Join(root, "gone")))
	w := &walker{sink: newMeddler(), rules: &rules{}, owners: newOwners(), links: newLinks(), root: st}
	at := &place{name: "uploads"}
	it := &item{name: "gone", stat: st, touch: wholeTree}
	_, err = w.directory(t.Context(), fd, at.child("gone"), it)
	check(t, err)
	if !it.absent || len(w.losses) > 0 {
		t.Errorf("absent %v, losses %q", it.absent, lossReasons(w.losses))
	}
}
