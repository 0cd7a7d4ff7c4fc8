package files

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/engines"
	"holdfast/engines/enginetest"
)

// unheldSource is a source of root with nothing held and a clock to be moved.
func unheldSource(t *testing.T, root string, now *time.Time) *source {
	t.Helper()
	s := mountService(root)
	s.Unheld = true
	made, err := Engine.Source(s)
	check(t, err)
	made.(*source).now = func() time.Time { return *now }
	return made.(*source)
}

func TestAMountIsWalkedOnceIfThatWasAMomentAgo(t *testing.T) {
	began := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		what    string
		unheld  bool
		later   time.Duration // the mark, after Prepare began
		content string
		at      time.Duration
	}{
		{"a moment ago", true, atOnce - 1, "before", 0},
		{"too long ago", true, atOnce, "after", atOnce},
		{"under a hold", false, 1, "after", 1},
	} {
		t.Run(c.what, func(t *testing.T) {
			root := scratchDir(t)
			write(t, root, map[string]string{"file": "before"})
			now := began
			source := unheldSource(t, root, &now)
			source.unheld = c.unheld
			sink := enginetest.NewMemory()
			check(t, source.Prepare(t.Context(), sink))
			write(t, root, map[string]string{"file": "after"})
			if c.content == "after" {
				write(t, root, map[string]string{"new": "file"})
			}
			now = began.Add(c.later)
			point, err := source.Mark(t.Context(), sink)
			check(t, err)
			if !point.At.Equal(began.Add(c.at)) {
				t.Errorf("marked %v after it began, want %v", point.At.Sub(began), c.at)
			}
			if again := c.content == "after"; source.byEvents != again {
				t.Errorf("only what was touched was looked at again: %v, want %v", source.byEvents, again)
			}
			result, err := source.Send(t.Context(), sink)
			check(t, err)
			content, err := sink.File(t.Context(), result.Entries, "uploads/file")
			check(t, err)
			_, err = sink.File(t.Context(), result.Entries, "uploads/new")
			if string(content) != c.content || (err == nil) != (c.content == "after") {
				t.Errorf("the file has %q, want %q; a new file: %v", content, c.content, err)
			}
		})
	}
}

// TestADirectoryThatComesWhileTheTouchedIsLookedAt: the kernel was asked before it
// came, so nobody knows it; all of it is stored.
func TestADirectoryThatComesWhileTheTouchedIsLookedAt(t *testing.T) {
	root := scratchDir(t)
	write(t, root, map[string]string{"d/file": "1"})
	now := time.Now()
	source := unheldSource(t, root, &now)
	sink := enginetest.NewMemory()
	check(t, source.Prepare(t.Context(), sink))
	write(t, root, map[string]string{"d/file": "2"})
	now = now.Add(atOnce)
	open, opened := source.open, 0
	source.open = func() (int, error) {
		if opened++; opened == 2 { // to walk; the first time what is mapped was looked for
			write(t, root, map[string]string{"d/new/deep/file": "new"})
		}
		return open()
	}
	_, err := source.Mark(t.Context(), sink)
	check(t, err)
	result, err := source.Send(t.Context(), sink)
	check(t, err)
	for path, want := range map[string]string{"uploads/d/file": "2", "uploads/d/new/deep/file": "new"} {
		if got, err := sink.File(t.Context(), result.Entries, path); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v; want %q", path, got, err, want)
		}
	}
	if !source.byEvents || opened != 2 {
		t.Errorf("by events: %v, opened %d times", source.byEvents, opened)
	}
}

