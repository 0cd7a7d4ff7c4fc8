package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"holdfast/engines"
	"holdfast/engines/enginetest"
	"holdfast/internal/tree"
)

func TestAPointLostIsToldAndCanBeMarkedAgain(t *testing.T) {
	s := newShop(t)
	for name, c := range map[string]struct {
		change string
		file   string // that has now after the second mark
		now    string
	}{
		"truncated":                   {"TRUNCATE a", "tables/public.a.sql", "-- 0 rows"},
		"created anew, the same":      {"DROP TABLE a CASCADE; CREATE TABLE a (id INT PRIMARY KEY, v VARCHAR(5), m mood)", "tables/public.a.sql", "-- 0 rows"},
		"rewritten":                   {"ALTER TABLE a ALTER v TYPE INT USING v::int", "tables/public.a.sql", "1\t10\t"},
		"vacuumed whole":              {"VACUUM FULL a", "tables/public.a.sql", "1\t10\t"},
		"a column added":              {"ALTER TABLE a ADD COLUMN w INT DEFAULT 5", "tables/public.a.sql", "1\t10\thappy\t5"},
		"a column dropped":            {"ALTER TABLE a DROP COLUMN v CASCADE", "tables/public.a.sql", "1\thappy"},
		"columns exchanged":           {"ALTER TABLE a RENAME v TO x; ALTER TABLE a RENAME m TO v; ALTER TABLE a RENAME x TO m", "tables/public.a.sql", `"v") FROM stdin`},
		"another table in its name":   {"ALTER TABLE a RENAME TO x; ALTER TABLE other RENAME TO a", "tables/public.a.sql", "9\t90"},
		"a label renamed":             {"ALTER TYPE mood RENAME VALUE 'happy' TO 'glad'", "tables/public.a.sql", "1\t10\tglad"},
		"a view changed":              {"CREATE OR REPLACE VIEW w AS SELECT 2 AS n", "schema.sql", "SELECT 2 AS n"},
		"a function changed":          {"CREATE OR REPLACE FUNCTION f() RETURNS INT LANGUAGE sql AS 'SELECT 2'", "schema.sql", "SELECT 2"},
		"a trigger came":              {"CREATE TRIGGER tr BEFORE INSERT ON a FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()", "after.sql", "CREATE TRIGGER tr"},
		"an index came":               {"CREATE INDEX found ON a (v)", "after.sql", "CREATE INDEX found"},
		"a table came":                {"CREATE TABLE fresh (id INT)", "schema.sql", "CREATE TABLE public.fresh"},
		"a schema was renamed":        {"ALTER SCHEMA side RENAME TO aside", "schema.sql", "CREATE SCHEMA aside"},
		"a privilege was granted":     {"GRANT SELECT ON a TO backup", "privileges.sql", "GRANT SELECT ON TABLE public.a TO backup"},
		"a default of a schema moved": {"ALTER TABLE a ALTER v SET DEFAULT 'd'", "schema.sql", "DEFAULT 'd'"},
	} {
		t.Run(name, func(t *testing.T) {
			s := shop{t, s.server}
			database := s.fresh("lost_"+name, "CREATE TYPE mood AS ENUM ('happy', 'sad')", "CREATE TABLE a (id INT PRIMARY KEY, v VARCHAR(5), m mood)",
				"INSERT INTO a VALUES (1, '10', 'happy')", "CREATE TABLE other (id INT PRIMARY KEY, v VARCHAR(5))", "INSERT INTO other VALUES (9, '90')",
				"CREATE VIEW w AS SELECT 1 AS n", "CREATE FUNCTION f() RETURNS INT LANGUAGE sql AS 'SELECT 1'", "CREATE SCHEMA side")
			source, memory, _ := s.markedIn(s.service("site", database))
			if strings.HasPrefix(c.change, "VACUUM") {
				s.server.Exec(database, c.change) // in no transaction
			} else {
				s.in(database, c.change)
			}
			if result, err := source.Send(t.Context(), memory); !errors.Is(err, engines.ErrPointLost) || len(result.Entries) > 0 {
				t.Fatalf("the loss was not noticed: %v", err)
			}
			_, err := source.Mark(t.Context(), memory)
			s.must(err)
			result, err := source.Send(t.Context(), memory)
			s.must(err)
			if text := s.file(memory, result, "db/"+c.file); !strings.Contains(text, c.now) {
				t.Errorf("the second point has not %q: %s", c.now, text)
			}
		})
	}
}

