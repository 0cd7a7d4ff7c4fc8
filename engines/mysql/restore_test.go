package mysql

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"holdfast/engines"
	"holdfast/engines/dump"
	"holdfast/engines/enginetest"
	"holdfast/internal/tree"
)

// changedSchema turns what knownSchema made into something that differs from it
// in every way that a swap has to deal with.
var changedSchema = []string{
	"DROP TRIGGER moved", "CREATE TRIGGER added BEFORE UPDATE ON accounts FOR EACH ROW SET NEW.owner = OLD.owner",
	"CREATE TRIGGER second BEFORE UPDATE ON accounts FOR EACH ROW FOLLOWS added SET NEW.balance = NEW.balance",
	"DROP VIEW names", "CREATE TABLE names (id INT PRIMARY KEY)", "INSERT INTO names VALUES (5)",
	"DROP TABLE audit", "CREATE VIEW audit AS SELECT id, owner FROM accounts",
	"CREATE OR REPLACE VIEW rich AS SELECT 1 AS one",
	"CREATE OR REPLACE FUNCTION doubled(n BIGINT) RETURNS BIGINT DETERMINISTIC RETURN n + n",
	"DROP PROCEDURE rest", "CREATE PROCEDURE surplus() SELECT 1", "DROP EVENT sweep",
	"CREATE EVENT other ON SCHEDULE EVERY 1 HOUR STARTS '2031-01-01 00:00:00' DO SET @x = 1",
	"ALTER DATABASE CHARACTER SET latin1", "UPDATE accounts SET balance = 7", "CREATE TABLE extra (id INT PRIMARY KEY)",
	"INSERT INTO moves (debit, credit, amount) VALUES (1, 2, 3)",
	"CREATE VIEW torn AS SELECT * FROM extra", "DROP TABLE extra", "DO NEXTVAL(receipts)",
}

// shopWithSnapshot returns a changed shop and the snapshot of its earlier state.
func shopWithSnapshot(t *testing.T) (s shop, before, changed string, memory *enginetest.Memory, entries []tree.Entry) {
	s = newShop(t)
	s.in("shop", knownSchema...)
	s.in("shop", "INSERT INTO accounts VALUES (1, 'a', 5), (2, 'b', 6)", "INSERT INTO moves (debit, credit, amount) VALUES (1, 2, 1)")
	before = s.dump("shop")
	memory, result, _ := s.capture("shop")
	s.in("shop", changedSchema...)
	return s, before, s.whole("shop"), memory, result.Entries
}

// whole is dump for a database with a view that mariadb-dump stumbles over.
func (s shop) whole(database string) string {
	s.Helper()
	text := string(s.server.Dump(database, "--skip-comments", "--routines", "--events", "--triggers", "--order-by-primary", "--force", "--ignore-table="+database+".torn"))
	return text + s.value("SELECT GROUP_CONCAT(table_name, view_definition) FROM information_schema.views WHERE table_schema = '"+database+"' AND table_name = 'torn'")
}

func (s shop) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// stage opens a target and stages.
func (s shop) stage(memory *enginetest.Memory, entries []tree.Entry) *target {
	s.Helper()
	target := s.target("root", "", "shop", testToken)
	_, err := target.Plan(s.Context(), entries)
	s.must(err)
	_, err = target.Stage(s.Context(), entries, memory)
	s.must(err)
	return target
}

func TestSwapAndRevertOfEverything(t *testing.T) {
	s, before, changed, memory, entries := shopWithSnapshot(t)
	target := s.stage(memory, entries)
	s.same(changed, s.whole("shop"), "after the stage")
	s.must(target.Swap(t.Context()))
	s.server.Exec("USE shop", "DROP VIEW IF EXISTS shop.torn_copy")
	if got := s.value("SELECT COUNT(*) FROM information_schema.views WHERE table_schema = 'shop' AND table_name = 'torn'"); got != "1" {
		t.Error("the broken view, which a revert could not create, was dropped")
	}
	s.must(target.Revert(t.Context()))
	s.same(changed, s.whole("shop"), "after the revert")
	s.must(target.Swap(t.Context()))
	s.must(target.Discard(t.Context()))
	s.server.Exec("DROP VIEW shop.torn")
	s.same(before, s.dump("shop"), "after the discard")
}