// TestTheOnlyWalkTakesTheCareOfTheLast: what changes while it is read is read
// again, what never settles is lost by name.
func TestTheOnlyWalkTakesTheCareOfTheLast(t *testing.T) {
	root := scratchDir(t)
	whole := strings.Repeat("a", 100_000)
	write(t, root, map[string]string{"once": whole, "always": whole, "other": "x"})
	settle(t)
	sink := newMeddler()
	for name, times := range map[string]int{"once": 1, "always": attempts} {
		n := 0
		sink.runs[name] = times
		sink.when[name] = func() {
			n++
			check(t, overwrite(filepath.Join(root, name), n))
		}
	}
	now := time.Now()
	result := captureFrom(t, unheldSource(t, root, &now), sink)
	if got := lossReasons(result.Losses); got != "uploads/always: "+changed {
		t.Errorf("losses %q", got)
	}
	content, err := sink.File(t.Context(), result.Entries, "uploads/once")
	if err != nil || string(content) != strings.Repeat("1", 100_000) {
		t.Errorf("%v, %.10q", err, content)
	}
	if all := list(t, sink, result.Entries); !all["uploads/always"].Suspect || !all["uploads/once"].Suspect || all["uploads/other"].Suspect {
		t.Error("suspect is what changed since the walk began, and nothing else")
	}
}

// TestWhatMovesPastTheOnlyWalk: from where it has not been yet to where it has, and
// would be missing under both names.
func TestWhatMovesPastTheOnlyWalk(t *testing.T) {
	root := scratchDir(t)
	in := func(name string) string { return filepath.Join(root, name) }
	for _, move := range []func() error{
		func() error {
			return errors.Join(os.Rename(in("z/file"), in("a/file")), os.Rename(in("z/dir"), in("a/dir")))
		},
		func() error { return errors.Join(os.Link(in("z/file"), in("a/file")), os.Remove(in("z/file"))) },
	} {
		check(t, os.RemoveAll(in("a")), os.RemoveAll(in("z")))
		write(t, root, map[string]string{"a/first": "1", "z/file": "moves", "z/dir/deep": "too"})
		sink := newMeddler()
		sink.when["first"] = func() { check(t, move()) }
		now := time.Now()
		result := captureFrom(t, unheldSource(t, root, &now), sink)
		wantWhatIsThere(t, root, sink, result)
	}
}

func wantWhatIsThere(t *testing.T, root string, sink engines.Sink, result engines.Result) {
	t.Helper()
	got, want := described(t, sink, result.Entries), described(t, sink, capture(t, mountService(root), sink).Entries)
	if got != want {
		t.Errorf("it is not what is there:\n%s", differing(got, want))
	}
}

// TestWhatMovesPastTheSecondLook: to where nothing was touched before, from where it is
// looked a moment later.
func TestWhatMovesPastTheSecondLook(t *testing.T) {
	root := scratchDir(t)
	in := func(name string) string { return filepath.Join(root, name) }
	write(t, root, map[string]string{"a/x": "1", "b/x": "1", "c/x": "1", "z/file": "moves", "z/again": "moves", "z/dir/deep": "too"})
	settle(t)
	sink := enginetest.NewMemory()
	now := time.Now()
	source := unheldSource(t, root, &now)
	check(t, source.Prepare(t.Context(), sink))
	check(t, os.Rename(in("c/x"), in("z/x")))
	open, opened := source.open, 0
	source.open = func() (int, error) {
		switch opened++; opened { // the first time what is mapped was looked for
		case 2:
			check(t, os.Rename(in("z/file"), in("a/file")), os.Rename(in("z/dir"), in("b/dir")))
		case 3: // in a directory that the kernel knows by its old name
			check(t, os.Rename(in("z/again"), in("b/dir/again")), os.Mkdir(in("new"), 0o755))
		case 4: // into one that came since
			check(t, os.Rename(in("a/file"), in("new/file")))
		}
		return open()
	}
	_, err := source.Mark(t.Context(), sink)
	check(t, err)
	result, err := source.Send(t.Context(), sink)
	check(t, err)
	if !source.byEvents || opened != 5 {
		t.Errorf("by events: %v, opened %d times", source.byEvents, opened)
	}
	source.open = open
	wantWhatIsThere(t, root, sink, result)
}