func TestWhatChangesNoDefinitionLosesNoPoint(t *testing.T) {
	s := newShop(t)
	s.in("shop", "CREATE TABLE a (id INT PRIMARY KEY, v TEXT)", "INSERT INTO a VALUES (1, 'old')", "CREATE SEQUENCE n", "SELECT nextval('n')")
	source, memory, _ := s.marked()
	for _, statement := range []string{"UPDATE a SET v = 'new'", "INSERT INTO a SELECT g, 'new' FROM generate_series(2, 5000) g", "DELETE FROM a WHERE id = 1",
		"VACUUM a", "ANALYZE", "CREATE TEMP TABLE t (id INT)", "SELECT nextval('n')", "REINDEX TABLE a"} {
		s.server.Exec("shop", statement)
	}
	result, err := source.Send(t.Context(), memory)
	s.must(err)
	if text := s.file(memory, result, "db.sql"); !strings.Contains(text, "\n1\told\n\\.\n-- 1 rows\n") || !strings.Contains(text, `setval('"public"."n"', 1, true)`) {
		t.Error(text)
	}
}

// slow is a sink that calls begun when a table's stream begins, and reads on only
// after that has returned.
type slow struct {
	*enginetest.Memory
	file  string
	begun func()
}

func (s *slow) Put(ctx context.Context, e tree.Entry, base tree.Stream, content io.Reader) (tree.Entry, error) {
	if e.Name == s.file {
		first := make([]byte, 1)
		if _, err := io.ReadFull(content, first); err != nil {
			return e, err
		}
		s.begun()
		content = io.MultiReader(strings.NewReader(string(first)), content)
	}
	return s.Memory.Put(ctx, e, base, content)
}

const manyRows = "CREATE TABLE big (id INT PRIMARY KEY, v TEXT); INSERT INTO big SELECT g, repeat(md5(g::text), 30) FROM generate_series(1, 20000) g"

func TestReadingGivesWayToWhoeverWaits(t *testing.T) {
	s := newShop(t)
	s.in("shop", manyRows, "CREATE TABLE small (id INT)")
	source, memory, _ := s.marked()
	altered := make(chan error, 1)
	conn := s.server.Open("shop")
	defer conn.Close(t.Context())
	sink := &slow{Memory: memory, file: "public.big.sql", begun: func() {
		go func() { altered <- conn.Exec(context.Background(), "ALTER TABLE big ADD COLUMN w INT").Close() }()
		// The rest is not read before the ALTER has got what it waits for.
		if err := <-altered; err != nil {
			t.Error(err)
		}
	}}
	if _, err := source.Send(t.Context(), sink); !errors.Is(err, engines.ErrPointLost) || !strings.Contains(err.Error(), "table big") {
		t.Fatal(err)
	}
	_, err := source.Mark(t.Context(), memory)
	s.must(err)
	_, err = source.Send(t.Context(), memory)
	s.must(err)
}

func TestATableThatWasReadIsLetGo(t *testing.T) {
	s := newShop(t)
	s.in("shop", manyRows, "CREATE TABLE a (id INT PRIMARY KEY)", "ANALYZE")
	source, memory, _ := s.marked()
	source.readers = source.readers[:1] // so that a is done when big begins
	sink := &slow{Memory: memory, file: "public.big.sql", begun: func() { s.server.Exec("shop", "SET lock_timeout = '5s'; TRUNCATE a") }}
	_, err := source.Send(t.Context(), sink)
	s.must(err)
}

func TestTheServerDiesWhileATableIsRead(t *testing.T) {
	s := newShop(t)
	s.in("shop", manyRows)
	source, memory, _ := s.marked()
	result, err := source.Send(t.Context(), &slow{Memory: memory, file: "public.big.sql", begun: s.server.Kill})
	if err == nil || len(result.Entries) > 0 {
		t.Fatalf("a result of a dead server: %v", result)
	}
	if errors.Is(err, engines.ErrPointLost) {
		t.Error(err)
	}
	s.must(source.Close())
}

