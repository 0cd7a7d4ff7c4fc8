package sqlite

import (
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"holdfast/engines/enginetest"
	"holdfast/internal/tree"
)

func TestPlanSaysWhatItReplaces(t *testing.T) {
	path := filled(t, "wal")
	_, entries, _ := mustCapture(t, path)
	restore, err := Engine.Target(serviceOf(path), token)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := restore.Plan(t.Context(), entries)
	if want := "database " + path + " (3 tables, 260 KiB)"; err != nil || plan.Replaces != want || plan.Creates {
		t.Errorf("plan %+v, %v; want %q", plan, err, want)
	}

	huge := []tree.Entry{{Name: "settings.sqlite", Type: tree.File, Size: math.MaxInt64}}
	if _, err := restore.Plan(t.Context(), huge); err == nil || !strings.Contains(err.Error(), "free") {
		t.Errorf("a plan for more than there is room for: %v", err)
	}
	if _, err := restore.Plan(t.Context(), []tree.Entry{{Name: "other.sqlite", Type: tree.File}}); err == nil ||
		!strings.Contains(err.Error(), "settings.sqlite") {
		t.Errorf("a plan for a snapshot without the database: %v", err)
	}
}

func TestTargetsThatAreNone(t *testing.T) {
	s := serviceOf("/srv/x.db")
	if _, err := Engine.Target(s, "../../etc/passwd-----"); err == nil || !strings.Contains(err.Error(), "20 hex digits") {
		t.Errorf("a token that is none: %v", err)
	}
	s.Subpath = "table"
	if _, err := Engine.Target(s, token); err == nil || !strings.Contains(err.Error(), "restored whole") {
		t.Errorf("a path inside a database: %v", err)
	}
}

func TestACreatedDatabaseHasItsModeAndOwner(t *testing.T) {
	from := another(t, "wal")
	if err := os.Chmod(from, 0o640); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		if err := os.Chown(from, 33, 33); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.Stat(from)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "new.db")
	restore := staged(t, from, path)
	do(t, restore.Swap, restore.Discard)
	got, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	w, g := want.Sys().(*syscall.Stat_t), got.Sys().(*syscall.Stat_t)
	if w.Mode != g.Mode || w.Uid != g.Uid || w.Gid != g.Gid {
		t.Errorf("mode %o, owner %d:%d; want %o, %d:%d", g.Mode, g.Uid, g.Gid, w.Mode, w.Uid, w.Gid)
	}
	if g.Nlink != 1 {
		t.Errorf("the database has %d names", g.Nlink)
	}
}

// What a lost database has left behind must not find its way into the new one.
func TestALeftOverLogDoesNotUndoTheRestore(t *testing.T) {
	for suffix, begin := range map[string]string{
		"-wal":     "BEGIN",
		"-journal": "PRAGMA cache_size = 1; BEGIN IMMEDIATE; UPDATE page SET body = hex(randomblob(400))",
	} {
		path := filled(t, map[string]string{"-wal": "wal", "-journal": "delete"}[suffix])
		site := start(t, "lock", []string{path, begin})
		site.expect("locked")
		if suffix == "-wal" {
			shell(t, path, "UPDATE page SET body = hex(randomblob(400));")
		}
		left, err := os.ReadFile(path + suffix)
		if err != nil || len(left) < 100_000 {
			t.Fatalf("%d bytes of %s, %v: nothing is put to the test", len(left), suffix, err)
		}
		_ = site.cmd.Process.Kill()
		_ = site.wait()
		for _, f := range withCompanions(path) {
			_ = os.Remove(f)
		}
		if err := os.WriteFile(path+suffix, left, 0o600); err != nil {
			t.Fatal(err)
		}
		from := another(t, "wal")
		restore := staged(t, from, path)
		do(t, restore.Swap, restore.Discard)
		if mustDump(t, path) != mustDump(t, from) {
			t.Errorf("a left-over %s has changed what was restored", suffix)
		}
	}
}

// Revert removes the database that Swap has created, and no other that has come
// into its place since.
func TestRevertRemovesNobodyElsesDatabase(t *testing.T) {
	from := another(t, "delete")
	path := filepath.Join(t.TempDir(), "new.db")
	restore := staged(t, from, path)
	do(t, restore.Swap)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	shell(t, path, "CREATE TABLE mine (a);")
	do(t, restore.Revert, restore.Discard)
	if got := shell(t, path, "SELECT count(*) FROM mine;"); got != "0" {
		t.Errorf("the other database: %q", got)
	}
}

