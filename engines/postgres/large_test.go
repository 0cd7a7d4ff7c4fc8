package postgres

import (
	"regexp"
	"strings"
	"testing"

	"holdfast/engines/enginetest"
)

func TestLargeObjectsThatAreClosedAreFoundBeforehand(t *testing.T) {
	s := newShop(t)
	s.in("shop", "CREATE TABLE a (id INT PRIMARY KEY)", "SELECT lo_from_bytea(70001, 'of the site')")
	s.server.Exec("shop", "GRANT USAGE ON SCHEMA public TO backup", "GRANT SELECT ON a TO backup", "SELECT lo_from_bytea(70002, 'of a superuser')", "SELECT lo_from_bytea(70003, 'for all')",
		"GRANT SELECT ON LARGE OBJECT 70003 TO PUBLIC")
	prepare := func() error {
		source := s.source(s.service("backup", "shop"))
		defer source.Close()
		return source.Prepare(t.Context(), enginetest.NewMemory())
	}
	err := prepare()
	if err == nil || !strings.Contains(err.Error(), "cannot read 2 large objects in database shop (the first is 70001)") ||
		!strings.Contains(err.Error(), `GRANT site TO "backup"`) || strings.Contains(err.Error(), "GRANT postgres") {
		t.Fatal(err)
	}
	for _, cure := range regexp.MustCompile(`GRANT [^;,]*`).FindAllString(err.Error(), -1) {
		s.server.Exec("shop", cure)
	}
	s.must(prepare())
	memory, result := s.captureAs("backup", "shop")
	if text := s.file(memory, result, "db/largeobjects.sql"); strings.Count(text, "lo_put") != 3 {
		t.Error(text)
	}
	s.server.Exec("shop", "ALTER LARGE OBJECT 70001 OWNER TO postgres")
	if prepare() == nil {
		t.Error("one was closed, and nothing is said")
	}
	s.server.Exec("shop", "ALTER DATABASE shop SET lo_compat_privileges = on")
	s.must(prepare())
}
