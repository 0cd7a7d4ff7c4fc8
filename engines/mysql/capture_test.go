package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"holdfast/engines"
	"holdfast/engines/enginetest"
	"holdfast/internal/testserver"
	"holdfast/internal/tree"
)

// shop is a server with a database shop, which the user root owns.
type shop struct {
	*testing.T
	server *testserver.MySQLServer
	db     *sql.DB
}

func newShop(t *testing.T, options ...string) shop {
	server := testserver.MariaDB(t, options...)
	server.Exec("CREATE DATABASE shop CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci")
	db := server.Open("root", "", "")
	t.Cleanup(func() { db.Close() })
	return shop{t, server, db}
}

// in executes statements on one connection, in database.
func (s shop) in(database string, statements ...string) {
	s.Helper()
	conn, err := s.db.Conn(s.Context())
	if err != nil {
		s.Fatal(err)
	}
	defer conn.Close()
	for _, statement := range append([]string{"USE " + quote(database), "SET sql_mode = DEFAULT, foreign_key_checks = 1"}, statements...) {
		if _, err := conn.ExecContext(s.Context(), statement); err != nil {
			s.Fatalf("%v\n%.300s", err, statement)
		}
	}
}

// value reads the single value of a query.
func (s shop) value(query string) string {
	s.Helper()
	var value sql.NullString
	if err := s.db.QueryRowContext(s.Context(), query).Scan(&value); err != nil {
		s.Fatalf("%v\n%s", err, query)
	}
	return value.String
}

// version is the server's.
func (s shop) version() server {
	s.Helper()
	v, err := serverOf(s.value("SELECT VERSION()"))
	if err != nil {
		s.Fatal(err)
	}
	return v
}

func (s shop) dump(database string) string {
	s.Helper()
	text, err := dumpOf(s.Context(), s.server, s.db, database)
	if err != nil {
		s.Fatal(err)
	}
	return text
}

// same fails unless two databases hold the same.
func (s shop) same(want, got, when string) {
	s.Helper()
	wanted, found := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range max(len(wanted), len(found)) {
		if i >= len(wanted) || i >= len(found) || wanted[i] != found[i] {
			s.Fatalf("%s the data are others from line %d:\nwant %.500s\ngot  %.500s", when, i+1,
				strings.Join(wanted[min(i, len(wanted)):min(i+1, len(wanted))], ""), strings.Join(found[min(i, len(found)):min(i+1, len(found))], ""))
		}
	}
}

func (s shop) service(user, password, database string) engines.Service {
	return engines.Service{Name: "db", URL: s.server.URL(user, database), Password: password}
}

func (s shop) source(user, password, database string) *source {
	s.Helper()
	opened, err := Engine.Source(s.service(user, password, database))
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { opened.Close() })
	return opened.(*source)
}

// capture takes database quietly.
func (s shop) capture(database string) (*enginetest.Memory, engines.Result, engines.Point) {
	s.Helper()
	return s.captureAs("root", "", database)
}

func (s shop) captureAs(user, password, database string) (*enginetest.Memory, engines.Result, engines.Point) {
	s.Helper()
	source, memory := s.source(user, password, database), enginetest.NewMemory()
	defer source.Close()
	if err := source.Prepare(s.Context(), memory); err != nil {
		s.Fatal(err)
	}
	// As create does: of a table made a moment ago InnoDB sometimes says that it was
	// changed after the mark.
	for marks := 1; ; marks++ {
		point, err := source.Mark(s.Context(), memory)
		if err != nil {
			s.Fatal(err)
		}
		result, err := source.Send(s.Context(), memory)
		if err == nil {
			return memory, result, point
		}
		if !errors.Is(err, engines.ErrPointLost) || marks == 3 {
			s.Fatal(err)
		}
	}
}

func (s shop) target(user, password, database, token string) *target {
	s.Helper()
	target, err := newTarget(s.service(user, password, database), token)
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { target.Close() })
	return target
}

const testToken = "0123456789abcdef0123"

