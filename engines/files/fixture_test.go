package files

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/engines"
	"holdfast/engines/enginetest"
	"holdfast/internal/tree"
)

const testToken = "0123456789abcdef0123"

func mountService(path string) engines.Service {
	return engines.Service{Name: "uploads", URL: &url.URL{Scheme: "file", Path: path}}
}

// unwatched is a kernel that tells nothing, so that all is looked at.
func unwatched(int) (*watch, error) { return nil, errors.New("not watched") }

// scratchDir is a directory on a real filesystem (t.TempDir may be a tmpfs),
// also for trees that os.RemoveAll cannot remove.
func scratchDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "holdfast-files-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("rm", "-rf", dir).CombinedOutput(); err != nil {
			t.Errorf("rm -rf %s: %v: %s", dir, err, out)
		}
	})
	return dir
}

func needTools(t testing.TB, tools ...string) {
	t.Helper()
	packages := map[string]string{"setfacl": "acl", "setfattr": "attr", "mkfs.btrfs": "btrfs-progs"}
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			name := tool
			if p, ok := packages[tool]; ok {
				name = p
			}
			t.Fatalf("%s is missing: apt-get install %s", tool, name)
		}
	}
}

func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("owners and devices need root: sudo go test ./engines/files")
	}
}

func run(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v: %s", name, args, err, out)
	}
	return string(out)
}

