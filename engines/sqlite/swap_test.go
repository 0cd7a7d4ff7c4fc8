package sqlite

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"holdfast/engines/enginetest"
)

// another makes a database with other data: one transfer, numbered -1.
func another(t *testing.T, mode string) string {
	t.Helper()
	path := filled(t, mode)
	shell(t, path, `UPDATE account SET balance = balance - 5 WHERE id = 3; UPDATE account SET balance = balance + 5 WHERE id = 4;
		INSERT INTO transfer VALUES (-1, 3, 4, 5); UPDATE page SET body = 'another' WHERE id % 3 = 0;`)
	return path
}

// staged opens a target at path and stages the database from in it.
func staged(t *testing.T, from, path string) *target {
	t.Helper()
	memory, entries, _ := mustCapture(t, from)
	restore, err := Engine.Target(serviceOf(path), token)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { restore.Close() })
	if _, err := restore.Plan(t.Context(), entries); err != nil {
		t.Fatal(err)
	}
	if _, err := restore.Stage(t.Context(), entries, memory); err != nil {
		t.Fatal(err)
	}
	return restore.(*target)
}

func do(t *testing.T, steps ...func(context.Context) error) {
	t.Helper()
	for _, step := range steps {
		if err := step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func mustDump(t *testing.T, path string) string {
	t.Helper()
	s, err := dump(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// prompt is a sqlite3 command that keeps the database open and answers queries.
func prompt(t *testing.T, path string) func(query string) string {
	t.Helper()
	c := run(t, exec.Command(tool(t, "sqlite3"), "-batch", "-cmd", ".timeout 30000", path))
	return func(query string) string {
		fmt.Fprintln(c.stdin, query)
		fmt.Fprintln(c.stdin, "SELECT 'end of answer';")
		from := len(c.seen)
		c.expect("end of answer")
		return strings.Join(c.seen[from:len(c.seen)-1], "\n")
	}
}

func TestOpenApplicationsSeeTheNewRows(t *testing.T) {
	inBothModes(t, func(t *testing.T, mode string) {
		from, path := another(t, mode), filled(t, mode)
		ask := prompt(t, path)
		if got := ask("SELECT count(*) FROM transfer;"); got != "0" {
			t.Fatal(got)
		}
		site := start(t, "site", []string{path, "1"})
		site.expect("ack")
		restore := staged(t, from, path)
		site.expect("ack")
		do(t, restore.Swap)
		if got := ask("SELECT count(*) FROM transfer WHERE n = -1; PRAGMA integrity_check;"); got != "1\nok" {
			t.Errorf("an open connection sees %q after the swap", got)
		}
		site.expect("ack")
		do(t, restore.Revert)
		if got := ask("SELECT count(*) FROM transfer WHERE n = -1; PRAGMA integrity_check;"); got != "0\nok" {
			t.Errorf("an open connection sees %q after the revert", got)
		}
		site.expect("ack")
		do(t, restore.Discard)
		site.end() // and met no error, nor was it kept waiting for longer than its busy timeout
		if got := ask("SELECT sum(balance) FROM account; PRAGMA integrity_check; PRAGMA journal_mode;"); got != "20000\nok\n"+mode {
			t.Errorf("an open connection sees %q at the end", got)
		}
	})
}

// A reader in the middle of its transaction keeps its view in WAL mode, and is
// waited for in rollback mode.
func TestReadersInTheMiddleOfATransaction(t *testing.T) {
	from, path := another(t, "wal"), filled(t, "wal")
	ask := prompt(t, path)
	ask("BEGIN; SELECT count(*) FROM transfer;")
	restore := staged(t, from, path)
	do(t, restore.Swap)
	if got := ask("SELECT count(*) FROM transfer; COMMIT;"); got != "0" {
		t.Errorf("a read transaction that began before sees %q", got)
	}
	if got := ask("SELECT count(*) FROM transfer;"); got != "1" {
		t.Errorf("a read transaction that begins after sees %q", got)
	}

	from, path = another(t, "delete"), filled(t, "delete")
	site := start(t, "lock", []string{path, "BEGIN"})
	site.expect("locked")
	before := mustDump(t, path)
	slow := staged(t, from, path)
	slow.patience = 1
	err := slow.Swap(t.Context())
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("process %d (", site.cmd.Process.Pid)) {
		t.Errorf("a swap that a reader keeps from committing: %v", err)
	}
	if mustDump(t, path) != before {
		t.Error("a swap that failed has changed the database")
	}
	site.end()
	do(t, slow.Swap, slow.Revert, slow.Discard)
}

// No commit may fall between the retired copy and the replacement: every transfer
// that a site was told is committed is in one of them.
func TestNoCommitIsLostByASwap(t *testing.T) {
	inBothModes(t, func(t *testing.T, mode string) {
		for range 3 {
			from, path := another(t, mode), filled(t, mode)
			site := start(t, "site", []string{path, "1"})
			site.expect("ack")
			restore := staged(t, from, path)
			site.expect("ack")
			do(t, restore.Swap)
			// What was acknowledged before the swap may not have been read yet.
			for site.expect("ack"); !transfers(t, path)[site.last()]; {
				site.expect("ack")
			}
			for range 4 {
				site.expect("ack")
			}
			site.end()
			retired, err := os.ReadFile(restore.beside.retired)
			if err != nil {
				t.Fatal(err)
			}
			old, now := transfers(t, write(t, retired)), transfers(t, path)
			var before, after int
			for _, n := range site.acknowledged() {
				if old[n] {
					before++
				}
				if now[n] {
					after++
				}
				if old[n] == now[n] {
					t.Errorf("transfer %d was committed; retired: %v, current: %v", n, old[n], now[n])
				}
			}
			if before == 0 || after == 0 {
				t.Errorf("%d transfers before the swap, %d after it: nothing was put to the test", before, after)
			}
			do(t, restore.Revert)
			if reverted := transfers(t, path); !maps.Equal(reverted, old) {
				t.Errorf("%d transfers after the revert, %d are retired", len(reverted), len(old))
			}
			do(t, restore.Discard)
		}
	})
}

func transfers(t *testing.T, path string) map[int]bool {
	t.Helper()
	db := connect(path, "rw")
	defer db.Close()
	rows, err := db.QueryContext(t.Context(), "SELECT n FROM transfer")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	all := map[int]bool{}
	for rows.Next() {
		var n int
		if err := rows.Scan(&n); err != nil {
			t.Fatal(err)
		}
		all[n] = true
	}
	return all
}

// What is retired is durable before the first byte of the database, its journal
// or its log changes; what is staged is before that.
func TestWhatMustBeDurableIsSyncedFirst(t *testing.T) {
	inBothModes(t, func(t *testing.T, mode string) {
		from, path := another(t, mode), filled(t, mode)
		log := filepath.Join(t.TempDir(), "strace")
		c := start(t, "restore", []string{from, path, token, "stage", "swap"},
			tool(t, "strace"), "-f", "-qq", "-y", "-o", log, "-e", "trace=pwrite64,fsync,fdatasync")
		if err := c.wait(); err != nil {
			t.Fatal(err, c.seen)
		}
		calls, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		dir, base := filepath.Split(path)
		dirty := map[string]bool{} // files of ours, and their directory, written since their last sync
		changed := false
		for _, line := range strings.Split(string(calls), "\n") {
			_, name, ok := strings.Cut(line, "<"+strings.TrimSuffix(dir, "/"))
			if !ok {
				continue
			}
			name = strings.TrimPrefix(name[:strings.IndexByte(name, '>')], "/")
			write := strings.Contains(line, "pwrite64(")
			switch {
			case strings.HasPrefix(name, ".holdfast"):
				dirty[name] = write
				if write {
					dirty["the directory"] = true
				}
			case name == "":
				dirty["the directory"] = false
			case write && strings.HasPrefix(name, base) && !strings.HasSuffix(name, "-shm"):
				changed = true
				for file, not := range dirty {
					if not {
						t.Fatalf("%s was not synced before %s changed", file, name)
					}
				}
			}
		}
		if !changed || len(dirty) < 3 {
			t.Errorf("the database changed: %v; %d files were watched", changed, len(dirty))
		}
	})
}

// Between stage and swap the database can lose pages that were copied already.
func TestADatabaseThatShrinksAfterTheStage(t *testing.T) {
	inBothModes(t, func(t *testing.T, mode string) {
		from, path := another(t, mode), filled(t, mode)
		restore := staged(t, from, path)
		pages, err := strconv.Atoi(shell(t, path, "DELETE FROM page; VACUUM; PRAGMA page_count;"))
		if err != nil {
			t.Fatal(err)
		}
		size := pages * 4096
		before := mustDump(t, path)
		do(t, restore.Swap)
		memory := enginetest.NewMemory()
		source, err := restore.Retired(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		result, err := drain(t.Context(), source, memory)
		if err != nil {
			t.Fatal(err)
		}
		data, err := memory.File(t.Context(), result.Entries, "settings.sqlite")
		if err != nil {
			t.Fatal(err)
		}
		if len(data) != size {
			t.Errorf("%d bytes are retired, not %d", len(data), size)
		}
		if retired := write(t, data); mustDump(t, retired) != before || shell(t, retired, "PRAGMA integrity_check;") != "ok" {
			t.Error("what is retired is not what was there")
		}
		do(t, restore.Revert, restore.Discard)
		if mustDump(t, path) != before {
			t.Error("revert gave other data")
		}
	})
}