func TestAllConnectionsSeeOneInstant(t *testing.T) {
	s := newShop(t)
	s.in("shop", "CREATE TABLE a (n INT)", "INSERT INTO a VALUES (0)")
	source, memory := s.source(s.service("site", "shop")), enginetest.NewMemory()
	s.must(source.Prepare(t.Context(), memory))
	stop, stopped := make(chan struct{}), make(chan error)
	conn := s.server.Open("shop")
	defer conn.Close(t.Context())
	go func() {
		for {
			select {
			case <-stop:
				stopped <- nil
				return
			default:
				if err := conn.Exec(context.Background(), "UPDATE a SET n = n + 1").Close(); err != nil {
					stopped <- err
					return
				}
			}
		}
	}()
	for range 20 {
		_, err := source.Mark(t.Context(), memory)
		s.must(err)
		seen := make([]string, len(source.readers))
		for i, reader := range source.readers {
			seen[i], err = reader.value(t.Context(), "SELECT n FROM public.a")
			s.must(err)
		}
		if seen[0] != seen[1] {
			t.Errorf("one connection sees %s, the other %s", seen[0], seen[1])
		}
	}
	close(stop)
	s.must(<-stopped)
}

func TestThePointSaysWhereAndOfWhichServer(t *testing.T) {
	s := newShop(t)
	_, _, point := s.marked()
	if !strings.Contains(point.Position, "/") || !strings.HasPrefix(point.Server, "PostgreSQL ") {
		t.Errorf("%+v", point)
	}
}

func TestWhoKeepsATableToHimselfIsFoundBeforehand(t *testing.T) {
	s := newShop(t)
	s.in("shop", "CREATE TABLE a (id INT)")
	conn := s.server.Open("shop")
	defer conn.Close(t.Context())
	s.must(conn.Exec(t.Context(), "BEGIN; LOCK TABLE a").Close())
	source := s.source(s.service("site", "shop"))
	s.must(source.Prepare(t.Context(), enginetest.NewMemory()))
	if len(source.notes) != 1 || !strings.HasSuffix(source.notes[0], "had to wait: a") {
		t.Errorf("notes: %q", source.notes)
	}
}

func TestOverASocket(t *testing.T) {
	s := newShop(t)
	s.in("shop", "CREATE TABLE a (id INT PRIMARY KEY)", "INSERT INTO a VALUES (7)")
	source, memory, _ := s.markedIn(engines.Service{Name: "db", URL: s.server.SocketURL("site", "shop"), Password: testPassword})
	result, err := source.Send(t.Context(), memory)
	s.must(err)
	if text := s.file(memory, result, "db/tables/public.a.sql"); !strings.Contains(text, "\n7\n") {
		t.Error(text)
	}
}

func TestAPasswordOfBothKindsIsNowhereToBeSeen(t *testing.T) {
	s := newShop(t)
	const password = `s3:cret\/ü'`
	s.server.Exec("postgres", "SET password_encryption = 'scram-sha-256'; ALTER ROLE site PASSWORD '"+strings.ReplaceAll(password, "'", "''")+"'")
	s.in("shop", "CREATE TABLE a (id INT)")
	service := s.service("site", "shop")
	service.Password = password
	t.Setenv("PGPASSWORD", "of somebody else")
	source, memory, _ := s.markedIn(service)
	conn := s.server.Open("shop")
	defer conn.Close(t.Context())
	s.must(conn.Exec(t.Context(), "BEGIN; LOCK TABLE a").Close()) // pg_dump waits for it
	var result engines.Result
	var group errgroup.Group
	group.Go(func() (err error) {
		result, err = source.Send(t.Context(), memory)
		return err
	})
	shown := pgDump(t)
	if strings.Contains(shown, password) || strings.Contains(shown, "somebody else") {
		t.Errorf("a child shows a password: %q", shown)
	}
	s.must(conn.Exec(t.Context(), "ROLLBACK").Close())
	s.must(group.Wait())
	if strings.Contains(s.file(memory, result, "db.sql"), password) {
		t.Error("the snapshot holds the password")
	}
}

