package postgres

import (
	"strings"
	"testing"
)

// TestRowsOfTablesWithoutColumnsComeBack is about tables whose rows consist of nothing
// that could be loaded: all they have is a number.
func TestRowsOfTablesWithoutColumnsComeBack(t *testing.T) {
	for name, c := range rooms {
		t.Run(name, func(t *testing.T) {
			s := newShop(t)
			s.in("shop", "CREATE TABLE bare ()", "INSERT INTO bare DEFAULT VALUES", "INSERT INTO bare DEFAULT VALUES", "CREATE TABLE none ()",
				"CREATE TABLE computed (a int GENERATED ALWAYS AS (42) STORED, b text GENERATED ALWAYS AS ('x') STORED)",
				"INSERT INTO computed DEFAULT VALUES", "INSERT INTO computed DEFAULT VALUES", "INSERT INTO computed DEFAULT VALUES",
				"CREATE TABLE keyed (a int GENERATED ALWAYS AS (42) STORED PRIMARY KEY)", "INSERT INTO keyed DEFAULT VALUES",
				"CREATE TABLE emptied (a int, b int)", "INSERT INTO emptied VALUES (1, 2)", "ALTER TABLE emptied DROP a, DROP b")
			s.in("shop", append([]string{"SELECT 1"}, c.more...)...)
			const counts = `SELECT concat_ws(' ', (SELECT count(*) FROM bare), (SELECT count(*) FROM none), (SELECT string_agg(a || b, ',') FROM computed),
				(SELECT sum(a) FROM keyed), (SELECT count(*) FROM emptied))`
			const want = "2 0 42x,42x,42x 42 1"
			memory, result := s.capture()
			if text := s.file(memory, result, "db/tables/public.bare.sql"); !strings.HasSuffix(text, "COPY \"public\".\"bare\" FROM stdin;\n\n\n\\.\n-- 2 rows\n") {
				t.Errorf("the stream is\n%s", text)
			}
			s.in("shop", "DELETE FROM bare", "INSERT INTO none DEFAULT VALUES", "DROP TABLE computed")
			target, _ := s.stage("shop", memory, result.Entries)
			if s.value("shop", c.room) != "t" {
				t.Fatal("this is another room")
			}
			s.must(target.Swap(t.Context()))
			s.must(target.Discard(t.Context()))
			if got := s.value("shop", counts); got != want {
				t.Errorf("restored are %s instead of %s", got, want)
			}
			s.fresh("other")
			s.server.Client("other", strings.NewReader(s.file(memory, result, "db.sql")))
			if got := s.value("other", counts); got != want {
				t.Errorf("psql has loaded %s instead of %s", got, want)
			}
		})
	}
}

func TestANumberOfRowsThatIsWrongIsNoticedWithoutColumns(t *testing.T) {
	s := newShop(t)
	s.in("shop", "CREATE TABLE bare ()", "INSERT INTO bare DEFAULT VALUES")
	memory, result := s.capture()
	content, entries := damaged(t, memory, result.Entries, "tables/public.bare.sql", func(text string) string { return strings.Replace(text, "stdin;\n", "stdin;\n\n", 1) })
	if _, err := s.target("site", "shop").Stage(t.Context(), entries, content); err == nil || !strings.Contains(err.Error(), "2 rows were loaded instead of 1") {
		t.Error(err)
	}
}

// TestOlderSnapshotsOfTablesWithoutColumns: their streams said nothing of rows.
func TestOlderSnapshotsOfTablesWithoutColumns(t *testing.T) {
	s := newShop(t)
	s.in("shop", "CREATE TABLE bare ()", "INSERT INTO bare DEFAULT VALUES", "CREATE TABLE orders (id int)", "INSERT INTO orders VALUES (1)")
	memory, result := s.capture()
	content, entries := damaged(t, memory, result.Entries, "tables/public.bare.sql", func(string) string { return "-- Table bare\n\n-- no columns with values\n" })
	staged := s.restore("shop", content, entries)
	if notes := strings.Join(staged.Notes, "\n"); !strings.Contains(notes, "rows without columns were not counted: bare") {
		t.Error(notes)
	}
	if counts := s.value("shop", "SELECT concat_ws(' ', (SELECT count(*) FROM bare), (SELECT count(*) FROM orders))"); counts != "0 1" {
		t.Error(counts)
	}
}
