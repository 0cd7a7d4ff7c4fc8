package files

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"holdfast/engines"
	"holdfast/engines/enginetest"
	"holdfast/internal/tree"
)

// prepared is a held mount after Prepare.
func prepared(t *testing.T, root string, sink engines.Sink) *source {
	t.Helper()
	made, err := Engine.Source(mountService(root))
	check(t, err)
	t.Cleanup(func() { check(t, made.Close()) })
	check(t, made.Prepare(t.Context(), sink))
	s := made.(*source)
	if s.watch == nil {
		t.Fatalf("is not watched: %v", s.blind)
	}
	return s
}

// marked marks and sends a prepared mount.
func marked(t *testing.T, s *source, sink engines.Sink) engines.Result {
	t.Helper()
	_, err := s.Mark(t.Context(), sink)
	check(t, err)
	result, err := s.Send(t.Context(), sink)
	check(t, err)
	return result
}

// described is what is in a snapshot, without what depends on when it was looked at.
func described(t *testing.T, content engines.Content, entries []tree.Entry) string {
	t.Helper()
	var lines []string
	for path, e := range list(t, content, entries) {
		e.Suspect = false
		if e.Type == tree.Directory {
			e.Content = tree.Stream{} // of its entries, suspects among them
		}
		lines = append(lines, fmt.Sprintf("%s %+v", path, e))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// differing is the lines that only one of them has.
func differing(got, want string) string {
	var lines []string
	for line := range strings.SplitSeq(got, "\n") {
		if !strings.Contains(want, line) {
			lines = append(lines, "- "+line)
		}
	}
	for line := range strings.SplitSeq(want, "\n") {
		if !strings.Contains(got, line) {
			lines = append(lines, "+ "+line)
		}
	}
	return strings.Join(lines, "\n")
}

// scramble does one thing that a site may do to its files.
func scramble(random *rand.Rand, root string) error {
	pick := func() string {
		var parts []string
		for range 1 + random.IntN(3) {
			parts = append(parts, string(rune('a'+random.IntN(4))))
		}
		return filepath.Join(root, filepath.Join(parts...))
	}
	a, b := pick(), pick()
	var err error
	switch random.IntN(10) {
	case 0, 1, 2:
		err = os.WriteFile(a, fmt.Appendf(nil, "%d", random.Uint64()), 0o644)
	case 3:
		err = os.MkdirAll(a, 0o755)
	case 4, 5:
		err = os.Rename(a, b)
	case 6:
		err = os.RemoveAll(a)
	case 7:
		err = os.Chmod(a, 0o700|os.FileMode(random.IntN(64)))
	case 8:
		err = os.Link(a, b)
	default:
		err = unix.Setxattr(a, "user.n", fmt.Appendf(nil, "%d", random.Uint64()), 0)
	}
	if errno, ok := errors.AsType[unix.Errno](err); ok && errno != unix.EIO && errno != unix.ENOSPC {
		return nil // what the filesystem refuses is part of the game
	}
	return err
}

// TestWhatIsTouchedIsFound: whatever was done since, and while, the mount was
// walked, a second look at what was touched gives the tree that a whole walk gives.
func TestWhatIsTouchedIsFound(t *testing.T) {
	const seeds = 40
	byEvents := 0
	for seed := range uint64(seeds) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 0))
			root := scratchDir(t)
			for range 60 {
				check(t, scramble(random, root))
			}
			sink := enginetest.NewMemory()
			made, err := Engine.Source(mountService(root))
			check(t, err)
			defer made.Close()
			var visitors errgroup.Group
			visitors.Go(func() error { // while it is walked
				random := rand.New(rand.NewPCG(seed, 1))
				for range random.IntN(60) {
					if err := scramble(random, root); err != nil {
						return err
					}
				}
				return nil
			})
			check(t, made.Prepare(t.Context(), sink), visitors.Wait())
			for range random.IntN(30) {
				check(t, scramble(random, root))
			}
			s := made.(*source)
			result := marked(t, s, sink)
			if s.byEvents {
				byEvents++
			}
			if !s.byEvents && s.blind != errLinked || len(result.Apart) > 0 || len(result.Losses) > 0 {
				t.Fatalf("by events %v (%v); apart %q; losses %v", s.byEvents, s.blind, result.Apart, result.Losses)
			}
			fresh := enginetest.NewMemory()
			whole := capture(t, mountService(root), fresh)
			if got, want := described(t, sink, result.Entries), described(t, fresh, whole.Entries); got != want {
				t.Errorf("by events and by a walk:\n%s", differing(got, want))
			}
		})
	}
	if byEvents < seeds/2 {
		t.Errorf("%d of %d by events", byEvents, seeds)
	}
}