func TestForeignKeysFollowTheSwap(t *testing.T) {
	s := newShop(t)
	s.in("shop", "CREATE TABLE zparent (id INT PRIMARY KEY)", "INSERT INTO zparent VALUES (1)",
		"CREATE TABLE child (id INT PRIMARY KEY, p INT, CONSTRAINT fk FOREIGN KEY (p) REFERENCES zparent (id))", "INSERT INTO child VALUES (1, 1)")
	memory, result, _ := s.capture("shop")
	s.in("shop", "INSERT INTO zparent VALUES (2)")
	target := s.stage(memory, result.Entries)
	s.must(target.Swap(t.Context()))
	for _, database := range []string{"shop", target.retired} {
		if refers := s.value("SELECT referenced_table_schema FROM information_schema.key_column_usage WHERE table_schema = '" + database + "' AND table_name = 'child' AND constraint_name = 'fk'"); refers != database {
			t.Errorf("child in %s refers to %s", database, refers)
		}
	}
	if _, err := s.db.Exec("INSERT INTO shop.child VALUES (2, 2)"); number(err) != 1452 {
		t.Errorf("a row without its parent was not refused: %v", err)
	}
	if _, err := s.db.Exec("DELETE FROM shop.zparent"); number(err) != 1451 {
		t.Errorf("a parent with a child could be deleted: %v", err)
	}
	s.must(target.Revert(t.Context()))
	s.in("shop", "INSERT INTO child VALUES (2, 2)")
	s.must(target.Discard(t.Context()))
}

func TestForeignKeysFromOutsideAreRefused(t *testing.T) {
	s := newShop(t)
	s.in("shop", "CREATE TABLE p (id INT PRIMARY KEY)")
	memory, result, _ := s.capture("shop")
	s.server.Exec("CREATE DATABASE outside", "CREATE TABLE outside.c (id INT, FOREIGN KEY (id) REFERENCES shop.p (id))")
	_, err := s.target("root", "", "shop", testToken).Plan(t.Context(), result.Entries)
	if err == nil || !strings.Contains(err.Error(), "outside.c") {
		t.Error(err)
	}
	_ = memory
}

func TestDefiners(t *testing.T) {
	s := newShop(t)
	s.in("shop", "CREATE TABLE a (id INT PRIMARY KEY)", "CREATE DEFINER = boss@localhost TRIGGER tr BEFORE INSERT ON a FOR EACH ROW SET @x = 1",
		"CREATE DEFINER = boss@localhost VIEW v AS SELECT id FROM a", "CREATE DEFINER = boss@localhost EVENT e ON SCHEDULE EVERY 1 DAY STARTS '2031-01-01' DO SET @x = 1",
		"CREATE DEFINER = boss@localhost FUNCTION f() RETURNS INT RETURN 1")
	s.server.Exec("CREATE USER site IDENTIFIED BY 'x'", "GRANT ALL ON `shop`.* TO site", "GRANT ALL ON `shop\\_h_\\_%`.* TO site",
		"GRANT ALL ON `copy`.* TO site", "GRANT ALL ON `copy\\_h_\\_%`.* TO site", "GRANT SELECT ON mysql.proc TO site")
	memory, result, _ := s.capture("shop")

	_, err := s.target("site", "x", "shop", testToken).Plan(t.Context(), result.Entries)
	if err == nil || !strings.Contains(err.Error(), "boss@localhost") || !strings.Contains(err.Error(), "GRANT SET USER ON *.* TO 'site'@'%'") {
		t.Errorf("what could not be put back was not refused: %v", err)
	}

	target := s.target("site", "x", "copy", testToken)
	plan, err := target.Plan(t.Context(), result.Entries)
	s.must(err)
	s.must(target.Check(t.Context(), result.Entries, memory, &plan))
	for _, want := range []string{"`tr`", "`v`", "`e`", "`f`", "boss@localhost", "these are defined by site", "GRANT SET USER ON *.* TO 'site'@'%'"} {
		if said := strings.Join(plan.Warnings, "\n"); !strings.Contains(said, want) {
			t.Errorf("the plan does not say %s: %s", want, said)
		}
	}
	staged, err := target.Stage(t.Context(), result.Entries, memory)
	s.must(err)
	s.must(target.Swap(t.Context()))
	s.must(target.Discard(t.Context()))
	notes := strings.Join(staged.Notes, "\n")
	for _, name := range []string{"`tr`", "`v`", "`e`", "`f`", "boss@localhost"} {
		if !strings.Contains(notes, name) {
			t.Errorf("the notes do not name %s: %s", name, notes)
		}
	}
	if definer := s.value("SELECT definer FROM information_schema.triggers WHERE trigger_schema = 'copy'"); definer != "site@%" {
		t.Errorf("the trigger is %s's", definer)
	}
	s.restore("kept", memory, result.Entries)
	if definer := s.value("SELECT definer FROM information_schema.views WHERE table_schema = 'kept'"); definer != "boss@localhost" {
		t.Errorf("root could keep the definer, and now it is %s", definer)
	}
}

