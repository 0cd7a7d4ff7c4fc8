package mysql

import "testing"

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
