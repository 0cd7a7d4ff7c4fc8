package files

import (
	"context"
	"errors"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"holdfast/internal/blob"
	"holdfast/internal/tree"
)

// handmade is a content that obeys no rules: listings by the directory's name,
// every file says the same.
type handmade struct {
	listings map[string][]tree.Entry
	says     string
	err      error // at the end of every file
}

func (h *handmade) Children(_ context.Context, d tree.Entry) iter.Seq2[tree.Entry, error] {
	return each(h.listings[d.Name])
}

func (h *handmade) Open(context.Context, tree.Entry) io.ReadCloser {
	var r io.Reader = strings.NewReader(h.says)
	if h.err != nil {
		r = io.MultiReader(r, failingReader{h.err})
	}
	return io.NopCloser(r)
}

type failingReader struct{ err error }

func (f failingReader) Read([]byte) (int, error) { return 0, f.err }

// withTotals sets what a listing amounts to, as if its maker were honest.
func (h *handmade) directory(name string, children ...tree.Entry) tree.Entry {
	e := tree.Entry{Name: name, Type: tree.Directory, Mode: 0o755}
	for _, c := range children {
		e.Entries += 1 + c.Entries
		e.Size += c.Size
	}
	if h.listings == nil {
		h.listings = map[string][]tree.Entry{}
	}
	h.listings[name] = children
	return e
}

func handmadeFile(name string, size uint64) tree.Entry {
	e := tree.Entry{Name: name, Type: tree.File, Mode: 0o644, Size: size}
	if size > 0 {
		e.Content.Refs = []tree.Ref{{ID: blob.ID{1}, Size: size}}
	}
	return e
}

func TestHostileTrees(t *testing.T) {
	outside := scratchDir(t)
	write(t, outside, map[string]string{"victim": "untouched", "dir/victim": "untouched"})
	check(t, os.Chmod(filepath.Join(outside, "victim"), 0o600))
	link := tree.Entry{Name: "x", Type: tree.Symlink, Target: outside}
	toFile := tree.Entry{Name: "l", Type: tree.Symlink, Target: filepath.Join(outside, "victim"), Link: 7, Mode: 0o777}
	linked := handmadeFile("m", 5)
	linked.Link = 7
	read := func(h *handmade) { h.says = "pwned" }
	for _, c := range []struct {
		what     string
		children func(h *handmade) []tree.Entry
		accept   bool
	}{
		{"parent", func(h *handmade) []tree.Entry { return []tree.Entry{handmadeFile("..", 5)} }, false},
		{"slash", func(h *handmade) []tree.Entry { return []tree.Entry{handmadeFile("a/b", 5)} }, false},
		{"absolute", func(h *handmade) []tree.Entry { return []tree.Entry{handmadeFile(outside+"/victim", 5)} }, false},
		{"empty", func(h *handmade) []tree.Entry { return []tree.Entry{handmadeFile("", 5)} }, false},
		{"itself", func(h *handmade) []tree.Entry { return []tree.Entry{h.directory(".")} }, false},
		{"NUL", func(h *handmade) []tree.Entry { return []tree.Entry{handmadeFile("a\x00b", 5)} }, false},
		{"a symlink and a directory of one name", func(h *handmade) []tree.Entry {
			return []tree.Entry{link, h.directory("x", handmadeFile("victim", 5))}
		}, false},
		{"a symlink and a file of one name", func(h *handmade) []tree.Entry {
			return []tree.Entry{{Name: "x", Type: tree.Symlink, Target: filepath.Join(outside, "victim")}, handmadeFile("x", 5)}
		}, false},
		{"a symlink and a device of one name", func(h *handmade) []tree.Entry {
			return []tree.Entry{link, {Name: "x", Type: tree.FIFO}}
		}, false},
		{"the same file twice", func(h *handmade) []tree.Entry { return []tree.Entry{handmadeFile("x", 5), handmadeFile("x", 5)} }, false},
		{"a file that is a hard link to a symlink", func(h *handmade) []tree.Entry { return []tree.Entry{toFile, linked} }, true},
		{"a symlink with set-id bits and attributes", func(h *handmade) []tree.Entry {
			e := toFile
			e.Mode, e.Link, e.Xattrs = 0o6777, 0, []tree.Xattr{{Name: "user.x", Value: []byte("1")}}
			return []tree.Entry{e}
		}, true},
		{"the hidden directory", func(h *handmade) []tree.Entry {
			return []tree.Entry{h.directory(hidden, h.directory(testToken, handmadeFile(filePlan, 5)))}
		}, true},
		{"content that is too short", func(h *handmade) []tree.Entry { return []tree.Entry{handmadeFile("x", 6)} }, false},
		{"content that is too long", func(h *handmade) []tree.Entry { return []tree.Entry{handmadeFile("x", 4)} }, false},
		{"more than the directory says", func(h *handmade) []tree.Entry {
			d := h.directory("d", handmadeFile("x", 5))
			d.Entries = 0
			return []tree.Entry{d}
		}, false},
		{"less than the directory says", func(h *handmade) []tree.Entry {
			d := h.directory("d", handmadeFile("x", 5))
			d.Size = 50
			return []tree.Entry{d}
		}, false},
		{"a directory in itself", func(h *handmade) []tree.Entry {
			d := h.directory("d")
			h.listings["d"] = []tree.Entry{d}
			return []tree.Entry{d}
		}, false},
		{"a mode out of range", func(h *handmade) []tree.Entry {
			e := handmadeFile("x", 5)
			e.Mode = 0o100644
			return []tree.Entry{e}
		}, false},
	} {
		t.Run(c.what, func(t *testing.T) {
			h := &handmade{}
			read(h)
			entries := []tree.Entry{h.directory("uploads", c.children(h)...)}
			into := scratchDir(t)
			_, err := Extract(context.Background(), h, entries, into)
			if (err == nil) != c.accept {
				t.Errorf("extracted: %v", err)
			}
			root := scratchDir(t)
			write(t, root, map[string]string{"current": "data"})
			target := newTestTarget(t, mountService(root))
			_, err = target.Stage(context.Background(), entries, h)
			if (err == nil) != c.accept {
				t.Errorf("staged: %v", err)
			}
			if err == nil {
				check(t, target.Swap(context.Background()), target.Revert(context.Background()))
			}
			check(t, target.Discard(context.Background()))
			if got := contents(t, root); len(got) != 1 || got["current"] != "data" {
				t.Errorf("the mount: %q", got)
			}
			if got := contents(t, outside); len(got) != 2 || got["victim"] != "untouched" || got["dir/victim"] != "untouched" {
				t.Errorf("outside: %q", got)
			}
			var st unix.Stat_t
			check(t, unix.Stat(filepath.Join(outside, "victim"), &st))
			if st.Mode&0o7777 != 0o600 || len(namesIn(t, outside)) != 2 {
				t.Errorf("outside: mode %o, names %q", st.Mode, namesIn(t, outside))
			}
		})
	}
}

