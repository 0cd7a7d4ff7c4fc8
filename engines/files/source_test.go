package files

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/engines"
	"holdfast/engines/enginetest"
	"holdfast/internal/tree"
)

func TestServicesThatCanNeverWorkAreRefused(t *testing.T) {
	good := mountService("/srv/uploads")
	for what, change := range map[string]func(*engines.Service){
		"scheme":        func(s *engines.Service) { s.URL = &url.URL{Scheme: "redis", Path: "/x"} },
		"no URL":        func(s *engines.Service) { s.URL = nil },
		"relative":      func(s *engines.Service) { s.URL = &url.URL{Scheme: "file", Opaque: "uploads"} },
		"another host":  func(s *engines.Service) { s.URL = &url.URL{Scheme: "file", Host: "nas", Path: "/x"} },
		"whole machine": func(s *engines.Service) { s.URL = &url.URL{Scheme: "file", Path: "/"} },
		"name":          func(s *engines.Service) { s.Name = ".." },
		"hidden name":   func(s *engines.Service) { s.Name = ".holdfast" },
		"pattern":       func(s *engines.Service) { s.Exclude = []string{"[a"} },
	} {
		s := good
		change(&s)
		if _, err := Engine.Source(s); err == nil {
			t.Errorf("%s: accepted as a source", what)
		}
		if _, err := Engine.Target(s, testToken); err == nil {
			t.Errorf("%s: accepted as a target", what)
		}
	}
	for _, sub := range []string{"a/../b", ".holdfast/x", "a//b", ".."} {
		s := good
		s.Subpath = sub
		if _, err := Engine.Target(s, testToken); err == nil {
			t.Errorf("subpath %q accepted", sub)
		}
	}
	for _, token := range []string{"", "../../../../../../x", "0123456789ABCDEF0123", testToken + "4"} {
		if _, err := Engine.Target(good, token); err == nil {
			t.Errorf("token %q accepted", token)
		}
	}
}

