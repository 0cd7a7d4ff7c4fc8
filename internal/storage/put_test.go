package storage_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"holdfast/internal/storage"
)

// steps is what a first Put of "packs/3f/3f02" does, in order: nothing has a name
// before its bytes are synced, and no name is relied on before its directory is.
var steps = []string{
	"mkdir", "fsync directory", // packs
	"mkdir", "fsync directory", // packs/3f
	"create", "write", "fsync", "close", "link", "unlink", "fsync directory",
}

// draftSteps is what a Draft does, where it is the first to have its name there.
var draftSteps = []string{
	"mkdir", "fsync directory", // packs
	"create", "write", "fsync", "close",
	"mkdir", "fsync directory", // packs/3f
	"link", "unlink", "fsync directory",
}

// ways are the two ways to an object.
var ways = []struct {
	name  string
	steps []string
	put   func(ctx context.Context, l *storage.Local, name string, data []byte) error
}{
	{"put", steps, func(ctx context.Context, l *storage.Local, name string, data []byte) error {
		return l.Put(ctx, name, data)
	}},
	{"draft", draftSteps, putDraft},
}

// putDraft writes a draft in two pieces.
func putDraft(ctx context.Context, l *storage.Local, name string, data []byte) error {
	dir, _, _ := strings.Cut(name, "/")
	d, err := l.Begin(ctx, dir)
	if err != nil {
		return err
	}
	defer d.Discard()
	if err := d.Write(ctx, data); err != nil {
		return err
	}
	return d.Commit(ctx, name)
}

func TestADraftSyncsInOrder(t *testing.T) {
	l := create(t, t.TempDir())
	var got []string
	l.SetStep(func(what string, do func() error) error {
		got = append(got, what)
		return do()
	})
	for _, c := range []struct {
		name string
		want []string
	}{
		{"packs/3f/3f02", draftSteps},
		{"packs/3f/3f03", []string{"create", "write", "fsync", "close", "link", "unlink", "fsync directory"}},
		{"packs/3f/3f03", []string{"create", "write", "fsync", "close", "link", "read existing", "fsync existing", "unlink", "fsync directory"}},
	} {
		got = nil
		if err := putDraft(t.Context(), l, c.name, []byte("x")); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, %v\nwant %q", c.name, got, err, c.want)
		}
	}
}

func TestPutSyncsInOrder(t *testing.T) {
	l := create(t, t.TempDir())
	var got []string
	l.SetStep(func(what string, do func() error) error {
		got = append(got, what)
		return do()
	})
	put(t, l, "packs/3f/3f02", "x")
	if !slices.Equal(got, steps) {
		t.Errorf("first put in a directory: %q\nwant %q", got, steps)
	}
	got = nil
	put(t, l, "packs/3f/3f03", "x")
	if want := steps[4:]; !slices.Equal(got, want) {
		t.Errorf("second put in a directory: %q\nwant %q", got, want)
	}
	got = nil
	put(t, l, "packs/3f/3f03", "x")
	if want := []string{"create", "write", "fsync", "close", "link", "unlink", "read existing", "fsync existing", "fsync directory"}; !slices.Equal(got, want) {
		t.Errorf("put of what is there: %q\nwant %q", got, want)
	}
	got = nil
	if err := l.Delete(t.Context(), "packs/3f/3f03"); err != nil {
		t.Fatal(err)
	}
	if want := []string{"unlink", "fsync directory"}; !slices.Equal(got, want) {
		t.Errorf("delete: %q\nwant %q", got, want)
	}
}

// Whichever step fails, in place of being done or after it: the error says what
// and why, the step is not repeated, and the object is missing or whole.
func TestPutFailsAtEveryStep(t *testing.T) {
	for _, way := range ways {
		for n, step := range way.steps {
			for _, after := range []bool{false, true} {
				for _, cause := range []error{syscall.EIO, syscall.ENOSPC, syscall.EDQUOT} {
					t.Run(fmt.Sprintf("%s, %d %s, done %v, %v", way.name, n, step, after, cause), func(t *testing.T) {
						testFailingStep(t, way.steps, way.put, n, after, cause)
					})
				}
			}
		}
	}
}

func testFailingStep(t *testing.T, steps []string, put func(context.Context, *storage.Local, string, []byte) error, n int, after bool, cause error) {
	const name, data = "packs/3f/3f02", "0123456789"
	dir := t.TempDir()
	l := create(t, dir)
	count := map[string]int{}
	total := 0
	l.SetStep(func(what string, do func() error) error {
		count[what]++
		total++
		if total-1 != n {
			return do()
		}
		if after {
			_ = do()
		}
		return cause
	})
	err := put(t.Context(), l, name, []byte(data))
	if steps[n] == "unlink" {
		if err != nil {
			t.Errorf("the object is there and durable, yet: %v", err)
		}
	} else {
		op, object, _ := strings.Cut(fmt.Sprint(err), " ")
		named := op == "put" && strings.HasPrefix(object, name) || (op == "begin" || op == "write") && strings.HasPrefix(object, "packs")
		if !errors.Is(err, cause) || !named {
			t.Errorf("error is %v", err)
		}
		if full := cause != syscall.EIO; errors.Is(err, storage.ErrFull) != full {
			t.Errorf("error %v is ErrFull: %v", err, !full)
		}
	}
	if count["fsync"] > 1 || count["close"] > 1 {
		t.Errorf("%d fsyncs, %d closes of one file", count["fsync"], count["close"])
	}
	visible := n >= slices.Index(steps, "unlink") || steps[n] == "link" && after
	if there := len(list(t, l, "")) == 1; there != visible {
		t.Errorf("the object is there: %v, want %v", there, visible)
	}
	leftover := steps[n] == "unlink" && !after || steps[n] == "create" && after
	left := slices.ContainsFunc(onDisk(t, dir), func(path string) bool { return strings.Contains(path, ".tmp-") })
	if left != leftover {
		t.Errorf("a temporary file is left: %v, want %v", left, leftover)
	}
	// A directory that was not synced is never trusted again; all else can be retried.
	err = put(t.Context(), l, name, []byte(data))
	if steps[n] == "fsync directory" {
		if !errors.Is(err, cause) || !strings.Contains(err.Error(), "look at the disk") {
			t.Errorf("put after a directory could not be synced: %v", err)
		}
	} else if err != nil {
		t.Errorf("retry: %v", err)
	}
	if err := put(t.Context(), reopen(t, dir), name, []byte(data)); err != nil {
		t.Error(err)
	}
}

