package mysql

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"holdfast/engines"
	"holdfast/engines/enginetest"
	"holdfast/internal/testserver"
	"holdfast/internal/tree"
)

// marked prepares and marks database.
func (s shop) marked(user, password, database string) (*source, *enginetest.Memory, engines.Point) {
	s.Helper()
	source, memory := s.source(user, password, database), enginetest.NewMemory()
	if err := source.Prepare(s.Context(), memory); err != nil {
		s.Fatal(err)
	}
	point, err := source.Mark(s.Context(), memory)
	if err != nil {
		s.Fatal(err)
	}
	return source, memory, point
}

func (s shop) rowsIn(memory *enginetest.Memory, result engines.Result, table string) string {
	s.Helper()
	text, err := memory.File(s.Context(), result.Entries, "db/tables/"+table+".sql")
	if err != nil {
		s.Fatal(err)
	}
	return string(text)
}

func TestAPointLostIsToldAndCanBeMarkedAgain(t *testing.T) {
	s := newShop(t)
	cases := map[string]struct {
		change []string
		now    string // in the stream of table a after the second mark
	}{
		"truncated":                 {[]string{"TRUNCATE a"}, "-- 0 rows"},
		"created anew, the same":    {[]string{"DROP TABLE a", "CREATE TABLE a (id INT PRIMARY KEY, v INT)"}, "-- 0 rows"},
		"a column added":            {[]string{"ALTER TABLE a ADD COLUMN w INT DEFAULT 5, ALGORITHM = INSTANT"}, "(1,10,5)"},
		"a column renamed":          {[]string{"ALTER TABLE a RENAME COLUMN v TO x"}, "(`id`, `x`)"},
		"another table in its name": {[]string{"RENAME TABLE a TO x, other TO a, x TO other"}, "(9,90)"},
		"a view changed":            {[]string{"CREATE OR REPLACE VIEW w AS SELECT 2"}, "(1,10)"},
		"a trigger came":            {[]string{"CREATE TRIGGER tr BEFORE INSERT ON a FOR EACH ROW SET NEW.v = 1"}, "(1,10)"},
		"another default collation": {[]string{"ALTER DATABASE COLLATE utf8mb4_bin"}, "(1,10)"},
	}
	for name := range cases {
		s.in(s.fresh(name), "CREATE TABLE a (id INT PRIMARY KEY, v INT)", "INSERT INTO a VALUES (1, 10)",
			"CREATE TABLE other (id INT PRIMARY KEY, v INT)", "INSERT INTO other VALUES (9, 90)", "CREATE VIEW w AS SELECT 1")
	}
	time.Sleep(1100 * time.Millisecond) // times of tables have seconds only
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s, database := shop{t, s.server, s.db}, databaseOf(name)
			source, memory, _ := s.marked("root", "", database)
			s.in(database, c.change...)
			if _, err := source.Send(t.Context(), memory); !errors.Is(err, engines.ErrPointLost) {
				t.Fatalf("the loss was not noticed: %v", err)
			}
			if _, err := source.Mark(t.Context(), memory); err != nil {
				t.Fatal(err)
			}
			result, err := source.Send(t.Context(), memory)
			if err != nil {
				t.Fatal(err)
			}
			if text := s.rowsIn(memory, result, "a"); !strings.Contains(text, c.now) {
				t.Errorf("the second point has not %q: %s", c.now, text)
			}
		})
	}
}

func TestADroppedTableLosesThePoint(t *testing.T) {
	s := newShop(t)
	s.in("shop", "CREATE TABLE a (id INT PRIMARY KEY)", "CREATE TABLE b (id INT PRIMARY KEY)")
	source, memory, _ := s.marked("root", "", "shop")
	s.in("shop", "DROP TABLE b")
	if _, err := source.Send(t.Context(), memory); !errors.Is(err, engines.ErrPointLost) || !strings.Contains(err.Error(), "table b") {
		t.Fatal(err)
	}
}

