package postgres

import (
	"strings"
	"testing"
)

// laterSchemas are what later servers than the first supported one know.
var laterSchemas = []struct {
	name       string
	since      int // server_version_num
	statements []string
}{
	{"keys without distinct nulls", 150000, []string{"CREATE TABLE t (a INT UNIQUE NULLS NOT DISTINCT, b INT)", "INSERT INTO t VALUES (1, 1), (NULL, 2)"}},
	{"a privilege to maintain", 170000, []string{"CREATE TABLE t (id INT PRIMARY KEY)", "GRANT MAINTAIN ON t TO backup"}},
	{"counters of partitions", 170000, []string{
		"CREATE TABLE t (id BIGINT GENERATED ALWAYS AS IDENTITY, day INT) PARTITION BY RANGE (day)", "CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (10)",
		"CREATE TABLE t2 PARTITION OF t FOR VALUES FROM (10) TO (20)", "INSERT INTO t (day) VALUES (1), (11), (2)"}},
	{"columns computed when read", 180000, []string{
		"CREATE TABLE t (id INT PRIMARY KEY, a INT, v INT GENERATED ALWAYS AS (a * 2), s INT GENERATED ALWAYS AS (a + 1) STORED)", "INSERT INTO t (id, a) VALUES (1, 5), (2, NULL)",
		"CREATE VIEW w AS SELECT v FROM t"}},
	{"times without overlaps", 180000, []string{
		"CREATE TABLE p (id INT4RANGE, during DATERANGE, PRIMARY KEY (id, during WITHOUT OVERLAPS))", "INSERT INTO p VALUES ('[1,2)', '[2026-01-01,2026-02-01)'), ('[1,2)', '[2026-02-01,2026-03-01)')",
		"CREATE TABLE c (id INT PRIMARY KEY, p INT4RANGE, during DATERANGE, FOREIGN KEY (p, PERIOD during) REFERENCES p (id, PERIOD during))", "INSERT INTO c VALUES (1, '[1,2)', '[2026-01-10,2026-02-10)')"}},
	{"constraints that are not enforced", 180000, []string{
		"CREATE TABLE p (id INT PRIMARY KEY)", "CREATE TABLE c (id INT PRIMARY KEY, p INT, a INT CHECK (a < 5) NOT ENFORCED, FOREIGN KEY (p) REFERENCES p (id) NOT ENFORCED)", "INSERT INTO c VALUES (1, 7, 9)"}},
	{"constraints against nulls", 180000, []string{
		"CREATE TABLE t (a INT CONSTRAINT \"never; null\" NOT NULL, b INT, c INT NOT NULL NO INHERIT)", "INSERT INTO t VALUES (1, NULL, 1)",
		"ALTER TABLE t ADD CONSTRAINT later NOT NULL b NOT VALID", "CREATE TABLE child (d INT) INHERITS (t)", "INSERT INTO child VALUES (1, 2, NULL, 4)"}},
	{"ordered by time", 180000, []string{"CREATE TABLE t (id UUID PRIMARY KEY DEFAULT uuidv7(), n TEXT COLLATE pg_unicode_fast)", "INSERT INTO t (n) VALUES ('Straße')"}},
}

// TestRulesOfADatabaseComeBack: how PostgreSQL 16 and later tailor the order of a
// whole database.
func TestRulesOfADatabaseComeBack(t *testing.T) {
	s := newShop(t)
	if s.version() < 160000 {
		return
	}
	s.server.Exec("postgres", "DROP DATABASE shop", "CREATE DATABASE shop OWNER site TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en' ICU_RULES '&V << w <<< W'")
	s.in("shop", "CREATE TABLE t (word TEXT PRIMARY KEY)", "INSERT INTO t VALUES ('wx'), ('vw'), ('va')")
	memory, result := s.capture()
	s.restore("copy", memory, result.Entries)
	if rules := s.value("postgres", "SELECT daticurules FROM pg_database WHERE datname = 'copy'"); rules != "&V << w <<< W" {
		t.Errorf("the rules are %q", rules)
	}
	if words := s.value("copy", "SELECT string_agg(word, ' ' ORDER BY word) FROM t"); words != s.value("shop", "SELECT string_agg(word, ' ' ORDER BY word) FROM t") {
		t.Error(words)
	}
}

func (s shop) version() (version int) {
	s.Helper()
	for _, digit := range s.value("postgres", "SHOW server_version_num") {
		version = 10*version + int(digit-'0')
	}
	return version
}

func TestWhatLaterServersKnowComesBack(t *testing.T) {
	s := newShop(t)
	version := s.version()
	for _, later := range laterSchemas {
		if version < later.since {
			continue
		}
		t.Run(later.name, func(t *testing.T) {
			s := shop{t, s.server}
			s.server.Exec("postgres", "DROP DATABASE IF EXISTS shop", "CREATE DATABASE shop OWNER site", "DROP DATABASE IF EXISTS other", "DROP DATABASE IF EXISTS copy")
			s.in("shop", later.statements...)
			before := s.dump("shop")
			memory, result := s.capture()
			s.restore("shop", memory, result.Entries) // in schemas
			s.same(before, s.dump("shop"), "restored,")
			s.restore("copy", memory, result.Entries) // a database of its own
			s.same(before, s.dump("copy"), "restored as another,")
			s.fresh("other")
			s.server.Client("other", strings.NewReader(s.file(memory, result, "db.sql")))
			s.server.Client("other", strings.NewReader(s.file(memory, result, "db/privileges.sql")))
			s.same(before, s.dump("other"), "loaded by psql,")
		})
	}
}
