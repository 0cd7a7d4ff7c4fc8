package sqlite

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"holdfast/engines/enginetest"
)

// damages are ways to break a database that SQLite opens all the same.
var damages = map[string]func(file []byte) []byte{
	"a page of garbage":     func(f []byte) []byte { copy(f[8192:12288], bytes.Repeat([]byte{0xa5}, 4096)); return f },
	"a schema of garbage":   func(f []byte) []byte { copy(f[3000:4096], make([]byte, 1096)); return f },
	"no root of the schema": func(f []byte) []byte { f[100] = 77; return f },
	"cut between pages":     func(f []byte) []byte { return f[:len(f)-3*4096] },
	"cut in a page":         func(f []byte) []byte { return f[:len(f)-3*4096-100] },
}

func damaged(t *testing.T, mode string, damage func([]byte) []byte) (string, []byte) {
	t.Helper()
	path := filled(t, mode)
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	file = damage(file)
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	return path, file
}

// A damaged database is what people restore over. And what was there can be had
// back, for whoever wants to try and save more from it.
func TestRestoreOverADamagedDatabase(t *testing.T) {
	for what, damage := range damages {
		inBothModes(t, func(t *testing.T, mode string) {
			from := another(t, mode)
			path, file := damaged(t, mode, damage)
			restore := staged(t, from, path)
			do(t, restore.Swap)
			if mustDump(t, path) != mustDump(t, from) {
				t.Errorf("%s: not restored", what)
			}
			do(t, restore.Revert)
			now, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			whole := len(file) / 4096 * 4096
			copy(now[atPages:], file[atPages:atPages+4]) // SQLite corrects the number of pages
			for _, n := range pagesApart(file[:whole], now[:whole]) {
				t.Errorf("%s: page %d is not what it was", what, n)
			}
			do(t, restore.Swap, restore.Discard)
			if mustDump(t, path) != mustDump(t, from) {
				t.Errorf("%s: not restored after all", what)
			}
		})
	}
}

// A process that is killed while it restores over a damaged database: whether it
// came to its end has to be found out without asking for a table.
func TestAKilledRestoreOverADamagedDatabase(t *testing.T) {
	from := another(t, "wal")
	path, _ := damaged(t, "wal", damages["no root of the schema"])
	for n := 1; ; n += 1 + n/2 {
		c := start(t, "restore", []string{from, path, token, "stage", fmt.Sprintf("swap:%d", n)})
		err := c.wait()
		if err != nil && !killed(err) {
			t.Fatalf("%v: %q", err, c.seen)
		}
		r := start(t, "restore", []string{from, path, token, "revert", "discard", "close"})
		if err := r.wait(); err != nil {
			t.Fatalf("step %d: recovery: %v: %q", n, err, r.seen)
		}
		now, readErr := os.ReadFile(path)
		if readErr != nil || now[100] != 77 {
			t.Fatalf("step %d: the recovery did not bring back the damaged database (%v)", n, readErr)
		}
		if err == nil {
			return
		}
	}
}

func TestASwapThatWasDamagedAfterwardsIsReverted(t *testing.T) {
	from, path := another(t, "delete"), filled(t, "delete")
	before := mustDump(t, path)
	restore := staged(t, from, path)
	do(t, restore.Swap)
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	file[100] = 77
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	do(t, restore.Revert, restore.Discard)
	if mustDump(t, path) != before {
		t.Error("the revert did not bring back the old data")
	}
}

func TestDamageIsSaidAtTheCaptureAndRefusedAtTheStage(t *testing.T) {
	path, _ := damaged(t, "wal", damages["a page of garbage"])
	source, err := Engine.Source(serviceOf(path))
	if err != nil {
		t.Fatal(err)
	}
	memory := enginetest.NewMemory()
	result, err := drain(t.Context(), source, memory)
	if err != nil {
		t.Fatal(err)
	}
	if len(result.Notes) != 1 || !strings.Contains(result.Notes[0], "damaged") {
		t.Errorf("notes %q", result.Notes)
	}
	other := filled(t, "wal")
	restore, err := Engine.Target(serviceOf(other), token)
	if err != nil {
		t.Fatal(err)
	}
	defer restore.Close()
	if _, err := restore.Stage(t.Context(), result.Entries, memory); err == nil || !strings.Contains(err.Error(), "already damaged") {
		t.Errorf("a damaged database was staged: %v", err)
	}
	do(t, restore.Discard)
}

func TestWhatCannotBeReadAtAllIsAnError(t *testing.T) {
	for _, what := range []string{"a schema of garbage", "cut between pages"} {
		path, _ := damaged(t, "delete", damages[what])
		_, err := capture(t.Context(), path, enginetest.NewMemory())
		if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "damaged") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// Rows that break a rule of their table are the site's business, not damage.
func TestRowsThatBreakARuleAreRestored(t *testing.T) {
	from := filled(t, "delete")
	shell(t, from, `CREATE TABLE c (a INT CHECK (a > 0)); PRAGMA ignore_check_constraints = 1; INSERT INTO c VALUES (-1);
		CREATE TABLE n (a TEXT); INSERT INTO n VALUES (NULL); PRAGMA writable_schema = 1;
		UPDATE sqlite_schema SET sql = 'CREATE TABLE n (a TEXT NOT NULL)' WHERE name = 'n';`)
	path := filled(t, "delete")
	memory := enginetest.NewMemory()
	entries, err := capture(t.Context(), from, memory)
	if err != nil {
		t.Fatal(err)
	}
	restore, err := Engine.Target(serviceOf(path), token)
	if err != nil {
		t.Fatal(err)
	}
	defer restore.Close()
	result, err := restore.Stage(t.Context(), entries, memory)
	if err != nil || len(result.Notes) != 2 {
		t.Errorf("notes %q, %v", result.Notes, err)
	}
	do(t, restore.Swap, restore.Discard)
	if mustDump(t, path) != mustDump(t, from) {
		t.Error("other data")
	}
}