func TestTablesThatComeAreInTheSnapshotIfTheyCameBeforeTheMark(t *testing.T) {
	s := newShop(t)
	s.in("shop", "CREATE TABLE a (id INT PRIMARY KEY)", "CREATE TABLE gone (id INT)")
	source, memory := s.source("root", "", "shop"), enginetest.NewMemory()
	if err := source.Prepare(t.Context(), memory); err != nil {
		t.Fatal(err)
	}
	s.in("shop", "CREATE TABLE before_mark (id INT PRIMARY KEY)", "INSERT INTO before_mark VALUES (77)", "DROP TABLE gone")
	if _, err := source.Mark(t.Context(), memory); err != nil {
		t.Fatal(err)
	}
	s.in("shop", "CREATE TABLE after_mark (id INT PRIMARY KEY)", "INSERT INTO before_mark VALUES (78)")
	result, err := source.Send(t.Context(), memory)
	if err != nil {
		t.Fatal(err)
	}
	text := s.joined(memory, result)
	if !strings.Contains(text, "(77)") || strings.Contains(text, "(78)") || strings.Contains(text, "after_mark") || strings.Contains(text, "gone") {
		t.Error(text)
	}
}

// slow is a sink that calls begun when a table's stream begins, and reads on only
// after that has returned.
type slow struct {
	*enginetest.Memory
	table string
	begun func()
}

func (s *slow) Put(ctx context.Context, e tree.Entry, base tree.Stream, content io.Reader) (tree.Entry, error) {
	if e.Name == s.table+".sql" {
		first := make([]byte, 1)
		if _, err := io.ReadFull(content, first); err != nil {
			return e, err
		}
		s.begun()
		content = io.MultiReader(strings.NewReader(string(first)), content)
	}
	return s.Memory.Put(ctx, e, base, content)
}

const manyRows = "INSERT INTO big SELECT seq, REPEAT(MD5(seq), 30) FROM seq_1_to_20000"

func TestOneTableChangesWhileAnotherIsRead(t *testing.T) {
	s := newShop(t)
	s.in("shop", "CREATE TABLE big (id INT PRIMARY KEY, v TEXT)", manyRows, "CREATE TABLE small (id INT PRIMARY KEY)")
	source, memory, _ := s.marked("root", "", "shop")
	s.in("shop", "TRUNCATE small")
	if _, err := source.Send(t.Context(), memory); !errors.Is(err, engines.ErrPointLost) {
		t.Fatal(err)
	}
	if _, err := source.Mark(t.Context(), memory); err != nil {
		t.Fatal("after the other connection was cut off:", err)
	}
	if _, err := source.Send(t.Context(), memory); err != nil {
		t.Fatal(err)
	}
}

func TestReadingGivesWayToWhoeverWaits(t *testing.T) {
	s := newShop(t)
	s.in("shop", "CREATE TABLE big (id INT PRIMARY KEY, v TEXT)", manyRows)
	source, memory, _ := s.marked("root", "", "shop")
	altered := make(chan error, 1)
	sink := &slow{Memory: memory, table: "big", begun: func() {
		go func() {
			_, err := s.db.Exec("ALTER TABLE shop.big ADD COLUMN w INT")
			altered <- err
		}()
		// A reader that never goes on by itself: the context must end it.
	}}
	sink.begun = blocked(sink.begun, source)
	if _, err := source.Send(t.Context(), sink); !errors.Is(err, engines.ErrPointLost) || !strings.Contains(err.Error(), "table shop.big: somebody who wants to change it") {
		t.Fatal(err)
	}
	if err := <-altered; err != nil {
		t.Fatal(err)
	}
}

// blocked returns begin followed by a wait until source's first reader has lost its
// connection, which happens only when it gives way.
func blocked(begin func(), source *source) func() {
	return func() {
		begin()
		id := source.readers[0].id
		for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
			var count int
			row := source.db.QueryRow(fmt.Sprintf("SELECT COUNT(*) FROM information_schema.processlist WHERE id IN (%d, %d)", id, source.readers[1].id))
			if err := row.Scan(&count); err != nil || count < 2 {
				return
			}
		}
	}
}

func TestATableThatWasReadIsLetGo(t *testing.T) {
	s := newShop(t)
	s.in("shop", "CREATE TABLE big (id INT PRIMARY KEY, v TEXT)", manyRows, "CREATE TABLE a (id INT PRIMARY KEY)")
	// One connection, so that a is done when big begins.
	s.server.Exec("CREATE USER site IDENTIFIED BY 'x'", "GRANT ALL ON shop.* TO site")
	source, memory, _ := s.marked("site", "x", "shop")
	sink := &slow{Memory: memory, table: "big", begun: func() {
		s.in("shop", "SET lock_wait_timeout = 5", "ALTER TABLE a ADD COLUMN v INT")
	}}
	if _, err := source.Send(t.Context(), sink); err != nil {
		t.Fatal(err)
	}
}

