package sqlite

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestPageSizes(t *testing.T) {
	sized := func(t *testing.T, mode string, size string) string {
		path := filepath.Join(t.TempDir(), "sized.db")
		shell(t, path, "PRAGMA page_size = "+size+"; PRAGMA journal_mode = "+mode+";"+known+odd)
		return path
	}
	inBothModes(t, func(t *testing.T, mode string) {
		for _, sizes := range [][2]string{{"512", "4096"}, {"4096", "512"}, {"65536", "1024"}, {"1024", "65536"}} {
			path, from := sized(t, mode, sizes[0]), sized(t, mode, sizes[1])
			ask := prompt(t, path)
			ask("SELECT count(*) FROM transfer;")
			before := mustDump(t, path)
			restore := staged(t, from, path)
			do(t, restore.Swap)
			if mustDump(t, path) != mustDump(t, from) {
				t.Errorf("pages of %s bytes into pages of %s: other data", sizes[1], sizes[0])
			}
			if got := ask("PRAGMA integrity_check; PRAGMA page_size;"); got != "ok\n"+sizes[0] {
				t.Errorf("an open connection sees %q", got)
			}
			do(t, restore.Revert, restore.Discard)
			if mustDump(t, path) != before {
				t.Error("revert gave other data")
			}
		}
	})
}

func TestAPageSizeThatChangesAfterTheStage(t *testing.T) {
	from, path := another(t, "delete"), filled(t, "delete")
	restore := staged(t, from, path)
	shell(t, path, "PRAGMA page_size = 8192; VACUUM;")
	before := mustDump(t, path)
	if err := restore.Swap(t.Context()); err == nil || !strings.Contains(err.Error(), "8192") {
		t.Errorf("a swap with pages of another size: %v", err)
	}
	do(t, restore.Revert, restore.Discard)
	if mustDump(t, path) != before {
		t.Error("the data are others")
	}
}

// Applications bring collations and functions of their own, which nobody else can
// check an index by.
func TestCollationsOfTheApplication(t *testing.T) {
	path := filepath.Join(t.TempDir(), "own.db")
	out, err := exec.Command(tool(t, "python3"), "-c", `
import sqlite3, sys
c = sqlite3.connect(sys.argv[1])
c.create_collation("NOCASE_UTF8", lambda a, b: (a.lower() > b.lower()) - (a.lower() < b.lower()))
c.execute("CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT COLLATE NOCASE_UTF8 UNIQUE)")
c.executemany("INSERT INTO users VALUES (?, ?)", [(i, "Name %d" % i) for i in range(500)])
c.execute("CREATE TABLE plain (a)")
c.commit()`, path).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	memory, entries, _ := mustCapture(t, path)
	other := filled(t, "wal")
	restore, err := Engine.Target(serviceOf(other), token)
	if err != nil {
		t.Fatal(err)
	}
	defer restore.Close()
	result, err := restore.Stage(t.Context(), entries, memory)
	if err != nil {
		t.Fatal(err)
	}
	if len(result.Notes) != 1 || !strings.Contains(result.Notes[0], "users") || !strings.Contains(result.Notes[0], "NOCASE_UTF8") {
		t.Errorf("notes %q", result.Notes)
	}
	do(t, restore.Swap, restore.Discard)
	if got := shell(t, other, "SELECT count(*) FROM users NOT INDEXED; SELECT name FROM users WHERE id = 7;"); got != "500\nName 7" {
		t.Errorf("restored: %q", got)
	}

	small := filepath.Join(t.TempDir(), "small.db")
	shell(t, small, "PRAGMA page_size = 512; CREATE TABLE t (a);")
	restore, err = Engine.Target(serviceOf(small), token)
	if err != nil {
		t.Fatal(err)
	}
	defer restore.Close()
	if _, err := restore.Stage(t.Context(), entries, memory); err == nil || !strings.Contains(err.Error(), "move that away") {
		t.Errorf("pages that cannot be converted: %v", err)
	}
	do(t, restore.Discard)
}

func TestAnotherTextEncodingIsSaid(t *testing.T) {
	from := filepath.Join(t.TempDir(), "utf16.db")
	shell(t, from, "PRAGMA encoding = 'UTF-16le';"+known+odd)
	path := filled(t, "wal")
	memory, entries, _ := mustCapture(t, from)
	restore, err := Engine.Target(serviceOf(path), token)
	if err != nil {
		t.Fatal(err)
	}
	defer restore.Close()
	result, err := restore.Stage(t.Context(), entries, memory)
	if err != nil || len(result.Notes) != 1 || !strings.Contains(result.Notes[0], "encoding") {
		t.Errorf("notes %q, %v", result.Notes, err)
	}
	before := mustDump(t, path)
	do(t, restore.Swap)
	if mustDump(t, path) != mustDump(t, from) {
		t.Error("other data")
	}
	do(t, restore.Revert, restore.Discard)
	if mustDump(t, path) != before {
		t.Error("revert gave other data")
	}
}