// restore puts a snapshot into database.
func (s shop) restore(database string, content engines.Content, entries []tree.Entry) engines.Staged {
	s.Helper()
	target := s.target("root", "", database, testToken)
	defer target.Close()
	if _, err := target.Plan(s.Context(), entries); err != nil {
		s.Fatal(err)
	}
	staged, err := target.Stage(s.Context(), entries, content)
	if err != nil {
		s.Fatal(err)
	}
	for _, step := range []func(context.Context) error{target.Swap, target.Discard} {
		if err := step(s.Context()); err != nil {
			s.Fatal(err)
		}
	}
	return staged
}

// joined is the one file that holds the whole database.
func (s shop) joined(memory *enginetest.Memory, result engines.Result) string {
	s.Helper()
	text, err := io.ReadAll(memory.Open(s.Context(), result.Entries[1]))
	if err != nil {
		s.Fatal(err)
	}
	return string(text)
}

// roundTrip restores database into another one twice, by this engine and by the
// mariadb client, and compares.
func (s shop) roundTrip(database string) {
	s.Helper()
	before := s.dump(database)
	memory, result, _ := s.capture(database)
	s.same(before, s.dump(database), "after the capture")
	s.server.Exec("DROP DATABASE IF EXISTS copy", "DROP DATABASE IF EXISTS byclient", "DROP DATABASE IF EXISTS copy_hf_0123456789")
	s.restore("copy", memory, result.Entries)
	s.same(before, s.dump("copy"), "restored,")

	s.server.Exec("CREATE DATABASE byclient")
	s.server.Client("byclient", strings.NewReader(s.joined(memory, result)))
	s.same(before, s.dump("byclient"), "loaded by the mariadb client,")

	again, second, _ := s.capture("copy")
	if s.joined(memory, result) != s.joined(again, second) {
		s.Error("the snapshot of the restored database is another")
	}
}

// sixtyThree are members of a SET.
var sixtyThree = func() (members string) {
	for i := range 63 {
		members += fmt.Sprintf("'m%d',", i)
	}
	return members
}()