func TestAMissingMountIsAnErrorThatNamesIt(t *testing.T) {
	dir := scratchDir(t)
	write(t, dir, map[string]string{"file": "x"})
	for path, want := range map[string]error{filepath.Join(dir, "nosuch"): unix.ENOENT, filepath.Join(dir, "file"): unix.ENOTDIR} {
		source, err := Engine.Source(mountService(path))
		check(t, err)
		err = source.Prepare(context.Background(), enginetest.NewMemory())
		if !errors.Is(err, want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestEverythingIsRecorded(t *testing.T) {
	root := scratchDir(t)
	richTree(t, root)
	settle(t)
	sink := enginetest.NewMemory()
	result := capture(t, mountService(root), sink)
	if len(result.Losses) != 0 || len(result.Notes) != 0 {
		t.Errorf("losses %v, notes %v", result.Losses, result.Notes)
	}
	all := list(t, sink, result.Entries)
	top := all["uploads"]
	if top.Entries != uint64(len(all)-1) || top.Type != tree.Directory || top.Mode != 0o750 || top.UID != 33 || top.User != "www-data" {
		t.Errorf("root: %+v with %d entries beneath", top, len(all)-1)
	}
	first := all["uploads/linked/first"]
	if first.Link == 0 || all["uploads/linked/deep/down/second"].Link != first.Link || all["uploads/2026/third"].Link != first.Link {
		t.Error("three names of one file are not one link group")
	}
	if d := all["uploads/dangling"]; d.Link == 0 || d.Target != "/nowhere/at/all" || all["uploads/2026/dangling-too"].Link != d.Link {
		t.Errorf("hard-linked symlink: %+v", d)
	}
	if c := all["uploads/char"]; c.Device != 1<<32|3 || all["uploads/block"].Device != 7<<32|200 {
		t.Errorf("devices: %+v", c)
	}
	if s := all["uploads/sparse"]; s.Size != 8<<20 || len(s.Holes) < 2 || s.Content.Size() > 1<<20 {
		t.Errorf("sparse file: size %d, %d holes, %d bytes stored", s.Size, len(s.Holes), s.Content.Size())
	}
	if s := all["uploads/all-hole"]; s.Size != 3<<20 || len(s.Content.Refs) != 0 {
		t.Errorf("a file that is one hole: %+v", s)
	}
	if x := all["uploads/attributes"].Xattrs; len(x) != 2 || x[0].Name != "user.binary" || string(x[1].Value) != "green" {
		t.Errorf("extended attributes: %v", x)
	}
	if x := all["uploads/acl"].Xattrs; len(x) != 1 || x[0].Name != "system.posix_acl_access" {
		t.Errorf("ACL: %v", x)
	}
	reads := 0
	for _, name := range sink.Visited {
		if name == "first" || name == "second" || name == "third" {
			reads++
		}
	}
	if reads != 1 {
		t.Errorf("a file with three names was read %d times", reads)
	}
}

func TestUnchangedFilesAndDirectoriesAreNotRead(t *testing.T) {
	root := scratchDir(t)
	richTree(t, root)
	settle(t)
	day1 := enginetest.NewMemory()
	first := capture(t, mountService(root), day1)
	if first.Entries[0].Suspect {
		t.Error("the mount is suspect")
	}

	day2 := day1.Next(first.Entries)
	second := capture(t, mountService(root), day2)
	if len(day2.Visited) != 0 || day2.Read != 0 {
		t.Errorf("nothing changed, but %q were read", day2.Visited)
	}
	if !sameEntry(&first.Entries[0], &second.Entries[0]) {
		t.Errorf("the mount's entry changed:\n%+v\n%+v", first.Entries[0], second.Entries[0])
	}
	if files := len(list(t, day2, second.Entries)); len(day2.Kept) == 0 || len(day2.Kept) > files {
		t.Errorf("%d of %d entries kept", len(day2.Kept), files)
	}

	for _, c := range []struct {
		change string
		do     func() error
		read   []string // files
	}{
		{"content", func() error { return os.WriteFile(filepath.Join(root, "plain.txt"), []byte("PLAIN"), 0o644) }, []string{"plain.txt"}},
		{"mode", func() error { return os.Chmod(filepath.Join(root, "-rf"), 0o600) }, []string{"-rf"}},
		{"replaced by one that looks the same", func() error { return replaceAlike(filepath.Join(root, "2026/02/b.jpg"), "B") }, []string{"b.jpg"}},
		{"removed", func() error { return os.Remove(filepath.Join(root, "ünï")) }, nil},
		{"a new one", func() error { return os.WriteFile(filepath.Join(root, "0"), nil, 0o644) }, []string{"0"}},
		{"a directory's attribute", func() error { return unix.Setxattr(filepath.Join(root, "modes"), "user.x", []byte("1"), 0) }, nil},
		{"a symlink", func() error {
			return errors.Join(os.Remove(filepath.Join(root, "link")), os.Symlink("elsewhere", filepath.Join(root, "link")))
		}, nil},
	} {
		check(t, c.do())
		settle(t)
		day3 := day2.Next(second.Entries)
		third := capture(t, mountService(root), day3)
		if !slices.Equal(day3.Visited, c.read) {
			t.Errorf("%s: read %q, want %q", c.change, day3.Visited, c.read)
		}
		if third.Entries[0].Content.Equal(second.Entries[0].Content) {
			t.Errorf("%s: the snapshot does not show it", c.change)
		}
		fresh := enginetest.NewMemory()
		if all := capture(t, mountService(root), fresh); !all.Entries[0].Content.Equal(third.Entries[0].Content) {
			t.Errorf("%s: reading everything gives another snapshot than reading what changed", c.change)
		}
		day2, second = day3, third
	}
}

func TestWhatCountsAsUnchanged(t *testing.T) {
	w := &walker{}
	st := stat{node: node{ino: 7}, mode: unix.S_IFREG | 0o644, size: 5, mtime: tree.Time{Sec: 1}, ctime: tree.Time{Sec: 2}}
	same := tree.Entry{Type: tree.File, Inode: 7, Size: 5, MTime: st.mtime, CTime: st.ctime}
	for what, change := range map[string]func(*tree.Entry){
		"": func(*tree.Entry) {}, "type": func(e *tree.Entry) { e.Type = tree.FIFO }, "inode": func(e *tree.Entry) { e.Inode++ },
		"size": func(e *tree.Entry) { e.Size++ }, "mtime": func(e *tree.Entry) { e.MTime.Nsec++ },
		"ctime": func(e *tree.Entry) { e.CTime.Nsec++ }, "suspect": func(e *tree.Entry) { e.Suspect = true },
	} {
		e := same
		change(&e)
		if w.unchanged(&e, &st) != (what == "") {
			t.Errorf("another %s: unchanged is %v", what, what != "")
		}
	}
	if w.unchanged(nil, &st) {
		t.Error("unchanged without an earlier entry")
	}
}

// replaceAlike puts another file of the same size and mtime into path's place.
func replaceAlike(path, content string) error {
	before, err := os.Stat(path)
	if err != nil {
		return err
	}
	return errors.Join(os.WriteFile(path+".new", []byte(content), before.Mode()),
		os.Chtimes(path+".new", before.ModTime(), before.ModTime()), os.Rename(path+".new", path))
}

func TestTheRemainderIsWhatChangedSincePrepare(t *testing.T) {
	root := scratchDir(t)
	write(t, root, map[string]string{"stays": "1", "changes": "1", "goes": "1", "dir/a": "1", "dir/b": "1", "other/x": "1"})
	settle(t)
	sink := enginetest.NewMemory()
	source, err := Engine.Source(mountService(root))
	check(t, err, source.Prepare(context.Background(), sink))
	before := len(sink.Visited)

	write(t, root, map[string]string{"changes": "2", "dir/b": "2", "comes": "2"})
	check(t, os.Remove(filepath.Join(root, "goes")))
	point, err := source.Mark(context.Background(), sink)
	check(t, err)
	result, err := source.Send(context.Background(), sink)
	check(t, err)
	if point.At.IsZero() {
		t.Error("the point has no time")
	}
	read := slices.Sorted(slices.Values(sink.Visited[before:]))
	if !slices.Equal(read, []string{"b", "changes", "comes"}) {
		t.Errorf("read under the hold: %q", read)
	}
	for path, want := range map[string]string{"stays": "1", "changes": "2", "dir/a": "1", "dir/b": "2", "comes": "2", "other/x": "1"} {
		if got, err := sink.File(context.Background(), result.Entries, "uploads/"+path); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v; want %q", path, got, err, want)
		}
	}
	if _, ok := list(t, sink, result.Entries)["uploads/goes"]; ok || len(result.Losses) != 0 {
		t.Errorf("removed before the mark: in the snapshot %v, losses %v", ok, result.Losses)
	}
}

func TestRecentlyChangedFilesAreSuspect(t *testing.T) {
	root := scratchDir(t)
	write(t, root, map[string]string{"settled": "1", "recent": "1"})
	settle(t)
	// As if the clock had stood still since these times.
	day := time.Date(2026, 3, 1, 12, 0, 0, 5, time.UTC)
	stopped := clock{since: tree.TimeOf(day), whole: tree.TimeOf(day.Add(-time.Second)), until: tree.TimeOf(day.Add(time.Hour))}
	check(t, os.Chtimes(filepath.Join(root, "settled"), day, day.Add(-time.Nanosecond)), os.Chtimes(filepath.Join(root, "recent"), day, day))
	captureAt := func(sink engines.Sink, c clock) engines.Result {
		made, err := Engine.Source(mountService(root))
		check(t, err)
		made.(*source).clock, made.(*source).follow = func(int) clock { return c }, unwatched
		return captureFrom(t, made, sink)
	}
	sink := enginetest.NewMemory()
	first := captureAt(sink, stopped)
	all := list(t, sink, first.Entries)
	if all["uploads/settled"].Suspect || !all["uploads/recent"].Suspect {
		t.Errorf("suspect: settled %v, recent %v", all["uploads/settled"].Suspect, all["uploads/recent"].Suspect)
	}
	if got := slices.Sorted(slices.Values(sink.Visited)); !slices.Equal(got, []string{"recent", "recent", "settled"}) {
		t.Errorf("read %q; the suspect file is to be read again under the hold", got)
	}
	later := stopped
	later.since = tree.TimeOf(day.Add(time.Minute))
	next := sink.Next(first.Entries)
	second := captureAt(next, later)
	if !slices.Equal(next.Visited, []string{"recent"}) || list(t, next, second.Entries)["uploads/recent"].Suspect {
		t.Errorf("the next snapshot read %q; it has to read what was suspect, once", next.Visited)
	}
}

func TestTheClock(t *testing.T) {
	root := scratchDir(t)
	path := filepath.Join(root, "file")
	for range 100 {
		c := clockOf(t, root)
		check(t, os.WriteFile(path, nil, 0o644))
		st, err := statAt(unix.AT_FDCWD, path)
		check(t, err)
		if !c.suspects(st.mtime, st.ctime) {
			t.Fatalf("written after the clock was read, at %v, and not suspect: since %v", st.mtime, c.since)
		}
	}
	settle(t)
	st, err := statAt(unix.AT_FDCWD, path)
	check(t, err)
	c := clockOf(t, root)
	if c.suspects(st.mtime, st.ctime) {
		t.Error("written long before the clock was read, and suspect")
	}
	second := tree.Time{Sec: st.ctime.Sec}
	if !c.suspects(second, second) {
		t.Error("on a filesystem of whole seconds this second proves nothing")
	}
	future := tree.TimeOf(time.Now().Add(48 * time.Hour))
	if c.suspects(future, st.ctime) || !c.suspects(st.mtime, tree.TimeOf(time.Now().Add(time.Minute))) {
		t.Error("a time that was set by hand, far ahead, says nothing; a clock that was set back does")
	}
	if !everything().suspects(tree.Time{}, tree.Time{}) || !everything().suspects(future, future) {
		t.Error("without a clock everything is suspect")
	}
}

func clockOf(t testing.TB, root string) clock {
	t.Helper()
	fd, err := openRoot(root)
	check(t, err)
	defer unix.Close(fd)
	return startClock(fd)
}

// TestWritesThroughAMapping checks what the clock and the sync are for: pages
// that are written again while they are dirty do not move the file's times.
func TestWritesThroughAMapping(t *testing.T) {
	root := scratchDir(t)
	path := filepath.Join(root, "mapped")
	check(t, os.WriteFile(path, make([]byte, 8192), 0o644))
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	check(t, err)
	defer f.Close()
	page, err := unix.Mmap(int(f.Fd()), 0, 8192, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	check(t, err)
	defer unix.Munmap(page)
	page[0] = 'a' // dirty from now on
	settle(t)
	sink := enginetest.NewMemory()
	source, err := Engine.Source(mountService(root))
	check(t, err, source.Prepare(context.Background(), sink))
	page[1] = 'b'
	_, err = source.Mark(context.Background(), sink)
	check(t, err)
	result, err := source.Send(context.Background(), sink)
	check(t, err)
	got, err := sink.File(context.Background(), result.Entries, "uploads/mapped")
	check(t, err)
	if string(got[:2]) != "ab" {
		t.Errorf("the snapshot has %q: a write through a mapping before the mark is missing", got[:2])
	}
}

func TestLargeDirectories(t *testing.T) {
	root := scratchDir(t)
	for i := range 3*window + 7 {
		check(t, os.WriteFile(filepath.Join(root, fmt.Sprintf("%05d", i)), []byte{byte(i)}, 0o644))
	}
	settle(t)
	day1 := enginetest.NewMemory()
	first := capture(t, mountService(root), day1)
	if got := len(list(t, day1, first.Entries)); got != 3*window+7+1 {
		t.Fatalf("%d entries", got)
	}
	for _, at := range []int{0, window - 1, window, 2*window + 5, 3*window + 6} {
		check(t, os.WriteFile(filepath.Join(root, fmt.Sprintf("%05d", at)), []byte("changed"), 0o644))
		settle(t)
		day2 := day1.Next(first.Entries)
		second := capture(t, mountService(root), day2)
		if len(day2.Visited) != 1 {
			t.Errorf("file %d changed, read %q", at, day2.Visited)
		}
		fresh := enginetest.NewMemory()
		if all := capture(t, mountService(root), fresh); !all.Entries[0].Content.Equal(second.Entries[0].Content) {
			t.Errorf("file %d changed: another listing than from scratch", at)
		}
		day1, first = day2, second
	}
}
