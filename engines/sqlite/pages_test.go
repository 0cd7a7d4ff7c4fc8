package sqlite

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// pagesApart lists the pages in which two databases differ beyond the counters of
// the header: change counter, schema cookie, "valid for" and version of the writer.
func pagesApart(a, b []byte) []int {
	var apart []int
	mask := func(page []byte) []byte {
		page = bytes.Clone(page)
		if len(page) >= headerSize {
			clear(page[atCounter : atCounter+4])
			clear(page[atCookie : atCookie+4])
			clear(page[atValidFor : atVersion+4])
		}
		return page
	}
	for n := 0; n*4096 < max(len(a), len(b)); n++ {
		pa, pb := a[min(n*4096, len(a)):min(n*4096+4096, len(a))], b[min(n*4096, len(b)):min(n*4096+4096, len(b))]
		if n == 0 {
			pa, pb = mask(pa), mask(pb)
		}
		if !bytes.Equal(pa, pb) {
			apart = append(apart, n+1)
		}
	}
	return apart
}

func TestARevertIsExactPageByPage(t *testing.T) {
	inBothModes(t, func(t *testing.T, mode string) {
		from, path := another(t, mode), filled(t, mode)
		before, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		restore := staged(t, from, path)
		do(t, restore.Swap, restore.Revert, restore.Discard)
		after, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if apart := pagesApart(before, after); apart != nil {
			t.Errorf("pages %v are not what they were (%d bytes, %d bytes)", apart, len(before), len(after))
		}
	})
}

// All but the page that held the token, and the list of free pages that it is on.
func TestARestoreIsExactPageByPage(t *testing.T) {
	inBothModes(t, func(t *testing.T, mode string) {
		from, path := another(t, mode), filled(t, mode)
		want, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		restore := staged(t, from, path)
		do(t, restore.Swap, restore.Discard)
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range pagesApart(want, got) {
			if n != 1 && n*4096 <= len(want) {
				t.Errorf("page %d is not that of the snapshot", n)
			}
		}
		if len(got) != len(want)+4096 {
			t.Errorf("%d bytes became %d, not one page more", len(want), len(got))
		}
	})
}

func TestTheJournalModeStays(t *testing.T) {
	for _, of := range []string{"wal", "delete"} {
		inBothModes(t, func(t *testing.T, mode string) {
			from, path := another(t, of), filled(t, mode)
			restore := staged(t, from, path)
			do(t, restore.Swap)
			if got := shell(t, path, "PRAGMA journal_mode;"); got != mode {
				t.Errorf("after a swap with a database in %s mode, one in %s mode is in %s mode", of, mode, got)
			}
			do(t, restore.Revert, restore.Discard)
			if got := shell(t, path, "PRAGMA journal_mode;"); got != mode {
				t.Errorf("after the revert it is in %s mode", got)
			}
			restore.Close()
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			restore = staged(t, from, path)
			do(t, restore.Swap, restore.Discard)
			if got := shell(t, path, "PRAGMA journal_mode;"); got != of {
				t.Errorf("a database that is created of one in %s mode is in %s mode", of, got)
			}
		})
	}
}

// With auto_vacuum=FULL a commit moves pages, unless it is kept from it.
func TestAutoVacuumDoesNotMovePages(t *testing.T) {
	inBothModes(t, func(t *testing.T, mode string) {
		for _, now := range []string{"NONE", "FULL", "INCREMENTAL"} {
			for _, next := range []string{"NONE", "FULL"} {
				for _, rows := range [][2]int{{100, 3000}, {3000, 100}} {
					path, from := vacuumed(t, mode, now, rows[0]), vacuumed(t, mode, next, rows[1])
					ask := prompt(t, path)
					ask("SELECT count(*) FROM t;")
					old, want := mustDump(t, path), mustDump(t, from)
					restore := staged(t, from, path)
					do(t, restore.Swap)
					if mustDump(t, path) != want || ask("PRAGMA integrity_check;") != "ok" {
						t.Errorf("auto_vacuum %s becomes %s: the swap gave other data", now, next)
					}
					do(t, restore.Revert)
					if mustDump(t, path) != old || ask("PRAGMA integrity_check;") != "ok" {
						t.Errorf("auto_vacuum %s becomes %s: the revert gave other data", now, next)
					}
					do(t, restore.Discard)
					restore.Close()
				}
			}
		}
	})
}

func vacuumed(t *testing.T, mode, vacuum string, rows int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "v.db")
	shell(t, path, fmt.Sprintf(`PRAGMA auto_vacuum = %s; PRAGMA journal_mode = %s; CREATE TABLE t (a INTEGER PRIMARY KEY, b);
		CREATE INDEX i ON t (b); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < %d)
		INSERT INTO t SELECT i, hex(randomblob(100)) FROM n; DELETE FROM t WHERE a %% 3 = 0;`, vacuum, mode, rows))
	return path
}