// typeTables are columns of all types, with the values that are easily spoilt.
var typeTables = map[string][]string{
	"numbers": {
		"CREATE TABLE t (id INT PRIMARY KEY, a TINYINT, b SMALLINT UNSIGNED, c MEDIUMINT ZEROFILL, d BIGINT, e BIGINT UNSIGNED, f BOOL)",
		"INSERT INTO t VALUES (1, -128, 65535, 42, -9223372036854775808, 18446744073709551615, TRUE), (2, NULL, NULL, NULL, NULL, NULL, NULL), (-3, 0, 0, 0, 0, 0, FALSE)"},
	"decimal": {
		"CREATE TABLE t (id INT PRIMARY KEY, d DECIMAL(65,30), z DECIMAL(10,3) ZEROFILL)",
		"INSERT INTO t VALUES (1, 12345678901234567890123456789012345.123456789012345678901234567890, 1.5), (2, -0.000000000000000000000000000001, 0)"},
	"double": {
		"CREATE TABLE t (id INT PRIMARY KEY, d DOUBLE, m DOUBLE(12,4))",
		"INSERT INTO t VALUES (1, 0.1, 1.1), (2, 1.7976931348623157e308, 12345678.1234), (3, 2.2250738585072014e-308, 0), (4, 4.9406564584124654e-324, -1.0001), (5, 1/3, NULL), (6, 123456789012345678, 3), (7, -0e0, -0e0)"},
	"float": {
		"CREATE TABLE t (id INT PRIMARY KEY, f FLOAT, m FLOAT(7,3))",
		"INSERT INTO t VALUES (-7, 16777216, 1.235), (-6, 0.1, 1234.5), (-5, 3.4028234663852886e38, 0), (-4, 1.401298464324817e-45, NULL), (-3, 16777217, 9), (-2, -0.3333333432674408, 8.001), (-1, 8388609.5, 1), (0, -0e0, 1)",
		"INSERT INTO t (id, f) SELECT seq, RAND(seq) * POW(10, CAST(seq % 70 AS SIGNED) - 35) FROM seq_1_to_5000"},
	"large and full of what is escaped": {
		"CREATE TABLE t (id INT PRIMARY KEY, b LONGBLOB, t LONGTEXT, u LONGTEXT CHARACTER SET utf8mb3, l LONGTEXT CHARACTER SET latin1, c LONGTEXT CHARACTER SET cp1251, w LONGTEXT CHARACTER SET utf16)",
		"INSERT INTO t VALUES (1, REPEAT(CHAR(0), 12000000), NULL, NULL, NULL, NULL, NULL), (2, NULL, REPEAT('\"''\n\\\\', 500000), REPEAT('''\n', 600000), REPEAT('\n', 1500001), REPEAT('ж', 1500000), REPEAT('ж€', 1000000)), (3, NULL, NULL, NULL, REPEAT(CONVERT('é' USING latin1), 9000000), NULL, NULL)"},
	"bit": {
		"CREATE TABLE t (id INT PRIMARY KEY, a BIT(1), b BIT(9), c BIT(64))",
		"INSERT INTO t VALUES (1, b'1', b'101010101', ~0), (2, b'0', 0, 0), (3, NULL, 0x27, 0x275C0A)"},
	"dates": {
		"CREATE TABLE t (id INT PRIMARY KEY, d DATE, t DATETIME, u DATETIME(6), y YEAR, z YEAR(2))",
		"SET sql_mode = 'ALLOW_INVALID_DATES'",
		"INSERT INTO t VALUES (1, '0000-00-00', '0000-00-00 00:00:00', '0000-00-00', 0, '00'), (2, '2026-02-30', '2026-00-00 00:00:00', '2026-01-31 23:59:59.999999', 1901, '70'), (3, '9999-12-31', '9999-12-31 23:59:59', '1000-01-01', 2155, '69'), (4, NULL, NULL, NULL, NULL, NULL)"},
	"timestamps": {
		"CREATE TABLE t (id INT PRIMARY KEY, a TIMESTAMP NULL, b TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6), c TIMESTAMP(3) NULL)",
		"SET time_zone = '+05:45', sql_mode = ''",
		"INSERT INTO t VALUES (1, '2026-03-29 02:30:00', '2026-10-25 02:30:00.123456', NULL), (2, '0000-00-00', '2038-01-19 08:59:07.999999', '1970-01-01 05:45:01.001')"},
	"times": {
		"CREATE TABLE t (id INT PRIMARY KEY, a TIME, b TIME(6))",
		"INSERT INTO t VALUES (1, '838:59:59', '-838:59:59.999999'), (2, '-00:00:01', '-00:00:00.000001'), (3, '30:00:00', '00:00:00')"},
	"enum and set": {
		"CREATE TABLE t (id INT PRIMARY KEY, e ENUM('a','it''s','0','ü','b,c'), f ENUM('','x'), g ENUM('x',''), h ENUM('''q','y'), s SET('x','y','ö'), l ENUM('ä','€') CHARACTER SET latin1)",
		"SET sql_mode = ''",
		"INSERT INTO t VALUES (1, 'a', '', '', '''q', 'x,ö', 'ä'), (2, 'it''s', 'x', 'x', 'y', '', '€'), (3, '0', 0, 0, 0, NULL, 0), (4, 0, NULL, NULL, NULL, 'x,y,ö', NULL), (5, 'ü', 1, 2, 1, 'y', 2), (6, 'b,c', 1, 2, 1, 'y', 2)"},
	"sets with an empty member": {
		"CREATE TABLE t (id INT PRIMARY KEY, s SET('','a','b'), l SET('a','it''s','') NOT NULL, w SET(" + sixtyThree + "''))",
		"INSERT INTO t VALUES (1, 1, 4, 18446744073709551615), (2, 3, 7, 9223372036854775808), (3, 0, 0, 0), (4, 5, 2, NULL), (5, 2, 1, 9223372036854775807), (6, NULL, 6, 9007199254740993)"},
	"text": {
		"CREATE TABLE t (id INT PRIMARY KEY, a VARCHAR(200), b CHAR(10), c LONGTEXT, d TINYTEXT, e VARCHAR(50) CHARACTER SET ascii)",
		"INSERT INTO t VALUES (1, 'it''s \\\\ \"q\" 🦊\\0\\n\\r\\t\\Z;', 'x  ', REPEAT('größer;\n', 20000), '', 'plain'), (2, '', '', '', NULL, ''), (3, '-- x\n', '`', ';\n', '\\\\', '\\n')"},
	"character sets": {
		"CREATE TABLE t (id INT PRIMARY KEY, l1 VARCHAR(300) CHARACTER SET latin1, l2 VARCHAR(300) CHARACTER SET latin2, cy VARCHAR(300) CHARACTER SET cp1251, u2 VARCHAR(50) CHARACTER SET ucs2, u16 VARCHAR(50) CHARACTER SET utf16, u32 VARCHAR(50) CHARACTER SET utf32, sj VARCHAR(50) CHARACTER SET sjis, gb VARCHAR(50) CHARACTER SET gbk, b5 VARCHAR(50) CHARACTER SET big5, u3 VARCHAR(50) CHARACTER SET utf8mb3, sw VARCHAR(50) CHARACTER SET swe7, u16l VARCHAR(50) CHARACTER SET utf16le)",
		"INSERT INTO t (id, l1, l2, cy) SELECT seq, CHAR(seq USING latin1), CHAR(seq USING latin2), CHAR(seq USING cp1251) FROM seq_0_to_255",
		"INSERT INTO t VALUES (1000, 'plain', 'plain', 'plain', 'plain', 'plain', 'plain', 'plain', 'plain', 'plain', 'plain', 'plain', 'plain'), (1001, 'é€', 'ő', 'ж', 'é\\n', '🦊', '🦊', _sjis 0x815C5C, _gbk 0x815C, _big5 0xA55C, 'é', _swe7 0x5B5C7D, '🦊')"},
	"binary": {
		"CREATE TABLE t (id INT PRIMARY KEY, a BINARY(4), b VARBINARY(300), c LONGBLOB, d TINYBLOB)",
		"INSERT INTO t SELECT seq, CHAR(seq), CHAR(seq, 255 - seq), REPEAT(CHAR(seq), seq * 20), 'größe' FROM seq_0_to_255",
		"INSERT INTO t VALUES (1000, '', '', '', ''), (1001, NULL, NULL, NULL, NULL), (1002, 'ab', 'it''s', RANDOM_BYTES(1024), ';\n')"},
	"json, uuid and addresses": {
		"CREATE TABLE t (id INT PRIMARY KEY, j JSON, u UUID, a INET6, b INET4)",
		`INSERT INTO t VALUES (1, '{"a": "it''s \\n ü", "b": [1, 2.50]}', '123e4567-e89b-12d3-a456-426655440000', '::ffff:192.0.2.1', '192.0.2.1'), (2, NULL, NULL, '::', '0.0.0.0')`},
	"geometry": {
		"CREATE TABLE t (id INT PRIMARY KEY, g GEOMETRY, p POINT NOT NULL, SPATIAL KEY (p))",
		"INSERT INTO t VALUES (1, ST_GeomFromText('POLYGON((0 0, 10 0, 10 10, 0 0))', 4326), POINT(1, -2.5)), (2, NULL, POINT(0, 0)), (3, ST_GeomFromText('GEOMETRYCOLLECTION EMPTY'), POINT(1e300, 39))"},
	"generated and invisible": {
		"CREATE TABLE t (id INT PRIMARY KEY, a INT, v INT AS (a + 1) VIRTUAL, s VARCHAR(20) AS (CONCAT('x;\n', a)) STORED, i INT INVISIBLE DEFAULT 7, CHECK (a < 100), KEY (v))",
		"INSERT INTO t (id, a, i) VALUES (1, 1, 9), (2, NULL, 8)", "SET check_constraint_checks = 0", "INSERT INTO t (id, a) VALUES (3, 1000)"},
	"generated and nothing else": {
		"CREATE TABLE g (a INT AS (1) PERSISTENT)", "INSERT INTO g () VALUES (), (), ()", "CREATE TABLE e (a INT AS (1) VIRTUAL, b INT AS (2) STORED, UNIQUE KEY (b))",
		"INSERT INTO e () VALUES ()"},
	"compressed": {
		"CREATE TABLE t (id INT PRIMARY KEY, a VARCHAR(1000) COMPRESSED, b BLOB COMPRESSED)",
		"INSERT INTO t VALUES (1, REPEAT('x', 900), REPEAT('y', 60000)), (2, '', NULL)"},
	"zero in a counter": {
		"CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, a INT)", "SET sql_mode = 'NO_AUTO_VALUE_ON_ZERO'",
		"INSERT INTO t VALUES (0, 1), (5, 2)", "DELETE FROM t WHERE id = 5"},
	"counter moved in an empty table": {
		"CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT) AUTO_INCREMENT = 500"},
	"no primary key": {
		"CREATE TABLE t (a INT, b VARCHAR(10), KEY (b, a))", "INSERT INTO t VALUES (3, 'z'), (1, 'y'), (3, 'z'), (2, 'x')"},
	"key on a prefix, and descending": {
		"CREATE TABLE t (a VARCHAR(20), b INT, PRIMARY KEY (a(3), b))", "INSERT INTO t VALUES ('abcd', 2), ('abce', 1), ('', 0)",
		"CREATE TABLE u (a INT, b INT, PRIMARY KEY (a, b DESC))", "INSERT INTO u VALUES (1, 1), (1, 2), (0, 3)"},
	"partitions": {
		"CREATE TABLE t (id INT PRIMARY KEY, a INT) PARTITION BY RANGE (id) (PARTITION p0 VALUES LESS THAN (10), PARTITION p1 VALUES LESS THAN MAXVALUE)",
		"INSERT INTO t SELECT seq, 7 * seq FROM seq_1_to_30"},
	"other engines": {
		"CREATE TABLE m (id INT PRIMARY KEY AUTO_INCREMENT, a INT) ENGINE = MyISAM", "INSERT INTO m VALUES (3, 1), (1, 2)",
		"CREATE TABLE n (a INT, FULLTEXT KEY (b), b TEXT) ENGINE = Aria", "INSERT INTO n VALUES (3, 'words'), (1, 'more')",
		"CREATE TABLE g (id INT PRIMARY KEY AUTO_INCREMENT, a INT) ENGINE = MRG_MyISAM UNION = (m)",
		"CREATE TABLE e (id INT) ENGINE = MEMORY", "INSERT INTO e VALUES (1)"},
	"full text and long unique": {
		"CREATE TABLE t (id INT PRIMARY KEY, a TEXT, b BLOB, FULLTEXT KEY (a), UNIQUE KEY (b))", "INSERT INTO t VALUES (1, 'some words', 'x'), (2, 'other words', 'y')"},
	"foreign keys": {
		"CREATE TABLE zparent (id INT PRIMARY KEY, code VARCHAR(10) UNIQUE)", "INSERT INTO zparent VALUES (1, 'a')",
		"CREATE TABLE child (id INT PRIMARY KEY, p INT, code VARCHAR(10), FOREIGN KEY (p) REFERENCES zparent (id) ON DELETE CASCADE, CONSTRAINT `odd``name` FOREIGN KEY (code) REFERENCES zparent (code) ON UPDATE SET NULL)",
		"INSERT INTO child VALUES (1, 1, 'a'), (2, NULL, NULL)", "CREATE TABLE self (id INT PRIMARY KEY, up INT, FOREIGN KEY (up) REFERENCES self (id))",
		"INSERT INTO self VALUES (1, NULL), (2, 1)"},
	"sequences": {
		"CREATE SEQUENCE s1", "DO NEXTVAL(s1)", "CREATE SEQUENCE s2 START WITH -5 INCREMENT BY -3 MINVALUE -100 MAXVALUE 0 NOCACHE CYCLE", "DO NEXTVAL(s2), NEXTVAL(s2)",
		"CREATE TABLE a (id INT PRIMARY KEY DEFAULT NEXTVAL(s1), b INT DEFAULT (NEXTVAL(s2) + 1))", "INSERT INTO a () VALUES (), ()"},
	"system versioning": {
		"CREATE TABLE t (id INT PRIMARY KEY, a INT) WITH SYSTEM VERSIONING", "INSERT INTO t VALUES (1, 1), (2, 2)", "UPDATE t SET a = a + 10", "DELETE FROM t WHERE id = 2",
		"CREATE TABLE u (id INT PRIMARY KEY, a INT, f TIMESTAMP(6) GENERATED ALWAYS AS ROW START, t TIMESTAMP(6) GENERATED ALWAYS AS ROW END, PERIOD FOR SYSTEM_TIME (f, t)) WITH SYSTEM VERSIONING",
		"INSERT INTO u (id, a) VALUES (1, 1)", "UPDATE u SET a = 2"},
	"application time": {
		"CREATE TABLE t (id INT, a DATE, b DATE, PERIOD FOR p (a, b), PRIMARY KEY (id, p WITHOUT OVERLAPS))", "INSERT INTO t VALUES (1, '2026-01-01', '2026-02-01'), (1, '2026-02-01', '2026-03-01')"},
}