func TestPrivilegesOnRoutinesSurvive(t *testing.T) {
	s := newShop(t)
	s.in("shop", "CREATE PROCEDURE same() SELECT 1", "CREATE PROCEDURE changed() SELECT 1")
	memory, result, _ := s.capture("shop")
	s.in("shop", "CREATE OR REPLACE PROCEDURE changed() SELECT 2", "CREATE PROCEDURE surplus() SELECT 3")
	s.server.Exec("CREATE USER caller IDENTIFIED BY 'x'", "GRANT EXECUTE ON PROCEDURE shop.same TO caller",
		"GRANT EXECUTE ON PROCEDURE shop.changed TO caller", "GRANT EXECUTE ON PROCEDURE shop.surplus TO caller")
	granted := func() string {
		return s.value("SELECT GROUP_CONCAT(routine_name ORDER BY 1) FROM mysql.procs_priv WHERE user = 'caller'")
	}
	target := s.stage(memory, result.Entries)
	s.must(target.Swap(t.Context()))
	s.must(target.Revert(t.Context()))
	if g := granted(); g != "changed,same,surplus" {
		t.Errorf("after the revert: %s", g)
	}
	s.must(target.Swap(t.Context()))
	s.must(target.Discard(t.Context()))
	if g := granted(); g != "changed,same" {
		t.Errorf("after the discard: %s", g)
	}
}

func TestBrokenViews(t *testing.T) {
	s := newShop(t)
	s.in("shop", "CREATE TABLE a (id INT PRIMARY KEY)", "CREATE VIEW torn AS SELECT id FROM a", "CREATE VIEW above AS SELECT id FROM torn",
		"DROP TABLE a", "CREATE TABLE b (id INT PRIMARY KEY)", "CREATE VIEW whole AS SELECT id FROM b")
	memory, result, _ := s.capture("shop")
	if notes := strings.Join(result.Notes, "\n"); !strings.Contains(notes, "`torn`") || !strings.Contains(notes, "`above`") {
		t.Errorf("notes: %s", notes)
	}
	staged := s.restore("copy", memory, result.Entries)
	if len(staged.Losses) != 2 || !strings.Contains(staged.Losses[0].Reason, "`torn`") {
		t.Errorf("losses: %v", staged.Losses)
	}
	if got := s.value("SELECT GROUP_CONCAT(table_name) FROM information_schema.views WHERE table_schema = 'copy'"); got != "whole" {
		t.Errorf("views: %s", got)
	}
}

func TestLongNames(t *testing.T) {
	s := newShop(t)
	long := strings.Repeat("ß", maxDatabaseName)
	s.server.Exec("CREATE DATABASE " + quote(long))
	s.in(long, "CREATE TABLE "+quote(strings.Repeat("☃", 30))+" (id INT PRIMARY KEY)")
	before := s.value("SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = '" + long + "'")
	memory, result, _ := s.capture(long)
	s.restore(long, memory, result.Entries)
	if after := s.value("SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = '" + long + "'"); after != before {
		t.Errorf("%s tables instead of %s", after, before)
	}
}

// rewriting changes one stream of a snapshot.
type rewriting struct {
	*enginetest.Memory
	t    *testing.T
	path string
	with func([]byte) []byte
}

