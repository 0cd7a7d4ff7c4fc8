package storage_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"holdfast/internal/storage"
	"holdfast/internal/storage/storagetest"
)

func create(t *testing.T, dir string) *storage.Local {
	t.Helper()
	l, err := storage.CreateLocal(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func put(t *testing.T, s storage.Storage, name, data string) {
	t.Helper()
	if err := s.Put(t.Context(), name, []byte(data)); err != nil {
		t.Fatal(err)
	}
}

func list(t *testing.T, s storage.Storage, prefix string) []string {
	t.Helper()
	var names []string
	for info, err := range s.List(t.Context(), prefix) {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, info.Name)
	}
	return names
}

// onDisk returns every path beneath dir, directories with a '/' behind them.
func onDisk(t *testing.T, dir string) []string {
	t.Helper()
	var paths []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if rel, _ := filepath.Rel(dir, path); rel != "." && err == nil {
			if d.IsDir() {
				rel += "/"
			}
			paths = append(paths, rel)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

func TestLocalKeepsTheContract(t *testing.T) {
	storagetest.Run(t, func(t *testing.T) storage.Storage { return create(t, t.TempDir()) })
}

func TestOpenLocalWhereNothingIs(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "none")
	if _, err := storage.OpenLocal(dir); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), dir) {
		t.Errorf("error is %v", err)
	}
	if _, err := os.Lstat(dir); err == nil {
		t.Error("opening made the directory")
	}
}

func TestCreateLocal(t *testing.T) {
	notADirectory := errors.New("not a directory") // package os has no sentinel for it
	for name, c := range map[string]struct {
		prepare func(dir string) error
		want    error
	}{
		"new":                  {func(string) error { return nil }, nil},
		"empty":                {func(dir string) error { return os.MkdirAll(dir, 0o755) }, nil},
		"a disk of its own":    {func(dir string) error { return os.MkdirAll(filepath.Join(dir, "lost+found"), 0o700) }, nil},
		"somebody's directory": {func(dir string) error { return os.MkdirAll(filepath.Join(dir, "Photos"), 0o700) }, fs.ErrExist},
		"a repository already": {func(dir string) error { return os.MkdirAll(filepath.Join(dir, "packs"), 0o700) }, fs.ErrExist},
		"a file":               {writeFile, notADirectory},
		"beneath a file":       {func(dir string) error { return writeFile(filepath.Dir(dir)) }, notADirectory},
		"a link leading nowhere": {func(dir string) error {
			return errors.Join(os.MkdirAll(filepath.Dir(dir), 0o755), os.Symlink("nowhere", dir))
		}, fs.ErrNotExist},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "a", "b")
			if err := c.prepare(dir); err != nil {
				t.Fatal(err)
			}
			before := onDisk(t, filepath.Dir(filepath.Dir(dir)))
			l, err := storage.CreateLocal(dir)
			named := c.want == notADirectory && err != nil && strings.HasSuffix(err.Error(), c.want.Error())
			if !errors.Is(err, c.want) && !named {
				t.Fatalf("error is %v, want %v", err, c.want)
			}
			if err != nil {
				if !strings.Contains(err.Error(), dir) {
					t.Errorf("error %q does not name the directory", err)
				}
				if after := onDisk(t, filepath.Dir(filepath.Dir(dir))); !slices.Equal(before, after) {
					t.Errorf("a refusal left %q", after)
				}
				return
			}
			put(t, l, "config", "x")
			if err := l.Close(); err != nil {
				t.Error(err)
			}
			l, err = storage.OpenLocal(dir)
			if err != nil {
				t.Fatal(err)
			}
			if got := list(t, l, ""); !slices.Equal(got, []string{"config"}) {
				t.Errorf("opened again it holds %q", got)
			}
			if err := l.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func writeFile(path string) error {
	return errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte("mine"), 0o600))
}

