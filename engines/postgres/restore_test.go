package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"holdfast/engines/dump"
	"holdfast/engines/enginetest"
	"holdfast/internal/tree"
)

// changedSchema turns what knownSchema made into something that differs from it in
// every way that a swap has to deal with.
var changedSchema = []string{
	"DROP TRIGGER moved ON moves", "DROP VIEW ledger.names", "CREATE TABLE ledger.names (id INT PRIMARY KEY)", "INSERT INTO ledger.names VALUES (5)",
	"ALTER TABLE accounts ADD COLUMN extra TEXT DEFAULT 'x'", "UPDATE accounts SET balance = 7", "CREATE SCHEMA extra", "CREATE TABLE extra.t (id INT)",
	"CREATE OR REPLACE FUNCTION doubled(n BIGINT) RETURNS BIGINT LANGUAGE sql IMMUTABLE AS 'SELECT $1 + $1'", "DROP PROCEDURE rest",
	"SELECT nextval('receipts')", "ALTER SCHEMA public RENAME TO was_public", "CREATE SCHEMA public", "CREATE TABLE public.only (id INT)", "GRANT USAGE ON SCHEMA extra TO backup",
}

// rooms are the two ways to build and swap, with what leads to them.
var rooms = map[string]struct {
	more []string
	room string // a query that says whether there is such a room
}{
	"schemas":  {nil, "SELECT count(*) > 0 FROM pg_namespace WHERE nspname LIKE 'holdfast_hf_%'"},
	"database": {[]string{"SELECT lo_from_bytea(70001, 'large')"}, "SELECT count(*) > 0 FROM pg_database WHERE datname = 'shop_hf_0123456789'"},
}

// changedShop returns a changed shop and the snapshot of its earlier state.
func changedShop(t *testing.T, more []string) (s shop, before, changed string, memory *enginetest.Memory, entries []tree.Entry) {
	s = newShop(t)
	s.in("shop", knownSchema...)
	s.in("shop", append([]string{"INSERT INTO accounts VALUES (1, 'a', 5), (2, 'b', 6)", "INSERT INTO moves (debit, credit, amount) VALUES (1, 2, 1)"}, more...)...)
	before = s.dump("shop")
	memory, result := s.capture()
	s.in("shop", changedSchema...)
	return s, before, s.dump("shop"), memory, result.Entries
}

func TestSwapAndRevertOfEverything(t *testing.T) {
	for name, c := range rooms {
		t.Run(name, func(t *testing.T) {
			s, before, changed, memory, entries := changedShop(t, c.more)
			target, _ := s.stage("shop", memory, entries)
			if s.value("shop", c.room) != "t" {
				t.Fatal("this is another room")
			}
			s.same(changed, s.dump("shop"), "after the stage")
			s.must(target.Swap(t.Context()))
			s.same(before, s.dump("shop"), "after the swap")
			s.must(target.Revert(t.Context()))
			s.same(changed, s.dump("shop"), "after the revert")
			s.must(target.Swap(t.Context()))
			s.must(target.Discard(t.Context()))
			s.same(before, s.dump("shop"), "after the discard")
		})
	}
}

var errStop = errors.New("stopped by the test")

// stopping stops a target before its n-th statement, and says whether it got there.
func stopping(target *target, n int) *bool {
	reached := new(bool)
	count := 0
	target.step = func(string) error {
		if count++; count == n {
			*reached = true
			return errStop
		}
		return nil
	}
	return reached
}

func TestAStopBeforeEveryStatementIsReverted(t *testing.T) {
	for name, c := range rooms {
		t.Run(name, func(t *testing.T) {
			s, before, changed, memory, entries := changedShop(t, c.more)
			staged, _ := s.stage("shop", memory, entries)
			s.must(staged.Close())
			for _, call := range []struct {
				name    string
				swapped bool
				do      func(*target) error
			}{
				{"swap", false, func(target *target) error { return target.Swap(t.Context()) }},
				{"revert", true, func(target *target) error { return target.Revert(t.Context()) }},
			} {
				for n := 1; ; n++ {
					target := s.target("site", "shop")
					if call.swapped {
						s.must(target.Swap(t.Context()))
					}
					reached := stopping(target, n)
					if err := call.do(target); (err != nil) != *reached {
						t.Fatal(err)
					}
					s.must(target.Close())
					again := s.target("site", "shop")
					s.must(again.Revert(t.Context()))
					s.same(changed, s.dump("shop"), fmt.Sprintf("stopped before statement %d of the %s and reverted", n, call.name))
					s.must(again.Close())
					if !*reached {
						break
					}
				}
			}
			swapping := s.target("site", "shop")
			s.must(swapping.Swap(t.Context()))
			s.must(swapping.Close())
			for n := 1; ; n++ {
				target := s.target("site", "shop")
				reached := stopping(target, n)
				if err := target.Discard(t.Context()); (err != nil) != *reached {
					t.Fatal(err)
				}
				s.must(target.Close())
				s.same(before, s.dump("shop"), fmt.Sprintf("discard stopped before statement %d", n))
				if !*reached {
					break
				}
			}
			if s.value("shop", c.room) != "f" {
				t.Error("something is left")
			}
		})
	}
}