func TestEntriesThatAreNoMount(t *testing.T) {
	h := &handmade{}
	good := h.directory("uploads")
	other := h.directory("other")
	for _, entries := range [][]tree.Entry{nil, {handmadeFile("uploads", 0)}, {other}, {good, other}} {
		target := newTestTarget(t, mountService(scratchDir(t)))
		if _, err := target.Plan(t.Context(), entries); !errors.Is(err, tree.ErrInvalid) {
			t.Errorf("planned %d entries: %v", len(entries), err)
		}
		if _, err := target.Stage(t.Context(), entries, h); !errors.Is(err, tree.ErrInvalid) {
			t.Errorf("staged %d entries: %v", len(entries), err)
		}
	}
}

func TestDamagedContentIsNotStaged(t *testing.T) {
	damaged := errors.New("blob 0102 is damaged")
	h := &handmade{says: "pwn", err: damaged}
	entries := []tree.Entry{h.directory("uploads", handmadeFile("file", 5))}
	target := newTestTarget(t, mountService(scratchDir(t)))
	if _, err := target.Stage(t.Context(), entries, h); !errors.Is(err, damaged) || !strings.Contains(err.Error(), "uploads/file") {
		t.Errorf("staged: %v", err)
	}
	if err := target.Swap(t.Context()); err == nil {
		t.Error("half a stage was swapped")
	}
	check(t, target.Discard(t.Context()))
}

// TestTheHiddenDirectoryMayBeATrap: whoever owns the mount can put anything there.
func TestTheHiddenDirectoryMayBeATrap(t *testing.T) {
	needRoot(t)
	outside := scratchDir(t)
	h := &handmade{says: "12345"}
	entries := []tree.Entry{h.directory("uploads", handmadeFile("file", 5))}
	for what, trap := range map[string]func(string) error{
		"symlink": func(p string) error { return os.Symlink(outside, p) },
		"file":    func(p string) error { return os.WriteFile(p, nil, 0o644) },
	} {
		root := scratchDir(t)
		check(t, trap(filepath.Join(root, hidden)))
		target := newTestTarget(t, mountService(root))
		if _, err := target.Stage(t.Context(), entries, h); err == nil || !strings.Contains(err.Error(), filepath.Join(root, hidden)) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if names := namesIn(t, outside); len(names) != 0 {
		t.Errorf("through the symlink: %q", names)
	}

	root := scratchDir(t)
	trap := filepath.Join(root, hidden)
	check(t, os.Mkdir(trap, 0o777), os.Chmod(trap, 0o777), os.Chown(trap, 33, 33))
	target := newTestTarget(t, mountService(root))
	_, err := target.Stage(t.Context(), entries, h)
	check(t, err)
	var st unix.Stat_t
	check(t, unix.Stat(trap, &st))
	if st.Uid != 0 || st.Mode&0o7777 != 0o700 {
		t.Errorf("a hidden directory of somebody else stays open to him: owner %d, mode %o", st.Uid, st.Mode&0o7777)
	}
	check(t, target.Swap(t.Context()), target.Discard(t.Context()))
}
