package sqlite

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast/engines"
	"holdfast/engines/enginetest"
	"holdfast/internal/tree"
)

// capture takes the database at path into memory.
func capture(ctx context.Context, path string, memory *enginetest.Memory) ([]tree.Entry, error) {
	source, err := Engine.Source(serviceOf(path))
	if err != nil {
		return nil, err
	}
	result, err := drain(ctx, source, memory)
	return result.Entries, err
}

// drain takes a source through all its steps.
func drain(ctx context.Context, source engines.Source, memory *enginetest.Memory) (engines.Result, error) {
	defer source.Close()
	if err := source.Prepare(ctx, memory); err != nil {
		return engines.Result{}, err
	}
	if _, err := source.Mark(ctx, memory); err != nil {
		return engines.Result{}, err
	}
	return source.Send(ctx, memory)
}

// filled makes a database with known data that nobody has open.
func filled(t *testing.T, mode string) string {
	t.Helper()
	p := newPlace(t, mode)
	if err := p.Fill(t.Context(), enginetest.Known); err != nil {
		t.Fatal(err)
	}
	p.close()
	return p.path
}

// inBothModes runs a test on a WAL and on a rollback database.
func inBothModes(t *testing.T, test func(t *testing.T, mode string)) {
	for _, mode := range []string{"wal", "delete"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel() // mostly they wait for the disk
			test(t, mode)
		})
	}
}

// mustCapture returns the snapshot of a database, and the bytes of its one file.
func mustCapture(t *testing.T, path string) (*enginetest.Memory, []tree.Entry, []byte) {
	t.Helper()
	memory := enginetest.NewMemory()
	entries, err := capture(t.Context(), path, memory)
	if err != nil {
		t.Fatal(err)
	}
	data, err := memory.File(t.Context(), entries, entries[0].Name)
	if err != nil {
		t.Fatal(err)
	}
	return memory, entries, data
}

// write writes data to a new file and returns its path.
func write(t *testing.T, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file.sqlite")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, f := range files {
		all = append(all, f.Name())
	}
	return all
}

func TestCaptureWhileOtherProcessesWriteAndCheckpoint(t *testing.T) {
	inBothModes(t, func(t *testing.T, mode string) {
		path := filled(t, mode)
		sites := []*child{start(t, "site", []string{path, "1"}), start(t, "site", []string{path, "1000000"})}
		for _, site := range sites {
			site.expect("ack")
		}
		for range 8 {
			before := []int{len(sites[0].acknowledged()), len(sites[1].acknowledged())}
			_, _, data := mustCapture(t, path)
			db := connect(write(t, data), "rw")
			if err := checkAccounts(t.Context(), db); err != nil {
				t.Fatal(err)
			}
			for i, condition := range []string{"n < 1000000", "n >= 1000000"} {
				if n := query[int](t, db, "SELECT count(*) FROM transfer WHERE "+condition); n < before[i] {
					t.Fatalf("%d transfers were committed before the mark, %d are in the snapshot", before[i], n)
				}
			}
			db.Close()
			for _, site := range sites {
				site.expect("ack")
			}
		}
		for _, site := range sites {
			site.end()
		}
	})
}

func TestCaptureIsTheFilePageByPage(t *testing.T) {
	inBothModes(t, func(t *testing.T, mode string) {
		path := filled(t, mode)
		_, entries, data := mustCapture(t, path)
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(data, want) {
			t.Errorf("the snapshot has other bytes than the file (%d, %d)", len(data), len(want))
		}
		if e := entries[0]; e.Name != "settings.sqlite" || e.Type != tree.File || e.Mode == 0 || e.MTime.Sec == 0 {
			t.Errorf("entry %+v", e)
		}
		if got := shell(t, write(t, data), "PRAGMA integrity_check; SELECT count(*) FROM account;"); got != "ok\n200" {
			t.Errorf("sqlite3 says of the snapshot %q", got)
		}
	})
}

func TestCaptureReadsWhatIsOnlyInTheLog(t *testing.T) {
	path := filled(t, "wal")
	site := start(t, "lock", []string{path, "BEGIN"})
	site.expect("locked")
	shell(t, path, "UPDATE account SET balance = 99 WHERE id = 1;")
	_, _, data := mustCapture(t, path)
	_ = site.cmd.Process.Kill() // and leaves a -wal behind
	_ = site.wait()
	_, _, again := mustCapture(t, path)
	for _, data := range [][]byte{data, again} {
		if got := shell(t, write(t, data), "SELECT balance FROM account WHERE id = 1;"); got != "99" {
			t.Errorf("the snapshot has %s, not what the log says", got)
		}
	}
}