// TestALinkWhereNothingIsHeld: its first name, of which the kernel tells nothing, is as it
// was. To look at everything would give more time to what moves.
func TestALinkWhereNothingIsHeld(t *testing.T) {
	root := scratchDir(t)
	write(t, root, map[string]string{"a/one": "linked", "b/x": "1"})
	settle(t)
	sink := enginetest.NewMemory()
	now := time.Now()
	source := unheldSource(t, root, &now)
	check(t, source.Prepare(t.Context(), sink))
	check(t, os.Link(filepath.Join(root, "a/one"), filepath.Join(root, "b/two")))
	result := marked(t, source, sink)
	for _, path := range []string{"uploads/a/one", "uploads/b/two"} {
		if got, err := sink.File(t.Context(), result.Entries, path); err != nil || string(got) != "linked" || !source.byEvents {
			t.Errorf("%s: %q, %v; by events: %v", path, got, err, source.byEvents)
		}
	}
	next := sink.Next(result.Entries)
	wantWhatIsThere(t, root, next, captureFrom(t, unheldSource(t, root, &now), next))
}

// TestWhatTheOnlyWalkMissesTheNextSnapshotHas: a file may change after it was
// read, in a way that its times do not show any more.
func TestWhatTheOnlyWalkMissesTheNextSnapshotHas(t *testing.T) {
	root := scratchDir(t)
	write(t, root, map[string]string{"mapped": string(make([]byte, 8192)), "rewritten": "1"})
	f, err := os.OpenFile(filepath.Join(root, "mapped"), os.O_RDWR, 0)
	check(t, err)
	defer f.Close()
	page, err := unix.Mmap(int(f.Fd()), 0, 8192, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	check(t, err)
	defer unix.Munmap(page)
	settle(t)

	now := time.Now()
	source := unheldSource(t, root, &now)
	source.clock = func(root int) clock {
		c := startClock(root)
		page[0] = 'a' // moves the file's times; the page is dirty from now on
		return c
	}
	sink := enginetest.NewMemory()
	check(t, source.Prepare(t.Context(), sink))
	page[1] = 'b' // moves nothing
	check(t, overwrite(filepath.Join(root, "rewritten"), 2))
	_, err = source.Mark(t.Context(), sink)
	check(t, err)
	result, err := source.Send(t.Context(), sink)
	check(t, err)
	for path, want := range map[string]string{"uploads/mapped": "a\x00", "uploads/rewritten": "1"} {
		if got, err := sink.File(t.Context(), result.Entries, path); err != nil || !strings.HasPrefix(string(got), want) {
			t.Errorf("%s: %.2q, %v; want %q, as it was when it was read", path, got, err, want)
		}
	}
	next := sink.Next(result.Entries)
	second := captureFrom(t, unheldSource(t, root, &now), next)
	for path, want := range map[string]string{"uploads/mapped": "ab", "uploads/rewritten": "2"} {
		if got, err := next.File(t.Context(), second.Entries, path); err != nil || !strings.HasPrefix(string(got), want) {
			t.Errorf("%s in the next snapshot: %.2q, %v; want %q", path, got, err, want)
		}
	}
}

func TestTheOnlyWalkCountsWhatItKeeps(t *testing.T) {
	root := scratchDir(t)
	write(t, root, map[string]string{"a": "1", "dir/b": "2"})
	settle(t)
	now := time.Now()
	day1 := enginetest.NewMemory()
	first := captureFrom(t, unheldSource(t, root, &now), day1)
	for _, unheld := range []bool{true, false} {
		day2 := day1.Next(first.Entries)
		source := unheldSource(t, root, &now)
		source.unheld = unheld
		captureFrom(t, source, day2)
		if len(day2.Kept) != 2 || len(day2.Visited) != 0 {
			t.Errorf("unheld %v: kept %d entries, read %q", unheld, len(day2.Kept), day2.Visited)
		}
	}
}
