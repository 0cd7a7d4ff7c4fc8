package mysql

import (
	"strings"
	"testing"
)

// later is what a server knows since a version.
type later struct {
	name                string
	major, minor, patch int
	statements          []string
}

// mariadbLater is what a later MariaDB than the first supported one knows.
var mariadbLater = []later{
	{"vectors", 11, 7, 0, []string{
		"CREATE TABLE t (id INT PRIMARY KEY, v VECTOR(3) NOT NULL, w VECTOR(2), VECTOR KEY near (v) M=8 DISTANCE=cosine)",
		"INSERT INTO t VALUES (1, VEC_FromText('[1,-2.5,1e-30]'), NULL), (2, x'27275C0A0D0000001A00FF3F', x'0000000000000080')",
		"INSERT INTO t SELECT seq, VEC_FromText(CONCAT('[', seq, ',', 1/seq, ',1]')), NULL FROM seq_3_to_2000"}},
	{"sequences of a type", 11, 5, 0, []string{
		"CREATE SEQUENCE s AS SMALLINT UNSIGNED START WITH 65000 INCREMENT BY 7", "DO NEXTVAL(s)",
		"CREATE SEQUENCE b AS BIGINT UNSIGNED MAXVALUE 18446744073709551614 START WITH 18446744073709551600", "DO NEXTVAL(b)"}},
	{"times after 2038", 11, 5, 0, []string{
		"CREATE TABLE t (id INT PRIMARY KEY, a TIMESTAMP(6) NULL)", "SET time_zone = '+00:00'", "INSERT INTO t VALUES (1, '2106-02-07 06:28:15.999999')"}},
	{"routines", 11, 8, 0, []string{
		"CREATE FUNCTION f(a INT, b INT DEFAULT 7) RETURNS INT RETURN a + b",
		"CREATE PACKAGE pack PROCEDURE one(); FUNCTION two(a INT DEFAULT 2) RETURNS INT; END",
		"CREATE PACKAGE BODY pack PROCEDURE one() BEGIN SELECT 1; END; FUNCTION two(a INT DEFAULT 2) RETURNS INT RETURN a; END"}},
}

func TestWhatLaterServersKnowComesBack(t *testing.T) { newShop(t).comeBack(mariadbLater) }

// comeBack takes what this server knows of a list there and back.
func (s shop) comeBack(list []later) {
	for _, l := range list {
		if !s.version().atLeast(l.major, l.minor, l.patch) {
			continue
		}
		s.Run(l.name, func(t *testing.T) {
			one := shop{t, s.server, s.db}
			database := one.fresh(l.name)
			one.in(database, l.statements...)
			one.roundTrip(database)
		})
	}
}

// Servers differ in the end of a row that is valid. Read by another, a row with an end
// of its own would be history, and gone.
func TestRowsThatAreValidHaveNoEndInTheSnapshot(t *testing.T) {
	s := newShop(t)
	s.in("shop", "CREATE TABLE t (id INT PRIMARY KEY, a INT) WITH SYSTEM VERSIONING", "INSERT INTO t VALUES (1, 1), (2, 2)", "UPDATE t SET a = 3 WHERE id = 2")
	memory, result, _ := s.capture("shop")
	text := s.joined(memory, result)
	if n := strings.Count(text, ",DEFAULT)"); n != 2 || strings.Contains(text, "'2038-01-19") || strings.Contains(text, "'2106-02-07") {
		t.Errorf("%d rows without an end:\n%s", n, text)
	}
	s.restore("copy", memory, result.Entries)
	if got := s.value("SELECT GROUP_CONCAT(id, '=', a ORDER BY id) FROM copy.t"); got != "1=1,2=3" {
		t.Error(got)
	}
}

