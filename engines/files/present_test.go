package files

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"holdfast/engines"
	"holdfast/engines/enginetest"
	"holdfast/internal/tree"
)

// looking is content that looks at what is there: what it finds right, by files.
type looking struct {
	engines.Content
	t     *testing.T
	mu    sync.Mutex
	right map[string]bool
}

func (l *looking) OpenPresent(ctx context.Context, file tree.Entry, present io.ReaderAt) io.ReadCloser {
	want, err := io.ReadAll(l.Content.Open(ctx, file))
	check(l.t, err)
	got := make([]byte, len(want))
	n, err := present.ReadAt(got, 0)
	beyond, _ := present.ReadAt(make([]byte, 1), int64(len(want)))
	pieces := true
	for off := 0; off < len(want) && n == len(want); off += 5000 {
		piece := got[off:min(off+5000, len(want))]
		again := make([]byte, len(piece))
		m, err := present.ReadAt(again, int64(off))
		pieces = pieces && m == len(piece) && err == nil && bytes.Equal(piece, again)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.right[file.Name] = n == len(want) && err == nil && bytes.Equal(want, got) && beyond == 0 && pieces
	return l.Content.Open(ctx, file)
}

// A restore looks for its data in the files that are there, under the same names,
// through no symlink; whatever it finds, what it makes is its own.
func TestRestoreLooksAtWhatIsThere(t *testing.T) {
	root := filepath.Join(scratchDir(t), "mount")
	large := string(bytes.Repeat([]byte("0123456789abcdef"), 8<<10))
	check(t, os.Mkdir(root, 0o755))
	write(t, root, map[string]string{
		"same": large, "changed": large, "cut": large, "gone": large, "link": large, "fifo": large, "dir": large, "small": "small",
		"a/deep": large, "b/moved": large,
	})
	sparse(t, filepath.Join(root, "sparse"), 2<<20, map[int64]string{0: large, 1 << 20: large, 2<<20 - 100: "the end"})
	reference := copyTree(t, root)
	sink := enginetest.NewMemory()
	sent := capture(t, mountService(root), sink)

	in := func(name string) string { return filepath.Join(root, name) }
	write(t, root, map[string]string{"changed": "x" + large[1:], "cut": large[:100_000]})
	check(t, os.Remove(in("gone")), os.Remove(in("link")), os.Symlink("same", in("link")),
		os.Remove(in("fifo")), unix.Mkfifo(in("fifo"), 0o600), os.Remove(in("dir")), os.Mkdir(in("dir"), 0o700),
		os.Rename(in("b"), in("c")), os.Symlink("c", in("b")))
	before, err := os.Stat(in("same"))
	check(t, err)

	content := &looking{Content: sink, t: t, right: map[string]bool{}}
	restore(t, mountService(root), sent.Entries, content)
	wantSame(t, reference, root)
	want := map[string]bool{"same": true, "changed": false, "cut": false, "deep": true, "sparse": true}
	for name := range content.right {
		if _, ok := want[name]; !ok {
			t.Errorf("%s was looked at", name)
		}
	}
	for name, right := range want {
		if got, ok := content.right[name]; !ok || got != right {
			t.Errorf("%s: looked at %v, found right %v, want %v", name, ok, got, right)
		}
	}
	after, err := os.Stat(in("same"))
	check(t, err)
	if os.SameFile(before, after) {
		t.Error("what was restored is the file that was there, which others may have open")
	}
}

// A database that a service has open must not even be opened, whatever name it has.
func TestRestoreDoesNotLookAtWhatMustNotBeOpened(t *testing.T) {
	dir := scratchDir(t)
	root, database := filepath.Join(dir, "mount"), filepath.Join(dir, "settings.db")
	large := string(bytes.Repeat([]byte("0123456789abcdef"), 8<<10))
	check(t, os.Mkdir(root, 0o755))
	write(t, root, map[string]string{"alias": large, "other": large})
	sink := enginetest.NewMemory()
	sent := capture(t, mountService(root), sink)

	check(t, os.WriteFile(database, []byte(large), 0o600))
	alias := filepath.Join(root, "alias")
	check(t, os.Remove(alias), os.Link(database, alias))
	service := mountService(root)
	service.Avoid = []string{database}
	content := &looking{Content: sink, t: t, right: map[string]bool{}}
	restore(t, service, sent.Entries, content)
	if _, ok := content.right["alias"]; ok || !content.right["other"] {
		t.Errorf("looked at %v, want at other alone", content.right)
	}
}