func TestSessionsSurviveASwapOfSchemas(t *testing.T) {
	s := newShop(t)
	s.in("shop", "CREATE TABLE a (id INT PRIMARY KEY, v TEXT)", "INSERT INTO a VALUES (1, 'saved')")
	memory, result := s.capture()
	s.in("shop", "UPDATE a SET v = 'lost'")
	conn := s.server.Open("shop")
	defer conn.Close(t.Context())
	s.must(conn.Exec(t.Context(), "PREPARE q AS SELECT v FROM a WHERE id = 1; EXECUTE q").Close())
	s.restore("shop", memory, result.Entries)
	results, err := conn.Exec(t.Context(), "EXECUTE q").ReadAll()
	s.must(err)
	if v := string(results[0].Rows[0][0]); v != "saved" {
		t.Errorf("a prepared statement reads %q", v)
	}
}

func TestASwapOfDatabasesEndsSessionsAndSaysHowMany(t *testing.T) {
	s := newShop(t)
	s.in("shop", "CREATE TABLE a (id INT PRIMARY KEY)", "SELECT lo_from_bytea(70001, 'large')")
	s.server.Exec("postgres", "ALTER DATABASE shop SET work_mem = '5MB'", "COMMENT ON DATABASE shop IS 'ours'", "REVOKE ALL ON DATABASE shop FROM PUBLIC",
		"GRANT CONNECT ON DATABASE shop TO backup", "CREATE ROLE visitor LOGIN PASSWORD '"+testPassword+"'", "GRANT CONNECT ON DATABASE shop TO visitor")
	memory, result := s.capture()
	u := s.server.URL("visitor", "shop")
	conn, err := pgconn.Connect(t.Context(), fmt.Sprintf("postgres://visitor:%s@%s/shop?sslmode=disable", strings.ReplaceAll(testPassword, " ", "%20"), u.Host))
	s.must(err)
	defer conn.Close(context.Background())
	if said, err := s.check("site", memory, result); err != nil || !strings.Contains(said, "ends the sessions in it: 1 now") {
		t.Errorf("%q, %v", said, err)
	}
	s.restore("shop", memory, result.Entries)
	if err := conn.Exec(t.Context(), "SELECT 1").Close(); err == nil {
		t.Error("the session of a visitor is still there")
	}
	kept := s.value("shop", `SELECT concat_ws(' ', current_setting('work_mem'), shobj_description(oid, 'pg_database'), has_database_privilege('backup', oid, 'CONNECT'),
		has_database_privilege('public', oid, 'CONNECT'), pg_get_userbyid(datdba)) FROM pg_database WHERE datname = 'shop'`)
	if kept != "5MB ours t f site" {
		t.Errorf("of the database's own there is: %s", kept)
	}
}

func TestWhatKilledRestoresLeftIsRemovedByTheNext(t *testing.T) {
	for name, c := range rooms {
		t.Run(name, func(t *testing.T) {
			s, _, changed, memory, entries := changedShop(t, c.more)
			killed, _ := s.stage("shop", memory, entries)
			s.must(killed.Close())
			opened, err := Engine.Target(s.service("site", "shop"), "99999999999999999999")
			s.must(err)
			defer opened.Close()
			_, err = opened.Stage(t.Context(), entries, memory)
			s.must(err)
			s.must(opened.Discard(t.Context()))
			s.same(changed, s.dump("shop"), "after another restore was staged and discarded")
			if s.value("shop", c.room) != "f" {
				t.Error("what the killed restore left is still there")
			}
		})
	}
}