func (r rewriting) rewritten(entries []tree.Entry) (*enginetest.Memory, []tree.Entry) {
	ctx := r.t.Context()
	var walk func(dir tree.Entry, prefix string) tree.Entry
	walk = func(dir tree.Entry, prefix string) tree.Entry {
		var children []tree.Entry
		for e, err := range r.Children(ctx, dir) {
			if err != nil {
				r.t.Fatal(err)
			}
			switch path := prefix + e.Name; {
			case e.Type == tree.Directory:
				e = walk(e, path+"/")
			case path == r.path:
				text, err := r.File(ctx, []tree.Entry{e}, e.Name)
				if err != nil {
					r.t.Fatal(err)
				}
				if text = r.with(bytes.Clone(text)); text == nil {
					continue
				}
				if e, err = r.Put(ctx, tree.Entry{Name: e.Name, Type: tree.File}, tree.Stream{}, bytes.NewReader(text)); err != nil {
					r.t.Fatal(err)
				}
			}
			children = append(children, e)
		}
		e, err := r.PutDirectory(ctx, tree.Entry{Name: dir.Name, Type: tree.Directory}, tree.Stream{}, dump.Listing(children))
		if err != nil {
			r.t.Fatal(err)
		}
		return e
	}
	return r.Memory, []tree.Entry{walk(entries[0], ""), entries[1]}
}

func TestStreamsThatAreNotWholeAreRefused(t *testing.T) {
	s, _, changed, memory, entries := shopWithSnapshot(t)
	replace := func(old, new string) func([]byte) []byte {
		return func(text []byte) []byte {
			if !bytes.Contains(text, []byte(old)) {
				t.Fatalf("no %q in %s", old, text)
			}
			return bytes.Replace(text, []byte(old), []byte(new), 1)
		}
	}
	cases := map[string]rewriting{
		"a row is missing":             {path: "tables/accounts.sql", with: replace("(1,'a',5),\n", "")},
		"the end is missing":           {path: "tables/accounts.sql", with: replace("-- 2 rows\n", "")},
		"the last line is cut":         {path: "tables/accounts.sql", with: replace("-- 2 rows\n", "-- 2 ro")},
		"a table's stream is missing":  {path: "tables/accounts.sql", with: func([]byte) []byte { return nil }},
		"a value does not fit":         {path: "tables/accounts.sql", with: replace("'a'", "REPEAT('a', 41)")},
		"another kind of statement":    {path: "tables/accounts.sql", with: replace("COMMIT;", "DROP DATABASE shop;")},
		"schema with something else":   {path: "schema.sql", with: replace("CREATE SEQUENCE", "DROP TABLE")},
		"schema without a table":       {path: "schema.sql", with: replace("CREATE TABLE `accounts`", "CREATE TABLE `nobody`")},
		"after.sql is missing":         {path: "after.sql", with: func([]byte) []byte { return nil }},
		"after.sql has something else": {path: "after.sql", with: replace("CREATE ", "GRANT ")},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			c.Memory, c.t = memory, t
			content, changedEntries := c.rewritten(entries)
			target := s.target("root", "", "shop", testToken)
			defer target.Close()
			if _, err := target.Stage(t.Context(), changedEntries, content); err == nil {
				t.Error("it was accepted")
			} else {
				t.Log(err)
			}
			if err := target.Swap(t.Context()); err == nil {
				t.Error("it could be swapped")
			}
			s.same(changed, s.whole("shop"), "afterwards")
			s.must(target.Discard(t.Context()))
		})
	}
}

