package files

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"golang.org/x/sys/unix"

	"holdfast/engines/enginetest"
	"holdfast/internal/tree"
)

// handsOn is content that has buffers of its own.
type handsOn struct {
	io.Reader
	pieces [][]byte
}

func (h handsOn) WriteTo(w io.Writer) (total int64, err error) {
	for _, p := range h.pieces {
		n, err := w.Write(p)
		if total += int64(n); err != nil {
			return total, err
		}
	}
	return total, nil
}

// Content comes in pieces of any size; holes stay where they are, and what is too
// short or too long is refused.
func TestContentGoesAroundHoles(t *testing.T) {
	data := []byte("0123456789abcdefghij")
	parts := []tree.Extent{{Offset: 3, Length: 1}, {Offset: 10, Length: 12}, {Offset: 100, Length: 7}}
	want := make([]byte, 107)
	copy(want[3:], data[:1])
	copy(want[10:], data[1:13])
	copy(want[100:], data[13:])
	sources := map[string]func(data []byte) io.Reader{
		"whole":            func(d []byte) io.Reader { return bytes.NewReader(d) },
		"byte by byte":     func(d []byte) io.Reader { return iotest.OneByteReader(bytes.NewReader(d)) },
		"in its own parts": func(d []byte) io.Reader { return handsOn{pieces: [][]byte{d[:5], nil, d[5:17], d[17:]}} },
	}
	for name, source := range sources {
		for _, c := range []struct {
			what    string
			data    []byte
			refused bool
		}{{"exact", data, false}, {"short", data[:19], true}, {"long", append(bytes.Clone(data), 'x'), true}} {
			path := filepath.Join(t.TempDir(), "f")
			f, err := os.Create(path)
			check(t, err)
			w := &writer{disk: &disk{}}
			w.buffers.New = func() any { return new([256 << 10]byte) }
			err = w.copy(int(f.Fd()), source(c.data), append([]tree.Extent(nil), parts...))
			check(t, f.Close())
			if errors.Is(err, tree.ErrInvalid) != c.refused || err != nil && !c.refused {
				t.Errorf("%s, %s: %v", name, c.what, err)
			}
			if got, _ := os.ReadFile(path); err == nil && !bytes.Equal(got, want) {
				t.Errorf("%s: %q", name, got)
			}
		}
	}
}

// Modes do not depend on the umask, nor on what new files inherit from the
// directory that is restored into: its group, its set-group bit, its default ACL.
func TestRestoreDoesNotInherit(t *testing.T) {
	needRoot(t)
	needTools(t, "setfacl", "rsync")
	root := scratchDir(t)
	richTree(t, root)
	sink := enginetest.NewMemory()
	sent := capture(t, mountService(root), sink)

	for _, mask := range []int{0, 0o077, 0o777} {
		into := scratchDir(t)
		check(t, os.Chown(into, 0, 5678), unix.Chmod(into, 0o2770))
		run(t, "setfacl", "-d", "-m", "u:1234:rwx,g::r,o::-", into)
		before := unix.Umask(mask)
		restore(t, mountService(into), sent.Entries, sink)
		unix.Umask(before)
		wantSame(t, root, into)
	}
}

// The number of a hard-link group is an inode's: two services may have the same one, and so
// may two files of a site that was read while it wrote. What is the same file is linked, and
// nothing else.
func TestFilesThatShareANumberAreNotLinked(t *testing.T) {
	sink := enginetest.NewMemory()
	file := func(name, content string, link uint64) tree.Entry {
		e, err := sink.Put(t.Context(), tree.Entry{Name: name, Type: tree.File, Mode: 0o644, Link: link}, tree.Stream{}, strings.NewReader(content))
		check(t, err)
		return e
	}
	symlink := func(name, to string) tree.Entry {
		return tree.Entry{Name: name, Type: tree.Symlink, Mode: 0o777, Link: 8, Target: to}
	}
	var entries []tree.Entry
	want := map[string]string{}
	for service, contents := range map[string][]string{"media": {"same", "site", "same"}, "uploads": {"same", "info", "same", "info"}} {
		var children []tree.Entry
		for i, c := range contents {
			name := string(rune('a' + i))
			children = append(children, file(name, c, 7))
			want[service+"/"+name] = c
		}
		children = append(children, symlink("x", "there"), symlink("y", "other"))
		e, err := sink.PutDirectory(t.Context(), tree.Entry{Name: service, Type: tree.Directory, Mode: 0o755}, tree.Stream{}, each(children))
		check(t, err)
		entries = append(entries, e)
	}
	dir := scratchDir(t)
	_, err := Extract(t.Context(), sink, entries, dir)
	check(t, err)
	if got := contents(t, dir); !maps.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	in := func(name string) string { return filepath.Join(dir, name) }
	for _, c := range []struct {
		a, b string
		same bool
	}{{"media/a", "media/c", true}, {"uploads/b", "uploads/d", true}, {"media/a", "media/b", false}, {"media/a", "uploads/a", false}, {"media/x", "media/y", false}, {"media/x", "uploads/x", false}} {
		if same := inode(t, in(c.a)) == inode(t, in(c.b)); same != c.same {
			t.Errorf("%s and %s are one file: %v, want %v", c.a, c.b, same, c.same)
		}
	}
}
