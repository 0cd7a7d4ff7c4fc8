package mysql

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"holdfast/engines"
	"holdfast/engines/enginetest"
	"holdfast/internal/testserver"
)

// What MySQL 8 does otherwise than MariaDB, on one server.
func TestMySQL(t *testing.T) {
	server := testserver.MySQL(t)
	db := server.Open("root", "", "")
	t.Cleanup(func() { db.Close() })
	for name, test := range map[string]func(shop){
		"values come back as they are":                  mysqlValues,
		"the mark has a position, and waits for nobody": mysqlMark,
		"a point lost is told":                          mysqlPointLost,
		"tables that change places are told apart":      mysqlOtherRows,
		"what the site's own user can do":               mysqlRungs,
		"parts make the same stream":                    mysqlParts,
		"what others define":                            mysqlDefiners,
		"what later versions know":                      func(s shop) { s.comeBack(mysqlLater) },
		"libraries are a loss":                          mysqlLibraries,
		"who keeps a table locked is named":             mysqlLocked,
		"the size is that of the files":                 sizes,
	} {
		t.Run(name, func(t *testing.T) {
			server.Exec("DROP DATABASE IF EXISTS shop", "CREATE DATABASE shop", "DROP DATABASE IF EXISTS copy")
			test(shop{t, server, db})
		})
	}
}

func mysqlParts(s shop) {
	digits := "(SELECT 0 AS d UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4 UNION SELECT 5 UNION SELECT 6 UNION SELECT 7 UNION SELECT 8 UNION SELECT 9)"
	s.in("shop", "CREATE TABLE upto3000 (n INT PRIMARY KEY)",
		fmt.Sprintf("INSERT INTO upto3000 SELECT 1 + a.d + 10 * b.d + 100 * c.d + 1000 * e.d FROM %s a, %s b, %s c, %s e WHERE e.d < 3", digits, digits, digits, digits))
	s.samePartsAndWhole("upto3000", "n")
}

func mysqlValues(s shop) {
	s.in("shop", "CREATE TABLE v (id INT PRIMARY KEY, f FLOAT, d DOUBLE, j JSON, g GEOMETRY, b BIT(9), g2 INT AS (id * 2) STORED, t TIMESTAMP(6) NULL)",
		`INSERT INTO v (id, f, d, j, g, b, t) VALUES
			(1, 0.1, 0.1, '{"ä": [1.10, true, null, "x\\n"]}', ST_GeomFromText('POINT(1 2)', 4326), b'101010101', '2026-03-29 02:30:00.123456'),
			(2, -0e0, -0e0, 'null', NULL, NULL, NULL), (3, 16777217, 1e308, '"\\u00e9"', NULL, b'0', NULL), (4, NULL, NULL, NULL, NULL, NULL, NULL)`,
		"CREATE TABLE part (id INT PRIMARY KEY, v INT) PARTITION BY HASH (id) PARTITIONS 3", "INSERT INTO part VALUES (1, 1), (2, 2), (3, 3)")
	s.in("shop", typeTables["sets with an empty member"]...)
	s.in("shop", "CREATE TABLE big (id INT PRIMARY KEY, b LONGBLOB, t LONGTEXT, j JSON)",
		`INSERT INTO big VALUES (1, REPEAT(CHAR(0), 2000000), REPEAT('\n', 1500000), CONCAT('["', REPEAT('\\"', 800000), '"]'))`)
	s.in("shop", "CREATE TABLE g (a INT AS (1) STORED)", "INSERT INTO g () VALUES (), ()")
	memory, result, point := s.capture("shop")
	if point.Server != s.version().String() {
		s.Errorf("server %q", point.Server)
	}
	s.restore("copy", memory, result.Entries)
	for _, table := range []string{"v", "part", "t", "g", "big"} {
		want, got := s.checksum("shop."+table), s.checksum("copy."+table)
		if want != got || want == "" {
			s.Errorf("table %s: checksum %s instead of %s", table, got, want)
		}
	}
	if text := s.joined(memory, result); strings.Contains(text, "/*M!") {
		s.Error("the script has statements of MariaDB's own")
	}
}

// checksum is the server's checksum of a table's rows.
func (s shop) checksum(table string) string {
	s.Helper()
	var name, sum string
	if err := s.db.QueryRowContext(s.Context(), "CHECKSUM TABLE "+table).Scan(&name, &sum); err != nil {
		s.Fatal(err)
	}
	return sum
}

func mysqlMark(s shop) {
	s.in("shop", "CREATE TABLE a (id INT PRIMARY KEY)", "INSERT INTO a VALUES (1)", "CREATE TABLE m (v INT) ENGINE = MyISAM", "INSERT INTO m VALUES (1)")
	source, memory, point := s.marked("root", "", "shop")
	if point.Rung != rungReload || !strings.HasPrefix(point.Position, "binlog.0") || !strings.Contains(point.Position, ":") {
		s.Errorf("point %+v", point)
	}
	s.in("shop", "INSERT INTO a VALUES (2)", "UPDATE m SET v = 2") // nobody is kept from writing any more
	result, err := source.Send(s.Context(), memory)
	if err != nil {
		s.Fatal(err)
	}
	if text := s.joined(memory, result); !strings.Contains(text, "(1);") || strings.Contains(text, "(2)") {
		s.Error(text)
	}

	// A statement that runs for long, in any database: the read lock would wait for it.
	slept := make(chan error, 1)
	go func() {
		_, err := s.db.Exec("SELECT SLEEP(6) FROM shop.a LIMIT 1")
		slept <- err
	}()
	for s.value("SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE 'SELECT SLEEP%' AND time >= 1") != "1" {
		time.Sleep(50 * time.Millisecond)
	}
	_, result, point = s.capture("shop")
	if point.Rung != rungSchema || point.Position != "" {
		s.Errorf("while a statement runs: point %+v", point)
	}
	if len(result.Entries) == 0 {
		s.Error("no snapshot while a statement runs")
	}
	if err := <-slept; err != nil {
		s.Error(err)
	}
}

