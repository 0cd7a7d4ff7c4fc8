package mysql

import (
	"strings"
	"testing"

	"github.com/dustin/go-humanize"

	"holdfast/internal/tree"
)

func TestTheSizeIsThatOfTheFiles(t *testing.T) { sizes(newShop(t)) }

// sizes asks for the size when the estimates do not know of the rows yet, and as somebody
// whom the server does not tell it.
func sizes(s shop) {
	s.in("shop", "CREATE TABLE big (id INT PRIMARY KEY AUTO_INCREMENT, v TEXT) STATS_AUTO_RECALC = 0", "INSERT INTO big (v) VALUES (REPEAT('x', 9000))",
		"CREATE TABLE old (id INT) ENGINE = MyISAM")
	for range 10 {
		s.in("shop", "INSERT INTO big (v) SELECT v FROM big")
	}
	s.server.Exec("CREATE USER planner IDENTIFIED BY 'x'", "GRANT ALL ON shop.* TO planner", "GRANT ALL ON `shop\\_h_\\_%`.* TO planner")
	plan := func(user, password string) string {
		plan, err := s.target(user, password, "shop", testToken).Plan(s.Context(), []tree.Entry{{Name: "db", Type: tree.Directory}})
		s.must(err)
		return plan.Replaces
	}
	said := plan("root", "")
	_, size, _ := strings.Cut(strings.TrimSuffix(said, ")"), "(2 tables, ")
	if bytes, err := humanize.ParseBytes(size); err != nil || bytes < 9000<<10 || bytes > 50<<20 {
		s.Errorf("%s: %v", said, err)
	}
	if said := plan("planner", "x"); said != "database shop (2 tables)" {
		s.Error(said)
	}
}

func TestInnoDBsNameOfADatabase(t *testing.T) {
	for database, want := range map[string]string{"shop_1": "shop_1/", "my-shop $": "my@002dshop@0020@0024/", "läden": ""} {
		if prefix, ok := filePrefix(database); prefix != want || ok != (want != "") {
			t.Errorf("%s: %q, %v", database, prefix, ok)
		}
	}
}