func reopen(t *testing.T, dir string) *storage.Local {
	t.Helper()
	l, err := storage.OpenLocal(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// An object that somebody else is about to make durable must not be relied on
// before it is.
func TestPutOfWhatIsThereSyncsItToo(t *testing.T) {
	for _, step := range []string{"fsync existing", "fsync directory"} {
		l := create(t, t.TempDir())
		put(t, l, "config", "x")
		l.SetStep(func(what string, do func() error) error {
			if what == step {
				return syscall.EIO
			}
			return do()
		})
		if err := l.Put(t.Context(), "config", []byte("x")); !errors.Is(err, syscall.EIO) {
			t.Errorf("%s fails, yet put says %v", step, err)
		}
	}
}

// What cannot be read is not what is put: who may replace it learns that the name is
// taken.
func TestPutOverWhatCannotBeRead(t *testing.T) {
	l := create(t, t.TempDir())
	put(t, l, "config", "x")
	l.SetStep(func(what string, do func() error) error {
		if what == "read existing" {
			return syscall.EIO
		}
		return do()
	})
	if err := l.Put(t.Context(), "config", []byte("x")); !errors.Is(err, storage.ErrExist) || !errors.Is(err, storage.ErrUnreadable) {
		t.Errorf("put says %v", err)
	}
}

// Somebody deletes the only object, and its directories with it, before or after
// any step of a Put into the same directory.
func TestPutMeetsDeleteAtEveryStep(t *testing.T) {
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) { testMeetsDelete(t, way.put) })
	}
}

func testMeetsDelete(t *testing.T, way func(context.Context, *storage.Local, string, []byte) error) {
	for n := range 2 * 2 * len(steps) {
		dir := t.TempDir()
		l, other := create(t, dir), reopen(t, dir)
		put(t, other, "trash/aa/1", "x")
		total := 0
		meet := func() {
			if total++; total == n+1 {
				if err := other.Delete(t.Context(), "trash/aa/1"); err != nil {
					t.Error(err)
				}
			}
		}
		l.SetStep(func(what string, do func() error) error {
			meet()
			defer meet()
			return do()
		})
		for name, data := range map[string]string{"trash/aa/1": "x", "trash/aa/2": "y"} { // the first has equal contents
			if err := way(t.Context(), l, name, []byte(data)); err != nil {
				t.Errorf("deleted at step %d: %v", n, err)
			}
		}
		if got := list(t, other, ""); !slices.Contains(got, "trash/aa/2") {
			t.Errorf("deleted at step %d: %q is left", n, got)
		}
	}
}

// Until the object has its name, a Put can be called off.
func TestPutCancelledAtEveryStep(t *testing.T) {
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) { testCancelled(t, way.steps, way.put) })
	}
}

func testCancelled(t *testing.T, steps []string, way func(context.Context, *storage.Local, string, []byte) error) {
	for n, step := range steps {
		dir := t.TempDir()
		l := create(t, dir)
		ctx, cancel := context.WithCancel(t.Context())
		total := 0
		l.SetStep(func(what string, do func() error) error {
			if total++; total == n+1 {
				cancel()
			}
			return do()
		})
		err := way(ctx, l, "packs/3f/3f02", []byte("x"))
		late := n >= slices.Index(steps, "link")
		if late && err != nil || !late && !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled at step %d (%s): %v", n, step, err)
		}
		for _, path := range onDisk(t, dir) {
			if path != "packs/" && path != "packs/3f/" && !late {
				t.Errorf("cancelled at step %d (%s): %s is left", n, step, path)
			}
		}
		cancel()
	}
}

// A Put that is killed at any step leaves a whole object or none, and nothing in
// the way of the next.
func TestPutKilledAtEveryStep(t *testing.T) {
	for _, way := range ways {
		for n, step := range way.steps {
			dir := t.TempDir()
			create(t, dir)
			err := child(t, way.name, dir, fmt.Sprint(n)).Run()
			if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
				t.Fatalf("%s, step %d: the child was not killed: %v", way.name, n, err)
			}
			l := reopen(t, dir)
			want := []string(nil)
			if n > slices.Index(way.steps, "link") {
				want = []string{"packs/3f/3f02"}
			}
			if got := list(t, l, ""); !slices.Equal(got, want) {
				t.Errorf("%s killed before step %d (%s): %q is there, want %q", way.name, n, step, got, want)
			}
			if err := way.put(t.Context(), l, "packs/3f/3f02", []byte(childData)); err != nil {
				t.Error(err)
			}
			temporary := slices.DeleteFunc(onDisk(t, dir), func(path string) bool { return !strings.Contains(path, ".tmp-") })
			if len(temporary) > 1 {
				t.Errorf("temporary files: %q", temporary)
			}
		}
	}
}

func TestMain(m *testing.M) {
	if role := os.Getenv("STORAGE_TEST_CHILD"); role != "" {
		if err := childMain(role, os.Args[1], os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}