// pgDump waits for a pg_dump of this process's, and returns its arguments and its
// environment.
func pgDump(t *testing.T) string {
	t.Helper()
	parent := fmt.Sprintf("PPid:\t%d\n", os.Getpid())
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		found, err := filepath.Glob("/proc/[0-9]*/cmdline")
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range found {
			// Processes end while they are looked at.
			line, _ := os.ReadFile(path)
			status, _ := os.ReadFile(filepath.Join(filepath.Dir(path), "status"))
			environment, _ := os.ReadFile(filepath.Join(filepath.Dir(path), "environ"))
			if strings.Contains(string(line), "pg_dump\x00--section") && strings.Contains(string(status), parent) && len(environment) > 0 {
				return string(line) + string(environment)
			}
		}
	}
	t.Fatal("there was no pg_dump")
	return ""
}

func TestStreamsKeepNothingOfTheServer(t *testing.T) {
	s := newShop(t)
	s.in("shop", "CREATE TABLE a (id INT PRIMARY KEY, at TIMESTAMPTZ, b BYTEA, f FLOAT)", "INSERT INTO a VALUES (2, '2026-01-01 12:00+02', '\\x00ff', 0.1), (1, NULL, '', 'NaN')")
	memory, result := s.capture()
	s.server.Exec("shop", "ALTER ROLE site SET DateStyle = 'German'", "ALTER ROLE site SET TimeZone = 'Asia/Tokyo'", "ALTER ROLE site SET bytea_output = 'escape'",
		"ALTER ROLE site SET extra_float_digits = 0", "ALTER ROLE site SET search_path = 'nowhere'", "ALTER DATABASE shop SET statement_timeout = '1h'", "UPDATE a SET id = id")
	again, later := s.capture()
	for _, file := range []string{"db.sql", "db/schema.sql", "db/after.sql", "db/privileges.sql"} {
		s.same(s.file(memory, result, file), s.file(again, later, file), file+":")
	}
	text := s.file(memory, result, "db.sql")
	if !strings.Contains(text, "1\t\\N\t\\\\x\tNaN\n2\t2026-01-01 10:00:00+00\t\\\\x00ff\t0.1\n") {
		t.Error("rows are not in the order of the key:", text)
	}
	for _, noise := range []string{"15.", "Dumped", "restrict", "site"} {
		if strings.Contains(text, noise) {
			t.Errorf("%q stands in the stream: %s", noise, text)
		}
	}
}

func TestSchemaOnly(t *testing.T) {
	s := newShop(t)
	s.in("shop", "CREATE SCHEMA audit", "CREATE TABLE orders (id INT PRIMARY KEY)", "INSERT INTO orders VALUES (1)", "CREATE TABLE cache_page (id INT PRIMARY KEY)",
		"INSERT INTO cache_page VALUES (1)", "CREATE TABLE audit.log (id INT)", "INSERT INTO audit.log VALUES (1)", "CREATE TABLE log (id INT)", "INSERT INTO log VALUES (1)")
	service := s.service("site", "shop")
	service.SchemaOnly = []string{"cache_*", "audit.log"}
	source, memory, _ := s.markedIn(service)
	result, err := source.Send(t.Context(), memory)
	s.must(err)
	if notes := strings.Join(result.Notes, "\n"); !strings.Contains(notes, "audit.log, cache_page") {
		t.Error(notes)
	}
	service.SchemaOnly = []string{"log"}
	target, err := Engine.Target(service, testToken)
	s.must(err)
	defer target.Close()
	plan, err := target.Plan(t.Context(), result.Entries)
	s.must(err)
	s.must(target.(engines.Checker).Check(t.Context(), result.Entries, memory, &plan))
	if emptied, unsaved := strings.Join(plan.Emptied, " "), strings.Join(plan.Unsaved, " "); emptied != "audit.log cache_page" || unsaved != "audit.log log" {
		t.Errorf("empty from now on: %s; not saved: %s", emptied, unsaved)
	}
	service.SchemaOnly = []string{"cache_*", "audit.log"}
	staged := s.restore("shop", memory, result.Entries)
	if notes := strings.Join(staged.Notes, "\n"); !strings.Contains(notes, "empty from now on") || !strings.Contains(notes, "audit.log, cache_page") {
		t.Error(notes)
	}
	if counts := s.value("shop", "SELECT concat_ws(' ', (SELECT count(*) FROM orders), (SELECT count(*) FROM cache_page), (SELECT count(*) FROM audit.log), (SELECT count(*) FROM log))"); counts != "1 0 0 1" {
		t.Error(counts)
	}

	s.in("shop", "CREATE TABLE child (id INT REFERENCES cache_page)")
	source, memory, _ = s.markedIn(service)
	if _, err := source.Send(t.Context(), memory); err == nil || !strings.Contains(err.Error(), "table cache_page") || !strings.Contains(err.Error(), "child refers to them") {
		t.Error(err)
	}
}