// check fails the test at once on the first error.
func check(t testing.TB, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// write makes files with the given contents, and the directories they are in.
func write(t testing.TB, root string, contents map[string]string) {
	t.Helper()
	for name, content := range contents {
		p := filepath.Join(root, name)
		check(t, os.MkdirAll(filepath.Dir(p), 0o755), os.WriteFile(p, []byte(content), 0o644))
	}
}

// settle waits until what was written so far is not suspect any more.
func settle(t testing.TB) {
	t.Helper()
	time.Sleep(ticks + 15*time.Millisecond)
}

// richTree fills root with everything a mount can hold.
func richTree(t testing.TB, root string) {
	t.Helper()
	needRoot(t)
	needTools(t, "setfacl", "setfattr")
	in := func(p string) string { return filepath.Join(root, p) }
	write(t, root, map[string]string{
		"plain.txt": "plain", "empty": "", "2026/01/a.jpg": strings.Repeat("jpeg", 100_000), "2026/02/b.jpg": "b",
		"setuid": "suid", "immutable-ish": "mode 0", "acl": "acl", "attributes": "user.*", "capable": "#!/bin/true",
		"a \n strange\tname": "x", "not-utf8-\xff\xfe": "y", strings.Repeat("n", 255): "255", "-rf": "dash", "ünï": "utf8",
		"linked/first": "one file, three names", "modes/700/x": "x",
	})
	check(t,
		os.MkdirAll(in("empty-dir/nested/deeper"), 0o755),
		os.Symlink("plain.txt", in("link")), os.Symlink("/nowhere/at/all", in("dangling")), os.Symlink("../../../etc", in("2026/outside")),
		os.MkdirAll(in("linked/deep/down"), 0o755),
		os.Link(in("linked/first"), in("linked/deep/down/second")), os.Link(in("linked/first"), in("2026/third")),
		os.Link(in("dangling"), in("2026/dangling-too")),
		unix.Mkfifo(in("fifo"), 0o640),
		unix.Mknod(in("socket"), unix.S_IFSOCK|0o600, 0),
		unix.Mknod(in("char"), unix.S_IFCHR|0o620, int(unix.Mkdev(1, 3))),
		unix.Mknod(in("block"), unix.S_IFBLK|0o660, int(unix.Mkdev(7, 200))),
		os.Chown(in("setuid"), 33, 33), os.Chmod(in("setuid"), 0o4751|os.ModeSetuid),
		os.Chown(in("2026"), 1234, 5678), unix.Chmod(in("2026"), 0o2775), unix.Chmod(in("empty-dir"), 0o1777),
		os.Lchown(in("link"), 33, 33), unix.Chmod(in("immutable-ish"), 0), unix.Chmod(in("modes/700"), 0o500),
		os.Chown(in("fifo"), 33, 0),
	)
	run(t, "setfacl", "-m", "u:33:rw,g:1234:r", in("acl"))
	run(t, "setfacl", "-m", "u:33:rwx", "-d", "-m", "u:33:rwx,g::r-x", in("2026/01"))
	run(t, "setfattr", "-n", "user.colour", "-v", "green", in("attributes"))
	run(t, "setfattr", "-n", "user.binary", "-v", "0x00ff00", in("attributes"))
	run(t, "setfattr", "-n", "trusted.secret", "-v", "root only", in("2026"))
	run(t, "setfattr", "-h", "-n", "trusted.on-a-link", "-v", "x", in("link"))
	// cap_net_bind_service=ep, revision 2
	run(t, "setfattr", "-n", "security.capability", "-v", "0x0100000200040000000000000000000000000000", in("capable"))
	sparse(t, in("sparse"), 8<<20, map[int64]string{0: "begin", 1 << 20: strings.Repeat("middle", 20_000), 6 << 20: "end"})
	sparse(t, in("all-hole"), 3<<20, nil)
	for i, p := range []string{"plain.txt", "2026/01/a.jpg", "link", "fifo", "empty-dir/nested", "2026/01", "2026", "linked"} {
		at := unix.NsecToTimespec(time.Date(1969+i*9, 12, 31, 23, 59, 58, 123456789-i, time.UTC).UnixNano())
		check(t, unix.UtimesNanoAt(unix.AT_FDCWD, in(p), []unix.Timespec{at, at}, unix.AT_SYMLINK_NOFOLLOW))
	}
	run(t, "setfattr", "-n", "user.root", "-v", "of the mount", root)
	at := unix.NsecToTimespec(1_000_000_000_987_654_321)
	check(t, unix.Chmod(root, 0o750), os.Chown(root, 33, 1234), unix.UtimesNanoAt(unix.AT_FDCWD, root, []unix.Timespec{at, at}, 0))
}

func sparse(t testing.TB, path string, size int64, data map[int64]string) {
	t.Helper()
	f, err := os.Create(path)
	check(t, err)
	defer f.Close()
	check(t, f.Truncate(size))
	for off, d := range data {
		_, err := f.WriteAt([]byte(d), off)
		check(t, err)
	}
	check(t, f.Sync())
}

// wantSame fails unless rsync, with everything it can compare, finds no
// difference between the two trees.
func wantSame(t testing.TB, want, got string, options ...string) {
	t.Helper()
	needTools(t, "rsync")
	args := append([]string{"-aHAX", "--checksum", "--delete", "--dry-run", "--itemize-changes"}, options...)
	args = append(args, want+"/", got+"/")
	if out := run(t, "rsync", args...); out != "" {
		t.Errorf("rsync finds differences between %s and %s:\n%s", want, got, out)
	}
}

// capture runs a source to the end.
func capture(t testing.TB, s engines.Service, sink engines.Sink) engines.Result {
	t.Helper()
	source, err := Engine.Source(s)
	check(t, err)
	return captureFrom(t, source, sink)
}

func captureFrom(t testing.TB, source engines.Source, sink engines.Sink) engines.Result {
	t.Helper()
	ctx := context.Background()
	check(t, source.Prepare(ctx, sink))
	_, err := source.Mark(ctx, sink)
	check(t, err)
	result, err := source.Send(ctx, sink)
	check(t, err, source.Close())
	for _, e := range result.Entries {
		check(t, e.Validate())
	}
	return result
}

// list returns every path of the snapshot with its entry.
func list(t testing.TB, content engines.Content, entries []tree.Entry) map[string]tree.Entry {
	t.Helper()
	all := map[string]tree.Entry{}
	var add func(prefix string, e tree.Entry)
	add = func(prefix string, e tree.Entry) {
		all[prefix+e.Name] = e
		if e.Type != tree.Directory {
			return
		}
		for child, err := range content.Children(context.Background(), e) {
			check(t, err)
			add(prefix+e.Name+"/", child)
		}
	}
	for _, e := range entries {
		add("", e)
	}
	return all
}

// meddler is a sink that does something to the filesystem while a file is read:
// once, between the first bytes of its content and the rest.
type meddler struct {
	*enginetest.Memory
	mu   sync.Mutex
	when map[string]func() // by file name
	runs map[string]int    // how often to do it; default once
}

func (m *meddler) Put(ctx context.Context, e tree.Entry, base tree.Stream, content io.Reader) (tree.Entry, error) {
	m.mu.Lock()
	do := m.when[e.Name]
	if m.runs[e.Name]--; m.runs[e.Name] <= 0 {
		delete(m.when, e.Name)
	}
	m.mu.Unlock()
	if do == nil {
		return m.Memory.Put(ctx, e, base, content)
	}
	return m.Memory.Put(ctx, e, base, io.MultiReader(io.LimitReader(content, 10), &call{do: do}, content))
}

// call is an empty reader that does something when it is read.
type call struct{ do func() }

func (c *call) Read([]byte) (int, error) {
	c.do()
	return 0, io.EOF
}

func newMeddler() *meddler {
	return &meddler{Memory: enginetest.NewMemory(), when: map[string]func(){}, runs: map[string]int{}}
}

func lossReasons(losses []engines.Loss) string {
	var all []string
	for _, l := range losses {
		all = append(all, fmt.Sprintf("%s: %s", l.Path, l.Reason))
	}
	return strings.Join(all, "\n")
}

// failing is a sink that fails after so many files.
type failing struct {
	*meddler
	after int
	err   error
}

func (f *failing) Put(ctx context.Context, e tree.Entry, base tree.Stream, content io.Reader) (tree.Entry, error) {
	f.mu.Lock()
	f.after--
	left := f.after
	f.mu.Unlock()
	if left < 0 {
		return e, f.err
	}
	return f.meddler.Put(ctx, e, base, content)
}