func TestRestoreThroughASymbolicLink(t *testing.T) {
	from, path := another(t, "wal"), filled(t, "wal")
	link := filepath.Join(t.TempDir(), "link.db")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	restore := staged(t, from, link)
	if beside := names(t, filepath.Dir(link)); len(beside) != 1 {
		t.Errorf("beside the link there is %q", beside)
	}
	do(t, restore.Swap, restore.Discard)
	restore.Close()
	if mustDump(t, path) != mustDump(t, from) {
		t.Error("the database that the link leads to was not replaced")
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&fs.ModeSymlink == 0 {
		t.Error("the link is no link any more")
	}
	if left := names(t, filepath.Dir(link)); len(left) != 1 {
		t.Errorf("beside the link there is %q", left)
	}
}

func TestALongName(t *testing.T) {
	from := another(t, "delete")
	path := filepath.Join(t.TempDir(), strings.Repeat("x", 240)+".db")
	restore := staged(t, from, path)
	do(t, restore.Swap)
	if mustDump(t, path) != mustDump(t, from) {
		t.Error("not restored")
	}
	do(t, restore.Revert, restore.Discard)
}

func TestOneRestoreAtATime(t *testing.T) {
	from, path := another(t, "wal"), filled(t, "wal")
	restore := staged(t, from, path)
	memory, entries, _ := mustCapture(t, from)
	other, err := Engine.Target(serviceOf(path), strings.Repeat("9", 20))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Stage(t.Context(), entries, memory); !errors.Is(err, errLocked) {
		t.Errorf("a second restore beside the first: %v", err)
	}
	if err := other.Discard(t.Context()); err != nil {
		t.Errorf("the second has nothing to discard: %v", err)
	}
	do(t, restore.Swap, restore.Discard)
	restore.Close()
	if _, err := other.Stage(t.Context(), entries, memory); err != nil {
		t.Errorf("a second restore after the first: %v", err)
	}
	do(t, other.Discard)
	other.Close()
	if left := names(t, filepath.Dir(path)); strings.Contains(strings.Join(left, " "), "holdfast") {
		t.Errorf("there is %q", left)
	}
}

// A snapshot that was taken between a swap and its discard holds the token of
// that; it must not be taken for the one of a later restore, nor stay for good.
func TestASnapshotWithAnOldToken(t *testing.T) {
	path := filled(t, "wal")
	restore := staged(t, another(t, "wal"), path)
	do(t, restore.Swap)
	memory, entries, _ := mustCapture(t, path)
	do(t, restore.Discard)
	restore.Close()

	later, err := Engine.Target(serviceOf(path), strings.Repeat("9", 20))
	if err != nil {
		t.Fatal(err)
	}
	defer later.Close()
	before := mustDump(t, path)
	if _, err := later.Stage(t.Context(), entries, memory); err != nil {
		t.Fatal(err)
	}
	do(t, later.Swap, later.Revert)
	if mustDump(t, path) != before {
		t.Error("revert gave other data")
	}
	do(t, later.Swap, later.Discard)
	if got := shell(t, path, "SELECT count(*) FROM sqlite_schema WHERE name LIKE 'holdfast%';"); got != "0" {
		t.Error("the table of the token stays")
	}
}

// A restore that was given up without a Discard leaves its token in the database,
// which must not be taken for that of the next.
func TestADatabaseWithAnOldToken(t *testing.T) {
	path, from := filled(t, "wal"), another(t, "wal")
	old := staged(t, from, path)
	do(t, old.Swap)
	old.Close()
	shell(t, path, "UPDATE account SET balance = 1 WHERE id = 9;")
	before := mustDump(t, path)

	memory, entries, _ := mustCapture(t, from)
	next, err := Engine.Target(serviceOf(path), strings.Repeat("9", 20))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := next.Stage(t.Context(), entries, memory); err != nil {
		t.Fatal(err)
	}
	do(t, next.Revert)
	if mustDump(t, path) != before {
		t.Error("a revert of nothing gave other data")
	}
	do(t, next.Swap)
	if mustDump(t, path) != mustDump(t, from) {
		t.Error("not restored")
	}
	do(t, next.Revert)
	if mustDump(t, path) != before {
		t.Error("the revert gave other data")
	}
	do(t, next.Discard)
	next.Close()
	do(t, old.Discard)
	if got := shell(t, path, "SELECT count(*) FROM sqlite_schema WHERE name LIKE 'holdfast%';"); got != "0" {
		t.Error("the table of the token stays")
	}
}

func TestRetiredOfWhatWasCreatedIsNothing(t *testing.T) {
	from := another(t, "wal")
	restore := staged(t, from, filepath.Join(t.TempDir(), "new.db"))
	if _, err := restore.Retired(t.Context()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("before the swap: %v", err)
	}
	do(t, restore.Swap)
	if _, err := restore.Retired(t.Context()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after the swap: %v", err)
	}
	do(t, restore.Discard)
}

func TestThePointOfRetiredIsTheSwap(t *testing.T) {
	restore := staged(t, another(t, "wal"), filled(t, "wal"))
	swapped := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	restore.now = func() time.Time { return swapped }
	do(t, restore.Swap)
	source, err := restore.Retired(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	memory := enginetest.NewMemory()
	if err := source.Prepare(t.Context(), memory); err != nil {
		t.Fatal(err)
	}
	point, err := source.Mark(t.Context(), memory)
	if err != nil || !point.At.Equal(swapped) {
		t.Errorf("the point is of %v, the swap was at %v (%v)", point.At, swapped, err)
	}
	do(t, restore.Discard)
}

// Content that is not what its entry says must not become current.
func TestContentThatIsNoDatabase(t *testing.T) {
	_, _, data := mustCapture(t, another(t, "wal"))
	for what, broken := range map[string][]byte{
		"text":              []byte(strings.Repeat("no database ", 100)),
		"cut in a page":     data[:len(data)-100],
		"cut between pages": data[:len(data)-4096],
		"cut in the header": data[:50],
		"longer":            append(append([]byte{}, data...), make([]byte, 4096)...),
	} {
		path := filled(t, "wal")
		before := mustDump(t, path)
		memory := enginetest.NewMemory()
		e, err := memory.Put(t.Context(), tree.Entry{Name: "settings.sqlite", Type: tree.File}, tree.Stream{}, strings.NewReader(string(broken)))
		if err != nil {
			t.Fatal(err)
		}
		restore, err := Engine.Target(serviceOf(path), token)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := restore.Stage(t.Context(), []tree.Entry{e}, memory); err == nil {
			t.Errorf("%s was staged", what)
		}
		if err := restore.Swap(t.Context()); err == nil {
			t.Errorf("%s was swapped", what)
		}
		do(t, restore.Discard)
		restore.Close()
		if mustDump(t, path) != before {
			t.Errorf("%s has changed the database", what)
		}
	}
}
