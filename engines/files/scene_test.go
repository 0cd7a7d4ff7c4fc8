package files

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"holdfast/engines"
	"holdfast/engines/enginetest"
	"holdfast/internal/tree"
)

// fingerprint describes everything about each path beneath root that a restore
// could change, inodes included, without .holdfast.
func fingerprint(t testing.TB, root string) map[string]string {
	t.Helper()
	all := map[string]string{}
	check(t, filepath.Walk(root, func(p string, info os.FileInfo, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, p)
		if rel == hidden {
			return filepath.SkipDir
		}
		st, err := statAt(unix.AT_FDCWD, p)
		if err != nil {
			return err
		}
		handle, _, err := openHandle(unix.AT_FDCWD, p)
		if err != nil {
			return err
		}
		defer unix.Close(handle)
		xattrs, err := attributesOfHandle(handle).read()
		if err != nil {
			return err
		}
		content := ""
		if info.Mode().IsRegular() {
			data, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			content = string(data)
		}
		size := st.size
		if info.IsDir() {
			size = 0 // grows with names, and does not shrink
		}
		all[rel] = fmt.Sprintf("inode %d mode %o owner %d:%d size %d mtime %v links %d xattrs %v content %q",
			st.ino, st.mode, st.uid, st.gid, size, st.mtime, st.links, xattrs, content)
		return nil
	}))
	delete(all, "..")
	return all
}

// wantFingerprint compares; the mount's own number of links counts .holdfast.
func wantFingerprint(t testing.TB, what string, want, got map[string]string) bool {
	t.Helper()
	same := true
	for p := range maps.Keys(want) {
		if plainRoot(p, want[p]) != plainRoot(p, got[p]) {
			t.Errorf("%s: %q\nwas %s\nis  %s", what, p, want[p], got[p])
			same = false
		}
	}
	for p := range got {
		if _, ok := want[p]; !ok {
			t.Errorf("%s: %q should not be there", what, p)
			same = false
		}
	}
	return same
}

func plainRoot(path, description string) string {
	if path != "." {
		return description
	}
	before, rest, _ := strings.Cut(description, " links ")
	_, after, _ := strings.Cut(rest, " ")
	return before + after
}

// scene is a mount and a snapshot that is to be restored to it.
type scene struct {
	name    string
	change  func(*engines.Service)
	missing bool // the mount does not exist
	plain   bool // no RENAME_EXCHANGE
}

var scenes = []scene{
	{name: "exchange"},
	{name: "plain rename", plain: true},
	{name: "excluded", change: func(s *engines.Service) { s.Exclude = []string{"cache/", "*.log"} }},
	{name: "excluded, plain rename", plain: true, change: func(s *engines.Service) { s.Exclude = []string{"cache/"} }},
	{name: "subpath", change: func(s *engines.Service) { s.Subpath = "both/deep" }},
	{name: "subpath with missing parents", change: func(s *engines.Service) { s.Subpath = "comes/deep/er" }},
	{name: "new mount", missing: true},
}

// stage is a scene, ready to be played.
type stage struct {
	scene
	service engines.Service
	root    string
	entries []tree.Entry
	content engines.Content
	before  map[string]string
}

// current and snapshot are what changes places: names in both, as the same and
// as different types, and in one only.
var (
	current = map[string]string{
		"same": "old", "file-to-dir": "old", "dir-to-file/x": "old", "goes/deep/x": "old", "goes.txt": "old",
		"both/deep/x": "old", "both/cache/kept": "stays", "both/y": "old", "top.log": "stays", "only/cache/x": "stays", "only/z": "old",
	}
	snapshot = map[string]string{
		"same": "new", "file-to-dir/x": "new", "dir-to-file": "new", "comes/deep/er/x": "new", "comes.txt": "new",
		"both/deep/x": "new", "both/deep/w": "new", "both/cache/other": "new", "both/v": "new", "top.log": "new",
	}
)

// snapshotOf captures what the scenes restore.
func snapshotOf(t *testing.T) ([]tree.Entry, engines.Content) {
	t.Helper()
	source := scratchDir(t)
	write(t, source, snapshot)
	check(t, os.Chmod(source, 0o711), os.Chmod(filepath.Join(source, "both"), 0o701))
	memory := enginetest.NewMemory()
	return capture(t, mountService(source), memory).Entries, memory
}