// TestSchemaOnlyWithWhatRefersToIt: a create refuses that; what a restore has replaced
// is saved with those rows, and the plan does not name them as lost.
func TestSchemaOnlyWithWhatRefersToIt(t *testing.T) {
	s := newShop(t)
	memory, result := s.capture()
	s.in("shop", "CREATE TABLE top (id INT PRIMARY KEY)", "INSERT INTO top VALUES (1)", "CREATE TABLE middle (id INT PRIMARY KEY REFERENCES top)",
		"INSERT INTO middle VALUES (1)", "CREATE TABLE child (id INT REFERENCES middle)", "INSERT INTO child VALUES (1)", "CREATE TABLE cache (id INT)", "INSERT INTO cache VALUES (1)")
	service := s.service("site", "shop")
	service.SchemaOnly = []string{"top", "middle", "cache"}
	target, err := Engine.Target(service, testToken)
	s.must(err)
	defer target.Close()
	plan, err := target.Plan(t.Context(), result.Entries)
	s.must(err)
	if unsaved := strings.Join(plan.Unsaved, " "); unsaved != "cache" {
		t.Errorf("not saved: %s", unsaved)
	}
	_, err = target.Stage(t.Context(), result.Entries, memory)
	s.must(err)
	s.must(target.Swap(t.Context()))
	retired, err := target.Retired(t.Context())
	s.must(err)
	s.must(retired.Prepare(t.Context(), memory))
	_, err = retired.Mark(t.Context(), memory)
	s.must(err)
	saved, err := retired.Send(t.Context(), memory)
	s.must(err)
	s.must(retired.Close())
	s.must(target.Discard(t.Context()))
	s.must(target.Close())
	s.restore("shop", memory, saved.Entries)
	if counts := s.value("shop", "SELECT concat_ws(' ', (SELECT count(*) FROM top), (SELECT count(*) FROM middle), (SELECT count(*) FROM child), (SELECT count(*) FROM cache))"); counts != "1 1 1 0" {
		t.Error(counts)
	}
}

// TestSchemaOnlyPartitionsWithWhatRefersToThem: a foreign key to a partitioned table is
// one to the rows of its partitions.
func TestSchemaOnlyPartitionsWithWhatRefersToThem(t *testing.T) {
	s := newShop(t)
	s.in("shop", "CREATE TABLE visits (id INT PRIMARY KEY) PARTITION BY RANGE (id)", "CREATE TABLE visits_old PARTITION OF visits FOR VALUES FROM (0) TO (10) PARTITION BY RANGE (id)",
		"CREATE TABLE visits_older PARTITION OF visits_old FOR VALUES FROM (0) TO (5)", "CREATE TABLE visits_new PARTITION OF visits FOR VALUES FROM (10) TO (20)",
		"INSERT INTO visits VALUES (1), (11)", "CREATE TABLE clicks (id INT REFERENCES visits) PARTITION BY LIST (id)",
		"CREATE TABLE clicks_1 PARTITION OF clicks FOR VALUES IN (1)", "CREATE TABLE clicks_2 PARTITION OF clicks FOR VALUES IN (2)", "INSERT INTO clicks VALUES (1)")
	service := s.service("site", "shop")
	for _, c := range []struct{ only, refused string }{
		{"visits_older", "table visits_older: its rows cannot be left out (schema_only), because public.clicks_1 refers to them by a foreign key"},
		{"visits_* clicks_1", "because public.clicks_2 refers"},
		{"visits_* clicks_*", ""},
		{"clicks_*", ""},
	} {
		service.SchemaOnly = strings.Fields(c.only)
		source, memory, _ := s.markedIn(service)
		result, err := source.Send(t.Context(), memory)
		if c.refused == "" {
			s.must(err)
			s.restore("copy", memory, result.Entries)
		} else if err == nil || !strings.Contains(err.Error(), c.refused) {
			t.Errorf("without the rows of %s: %v", c.only, err)
		}
	}
}