func databaseOf(name string) string {
	return "t_" + strings.NewReplacer(" ", "_", ",", "").Replace(name)
}

// fresh makes an empty database.
func (s shop) fresh(name string) string {
	s.server.Exec("CREATE DATABASE " + databaseOf(name) + " CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci")
	return databaseOf(name)
}

func TestEveryTypeComesBackExactly(t *testing.T) {
	s := newShop(t)
	for name, statements := range typeTables {
		t.Run(name, func(t *testing.T) {
			one := shop{t, s.server, s.db}
			one.in(one.fresh(name), statements...)
			one.roundTrip(databaseOf(name))
		})
	}
}

func TestDefinitionsThatNameTheDatabase(t *testing.T) {
	s := newShop(t)
	s.in("shop", "CREATE TABLE a (id INT PRIMARY KEY)", "CREATE TABLE shop (id INT)", "CREATE FUNCTION f(n INT) RETURNS INT DETERMINISTIC RETURN n",
		"CREATE TRIGGER shop.tr BEFORE INSERT ON shop.a FOR EACH ROW SET NEW.id = shop.f(NEW.id)",
		"CREATE VIEW mixed AS SELECT shop.a.id, shop.f(1) AS f, u.Host, mysql.user.User FROM shop.a JOIN mysql.user u JOIN mysql.user JOIN shop.shop",
		"CREATE VIEW alias AS SELECT shop.id FROM a shop", "SET sql_mode = ORACLE",
		"CREATE PACKAGE pack AS PROCEDURE one; END", "CREATE PACKAGE BODY pack AS PROCEDURE one AS BEGIN NULL; END; END")
	memory, result, _ := s.capture("shop")
	if notes := strings.Join(result.Notes, "\n"); !strings.Contains(notes, "trigger `tr` names database shop") || strings.Contains(notes, "mixed") {
		t.Errorf("notes: %s", notes)
	}
	s.restore("copy", memory, result.Entries)
	text := s.value("SELECT GROUP_CONCAT(view_definition) FROM information_schema.views WHERE table_schema = 'copy'")
	if strings.Contains(text, "`shop`.`a`") || strings.Contains(text, "`shop`.`f`") || !strings.Contains(text, "`copy`.`a`") || !strings.Contains(text, "`copy`.`shop`") {
		t.Error(text)
	}
	if got := s.value("SELECT GROUP_CONCAT(routine_type ORDER BY 1) FROM information_schema.routines WHERE routine_schema = 'copy'"); got != "FUNCTION,PACKAGE,PACKAGE BODY" {
		t.Error(got)
	}
	s.in("copy", "SELECT * FROM mixed", "SELECT * FROM alias", "SET sql_mode = ORACLE", "CALL pack.one()")
}

