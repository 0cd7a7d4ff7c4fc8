package mysql

import (
	"strings"
	"testing"

	"holdfast/engines/enginetest"
	"holdfast/internal/testserver"
)

// TestARestoreThatWouldBeRefusedIsForeseen by who would take the snapshot, unless he could
// not restore anyway.
func TestARestoreThatWouldBeRefusedIsForeseen(t *testing.T) {
	s := newShop(t, testserver.Binlog)
	s.in("shop", "CREATE TABLE a (id INT PRIMARY KEY)", "CREATE FUNCTION f() RETURNS INT DETERMINISTIC RETURN 1")
	s.server.Exec("CREATE USER site IDENTIFIED BY 'x'", "GRANT ALL ON `shop`.* TO site", "GRANT SELECT ON mysql.proc TO site",
		"CREATE USER saver IDENTIFIED BY 'x'", "GRANT SELECT, SHOW VIEW, TRIGGER, EVENT, EXECUTE ON `shop`.* TO saver", "GRANT SELECT ON mysql.proc TO saver")
	foreseen := func(user, password string) string {
		source := s.source(user, password, "shop")
		s.must(source.Prepare(t.Context(), enginetest.NewMemory()))
		said, err := source.Foresee(t.Context())
		s.must(err)
		return strings.Join(said, "\n")
	}
	const refused = "a restore into it would be refused: database shop: "
	said := foreseen("site", "x")
	for _, want := range []string{refused + "function `f` is defined by root@127.0.0.1", "GRANT SET USER ON *.* TO 'site'@'%'", "on the databases that a restore of shop is built in", "GRANT ALL PRIVILEGES ON `shop\\_h_\\_%`.* TO 'site'@'%'", refused + "because MariaDB", "GRANT SUPER ON *.* TO 'site'@'%'"} {
		if !strings.Contains(said, want) {
			t.Errorf("%q is not in: %s", want, said)
		}
	}
	s.server.Exec("GRANT SUPER, SET USER ON *.* TO site", "GRANT ALL ON `shop\\_h_\\_%`.* TO site")
	for _, user := range []string{"site", "saver"} {
		if said := foreseen(user, "x"); strings.Contains(said, "refused") {
			t.Errorf("%s: %s", user, said)
		}
	}
}