func TestModes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "repo")
	put(t, create(t, dir), "packs/3f/3f02", "x")
	for path, want := range map[string]fs.FileMode{"": 0o700, "packs": 0o700, "packs/3f": 0o700, "packs/3f/3f02": 0o400} {
		info, err := os.Stat(filepath.Join(dir, path))
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%q has mode %o, want %o", path, got, want)
		}
	}
}

// What is no object must be neither listed, nor read, nor replaced, nor deleted.
func TestForeignFiles(t *testing.T) {
	outside := t.TempDir()
	if err := writeFile(filepath.Join(outside, "secret")); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	l := create(t, dir)
	put(t, l, "packs/3f/3f02", "x")
	in := func(path string) string { return filepath.Join(dir, path) }
	for _, err := range []error{
		os.Symlink(filepath.Join(outside, "secret"), in("packs/3f/3f03")),
		os.Symlink("3f02", in("packs/3f/3f04")),
		os.Symlink(outside, in("packs/out")),
		os.Symlink("3f", in("packs/again")),
		syscall.Mkfifo(in("packs/3f/3f05"), 0o600),
		os.Mkdir(in("packs/3f/3f06"), 0o700),
		os.Mkdir(in("lost+found"), 0o700),
		writeFile(in("lost+found/a")),
		writeFile(in(".DS_Store")),
		writeFile(in("packs/README")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	before := onDisk(t, dir)
	if got := list(t, l, ""); !slices.Equal(got, []string{"packs/3f/3f02"}) {
		t.Errorf("listed: %q", got)
	}
	if got := append(list(t, l, "packs/out"), list(t, l, "packs/again")...); len(got) != 0 {
		t.Errorf("listed behind symbolic links: %q", got)
	}
	for _, name := range []string{"packs/3f/3f03", "packs/3f/3f04", "packs/3f/3f05", "packs/3f/3f06"} {
		if _, err := l.ReadAt(t.Context(), name, make([]byte, 1), 0); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("read %s: %v", name, err)
		}
		if _, err := l.Stat(t.Context(), name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("stat %s: %v", name, err)
		}
		// Who takes a name that is taken for a race that he has lost must not do so here.
		if err := l.Put(t.Context(), name, []byte("mine")); !errors.Is(err, storage.ErrObstacle) || errors.Is(err, storage.ErrExist) {
			t.Errorf("put %s: %v", name, err)
		}
		if err := l.Delete(t.Context(), name); err != nil {
			t.Errorf("delete %s: %v", name, err)
		}
	}
	if err := l.Put(t.Context(), "packs/out/new", []byte("x")); err == nil {
		t.Error("put through a symbolic link that leads outside")
	}
	if _, err := l.ReadAt(t.Context(), "packs/out/secret", make([]byte, 1), 0); err == nil {
		t.Error("read through a symbolic link that leads outside")
	}
	if err := l.Delete(t.Context(), "packs/out/secret"); err == nil {
		t.Error("deleted through a symbolic link that leads outside")
	}
	if got, want := others(t, l, ""), []string{"packs", "packs/3f", "packs/3f/3f02", "packs/3f/3f03", "packs/3f/3f04", "packs/3f/3f05", "packs/3f/3f06", "packs/again", "packs/out"}; !slices.Equal(got, want) {
		t.Errorf("told of as what may be no objects: %q, want %q", got, want)
	}
	if got := others(t, l, "packs/out"); !slices.Equal(got, []string{"packs/out"}) {
		t.Errorf("told of as no object: %q, want what was asked for, and nothing behind it", got)
	}
	if after := onDisk(t, dir); !slices.Equal(before, after) {
		t.Errorf("before %q\nafter  %q", before, after)
	}
	if got := onDisk(t, outside); !slices.Equal(got, []string{"secret"}) {
		t.Errorf("outside: %q", got)
	}
}

func others(t *testing.T, l *storage.Local, prefix string) (names []string) {
	t.Helper()
	for other, err := range l.Others(t.Context(), prefix) {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, other.Name)
	}
	slices.Sort(names)
	return names
}

