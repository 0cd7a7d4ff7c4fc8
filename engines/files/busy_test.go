package files

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// busy is a site that is not held: it does something right after the swap was planned.
type busy struct {
	what string
	do   func(in func(string) string) error
}

// replaced is what sites do to write a file at once.
func replaced(path string) error {
	return errors.Join(os.WriteFile(path+".new", []byte("site"), 0o644), os.Rename(path+".new", path))
}

var busySites = []busy{
	{"removes", func(in func(string) string) error {
		return errors.Join(os.Remove(in("same")), os.Remove(in("goes.txt")), os.RemoveAll(in("dir-to-file")), os.RemoveAll(in("both")))
	}},
	{"replaces", func(in func(string) string) error {
		return errors.Join(replaced(in("same")), replaced(in("goes.txt")), os.Rename(in("both"), in("goes.txt.old")),
			os.Mkdir(in("both"), 0o755), os.RemoveAll(in("dir-to-file")), replaced(in("dir-to-file")))
	}},
	{"makes", func(in func(string) string) error {
		return errors.Join(replaced(in("comes.txt")), os.Mkdir(in("comes"), 0o755))
	}},
	{"moves", func(in func(string) string) error {
		return errors.Join(os.Rename(in("same"), in("comes.txt")), os.Rename(in("goes.txt"), in("same")))
	}},
}

// TestASiteThatWritesWhileItsMountIsSwapped: the restore takes what is there by now, and
// whenever it dies, it can be undone; that gives the site back what it had.
func TestASiteThatWritesWhileItsMountIsSwapped(t *testing.T) {
	ctx := context.Background()
	entries, content := snapshotOf(t)
	dir := memoryDir(t)
	for _, site := range busySites {
		for _, s := range scenes[:2] {
			t.Run(site.what+", "+s.name, func(t *testing.T) {
				for n, killed := 1, true; killed && !t.Failed(); n++ {
					st := s.set(t, dir, entries, content)
					target := st.staged(t)
					steps := 0
					var before map[string]string
					target.disk.step = func(op, name string) error {
						if before == nil && name == dirBetween {
							check(t, site.do(func(name string) string { return filepath.Join(st.root, name) }))
							before = contents(t, st.root)
						}
						if before != nil {
							steps++
						}
						if steps >= n {
							return errKilled
						}
						return nil
					}
					err := target.Swap(ctx)
					killed = errors.Is(err, errKilled)
					if !killed {
						check(t, err)
					}
					target.disk.step = nil
					check(t, target.Close())
					target = st.target(t)
					what := fmt.Sprintf("killed at step %d", n)
					if err := target.Revert(ctx); err != nil {
						t.Fatalf("%s: %v", what, err)
					}
					if got := contents(t, st.root); !maps.Equal(got, before) {
						t.Errorf("%s, reverted:\n%q, want\n%q", what, got, before)
					}
					check(t, target.Discard(ctx))
					st.isClean(t, what, true)
					check(t, os.RemoveAll(filepath.Dir(st.root)))
				}
			})
		}
	}
}

// TestRevertWhereWhatStaysIsGone: the site has removed a directory that stays because
// something in it is excluded. That is gone for good, all else returns.
func TestRevertWhereWhatStaysIsGone(t *testing.T) {
	ctx := context.Background()
	entries, content := snapshotOf(t)
	dir := memoryDir(t)
	for what, do := range map[string]func(path string) error{
		"removed":  os.RemoveAll,
		"moved":    func(path string) error { return os.Rename(path, path+".old") },
		"replaced": func(path string) error { return errors.Join(os.RemoveAll(path), replaced(path)) },
		"a symlink now": func(path string) error {
			return errors.Join(os.Rename(path, path+".old"), os.Symlink(path+".old", path))
		},
	} {
		t.Run(what, func(t *testing.T) {
			st := scenes[2].set(t, dir, entries, content)
			before := contents(t, st.root)
			delete(before, "both/cache/kept")
			target := st.staged(t)
			check(t, target.Swap(ctx), do(filepath.Join(st.root, "both")), target.Revert(ctx), target.Discard(ctx))
			check(t, os.RemoveAll(filepath.Join(st.root, "both.old")))
			if got := contents(t, st.root); !maps.Equal(got, before) {
				t.Errorf("reverted:\n%q, want\n%q", got, before)
			}
			st.isClean(t, "discarded", true)
		})
	}
}

// TestADirectoryThatIsRemovedBeforeItIsLookedThrough: it was open by then, and is no
// reason for a restore to fail.
func TestADirectoryThatIsRemovedBeforeItIsLookedThrough(t *testing.T) {
	root := scratchDir(t)
	check(t, os.Mkdir(filepath.Join(root, "gone"), 0o755))
	fd, err := openRoot(filepath.Join(root, "gone"))
	check(t, err)
	defer unix.Close(fd)
	check(t, os.Remove(filepath.Join(root, "gone")))
	at := (&place{name: "uploads"}).child("gone")
	s := &survey{mount: root, rules: &rules{}, stay: map[string]bool{}}
	if holds, err := s.findStaying(fd, at); holds || err != nil {
		t.Errorf("what stays: %v, %v", holds, err)
	}
	if err := (&census{rules: &rules{}}).directory(t.Context(), fd, at); err != nil {
		t.Errorf("the plan: %v", err)
	}
}