func TestOnlyWhatWasTouchedIsLookedAt(t *testing.T) {
	root := scratchDir(t)
	for i := range 50 {
		write(t, root, map[string]string{fmt.Sprintf("dir%02d/a", i): "a", fmt.Sprintf("dir%02d/b", i): "b"})
	}
	settle(t)
	sink := enginetest.NewMemory()
	s := prepared(t, root, sink)
	sink.Visited = nil
	write(t, root, map[string]string{"dir07/b": "changed", "new/file": "new"})
	result := marked(t, s, sink)
	if !s.byEvents || !slices.Equal(slices.Sorted(slices.Values(sink.Visited)), []string{"b", "file"}) {
		t.Errorf("by events %v, read %q", s.byEvents, sink.Visited)
	}
	got, err := sink.File(t.Context(), result.Entries, "uploads/dir07/b")
	if err != nil || string(got) != "changed" {
		t.Errorf("%q, %v", got, err)
	}
}

// What the kernel does not tell under the name in the mount: a file's other name
// outside, and a mapping that somebody holds.
func TestWhatMakesNoEventsIsFoundToo(t *testing.T) {
	outside, root := scratchDir(t), scratchDir(t)
	write(t, root, map[string]string{"linked": "before", "mapped": strings.Repeat("m", 8192), "deep/er/other": "x"})
	check(t, os.Link(filepath.Join(root, "linked"), filepath.Join(outside, "name")))
	f, err := os.OpenFile(filepath.Join(root, "mapped"), os.O_RDWR, 0)
	check(t, err)
	defer f.Close()
	page, err := unix.Mmap(int(f.Fd()), 0, 8192, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	check(t, err)
	defer unix.Munmap(page)
	sink := enginetest.NewMemory()
	s := prepared(t, root, sink)
	page[1] = 'M'
	check(t, os.WriteFile(filepath.Join(outside, "name"), []byte("after"), 0o644))
	result := marked(t, s, sink)
	for name, want := range map[string]string{"linked": "after", "mapped": "mMm"} {
		got, err := sink.File(t.Context(), result.Entries, "uploads/"+name)
		if err != nil || !strings.HasPrefix(string(got), want) || !s.byEvents {
			t.Errorf("%s: %.10q, %v, by events %v; want %q", name, got, err, s.byEvents, want)
		}
	}
}

// TestAMappingThatIsGoneByTheMark: what it wrote to a page that was dirty already made no
// event and moved no times, and /proc does not tell of it any more.
func TestAMappingThatIsGoneByTheMark(t *testing.T) {
	root := scratchDir(t)
	file := filepath.Join(root, "mapped")
	write(t, root, map[string]string{"mapped": "at first"})
	settle(t)
	sink := enginetest.NewMemory()
	s := sourceAt(t, root)
	var page []byte
	s.clock = func(root int) clock {
		c := startClock(root)
		page = mapped(t, file)
		copy(page, "at once ")
		return c
	}
	check(t, s.Prepare(t.Context(), sink))
	copy(page, "at last ")
	check(t, unix.Munmap(page))
	settle(t)
	result := marked(t, s, sink)
	got, err := sink.File(t.Context(), result.Entries, "uploads/mapped")
	if err != nil || string(got) != "at last " || !s.byEvents {
		t.Errorf("%q, %v, by events %v", got, err, s.byEvents)
	}
}

// TestMappingsOfFilesInMemory: there what is written through a mapping moves no times,
// whether the mapping lasts or has ended when the next snapshot is taken.
func TestMappingsOfFilesInMemory(t *testing.T) {
	root := memoryDir(t)
	write(t, root, map[string]string{"mapped": "at first"})
	settle(t)
	page := mapped(t, filepath.Join(root, "mapped"))
	if page[0] != 'a' { // a page that was read first is not even noticed when it becomes dirty
		t.Fatal(string(page))
	}
	sink := enginetest.NewMemory()
	result := capture(t, mountService(root), sink)
	for _, content := range []string{"mapped--", "and gone"} {
		copy(page, content)
		if content == "and gone" {
			check(t, unix.Munmap(page))
		}
		settle(t)
		sink = sink.Next(result.Entries)
		result = capture(t, mountService(root), sink)
		if got, err := sink.File(t.Context(), result.Entries, "uploads/mapped"); err != nil || string(got) != content {
			t.Errorf("%q, %v; want %q", got, err, content)
		}
	}
}

// mapped maps the whole file, to be read and written.
func mapped(t *testing.T, file string) []byte {
	t.Helper()
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	check(t, err)
	defer f.Close()
	st, err := f.Stat()
	check(t, err)
	page, err := unix.Mmap(int(f.Fd()), 0, int(st.Size()), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	check(t, err)
	return page
}

// TestWhatWasMissedIsNamed: the walk after the release finds what neither events
// nor mappings told of, and tells nothing of what happened after the release.
func TestWhatWasMissedIsNamed(t *testing.T) {
	root := scratchDir(t)
	write(t, root, map[string]string{"a/kept": "1", "a/missed": "1", "b/gone": "1", "b/kept": "1", "c/kept": "1"})
	sink := enginetest.NewMemory()
	s := prepared(t, root, sink)
	write(t, root, map[string]string{"a/missed": "22", "c/new": "1"})
	check(t, os.Remove(filepath.Join(root, "b/gone")))
	settle(t)
	_, err := s.watch.take() // as if nobody had told
	check(t, err)
	_, err = s.Mark(t.Context(), sink)
	check(t, err)
	settle(t)
	write(t, root, map[string]string{"a/kept": "later", "later/x": "1"})
	check(t, os.Remove(filepath.Join(root, "c/kept")))
	result, err := s.Send(t.Context(), sink)
	check(t, err)
	slices.Sort(result.Apart)
	// c was changed after the release, so its times do not tell of before.
	if want := []string{"uploads/a/missed", "uploads/b/gone", "uploads/c/new"}; !slices.Equal(result.Apart, want) {
		t.Errorf("named %q, want %q", result.Apart, want)
	}
}

func TestAKernelThatCannotTellCostsAWalk(t *testing.T) {
	for name, blind := range map[string]func(*watch){
		"the queue ran over":       func(w *watch) { w.event(-1, unix.IN_Q_OVERFLOW, "") },
		"too many names":           func(w *watch) { w.names = maxTouched; w.note("a", false) },
		"a directory is unwatched": func(w *watch) { w.add(-1, &place{name: "uploads"}) },
	} {
		t.Run(name, func(t *testing.T) {
			root := scratchDir(t)
			write(t, root, map[string]string{"dir/file": "before"})
			sink := enginetest.NewMemory()
			s := prepared(t, root, sink)
			s.watch.mu.Lock()
			unlock := s.watch.mu.Unlock
			if name == "a directory is unwatched" {
				unlock()
				unlock = func() {}
			}
			blind(s.watch)
			unlock()
			write(t, root, map[string]string{"dir/file": "after"})
			result := marked(t, s, sink)
			got, err := sink.File(t.Context(), result.Entries, "uploads/dir/file")
			said := slices.ContainsFunc(result.Notes, func(n string) bool { return strings.Contains(n, "every file was looked at under the hold: ") })
			if err != nil || string(got) != "after" || s.byEvents || !said {
				t.Errorf("%q, %v, by events %v, notes %q", got, err, s.byEvents, result.Notes)
			}
		})
	}
}

// TestAMountThatIsReplacedBeforeTheMark: a symlink to the current release leads to the
// next one by then. Nothing of the one before may pass for what is there.
func TestAMountThatIsReplacedBeforeTheMark(t *testing.T) {
	for _, held := range []bool{true, false} {
		base := scratchDir(t)
		write(t, base, map[string]string{"one/same": "of one", "one/gone": "of one", "two/same": "of two", "two/new": "of two"})
		current := filepath.Join(base, "current")
		check(t, os.Symlink("one", current))
		now := time.Now()
		s := unheldSource(t, current, &now)
		s.unheld = !held
		sink := enginetest.NewMemory()
		check(t, s.Prepare(t.Context(), sink))
		check(t, os.Symlink("two", current+".new"), os.Rename(current+".new", current))
		now = now.Add(atOnce)
		result := marked(t, s, sink)
		if got, want := described(t, sink, result.Entries), described(t, sink, capture(t, mountService(current), sink).Entries); got != want {
			t.Errorf("held %v: it is not what is there:\n%s", held, differing(got, want))
		}
		if said := slices.ContainsFunc(result.Notes, func(n string) bool { return strings.Contains(n, "taken the place of the mount") }); said != held {
			t.Errorf("held %v: notes %q", held, result.Notes)
		}
		check(t, s.Close())
	}
}

func TestLossesOfTheFirstWalkAreTriedAgain(t *testing.T) {
	root := scratchDir(t)
	write(t, root, map[string]string{"busy": strings.Repeat("a", 100_000)})
	sink := newMeddler()
	sink.when["busy"] = func() { check(t, overwrite(filepath.Join(root, "busy"), 1)) }
	s := prepared(t, root, sink)
	if len(s.precopy.Losses) != 1 {
		t.Fatalf("the first walk lost %v", s.precopy.Losses)
	}
	if result := marked(t, s, sink); len(result.Losses) > 0 || !s.byEvents {
		t.Errorf("lost %v, by events %v", result.Losses, s.byEvents)
	}
}

func TestMappingsAreReadFromProc(t *testing.T) {
	proc := t.TempDir()
	write(t, proc, map[string]string{
		"12/maps": "7f00-7f01 rw-s 00000000 fd:01 77                         /srv/up loads/a\\012b\n" +
			"7f01-7f02 r--s 00000000 fd:01 78 /srv/read-only\n" +
			"7f02-7f03 rw-p 00000000 fd:01 79 /srv/private\n" +
			"7f03-7f04 rw-s 00000000 fd:02 80 /srv/other-device\n" +
			"7f04-7f05 -w-s 00000000 fd:01 81 /srv/write-only\n" +
			"7f05-7f06 rw-s 00000000 fd:01 82 /srv/gone (deleted)\n" +
			"7f06-7f07 rw-p 00000000 00:00 0 \n" + "short line\n",
		"13/comm": "no maps", "self/maps": "7f00-7f01 rw-s 00000000 fd:01 77 /srv/not-a-process\n",
	})
	got, err := mappedFiles(proc, unix.Mkdev(0xfd, 1))
	check(t, err)
	slices.Sort(got)
	if want := []string{"/srv/up loads/a\nb", "/srv/write-only"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestTheWatchEndsWithItsSource(t *testing.T) {
	made, err := Engine.Source(mountService(scratchDir(t)))
	check(t, err, made.Prepare(context.Background(), enginetest.NewMemory()))
	check(t, made.Close(), made.Close())
}