func TestTheServerDiesWhileATableIsRead(t *testing.T) {
	s := newShop(t)
	s.in("shop", "CREATE TABLE big (id INT PRIMARY KEY, v TEXT)", manyRows)
	source, memory, _ := s.marked("root", "", "shop")
	result, err := source.Send(t.Context(), &slow{Memory: memory, table: "big", begun: s.server.Kill})
	if err == nil || len(result.Entries) > 0 {
		t.Fatalf("a result of a dead server: %v", result)
	}
	if !strings.Contains(err.Error(), "connection was lost") || !strings.Contains(err.Error(), "big") {
		t.Error(err)
	}
	if err := source.Close(); err != nil {
		t.Error(err)
	}
}

func TestRungs(t *testing.T) {
	s := newShop(t, testserver.Binlog)
	s.in("shop", knownSchema...)
	s.server.Exec("CREATE USER site IDENTIFIED BY 'x'", "GRANT ALL ON shop.* TO site",
		"CREATE USER saver IDENTIFIED BY 'x'", "GRANT SELECT, SHOW VIEW, TRIGGER, EVENT ON shop.* TO saver", "GRANT RELOAD, SELECT ON *.* TO saver",
		"CREATE ROLE keeper", "GRANT SELECT, SHOW VIEW, TRIGGER, EVENT, RELOAD ON *.* TO keeper", "CREATE USER member IDENTIFIED BY 'x'",
		"GRANT keeper TO member", "SET DEFAULT ROLE keeper FOR member")
	// A site's own user made its routines itself, or may read mysql.proc.
	s.server.Exec("GRANT SELECT ON mysql.proc TO site")

	for user, rung := range map[string]string{"site": rungSchema, "saver": rungReload, "member": rungReload} {
		_, _, point := s.captureAs(user, "x", "shop")
		if point.Rung != rung {
			t.Errorf("user %s: rung %q, want %q", user, point.Rung, rung)
		}
		if !strings.HasPrefix(point.Position, "binlog.0") || !strings.Contains(point.Position, "-") || !strings.HasPrefix(point.Server, "MariaDB 1") {
			t.Errorf("user %s: point %+v", user, point)
		}
	}
}

// delayed waits before every START TRANSACTION that is sent over it.
type delayed struct{ net.Conn }

func (d delayed) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte("START TRANSACTION")) {
		time.Sleep(50 * time.Millisecond)
	}
	return d.Conn.Write(p)
}

func TestBothConnectionsSeeOneInstant(t *testing.T) {
	s := newShop(t)
	s.in("shop", "CREATE TABLE a (n INT)", "INSERT INTO a VALUES (0)")
	source, memory := s.source("root", "", "shop"), enginetest.NewMemory()
	source.config.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
		return delayed{conn}, err
	}
	if err := source.Prepare(t.Context(), memory); err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var writer errgroup.Group
	writer.Go(func() error {
		for {
			select {
			case <-stop:
				return nil
			default:
			}
			if _, err := s.db.Exec("UPDATE shop.a SET n = n + 1"); err != nil {
				return err
			}
		}
	})
	for range 5 {
		if _, err := source.Mark(t.Context(), memory); err != nil {
			t.Fatal(err)
		}
		seen := make([]int, len(source.readers))
		for i, reader := range source.readers {
			if err := reader.one(t.Context(), "SELECT n FROM a", &seen[i]); err != nil {
				t.Fatal(err)
			}
		}
		if seen[0] != seen[1] {
			t.Errorf("one connection sees %d, the other %d", seen[0], seen[1])
		}
	}
	close(stop)
	if err := writer.Wait(); err != nil {
		t.Fatal(err)
	}
}

func TestSomebodyElsesBackupIsNotWaitedFor(t *testing.T) {
	s := newShop(t)
	s.in("shop", "CREATE TABLE a (id INT PRIMARY KEY)", "INSERT INTO a VALUES (1)")
	conn, err := s.db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.ExecContext(t.Context(), "BACKUP STAGE START"); err != nil {
		t.Fatal(err)
	}
	_, _, point := s.capture("shop")
	if point.Rung != rungSchema {
		t.Errorf("rung %q", point.Rung)
	}
}