// A row that the server holds, but would not take back in one statement, is told of by
// the snapshot, and by a restore that meets the server as it is.
func TestARowWhoseStatementIsTooLongIsToldOf(t *testing.T) {
	s := newShop(t, "--max-allowed-packet=4M")
	// Values that are too small to be written otherwise.
	s.in("shop", "CREATE TABLE a (id INT PRIMARY KEY, b LONGBLOB, c LONGBLOB, d LONGBLOB)",
		"INSERT INTO a SELECT 1, REPEAT(CHAR(0), 900000), REPEAT(CHAR(0), 900000), REPEAT(CHAR(0), 900000)", "CREATE TABLE b (id INT)", "INSERT INTO b VALUES (1)")
	memory, result, _ := s.capture("shop")
	notes := strings.Join(result.Notes, "\n")
	if !strings.Contains(notes, "table a") || !strings.Contains(notes, "max_allowed_packet of at least 54") || strings.Contains(notes, "table b") {
		t.Errorf("the notes are %q", notes)
	}
	target := s.target("root", "", "copy", testToken)
	_, err := target.Stage(t.Context(), result.Entries, memory)
	if err == nil || !strings.Contains(err.Error(), "longer than its max_allowed_packet") {
		t.Errorf("the restore: %v", err)
	}
	s.must(target.Discard(t.Context()))
	s.must(target.Close())
	s.server.Exec("SET GLOBAL max_allowed_packet = 8388608")
	s.restore("copy", memory, result.Entries)
	s.same(s.dump("shop"), s.dump("copy"), "with a larger packet")
}

func TestPlanTellsWhatItReplaces(t *testing.T) {
	s, _, _, _, entries := shopWithSnapshot(t)
	s.server.Exec("CREATE DATABASE empty")
	for database, want := range map[string]engines.Plan{"empty": {Creates: true}, "nothing": {Creates: true}} {
		if plan, err := s.target("root", "", database, testToken).Plan(t.Context(), entries); err != nil || !reflect.DeepEqual(plan, want) {
			t.Errorf("%s: %+v, %v", database, plan, err)
		}
	}
	plan, err := s.target("root", "", "shop", testToken).Plan(t.Context(), entries)
	if err != nil || plan.Creates || !strings.HasPrefix(plan.Replaces, "database shop (4 tables, ") || !strings.HasSuffix(plan.Replaces, " KiB)") {
		t.Errorf("%+v, %v", plan, err)
	}
}

func TestSubpathAndTokens(t *testing.T) {
	service := engines.Service{Name: "db", URL: mustURL(t, "mysql://root@127.0.0.1/shop"), Subpath: "tables/a.sql"}
	if _, err := Engine.Target(service, testToken); err == nil || !strings.Contains(err.Error(), "as a whole") {
		t.Error(err)
	}
	service.Subpath = ""
	if _, err := Engine.Target(service, "`; DROP"); err == nil {
		t.Error("a token that is none was accepted")
	}
}

func TestANewerServersDataAreWarnedOf(t *testing.T) {
	s := newShop(t)
	s.in("shop", "CREATE TABLE a (id INT PRIMARY KEY)")
	_, result, point := s.capture("shop")
	for server, want := range map[string]string{"MariaDB 99.1.2": "the snapshot is of MariaDB 99.1.2", point.Server: "", "": "", "MariaDB 10.5.1": ""} {
		service := s.service("root", "", "shop")
		service.Server = server
		target, err := newTarget(service, testToken)
		if err != nil {
			t.Fatal(err)
		}
		defer target.Close()
		plan, err := target.Plan(t.Context(), result.Entries)
		if err != nil {
			t.Fatal(err)
		}
		got := strings.Join(plan.Warnings, "\n")
		if !strings.Contains(got, want) || want == "" && got != "" {
			t.Errorf("taken from %q: warnings %q", server, got)
		}
	}
}

// What no snapshot can be taken of could not be saved after a restore either.
func TestWhatCannotBeSavedIsKnownBefore(t *testing.T) {
	s := newShop(t)
	s.in("shop", "CREATE TABLE orders (id INT PRIMARY KEY)")
	memory, result, _ := s.capture("shop")
	for _, c := range []struct{ statement, unreadable string }{{"SELECT 1", ""}, {"CREATE TABLE `two\nlines` (id INT)", "a name with a line break"}} {
		s.in("shop", c.statement)
		target := s.target("root", "", "shop", testToken)
		plan, err := target.Plan(t.Context(), result.Entries)
		s.must(err)
		if got := fmt.Sprint(plan.Unreadable); (plan.Unreadable == nil) != (c.unreadable == "") || !strings.Contains(got, c.unreadable) {
			t.Errorf("after %s: %s", c.statement, got)
		}
		s.must(target.Close())
	}
	s.restore("shop", memory, result.Entries)
}