func TestCaptureLeavesNoFiles(t *testing.T) {
	inBothModes(t, func(t *testing.T, mode string) {
		path := filled(t, mode)
		before, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		mustCapture(t, path)
		after, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if left := names(t, filepath.Dir(path)); len(left) != 1 {
			t.Errorf("a capture leaves %q", left)
		}
		if !before.ModTime().Equal(after.ModTime()) {
			t.Error("a capture writes to the database")
		}
	})
}

func TestCaptureLeavesTheLogToThoseWhoUseIt(t *testing.T) {
	path := filled(t, "wal")
	site := start(t, "lock", []string{path, "BEGIN"})
	site.expect("locked")
	shell(t, path, "UPDATE account SET balance = 99 WHERE id = 1;")
	before, err := os.Stat(path + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	mustCapture(t, path)
	after, err := os.Stat(path + "-wal")
	if err != nil || !os.SameFile(before, after) || before.Size() != after.Size() || before.Size() == 0 {
		t.Errorf("the log was %v, is %v (%v)", before, after, err)
	}
	site.end()
}

// A process that holds locks on the database must keep them, whatever this engine
// does in it: closing any descriptor of the file would drop them.
func TestLocksOfThisProcessStay(t *testing.T) {
	inBothModes(t, func(t *testing.T, mode string) {
		path := filled(t, mode)
		app := connect(path, "rw")
		defer app.Close()
		tx, err := app.Begin()
		if err != nil {
			t.Fatal(err)
		}
		defer tx.Rollback()
		memory, entries, _ := mustCapture(t, path)
		target, err := Engine.Target(serviceOf(path), token)
		if err != nil {
			t.Fatal(err)
		}
		defer target.Close()
		if _, err := target.Plan(t.Context(), entries); err != nil {
			t.Fatal(err)
		}
		if _, err := target.Stage(t.Context(), entries, memory); err != nil {
			t.Fatal(err)
		}
		for _, step := range []func(context.Context) error{target.Revert, target.Discard} {
			if err := step(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		cmd := exec.Command(tool(t, "sqlite3"), path, "BEGIN IMMEDIATE")
		if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "locked") {
			t.Errorf("another process could take the write lock that we hold: %s, %v", out, err)
		}
	})
}

const token = "0123456789abcdef0123"

func TestNobodyIsLockedOutBetweenMarkAndSend(t *testing.T) {
	inBothModes(t, func(t *testing.T, mode string) {
		path := filled(t, mode)
		memory := enginetest.NewMemory()
		source, err := Engine.Source(serviceOf(path))
		if err != nil {
			t.Fatal(err)
		}
		defer source.Close()
		if err := source.Prepare(t.Context(), memory); err != nil {
			t.Fatal(err)
		}
		point, err := source.Mark(t.Context(), memory)
		if err != nil {
			t.Fatal(err)
		}
		shell(t, path, "UPDATE account SET balance = 99 WHERE id = 1; PRAGMA wal_checkpoint(PASSIVE);")
		result, err := source.Send(t.Context(), memory)
		if err != nil {
			t.Fatal(err)
		}
		data, err := memory.File(t.Context(), result.Entries, "settings.sqlite")
		if err != nil {
			t.Fatal(err)
		}
		if got := shell(t, write(t, data), "SELECT balance FROM account WHERE id = 1;"); got != "100" {
			t.Errorf("the snapshot has %s, which was written after the mark", got)
		}
		if !strings.HasPrefix(point.Position, "change counter ") || !strings.HasPrefix(point.Server, "SQLite 3.") {
			t.Errorf("point %+v", point)
		}
	})
}

func TestThePointNamesTheSQLiteThatWroteLast(t *testing.T) {
	path := filled(t, "delete")
	shell(t, path, "UPDATE account SET balance = 99 WHERE id = 1;")
	source, err := Engine.Source(serviceOf(path))
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	memory := enginetest.NewMemory()
	if err := source.Prepare(t.Context(), memory); err != nil {
		t.Fatal(err)
	}
	point, err := source.Mark(t.Context(), memory)
	if err != nil {
		t.Fatal(err)
	}
	if want := "SQLite " + shell(t, path, "SELECT sqlite_version();"); point.Server != want {
		t.Errorf("server %q, want %q", point.Server, want)
	}
}

func TestALargeRollbackDatabaseNeedsAWord(t *testing.T) {
	path := filled(t, "delete")
	source := &source{configured: path, entryName: "settings.sqlite", inside: 4096, patience: time.Second, now: time.Now}
	memory := enginetest.NewMemory()
	_, err := drain(t.Context(), source, memory)
	if err == nil || !strings.Contains(err.Error(), "PRAGMA journal_mode=WAL") || !strings.Contains(err.Error(), "--live") {
		t.Fatalf("a large database in rollback mode: %v", err)
	}

	source.live = true
	if err := source.Prepare(t.Context(), memory); err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	if _, err := source.Mark(t.Context(), memory); err != nil {
		t.Fatal(err)
	}
	change := func() error {
		return exec.Command(tool(t, "sqlite3"), path, "UPDATE account SET balance = 99 WHERE id = 1").Run()
	}
	if change() == nil {
		t.Error("a live capture does not lock writers out, so its pages can be torn")
	}
	result, err := source.Send(t.Context(), memory)
	if err != nil {
		t.Fatal(err)
	}
	if err := change(); err != nil {
		t.Errorf("writers are still locked out after the send: %v", err)
	}
	data, err := memory.File(t.Context(), result.Entries, "settings.sqlite")
	if err != nil {
		t.Fatal(err)
	}
	if got := shell(t, write(t, data), "SELECT balance FROM account WHERE id = 1;"); got != "100" {
		t.Errorf("the snapshot has %s", got)
	}
}

func TestAHeldLockIsWaitedForAndItsHolderNamed(t *testing.T) {
	path := filled(t, "delete")
	site := start(t, "lock", []string{path, "BEGIN EXCLUSIVE"})
	site.expect("locked")

	impatient := func() *source {
		return &source{configured: path, entryName: "x", inside: copyInside, patience: 50 * time.Millisecond, now: time.Now}
	}
	_, err := drain(t.Context(), impatient(), enginetest.NewMemory())
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("process %d (", site.cmd.Process.Pid)) {
		t.Errorf("the error does not name process %d: %v", site.cmd.Process.Pid, err)
	}

	patient := impatient()
	patient.patience = time.Hour
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := drain(ctx, patient, enginetest.NewMemory()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a wait that was cancelled: %v", err)
	}

	go func() {
		time.Sleep(100 * time.Millisecond)
		site.stdin.Close()
	}()
	if _, err := drain(t.Context(), patient, enginetest.NewMemory()); err != nil {
		t.Errorf("a lock that was given up: %v", err)
	}
}

// Between Prepare and Mark another database may take the place of the one that is
// open: what is at the path is what the site has.
func TestADatabaseThatIsReplacedBeforeTheMark(t *testing.T) {
	inBothModes(t, func(t *testing.T, mode string) {
		path, next := filled(t, mode), filled(t, mode)
		shell(t, next, "CREATE TABLE of_the_next (v)")
		source, memory := newSource(t, path), enginetest.NewMemory()
		defer source.Close()
		if err := source.Prepare(t.Context(), memory); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(next, path); err != nil {
			t.Fatal(err)
		}
		if _, err := source.Mark(t.Context(), memory); err != nil {
			t.Fatal(err)
		}
		if moved, err := source.Moved(t.Context()); err != nil || moved != "" {
			t.Errorf("nobody wrote after the mark: %q, %v", moved, err)
		}
		result, err := source.Send(t.Context(), memory)
		if err != nil {
			t.Fatal(err)
		}
		data, err := memory.File(t.Context(), result.Entries, result.Entries[0].Name)
		if err != nil {
			t.Fatal(err)
		}
		const tables = "SELECT group_concat(name) FROM sqlite_master ORDER BY name"
		if got, want := shell(t, write(t, data), tables), shell(t, path, tables); got != want {
			t.Errorf("the snapshot has the tables %s, the database %s", got, want)
		}
		if len(result.Notes) != 1 || !strings.Contains(result.Notes[0], "was replaced") {
			t.Errorf("notes %q", result.Notes)
		}
	})
}
