package files

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/engines"
	"holdfast/engines/enginetest"
	"holdfast/internal/tree"
)

// btrfs mounts a new one.
func btrfs(t *testing.T) (mount string) {
	t.Helper()
	needRoot(t)
	needTools(t, "mkfs.btrfs")
	dir := scratchDir(t)
	image, mount := filepath.Join(dir, "image"), filepath.Join(dir, "mount")
	check(t, os.WriteFile(image, nil, 0o600), os.Truncate(image, 200<<20), os.Mkdir(mount, 0o755))
	run(t, "mkfs.btrfs", "-q", image)
	run(t, "mount", "-o", "loop", image, mount)
	t.Cleanup(func() { run(t, "umount", mount) })
	return mount
}

func sourceAt(t *testing.T, mount string) *source {
	t.Helper()
	made, err := Engine.Source(mountService(mount))
	check(t, err)
	t.Cleanup(func() { made.Close() })
	return made.(*source)
}

// left lists the snapshots in a mount.
func left(t *testing.T, mount string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(mount, captures+"*"))
	check(t, err)
	return found
}

// On btrfs a mount is snapshotted under the hold, and read afterwards: what happens to
// it meanwhile is not in the snapshot, what happened before is, however it came.
func TestASubvolumeIsReadAsItWasAtTheMark(t *testing.T) {
	mount := btrfs(t)
	write(t, mount, map[string]string{"stays": "stays", "before": "old", "after": "old", "gone": "gone", "dir/deep": "deep", "mapped": strings.Repeat("x", 8192)})
	run(t, "btrfs", "subvolume", "create", filepath.Join(mount, "other"))
	write(t, mount, map[string]string{"other/inside": "inside"})
	time.Sleep(5 * ticks) // what is younger is read again, anyhow
	f, err := os.OpenFile(filepath.Join(mount, "mapped"), os.O_RDWR, 0)
	check(t, err)
	defer f.Close()
	page, err := unix.Mmap(int(f.Fd()), 0, 8192, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	check(t, err)
	defer unix.Munmap(page)
	page[0] = 'a'

	s, memory := sourceAt(t, mount), enginetest.NewMemory()
	check(t, s.Prepare(t.Context(), memory))
	check(t, os.WriteFile(filepath.Join(mount, "before"), []byte("new"), 0o644))
	page[0] = 'b'
	point, err := s.Mark(t.Context(), memory)
	check(t, err)
	if point.Position != "a btrfs snapshot" || len(left(t, mount)) != 1 {
		t.Fatalf("it was marked by %q, with %q: %v", point.Position, left(t, mount), s.blind)
	}
	page[0] = 'c'
	write(t, mount, map[string]string{"after": "new", "dir/more": "more", "stays": "changed"})
	check(t, os.Remove(filepath.Join(mount, "gone")))
	result, err := s.Send(t.Context(), memory)
	check(t, err)
	if len(result.Apart)+len(result.Losses) > 0 {
		t.Errorf("it says %+v", result)
	}
	for path, want := range map[string]string{"stays": "stays", "before": "new", "after": "old", "gone": "gone", "dir/deep": "deep", "mapped": "bxxx"} {
		if got, err := memory.File(t.Context(), result.Entries, "uploads/"+path); err != nil || !strings.HasPrefix(string(got), want) {
			t.Errorf("%s holds %.10q, %v; want %q", path, got, err, want)
		}
	}
	names := list(t, memory, result.Entries)
	for path := range names {
		if strings.Contains(path, captures) || strings.HasSuffix(path, "more") || strings.HasSuffix(path, "inside") {
			t.Errorf("%s is in it", path)
		}
	}
	if e, ok := names["uploads/other"]; !ok || e.Type != tree.Directory {
		t.Errorf("the other subvolume is %+v", e)
	}
	check(t, s.Close())
	if found := left(t, mount); len(found) > 0 {
		t.Errorf("it left %q", found)
	}

	// The next one finds its files unchanged, by number and times.
	next := memory.Next(result.Entries)
	s = sourceAt(t, mount)
	check(t, s.Prepare(t.Context(), next))
	next.Visited = nil
	_, err = s.Mark(t.Context(), next)
	check(t, err)
	_, err = s.Send(t.Context(), next)
	check(t, err)
	for _, name := range next.Visited {
		if name == "deep" {
			t.Error("an unchanged file was read again")
		}
	}
	check(t, s.Close())
}

// What a killed process has left is removed by the next one, and is in no snapshot.
func TestASnapshotThatWasLeftIsRemoved(t *testing.T) {
	mount := btrfs(t)
	write(t, mount, map[string]string{"a": "a"})
	killed, memory := sourceAt(t, mount), enginetest.NewMemory()
	check(t, killed.Prepare(t.Context(), memory))
	_, err := killed.Mark(t.Context(), memory)
	check(t, err)
	kept := *killed.frozen
	// Its descriptors end with a process; the snapshot does not.
	check(t, unix.Close(kept.root), unix.Close(kept.mount))
	killed.frozen = nil

	s := sourceAt(t, mount)
	check(t, s.Prepare(t.Context(), memory))
	if found := left(t, mount); len(found) > 0 {
		t.Errorf("%q is still there", found)
	}
	check(t, s.Close())
}

// Where it cannot be snapshotted a mount is looked at under the hold, and says why.
func TestWhereASubvolumeCannotBeSnapshotted(t *testing.T) {
	mount := btrfs(t)
	write(t, mount, map[string]string{"a": "a", "within/b": "b"})
	first := sourceAt(t, mount)
	check(t, first.Prepare(t.Context(), enginetest.NewMemory()))
	for _, c := range []struct{ name, mount, note string }{
		{"somebody else does", mount, "somebody else keeps it locked"},
		{"a directory of one", filepath.Join(mount, "within"), "every file was looked at"},
	} {
		s, memory := sourceAt(t, c.mount), enginetest.NewMemory()
		check(t, s.Prepare(t.Context(), memory))
		point, result := finished(t, s, memory)
		if point.Position != "" || !strings.Contains(strings.Join(result.Notes, "\n"), c.note) {
			t.Errorf("%s: marked by %q, noted %q", c.name, point.Position, result.Notes)
		}
	}
}

func finished(t *testing.T, s *source, sink engines.Sink) (engines.Point, engines.Result) {
	t.Helper()
	point, err := s.Mark(context.Background(), sink)
	check(t, err)
	result, err := s.Send(context.Background(), sink)
	check(t, err)
	return point, result
}

// A restore leaves such a snapshot alone, as it does all that is Holdfast's.
func TestSnapshotsOfAMountAreOurs(t *testing.T) {
	for name, ours := range map[string]bool{hidden: true, captures + "00": true, hidden + "s": false, "a": false} {
		if isOurs(name) != ours {
			t.Errorf("%s: %v", name, !ours)
		}
	}
}

// What has taken the subvolume's place is not in a snapshot of it.
func TestASubvolumeThatIsReplacedBeforeTheMark(t *testing.T) {
	mount := btrfs(t)
	for _, name := range []string{"one", "two"} {
		run(t, "btrfs", "subvolume", "create", filepath.Join(mount, name))
		write(t, mount, map[string]string{name + "/file": "of " + name})
	}
	current := filepath.Join(mount, "current")
	check(t, os.Symlink("one", current))
	s, sink := sourceAt(t, current), enginetest.NewMemory()
	check(t, s.Prepare(t.Context(), sink))
	if s.frozen == nil {
		t.Fatalf("it would not be snapshotted: %v", s.blind)
	}
	check(t, os.Symlink("two", current+".new"), os.Rename(current+".new", current))
	result := marked(t, s, sink)
	if got, err := sink.File(t.Context(), result.Entries, "uploads/file"); err != nil || string(got) != "of two" {
		t.Errorf("%q, %v", got, err)
	}
	if found := append(left(t, filepath.Join(mount, "one")), left(t, filepath.Join(mount, "two"))...); len(found) > 0 {
		t.Errorf("left %q", found)
	}
}