func TestASnapshotTakenWhileARestoreIsStagedHoldsNothingOfIt(t *testing.T) {
	s, _, _, memory, entries := changedShop(t, nil)
	again, result := s.capture()
	want := s.file(again, result, "db.sql")
	s.stage("shop", memory, entries)
	again, result = s.capture()
	s.same(want, s.file(again, result, "db.sql"), "while staged")
}

func TestRolesThatAreMissingAreTold(t *testing.T) {
	s := newShop(t)
	s.server.Exec("postgres", "CREATE ROLE old_site", "CREATE ROLE reader")
	s.in("shop", "CREATE TABLE a (id INT PRIMARY KEY)", "GRANT SELECT ON a TO reader")
	s.server.Exec("shop", "ALTER TABLE a OWNER TO old_site", "GRANT SELECT ON a TO site")
	memory, result := s.capture()
	if text := s.file(memory, result, "db/privileges.sql"); !strings.Contains(text, "ALTER TABLE public.a OWNER TO old_site;") || !strings.Contains(text, "GRANT SELECT ON TABLE public.a TO reader;") {
		t.Error(text)
	}
	s.server.Exec("shop", "DROP TABLE a", "DROP ROLE old_site", "DROP ROLE reader")
	staged := s.restore("shop", memory, result.Entries)
	if notes := strings.Join(staged.Notes, "\n"); !strings.Contains(notes, "2 owners or privileges") || !strings.Contains(notes, `role "old_site" does not exist`) || !strings.Contains(notes, `role "reader" does not exist`) {
		t.Errorf("notes: %s", notes)
	}
	if owner := s.value("shop", "SELECT tableowner FROM pg_tables WHERE tablename = 'a'"); owner != "site" {
		t.Errorf("it belongs to %s", owner)
	}
}

// Who may read the hashes of passwords is said in the database, and is not the
// snapshot's: it stays in one that is there, and a new one takes a superuser.
func TestAPrivilegeInTheCatalogsIsNoComplaint(t *testing.T) {
	s := newShop(t)
	s.in("shop", "CREATE TABLE a (id INT PRIMARY KEY)")
	s.server.Exec("shop", "GRANT SELECT ON pg_catalog.pg_authid TO backup")
	may := "SELECT has_table_privilege('backup', 'pg_authid', 'SELECT')"
	memory, result := s.capture()
	if staged := s.restore("shop", memory, result.Entries); len(staged.Notes) > 0 || s.value("shop", may) != "t" {
		t.Errorf("in schemas: %q", staged.Notes)
	}
	staged := s.restore("fresh", memory, result.Entries)
	if notes := strings.Join(staged.Notes, "\n"); notes != "in the restored database only a superuser can say again: GRANT SELECT ON TABLE pg_catalog.pg_authid TO backup" {
		t.Errorf("in a new database: %s", notes)
	}
}

func TestThePrivilegesALadderNeeds(t *testing.T) {
	s := newShop(t)
	s.in("shop", "CREATE TABLE a (id INT PRIMARY KEY)", "INSERT INTO a VALUES (1)")
	memory, plain := s.capture()
	s.in("shop", "SELECT lo_from_bytea(70001, 'large')")
	large, withObject := s.capture()
	s.in("shop", "SELECT lo_unlink(70001)", "DELETE FROM a")

	s.server.Exec("postgres", "ALTER ROLE site NOCREATEDB")
	s.restore("shop", memory, plain.Entries)
	if s.value("shop", "SELECT count(*) FROM a") != "1" {
		t.Error("the owner of all schemas could not restore")
	}
	target := s.target("site", "shop")
	if _, err := target.Stage(t.Context(), withObject.Entries, large); err == nil || !strings.Contains(err.Error(), `ALTER ROLE "site" CREATEDB`) || !strings.Contains(err.Error(), "large objects") {
		t.Error(err)
	}
	s.must(target.Close())

	// Not all schemas are site's: then a database of its own.
	s.server.Exec("postgres", "ALTER ROLE site CREATEDB")
	s.server.Exec("shop", "CREATE SCHEMA strange", "CREATE TABLE strange.t (id INT)")
	target, _ = s.stage("shop", memory, plain.Entries)
	if s.value("shop", rooms["database"].room) != "t" {
		t.Error("somebody else's schema was not seen")
	}
	s.must(target.Discard(t.Context()))
}