func TestTablesWithoutSnapshots(t *testing.T) {
	s := newShop(t)
	s.in("shop", "CREATE TABLE small (id INT PRIMARY KEY, v INT) ENGINE = MyISAM", "INSERT INTO small VALUES (1, 1)",
		"CREATE TABLE large (id INT PRIMARY KEY, v TEXT) ENGINE = MyISAM", "INSERT INTO large SELECT seq, REPEAT('x', 1000) FROM seq_1_to_3000")
	source, memory, _ := s.marked("root", "", "shop")
	s.in("shop", "UPDATE small SET v = 2", "UPDATE large SET v = 'later' WHERE id = 1")
	result, err := source.Send(t.Context(), memory)
	if err != nil {
		t.Fatal(err)
	}
	if text := s.rowsIn(memory, result, "small"); !strings.Contains(text, "(1,1)") {
		t.Errorf("the small table is not as it was at the mark: %s", text)
	}
	// Requests being held does not help: the snapshot must not pass for one instant.
	if want := []string{"db/tables/large.sql (MyISAM has no snapshots)"}; !slices.Equal(result.Apart, want) {
		t.Errorf("apart: %q, want %q", result.Apart, want)
	}
}

func TestHistoryThatCannotBeSavedIsALoss(t *testing.T) {
	s := newShop(t)
	s.in("shop", `CREATE TABLE h (id INT PRIMARY KEY, a INT, f BIGINT UNSIGNED GENERATED ALWAYS AS ROW START, t BIGINT UNSIGNED GENERATED ALWAYS AS ROW END,
		PERIOD FOR SYSTEM_TIME (f, t)) WITH SYSTEM VERSIONING`, "INSERT INTO h (id, a) VALUES (1, 1)", "UPDATE h SET a = 2")
	memory, result, _ := s.capture("shop")
	if len(result.Losses) != 1 || result.Losses[0].Path != "db/tables/h.sql" {
		t.Errorf("losses: %v", result.Losses)
	}
	s.restore("copy", memory, result.Entries)
	if a := s.value("SELECT a FROM copy.h"); a != "2" {
		t.Errorf("a = %s", a)
	}
}

func TestDefinitionsOfOthersThatCannotBeReadAreRefused(t *testing.T) {
	s := newShop(t)
	s.in("shop", "CREATE PROCEDURE secret() SELECT 1")
	// All that 10.11 has. In 11.3 came a privilege for this, of which ALL is a part.
	s.server.Exec("CREATE USER site IDENTIFIED BY 'x'", "GRANT SELECT, SHOW VIEW, TRIGGER, EVENT, EXECUTE, CREATE ROUTINE, ALTER ROUTINE ON shop.* TO site")
	cure := "GRANT SELECT ON mysql.proc TO 'site'@'%'"
	if s.version().atLeast(11, 3, 0) {
		cure = "GRANT SHOW CREATE ROUTINE ON `shop`.* TO 'site'@'%'"
	}
	err := s.source("site", "x", "shop").Prepare(t.Context(), enginetest.NewMemory())
	if err == nil || !strings.Contains(err.Error(), cure) || !strings.Contains(err.Error(), "`secret`") {
		t.Fatal(err)
	}
	s.server.Exec(cure)
	memory, result, _ := s.captureAs("site", "x", "shop")
	if text := s.joined(memory, result); !strings.Contains(text, "PROCEDURE `secret`") {
		t.Error(text)
	}
}

func TestRoutinesThatCannotBeSeenAreRefused(t *testing.T) {
	s := newShop(t)
	s.in("shop", "CREATE PROCEDURE p() SELECT 1")
	s.server.Exec("CREATE USER blind IDENTIFIED BY 'x'", "GRANT SELECT, SHOW VIEW, TRIGGER, EVENT ON shop.* TO blind")
	err := s.source("blind", "x", "shop").Prepare(t.Context(), enginetest.NewMemory())
	if err == nil || !strings.Contains(err.Error(), "GRANT EXECUTE ON `shop`.*") {
		t.Fatal(err)
	}
	s.server.Exec("GRANT SELECT ON mysql.proc TO blind")
	memory, result, _ := s.captureAs("blind", "x", "shop")
	if text := s.joined(memory, result); !strings.Contains(text, "PROCEDURE `p`") {
		t.Error(text)
	}
}

func TestOverASocket(t *testing.T) {
	s := newShop(t)
	s.in("shop", "CREATE TABLE a (id INT PRIMARY KEY)")
	source, err := Engine.Source(engines.Service{Name: "db", URL: s.server.SocketURL("root", "shop")})
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	if err := source.Prepare(t.Context(), enginetest.NewMemory()); err != nil {
		t.Fatal(err)
	}
}