// What is named like the database and is a table, whose columns the views name with it.
func TestViewsOverATableNamedLikeItsDatabase(t *testing.T) {
	s := newShop(t)
	s.in("shop", "CREATE TABLE shop (id INT PRIMARY KEY)", "CREATE VIEW v AS SELECT shop.id FROM shop WHERE shop.id > 1",
		"CREATE PROCEDURE columns_only() SELECT shop.id FROM shop ORDER BY shop.id",
		"CREATE PROCEDURE names_it() INSERT INTO shop.shop VALUES (1)", "CREATE PROCEDURE calls_it() CALL shop.names_it()")
	_, result, _ := s.capture("shop")
	var named []string
	for _, note := range result.Notes {
		if what, _, is := strings.Cut(note, " names database shop itself"); is {
			named = append(named, what)
		}
	}
	if want := []string{"procedure `calls_it`", "procedure `names_it`"}; !slices.Equal(named, want) {
		t.Errorf("%q are said to name the database, want %q", named, want)
	}
}

func TestAnExpiredPasswordIsSaidWhose(t *testing.T) {
	s := newShop(t)
	s.server.Exec("CREATE USER late@'%' IDENTIFIED BY 'x' PASSWORD EXPIRE", "GRANT ALL PRIVILEGES ON *.* TO late@'%'")
	err := s.source("late", "x", "shop").Prepare(t.Context(), enginetest.NewMemory())
	if err == nil || !strings.Contains(err.Error(), "password of user late has expired") {
		t.Error(err)
	}
}