// TestOthersNamesWhatItCannotList, and not where it began.
func TestOthersNamesWhatItCannotList(t *testing.T) {
	dir := t.TempDir()
	l := create(t, dir)
	put(t, l, "packs/3f/3f02", "an object")
	locked := filepath.Join(dir, "packs/3f")
	for _, err := range []error{os.Chmod(dir, 0o755), os.Chmod(filepath.Dir(locked), 0o755), os.Chmod(locked, 0)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	defer func() { _ = os.Chmod(locked, 0o700) }()
	if os.Geteuid() == 0 { // nothing is locked for root
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if err := syscall.Setfsuid(65534); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = syscall.Setfsuid(0) }()
	}
	for _, prefix := range []string{"", "packs"} {
		var failed error
		for _, err := range l.Others(t.Context(), prefix) {
			failed = errors.Join(failed, err)
		}
		if !errors.Is(failed, fs.ErrPermission) || !strings.Contains(failed.Error(), "packs/3f") {
			t.Errorf("others of %q: %v", prefix, failed)
		}
	}
}

// What stands in an object's place can be moved away, twice too; objects cannot.
func TestMoveOther(t *testing.T) {
	dir := t.TempDir()
	l := create(t, dir)
	put(t, l, "condemned/2", "an object")
	for range 2 {
		if err := syscall.Mkfifo(filepath.Join(dir, "condemned/1"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := l.MoveOther(t.Context(), "condemned/1", "aside/condemned/1"); err != nil {
			t.Error(err)
		}
	}
	if err := l.MoveOther(t.Context(), "condemned/1", "aside/condemned/1"); err != nil {
		t.Errorf("one that is gone: %v", err)
	}
	if err := l.MoveOther(t.Context(), "condemned/2", "aside/condemned/2"); !errors.Is(err, storage.ErrExist) {
		t.Errorf("an object: %v", err)
	}
	put(t, l, "condemned/1", "the way is free")
	want := []string{"aside/", "aside/condemned/", "aside/condemned/1", "aside/condemned/1-2", "condemned/", "condemned/1", "condemned/2"}
	if got := onDisk(t, dir); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestMove(t *testing.T) {
	dir := t.TempDir()
	l := create(t, dir)
	put(t, l, "packs/3f/1", "one")
	put(t, l, "packs/3f/2", "two")
	if err := l.Move(t.Context(), "packs/3f/1", "aside/packs/3f/1"); err != nil {
		t.Error(err)
	}
	if err := l.Move(t.Context(), "packs/3f/1", "aside/packs/3f/1"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("one that is gone: %v", err)
	}
	if err := l.Move(t.Context(), "packs/3f/2", "aside/packs/3f/1"); !errors.Is(err, storage.ErrExist) {
		t.Errorf("a name that is taken: %v", err)
	}
	if data, err := storage.ReadAll(t.Context(), l, "aside/packs/3f/1", 10); err != nil || string(data) != "one" {
		t.Errorf("%q, %v", data, err)
	}
	want := []string{"aside/", "aside/packs/", "aside/packs/3f/", "aside/packs/3f/1", "packs/", "packs/3f/", "packs/3f/2"}
	if got := onDisk(t, dir); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestLeftoversOfKilledWriters(t *testing.T) {
	dir := t.TempDir()
	l := create(t, dir)
	put(t, l, "packs/3f/3f02", "x")
	for name, age := range map[string]time.Duration{
		".tmp-OLD": 25 * time.Hour, ".tmp-YOUNG": 23 * time.Hour, "3f03": 100 * time.Hour, ".other": 100 * time.Hour,
	} {
		path := filepath.Join(dir, "packs/3f", name)
		if err := writeFile(path); err != nil {
			t.Fatal(err)
		}
		then := time.Now().Add(-age)
		if err := os.Chtimes(path, then, then); err != nil {
			t.Fatal(err)
		}
	}
	if got := list(t, l, ""); !slices.Equal(got, []string{"packs/3f/3f02", "packs/3f/3f03"}) {
		t.Errorf("listed: %q", got)
	}
	want := []string{"packs/", "packs/3f/", "packs/3f/.other", "packs/3f/.tmp-YOUNG", "packs/3f/3f02", "packs/3f/3f03"}
	if got := onDisk(t, dir); !slices.Equal(got, want) {
		t.Errorf("on disk\n     %q\nwant %q", got, want)
	}
}

func TestEmptyDirectoriesGo(t *testing.T) {
	dir := t.TempDir()
	l := create(t, dir)
	put(t, l, "activities/aa/00000001", "x")
	put(t, l, "activities/bb/00000001", "x")
	for _, c := range []struct {
		remove string
		left   []string
	}{
		{"activities/aa/00000001", []string{"activities/", "activities/bb/", "activities/bb/00000001"}},
		{"activities/bb/00000001", nil},
	} {
		if err := l.Delete(t.Context(), c.remove); err != nil {
			t.Fatal(err)
		}
		if got := onDisk(t, dir); !slices.Equal(got, c.left) {
			t.Errorf("after %s: %q", c.remove, got)
		}
	}
	put(t, l, "activities/aa/00000002", "x") // through a directory kept open that is gone
	if got := list(t, l, ""); !slices.Equal(got, []string{"activities/aa/00000002"}) {
		t.Errorf("listed: %q", got)
	}
}

// A directory can go between any two calls of a listing: that is no error, and what
// stays is listed.
func TestListingBesideDirectoriesThatGo(t *testing.T) {
	s := create(t, t.TempDir())
	put(t, s, "packs/00/stays", "x")
	var group errgroup.Group
	done := make(chan struct{})
	for i := range 4 {
		name := fmt.Sprintf("packs/a%d/goes", i)
		group.Go(func() error {
			for {
				select {
				case <-done:
					return nil
				default:
				}
				if err := errors.Join(s.Put(t.Context(), name, nil), s.Delete(t.Context(), name)); err != nil {
					return err
				}
			}
		})
	}
	for range 2000 {
		if names := list(t, s, "packs"); !slices.Contains(names, "packs/00/stays") {
			t.Errorf("listed: %q", names)
			break
		}
	}
	close(done)
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
}

// descriptors is how many this process has open at and beneath dir. Others come and go
// with the tests before, whose files the garbage collector may close at any time.
func descriptors(t *testing.T, dir string) (n int) {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		path, err := os.Readlink("/proc/self/fd/" + e.Name())
		if err == nil && (path == dir || strings.HasPrefix(path, dir+"/")) {
			n++
		}
	}
	return n
}

func TestDescriptorsAreBoundedAndClosed(t *testing.T) {
	dir := t.TempDir()
	l := create(t, dir)
	for i := range storage.KeptFiles + 20 {
		put(t, l, fmt.Sprintf("x/%d", i), "x")
	}
	for round := range 2 {
		for i := range storage.KeptFiles + 20 {
			if _, err := l.ReadAt(t.Context(), fmt.Sprintf("x/%d", i), make([]byte, 1), 0); err != nil {
				t.Fatal(round, err)
			}
		}
	}
	if opened := descriptors(t, dir); opened < storage.KeptFiles || opened > storage.KeptFiles+3 { // the root, ".", "x"
		t.Errorf("%d descriptors are open", opened)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if left := descriptors(t, dir); left != 0 {
		t.Errorf("%d descriptors are left open", left)
	}
	if err := l.Put(t.Context(), "y", nil); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("put after Close: %v", err)
	}
	if _, err := l.ReadAt(t.Context(), "x/1", make([]byte, 1), 0); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("read after Close: %v", err)
	}
}