// memoryDir is a directory in memory: these tests sync thousands of times.
func memoryDir(t *testing.T) string {
	t.Helper()
	needRoot(t)
	dir := scratchDir(t)
	check(t, unix.Mount("holdfast-test", dir, "tmpfs", 0, "size=64m"))
	t.Cleanup(func() { check(t, unix.Unmount(dir, unix.MNT_DETACH)) })
	return dir
}

// set makes the mount in a new directory beneath dir.
func (s scene) set(t *testing.T, dir string, entries []tree.Entry, content engines.Content) *stage {
	t.Helper()
	base, err := os.MkdirTemp(dir, "")
	check(t, err)
	st := &stage{scene: s, root: filepath.Join(base, "mount"), entries: entries, content: content}
	if s.missing {
		st.before = fingerprint(t, base)
	} else {
		write(t, st.root, current)
		check(t, unix.Setxattr(st.root, "trusted.mine", []byte("old"), 0), os.Chmod(st.root, 0o755))
		st.before = fingerprint(t, st.root)
	}
	st.service = mountService(st.root)
	if s.change != nil {
		s.change(&st.service)
	}
	return st
}

func (st *stage) target(t *testing.T) *target {
	target := newTestTarget(t, st.service)
	target.disk.plainRename = st.plain
	return target
}

// staged returns a target that is ready for Swap.
func (st *stage) staged(t *testing.T) *target {
	t.Helper()
	target := st.target(t)
	_, err := target.Stage(context.Background(), st.entries, st.content)
	check(t, err)
	return target
}

// isBefore checks that the mount is as it was before the restore. For one that
// did not exist that means an empty one at most, until it is discarded.
func (st *stage) isBefore(t *testing.T, what string) bool {
	t.Helper()
	if st.missing {
		if got := contentsIfAny(t, st.root); len(got) != 0 {
			t.Errorf("%s: %q", what, got)
			return false
		}
		return true
	}
	return wantFingerprint(t, what, st.before, fingerprint(t, st.root))
}

func contentsIfAny(t *testing.T, root string) map[string]string {
	if _, err := os.Lstat(root); os.IsNotExist(err) {
		return nil
	}
	return contents(t, root)
}

// isClean checks that nothing of the restore is left.
func (st *stage) isClean(t *testing.T, what string, mounted bool) {
	t.Helper()
	base := filepath.Dir(st.root)
	for _, p := range []string{filepath.Join(st.root, hidden), filepath.Join(base, hidden+"-"+testToken)} {
		if _, err := os.Lstat(p); !os.IsNotExist(err) {
			t.Errorf("%s: %s is left: %v", what, p, err)
		}
	}
	if _, err := os.Lstat(st.root); mounted == os.IsNotExist(err) {
		t.Errorf("%s: the mount exists: %v", what, !mounted)
	}
}

// after is what the mount is after the restore, with new inodes left out.
func (st *stage) isAfter(t *testing.T, what string) {
	t.Helper()
	want := st.expected()
	got := contents(t, st.root)
	if !maps.Equal(want, got) {
		t.Errorf("%s:\nwant %q\ngot  %q", what, want, got)
	}
	var info unix.Stat_t
	check(t, unix.Stat(st.root, &info))
	mode := uint32(0o711)
	if st.service.Subpath != "" {
		mode = 0o755
	}
	if info.Mode&0o7777 != mode {
		t.Errorf("%s: the mount's mode is %o, want %o", what, info.Mode&0o7777, mode)
	}
}

func (st *stage) expected() map[string]string {
	want := map[string]string{}
	restored := func(p string) bool {
		return st.service.Subpath == "" || strings.HasPrefix(p, st.service.Subpath+"/")
	}
	stays := func(p string) bool {
		for _, e := range st.service.Exclude {
			if e == "cache/" && strings.Contains(p, "/cache/") || e == "*.log" && strings.HasSuffix(p, ".log") {
				return true
			}
		}
		return false
	}
	for p, c := range snapshot {
		if restored(p) && !stays(p) {
			want[p] = c
		}
	}
	if !st.missing {
		for p, c := range current {
			if !restored(p) || stays(p) {
				want[p] = c
			}
		}
	}
	return want
}