func mysqlPointLost(s shop) {
	for name, change := range map[string]string{"truncated": "TRUNCATE a", "altered": "ALTER TABLE a ADD COLUMN w INT", "dropped": "DROP TABLE a"} {
		s.in("shop", "DROP TABLE IF EXISTS a", "CREATE TABLE a (id INT PRIMARY KEY, v INT)", "INSERT INTO a VALUES (1, 10)")
		source, memory, _ := s.marked("root", "", "shop")
		s.in("shop", change)
		if _, err := source.Send(s.Context(), memory); !errors.Is(err, engines.ErrPointLost) {
			s.Errorf("%s: the loss was not noticed: %v", name, err)
		}
		if name == "dropped" {
			continue
		}
		if _, err := source.Mark(s.Context(), memory); err != nil {
			s.Fatal(err)
		}
		if _, err := source.Send(s.Context(), memory); err != nil {
			s.Errorf("%s: after a second mark: %v", name, err)
		}
	}
}

// Neither a definition nor the time of a table's making changes where names do.
func mysqlOtherRows(s shop) {
	s.server.Exec("CREATE USER plain IDENTIFIED BY 'x'", "GRANT ALL ON shop.* TO plain")
	defer s.server.Exec("DROP USER plain")
	for name, change := range map[string]string{
		"renamed":   "RENAME TABLE a_1 TO x, b TO a_1, x TO b",
		"exchanged": "ALTER TABLE parts EXCHANGE PARTITION p0 WITH TABLE b",
	} {
		for user, password := range map[string]string{"root": "", "plain": "x"} {
			s.in("shop", "DROP TABLE IF EXISTS a_1, b, parts", "CREATE TABLE a_1 (id INT PRIMARY KEY)", "CREATE TABLE b (id INT PRIMARY KEY)", "INSERT INTO b VALUES (9)",
				"CREATE TABLE parts (id INT PRIMARY KEY) PARTITION BY RANGE (id) (PARTITION p0 VALUES LESS THAN (10), PARTITION p1 VALUES LESS THAN MAXVALUE)")
			source, memory, _ := s.marked(user, password, "shop")
			ended, cancel := context.WithCancel(s.Context())
			cancel()
			if _, err := source.readers[0].outside(ended, "a_1"); err != nil {
				s.Errorf("what a reader asks as another one ends it is cut off: %v", err)
			}
			s.in("shop", change)
			if _, err := source.Send(s.Context(), memory); !errors.Is(err, engines.ErrPointLost) {
				s.Errorf("%s: %s did not notice: %v", name, user, err)
			}
			if _, err := source.Mark(s.Context(), memory); err != nil {
				s.Fatal(err)
			}
			if _, err := source.Send(s.Context(), memory); err != nil {
				s.Errorf("%s: after a second mark of %s: %v", name, user, err)
			}
		}
	}
}

func mysqlRungs(s shop) {
	s.in("shop", "CREATE TABLE a (id INT PRIMARY KEY)", "CREATE PROCEDURE p() SELECT 1")
	s.server.Exec("CREATE USER site IDENTIFIED BY 'x'", "GRANT ALL ON shop.* TO site",
		"CREATE USER half IDENTIFIED BY 'x'", "GRANT SELECT, RELOAD ON *.* TO half", "GRANT ALL ON shop.* TO half",
		"CREATE USER saver IDENTIFIED BY 'x'", "GRANT SELECT, RELOAD, PROCESS, SHOW VIEW, TRIGGER, EVENT ON *.* TO saver", "GRANT BACKUP_ADMIN ON *.* TO saver",
		"CREATE USER blind IDENTIFIED BY 'x'", "GRANT SELECT, SHOW VIEW, TRIGGER, EVENT ON shop.* TO blind")
	defer s.server.Exec("DROP USER site, half, saver, blind")
	for user, rung := range map[string]string{"half": rungSchema, "saver": rungReload} {
		if _, _, point := s.captureAs(user, "x", "shop"); point.Rung != rung {
			s.Errorf("user %s: rung %q, want %q", user, point.Rung, rung)
		}
	}
	for user, want := range map[string]string{"site": "`p`", "blind": "GRANT EXECUTE ON `shop`.*"} {
		err := s.source(user, "x", "shop").Prepare(s.Context(), enginetest.NewMemory())
		if err == nil || !strings.Contains(err.Error(), want) {
			s.Errorf("user %s, who cannot read the procedure: %v", user, err)
		}
	}
}