// mysqlLater is the same of MySQL.
var mysqlLater = []later{
	{"defaults and keys that are computed", 8, 0, 13, []string{
		"CREATE TABLE t (id BINARY(16) PRIMARY KEY DEFAULT (UUID_TO_BIN(UUID())), a VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci DEFAULT (CONCAT('a', 'b;')), j JSON DEFAULT (JSON_ARRAY()), KEY k ((LOWER(a))))",
		"INSERT INTO t () VALUES (), ()", "INSERT INTO t (a, j) VALUES ('X', '[1, 2]')"}},
	{"checks", 8, 0, 16, []string{
		"CREATE TABLE t (id INT PRIMARY KEY, a INT CHECK (a < 100), CONSTRAINT `never ``` CHECK (a <> 7) NOT ENFORCED)", "INSERT INTO t VALUES (1, 7), (2, 8)"}},
	{"invisible columns", 8, 0, 23, []string{
		"CREATE TABLE t (id INT PRIMARY KEY, a INT INVISIBLE DEFAULT 5, b INT)", "INSERT INTO t (id, a, b) VALUES (1, 2, 3)", "INSERT INTO t VALUES (2, 4)"}},
	{"a primary key that the server made", 8, 0, 30, []string{
		"SET sql_generate_invisible_primary_key = 1", "CREATE TABLE t (a INT)", "INSERT INTO t VALUES (3), (1), (3)", "SET sql_generate_invisible_primary_key = 0", "CREATE TABLE u (a INT)", "INSERT INTO u VALUES (3)"}},
	{"foreign keys to keys that are not unique", 8, 4, 0, []string{
		"SET restrict_fk_on_non_standard_key = 0", "CREATE TABLE p (id INT PRIMARY KEY, a INT, b INT, KEY (a), UNIQUE KEY (b, a))", "INSERT INTO p VALUES (1, 1, 1), (2, 1, 2)",
		"CREATE TABLE c (id INT PRIMARY KEY, a INT, b INT, FOREIGN KEY (a) REFERENCES p (a), FOREIGN KEY (b) REFERENCES p (b))", "INSERT INTO c VALUES (1, 1, 2)"}},
	{"vectors", 9, 0, 0, []string{
		"CREATE TABLE t (id INT PRIMARY KEY, v VECTOR(3), w VECTOR)", "INSERT INTO t VALUES (1, STRING_TO_VECTOR('[1,-2.5,1e-30]'), NULL), (2, x'27275C0A0D0000001A00FF3F', x'00000080')"}},
	{"duality views", 9, 4, 0, []string{
		"CREATE TABLE t (id INT PRIMARY KEY, a INT)", "INSERT INTO t VALUES (1, 2)",
		"CREATE JSON RELATIONAL DUALITY VIEW v AS SELECT JSON_DUALITY_OBJECT(WITH (INSERT, UPDATE, DELETE) '_id': id, 'a': a) FROM t"}},
}

func mysqlLibraries(s shop) {
	if !s.version().atLeast(9, 2, 0) {
		return // there are none
	}
	s.in("shop", "CREATE LIBRARY sums LANGUAGE JAVASCRIPT AS $$ export function f(n) { return n } $$")
	if _, result, _ := s.capture("shop"); len(result.Losses) != 1 || !strings.Contains(result.Losses[0].Reason, "library `sums`") {
		s.Errorf("losses %v", result.Losses)
	}
}

// Whoever may create what others define may do so where those do not exist any more.
func mysqlDefiners(s shop) {
	s.in("shop", "CREATE TABLE a (id INT PRIMARY KEY)", "CREATE USER clerk", "GRANT ALL ON shop.* TO clerk",
		"CREATE DEFINER = ghost@localhost TRIGGER tr BEFORE INSERT ON a FOR EACH ROW SET @x = 1", "CREATE DEFINER = clerk@'%' VIEW v AS SELECT id FROM a",
		"CREATE DEFINER = ghost@localhost EVENT e ON SCHEDULE EVERY 1 DAY STARTS '2031-01-01' DO SET @x = 1", "CREATE DEFINER = ghost@localhost FUNCTION f() RETURNS INT DETERMINISTIC RETURN 1",
		"CREATE USER site IDENTIFIED BY 'x'", "GRANT ALL ON `shop`.* TO site", "GRANT ALL ON `shop\\_h_\\_%`.* TO site", "GRANT SELECT ON *.* TO site")
	defer s.server.Exec("DROP USER clerk, site")
	memory, result, _ := s.capture("shop")
	cure := "GRANT " + strings.Join(s.version().asAnybody(), ", ") + " ON *.* TO 'site'@'%'"
	if _, err := s.target("site", "x", "shop", testToken).Plan(s.Context(), result.Entries); err == nil || !strings.Contains(err.Error(), cure) {
		s.Errorf("what could not be put back was not refused: %v", err)
	}
	s.server.Exec(cure)
	s.server.Exec("SET GLOBAL log_bin_trust_function_creators = 1") // or else it takes SUPER
	before := s.dump("shop")
	s.in("shop", "DROP FUNCTION f", "DROP TRIGGER tr")
	target := s.target("site", "x", "shop", testToken)
	_, err := target.Plan(s.Context(), result.Entries)
	s.must(err)
	_, err = target.Stage(s.Context(), result.Entries, memory)
	s.must(err)
	s.must(target.Swap(s.Context()))
	s.must(target.Discard(s.Context()))
	s.same(before, s.dump("shop"), "restored,")
}
