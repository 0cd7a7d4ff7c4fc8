package files

import (
	"context"
	"errors"
	"iter"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sync/errgroup"

	"holdfast/engines/enginetest"
	"holdfast/internal/tree"
)

// interrupting is a sink that does something when a listing is asked for.
type interrupting struct {
	*enginetest.Memory
	do func()
}

func (i *interrupting) Children(ctx context.Context, directory tree.Entry) iter.Seq2[tree.Entry, error] {
	if do := i.do; do != nil {
		i.do = nil
		do()
	}
	return i.Memory.Children(ctx, directory)
}

// TestWhatHappensAfterTheReleaseIsNotMissed: it is no part of the snapshot, and what was
// read under the hold remains at one instant.
func TestWhatHappensAfterTheReleaseIsNotMissed(t *testing.T) {
	for what, change := range map[string]func(in func(string) string) error{
		"a removal":    func(in func(string) string) error { return os.Remove(in("file")) },
		"a move":       func(in func(string) string) error { return os.Rename(in("next"), in("came")) },
		"a new upload": func(in func(string) string) error { return os.WriteFile(in("new"), nil, 0o644) },
		"another directory of that name, of before the hold": func(in func(string) string) error {
			return errors.Join(os.Rename(in("release"), in("last")), os.Rename(in("next"), in("release")))
		},
	} {
		for _, when := range []string{"before the look", "during it"} {
			root := scratchDir(t)
			in := func(name string) string { return filepath.Join(root, name) }
			write(t, root, map[string]string{"file": "1", "release/same": "1", "release/gone": "1", "next/same": "22", "next/new": "1"})
			settle(t)
			sink := &interrupting{Memory: enginetest.NewMemory()}
			s := prepared(t, root, sink)
			_, err := s.Mark(t.Context(), sink)
			check(t, err)
			settle(t)
			if when == "during it" {
				sink.do = func() { check(t, change(in)) }
			} else {
				check(t, change(in))
			}
			result, err := s.Send(t.Context(), sink)
			check(t, err)
			if len(result.Apart) > 0 || !s.byEvents {
				t.Errorf("%s, %s: named %q; by events %v", what, when, result.Apart, s.byEvents)
			}
		}
	}
}

// TestAFileThatIsBeingCut: for a moment it has its new size and its old times.
func TestAFileThatIsBeingCut(t *testing.T) {
	root := scratchDir(t)
	const size = 16 << 20
	large := filepath.Join(root, "large")
	check(t, os.WriteFile(large, make([]byte, size), 0o644))
	settle(t)
	caught := 0
	for range 20 {
		check(t, os.Truncate(large, size))
		settle(t)
		sink := enginetest.NewMemory()
		s := prepared(t, root, sink)
		_, err := s.Mark(t.Context(), sink)
		check(t, err)
		settle(t)
		before, err := os.Stat(large)
		check(t, err)
		var cut errgroup.Group
		cut.Go(func() error { return os.Truncate(large, 0) })
		for info := before; info.Size() > 0; {
			info, err = os.Stat(large)
			check(t, err)
			if info.Size() == 0 && info.ModTime().Equal(before.ModTime()) {
				caught++
			}
		}
		result, err := s.Send(t.Context(), sink)
		check(t, err, cut.Wait())
		if len(result.Apart) > 0 {
			t.Errorf("named %q", result.Apart)
		}
		check(t, os.WriteFile(large, make([]byte, size), 0o644))
	}
	if caught == 0 {
		t.Log("it was never caught in between")
	}
}
