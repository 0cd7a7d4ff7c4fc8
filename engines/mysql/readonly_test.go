package mysql

import (
	"strings"
	"testing"

	"holdfast/internal/testserver"
)

// Whoever may write nevertheless may restore.
func TestAReadOnlyServerIsRefused(t *testing.T) {
	for product, start := range map[string]func(testing.TB, ...string) *testserver.MySQLServer{"MariaDB": testserver.MariaDB, "MySQL": testserver.MySQL} {
		t.Run(product, func(t *testing.T) {
			server := start(t)
			server.Exec("CREATE DATABASE shop", "CREATE TABLE shop.a (id INT PRIMARY KEY)", "CREATE USER site IDENTIFIED BY 'x'",
				"GRANT ALL ON `shop`.* TO site", "GRANT ALL ON `shop\\_h_\\_%`.* TO site")
			s := shop{t, server, nil}
			_, result, _ := s.capture("shop")
			for _, c := range []struct{ set, user, password, want string }{
				{"SET GLOBAL read_only = 1", "site", "x", "is read-only (read_only)"},
				{"SET GLOBAL read_only = 1", "root", "", ""},
				{"SET GLOBAL read_only = 0", "site", "x", ""},
			} {
				server.Exec(c.set)
				_, err := s.target(c.user, c.password, "shop", testToken).Plan(t.Context(), result.Entries)
				if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
					t.Errorf("%s, as %s: %v", c.set, c.user, err)
				}
			}
		})
	}
}