func TestManyRowsWithKeysBuiltLater(t *testing.T) {
	s := newShop(t)
	s.in("shop", "CREATE TABLE p (id INT PRIMARY KEY, code INT NOT NULL, UNIQUE KEY (code)) COMMENT = ', KEY `x`'",
		"INSERT INTO p SELECT seq, 100000 - seq FROM seq_1_to_40000",
		`CREATE TABLE c (id INT PRIMARY KEY AUTO_INCREMENT, p INT, code INT, name VARCHAR(50) NOT NULL COMMENT '  KEY ',
			body TEXT, KEY p (p), UNIQUE KEY named (name, id), FULLTEXT KEY words (body), KEY code (code),
			CONSTRAINT one FOREIGN KEY (p) REFERENCES p (id), CONSTRAINT two FOREIGN KEY (code) REFERENCES p (code) ON DELETE CASCADE)`,
		"INSERT INTO c (p, code, name, body) SELECT seq, 100000 - seq, MD5(seq), REPEAT(CONCAT(MD5(seq), ' '), 3) FROM seq_1_to_20000",
		"CREATE TABLE k (a INT AUTO_INCREMENT, b VARCHAR(100) NOT NULL, KEY (b), KEY (a), PRIMARY KEY (b, a))",
		"INSERT INTO k (b) SELECT CONCAT(MD5(seq), SHA(seq)) FROM seq_1_to_20000",
		"CREATE TABLE n (a INT NOT NULL, b VARCHAR(100), UNIQUE KEY (a), KEY (b))", "INSERT INTO n SELECT seq, CONCAT(MD5(seq), SHA(seq)) FROM seq_1_to_20000")
	s.roundTrip("shop")
}

func TestUnchangedDataGiveTheSameBytes(t *testing.T) {
	s := newShop(t, testserver.Binlog)
	for name, statements := range typeTables {
		s.in(s.fresh(name), statements...)
	}
	s.in("shop", knownSchema...)
	capture := func() map[string]string {
		all := map[string]string{}
		for _, database := range strings.Fields(s.value("SELECT GROUP_CONCAT(schema_name SEPARATOR ' ') FROM information_schema.schemata WHERE schema_name = 'shop' OR schema_name LIKE 't\\_%'")) {
			memory, result, _ := s.capture(database)
			all[database] = s.joined(memory, result)
		}
		return all
	}
	compare := func(before, after map[string]string, when string) {
		for database, text := range before {
			s.same(text, after[database], when+" "+database+":")
		}
	}
	first := capture()
	compare(first, capture(), "the second time")
	s.server.Restart()
	delete(first, databaseOf("other engines")) // what is in memory does not survive a restart
	compare(first, capture(), "after a restart")
}
