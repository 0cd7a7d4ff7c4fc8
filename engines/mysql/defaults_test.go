package mysql

import (
	"strings"
	"testing"

	"holdfast/internal/testserver"
)

// What an administrator has chosen for the site's sessions must not stop a restore.
func TestDefaultsOfTheServerStopNothing(t *testing.T) {
	s := newShop(t)
	s.in("shop", "CREATE TABLE a (id INT PRIMARY KEY, v TEXT, k INT, KEY (k))", "INSERT INTO a SELECT seq, REPEAT('x', 200), seq FROM seq_1_to_10000",
		"CREATE TABLE b (id INT PRIMARY KEY)")
	before := s.dump("shop")
	memory, result, _ := s.capture("shop")
	s.in("shop", "DELETE FROM a", "DROP TABLE b")
	s.server.Exec("SET GLOBAL sql_mode = 'ANSI,NO_BACKSLASH_ESCAPES', GLOBAL autocommit = 0, GLOBAL tx_isolation = 'SERIALIZABLE', GLOBAL default_storage_engine = MyISAM")
	if s.version().atLeast(10, 3, 7) {
		s.server.Exec("SET GLOBAL alter_algorithm = 'INSTANT'")
	}
	s.server.Exec("SET GLOBAL tx_read_only = 1")
	s.restore("shop", memory, result.Entries)
	s.same(before, s.dump("shop"), "after the restore")
}

// Nor must it cut off what a snapshot reads.
func TestALimitOfTheServerCutsNothingOff(t *testing.T) {
	for product, start := range map[string]func(testing.TB, ...string) *testserver.MySQLServer{"MariaDB": testserver.MariaDB, "MySQL": testserver.MySQL} {
		t.Run(product, func(t *testing.T) {
			server := start(t)
			server.Exec("CREATE DATABASE shop", "CREATE TABLE shop.a (id INT PRIMARY KEY)", "INSERT INTO shop.a VALUES (1), (2), (3), (4), (5)",
				"CREATE TABLE shop.b (id INT PRIMARY KEY)", "CREATE TABLE shop.c (id INT PRIMARY KEY)", "CREATE TABLE shop.d (id INT PRIMARY KEY)",
				"SET GLOBAL sql_select_limit = 2, GLOBAL sql_safe_updates = 1, GLOBAL max_join_size = 3")
			s := shop{t, server, nil}
			memory, result, _ := s.capture("shop")
			text := s.joined(memory, result)
			for _, want := range []string{"(4),\n(5);", "CREATE TABLE `d`"} {
				if !strings.Contains(text, want) {
					t.Errorf("without %q: %s", want, text)
				}
			}
			s.restore("shop", memory, result.Entries)
		})
	}
}
