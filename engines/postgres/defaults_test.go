package postgres

import "testing"

// What an administrator has chosen for the site's sessions changes nothing that is restored.
func TestDefaultsOfTheRoleChangeNothing(t *testing.T) {
	s := newShop(t)
	s.in("shop", "CREATE TABLE a (id int PRIMARY KEY, l int[], CHECK (id = NULL))", "INSERT INTO a VALUES (1, '{1,NULL,3}')")
	before := s.dump("shop")
	memory, result := s.capture()
	s.in("shop", "DELETE FROM a")
	for _, set := range []string{"array_nulls = off", "transform_null_equals = on", "default_transaction_read_only = on", "default_transaction_isolation = serializable",
		"standard_conforming_strings = off", "search_path = nowhere", "DateStyle = German", "session_replication_role = replica"} {
		s.server.Exec("postgres", "ALTER ROLE site SET "+set)
	}
	s.restore("shop", memory, result.Entries)
	s.same(before, s.dump("shop"), "after the restore")
}