func TestAnExtensionAmongTheTablesIsMovedByASuperuser(t *testing.T) {
	s := newShop(t)
	s.server.Exec("shop", "CREATE EXTENSION pgcrypto")
	s.in("shop", "CREATE TABLE a (id INT PRIMARY KEY, h BYTEA DEFAULT digest('x', 'sha1'))", "INSERT INTO a VALUES (1)")
	before := s.dump("shop")
	memory, result := s.capture()
	s.in("shop", "CREATE TABLE b (h BYTEA DEFAULT digest('y', 'md5'))")
	changed := s.dump("shop")
	for user, room := range map[string]string{"postgres": "schemas", "site": "database"} {
		target := s.target(user, "shop")
		_, err := target.Stage(t.Context(), result.Entries, memory)
		s.must(err)
		if s.value("shop", rooms[room].room) != "t" {
			t.Errorf("user %s has another room than %s", user, room)
		}
		s.same(changed, s.dump("shop"), "after the stage by "+user)
		s.must(target.Swap(t.Context()))
		s.same(before, s.dump("shop"), "after the swap by "+user)
		s.must(target.Revert(t.Context()))
		s.same(changed, s.dump("shop"), "after the revert by "+user)
		s.must(target.Discard(t.Context()))
		s.must(target.Close())
	}
}

func TestANewerServersDataIsWarnedOf(t *testing.T) {
	s := newShop(t)
	memory, result := s.capture()
	for taken, want := range map[string]bool{"PostgreSQL 99.1": true, "PostgreSQL 12.1": false, "": false} {
		service := s.service("site", "shop")
		service.Server = taken
		target, err := Engine.Target(service, testToken)
		s.must(err)
		plan, err := target.Plan(t.Context(), result.Entries)
		s.must(err)
		if got := strings.Contains(strings.Join(plan.Warnings, ""), "is older"); got != want {
			t.Errorf("of %q: %q", taken, plan.Warnings)
		}
		s.must(target.Close())
	}
	_ = memory
}

func TestTheJoinedStreamLoadsWithPsqlAlone(t *testing.T) {
	s := newShop(t)
	s.in("shop", append(knownSchema, oddSchema...)...)
	s.in("shop", "SELECT lo_from_bytea(70001, 'large')", "SELECT lo_create(70002)", "COMMENT ON LARGE OBJECT 70001 IS 'it''s'", "GRANT SELECT ON LARGE OBJECT 70001 TO backup")
	memory, result := s.capture()
	s.fresh("other")
	s.server.Client("other", strings.NewReader(s.file(memory, result, "db.sql")))
	s.server.Client("other", strings.NewReader(s.file(memory, result, "db/privileges.sql")))
	s.same(s.dump("shop"), s.dump("other"), "loaded by psql")
	moves := "INSERT INTO moves (debit, credit, amount) VALUES (1, 2, 1)"
	s.in("shop", "INSERT INTO accounts VALUES (1, 'a', 5), (2, 'b', 6)", moves)
	memory, result = s.capture()
	before := s.dump("shop")
	s.server.Exec("shop", "TRUNCATE moves")
	s.server.Client("shop", strings.NewReader("SET session_replication_role = replica;\n"+s.file(memory, result, "db/tables/public.moves.sql")))
	s.same(before, s.dump("shop"), "a table loaded by itself")
}

func TestADatabaseThatIsGoneComesBackWithPsqlAlone(t *testing.T) {
	s := newShop(t)
	s.in("shop", knownSchema...)
	s.server.Exec("postgres", "ALTER DATABASE shop SET work_mem = '5MB'", "COMMENT ON DATABASE shop IS 'ours'")
	memory, result := s.capture()
	before := s.dump("shop")
	s.server.Exec("postgres", "DROP DATABASE shop")
	s.server.Client("postgres", strings.NewReader(s.file(memory, result, "db/database.sql")))
	s.server.Client("shop", strings.NewReader(s.file(memory, result, "db.sql")))
	s.server.Client("shop", strings.NewReader(s.file(memory, result, "db/privileges.sql")))
	s.same(before, s.dump("shop"), "loaded by psql")
	if got := s.value("shop", "SELECT concat_ws(' ', current_setting('work_mem'), shobj_description(oid, 'pg_database')) FROM pg_database WHERE datname = 'shop'"); got != "5MB ours" {
		t.Errorf("of the database itself there is %q", got)
	}
}

// damaged is content in which one file is another.
func damaged(t *testing.T, memory *enginetest.Memory, entries []tree.Entry, path string, damage func(string) string) (*enginetest.Memory, []tree.Entry) {
	t.Helper()
	next := memory.Next(nil)
	text, err := memory.File(t.Context(), entries, "db/"+path)
	if err != nil {
		t.Fatal(err)
	}
	var rebuild func(directory tree.Entry, path []string) tree.Entry
	rebuild = func(directory tree.Entry, path []string) tree.Entry {
		var children []tree.Entry
		for child, err := range memory.Children(t.Context(), directory) {
			if err != nil {
				t.Fatal(err)
			}
			switch {
			case child.Name != path[0]:
			case len(path) > 1:
				child = rebuild(child, path[1:])
			default:
				child, err = next.Put(t.Context(), child, tree.Stream{}, strings.NewReader(damage(string(text))))
				if err != nil {
					t.Fatal(err)
				}
			}
			children = append(children, child)
		}
		directory, err := next.PutDirectory(t.Context(), directory, tree.Stream{}, dump.Listing(children))
		if err != nil {
			t.Fatal(err)
		}
		return directory
	}
	return next, []tree.Entry{rebuild(entries[0], strings.Split(path, "/"))}
}

func TestStreamsThatAreNotWholeAreRefused(t *testing.T) {
	s := newShop(t)
	s.in("shop", "CREATE TABLE a (id INT PRIMARY KEY)", "INSERT INTO a VALUES (1), (2)", "SELECT lo_from_bytea(70001, 'large')")
	memory, result := s.capture()
	before := s.dump("shop")
	for name, c := range map[string]struct {
		file   string
		damage func(string) string
		want   string
	}{
		"ends inside the rows":    {"tables/public.a.sql", func(text string) string { return text[:strings.Index(text, "2\n")] }, "inside the rows"},
		"no number of rows":       {"tables/public.a.sql", func(text string) string { return text[:strings.Index(text, "-- 2 rows")] }, "number of rows"},
		"another number of rows":  {"tables/public.a.sql", func(text string) string { return strings.Replace(text, "-- 2 rows", "-- 3 rows", 1) }, "2 rows were loaded instead of 3"},
		"empty":                   {"tables/public.a.sql", func(string) string { return "" }, "does not say why"},
		"rows of another table":   {"tables/public.a.sql", func(text string) string { return strings.Replace(text, `"a"`, `"b"`, 1) }, "not a script"},
		"a statement among them":  {"sequences.sql", func(text string) string { return text + "DROP TABLE a;" }, "not a script"},
		"ends inside a statement": {"schema.sql", func(text string) string { return text + "CREATE TABLE" }, "inside a statement"},
		"a command of psql":       {"after.sql", func(text string) string { return text + "\\! true\n" }, "psql's command"},
		"an impossible statement": {"after.sql", func(text string) string { return text + "SELECT 1 FROM nowhere;" }, "nowhere"},
	} {
		t.Run(name, func(t *testing.T) {
			s := shop{t, s.server}
			content, entries := damaged(t, memory, result.Entries, c.file, c.damage)
			target := s.target("site", "shop")
			if _, err := target.Stage(t.Context(), entries, content); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v", err)
			}
			s.must(target.Discard(t.Context()))
			s.must(target.Close())
			s.same(before, s.dump("shop"), "after a stage that failed")
		})
	}
}

// TestWhoCannotConnectIsNotToldThatNothingBegan: a recovery that gets no connection from
// which a whole database can be put back fails, and the next one finds all there is to do.
func TestWhoCannotConnectIsNotToldThatNothingBegan(t *testing.T) {
	s, _, changed, memory, entries := changedShop(t, rooms["database"].more)
	target, _ := s.stage("shop", memory, entries)
	s.must(target.Swap(t.Context()))
	s.must(target.Close())
	s.server.Exec("postgres", "ALTER ROLE site CONNECTION LIMIT 1")
	refused := s.target("site", "shop")
	for what, err := range map[string]error{"revert": refused.Revert(t.Context()), "discard": refused.Discard(t.Context())} {
		if err == nil || !strings.Contains(err.Error(), "no connection left") {
			t.Errorf("%s: %v", what, err)
		}
	}
	s.must(refused.Close())
	s.server.Exec("postgres", "ALTER ROLE site CONNECTION LIMIT -1")
	again := s.target("site", "shop")
	s.must(again.Revert(t.Context()))
	s.same(changed, s.dump("shop"), "after the revert")
	s.must(again.Discard(t.Context()))
	if left := s.value("postgres", "SELECT string_agg(datname, ' ') FROM pg_database WHERE datname LIKE 'shop_h%'"); left != "" {
		t.Errorf("left behind: %s", left)
	}
}
