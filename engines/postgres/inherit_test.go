package postgres

import (
	"slices"
	"strings"
	"testing"
)

// ownOf is what a database has of its own, a line each.
func (s shop) ownOf(database string) string {
	s.Helper()
	return s.value("postgres", `SELECT concat_ws(E'\n', 'owner ' || pg_get_userbyid(datdba), 'limit ' || datconnlimit, 'tablespace ' || spcname, 'comment ' || shobj_description(d.oid, 'pg_database'),
			'privileges ' || CASE WHEN datacl IS NULL THEN 'as usual' ELSE (SELECT concat(string_agg(concat_ws(' ', grantee::regrole, privilege_type, is_grantable), ', ' ORDER BY grantee, privilege_type))
				FROM aclexplode(datacl)) END,
			(SELECT string_agg(concat_ws(' ', setrole::regrole, setting), E'\n' ORDER BY setrole, setting) FROM pg_db_role_setting, unnest(setconfig) AS list (setting) WHERE setdatabase = d.oid))
		FROM pg_database d JOIN pg_tablespace t ON t.oid = dattablespace WHERE datname = '`+database+`'`)
}

// ownedShop is a shop that can only be swapped as a whole, with all that a database may
// have of its own.
func ownedShop(t *testing.T) shop {
	s := newShop(t, "allow_in_place_tablespaces=on")
	s.server.Exec("postgres", "CREATE TABLESPACE fast LOCATION ''")
	s.in("shop", "CREATE TABLE a (id INT PRIMARY KEY)", "SELECT lo_from_bytea(70001, 'large')")
	s.server.Exec("postgres", "ALTER DATABASE shop SET TABLESPACE fast", "ALTER DATABASE shop CONNECTION LIMIT 77", "COMMENT ON DATABASE shop IS 'it''s; -- ours'",
		"REVOKE ALL ON DATABASE shop FROM PUBLIC", "GRANT CONNECT ON DATABASE shop TO backup WITH GRANT OPTION",
		"ALTER DATABASE shop SET work_mem = '5MB'", `ALTER DATABASE shop SET search_path TO "$user", public`, `CREATE ROLE "odd ""role"" IN DATABASE x" LOGIN`,
		`ALTER ROLE "odd ""role"" IN DATABASE x" IN DATABASE shop SET application_name TO 'it''s; mine'`,
		"ALTER ROLE site IN DATABASE shop SET statement_timeout = '1h'", "ALTER ROLE site IN DATABASE shop SET search_path TO nowhere, public")
	return s
}

func TestADatabaseThatTakesThePlaceOfAnotherHasAllItsOwn(t *testing.T) {
	s := ownedShop(t)
	memory, result := s.capture()
	s.server.Exec("postgres", "ALTER DATABASE shop SET work_mem = '6MB'", "ALTER ROLE backup IN DATABASE shop SET work_mem = '7MB'") // not in the snapshot
	want := s.ownOf("shop")
	target := s.target("postgres", "shop")
	staged, err := target.Stage(t.Context(), result.Entries, memory)
	s.must(err)
	if notes := strings.Join(staged.Notes, "\n"); strings.Contains(notes, "lacks") {
		t.Error(notes)
	}
	s.same(want, s.ownOf("shop"), "after the stage")
	s.must(target.Swap(t.Context()))
	s.must(target.Revert(t.Context()))
	s.same(want, s.ownOf("shop"), "after the revert")
	s.must(target.Swap(t.Context()))
	s.must(target.Discard(t.Context()))
	s.same(want, s.ownOf("shop"), "after the discard")
}

func TestWhatAUserMayNotGiveTheNewDatabaseIsTold(t *testing.T) {
	s := ownedShop(t)
	want := strings.Split(s.ownOf("shop"), "\n")
	memory, result := s.capture()
	staged := s.restore("shop", memory, result.Entries)
	notes := strings.Join(staged.Notes, "\n")
	for _, told := range []string{`lacks what the current one has: ALTER ROLE "odd ""role"" IN DATABASE x" IN DATABASE "shop" SET application_name TO 'it''s; mine': ERROR: permission denied`,
		"is in tablespace pg_default, the current one in fast, where user site may create nothing"} {
		if !strings.Contains(notes, told) {
			t.Errorf("notes: %s\nwant %s", notes, told)
		}
	}
	got := strings.Split(s.ownOf("shop"), "\n")
	for _, line := range want {
		if kept, may := slices.Contains(got, line), !strings.Contains(line, "odd") && line != "tablespace fast"; kept != may {
			t.Errorf("%s: kept: %v, may be: %v", line, kept, may)
		}
	}
}

// A database without privileges is closed to others, unlike one of which nothing was said.
func TestADatabaseThatIsClosedStaysClosed(t *testing.T) {
	s := newShop(t)
	s.in("shop", "SELECT lo_from_bytea(70001, 'large')")
	s.server.Exec("postgres", "REVOKE ALL ON DATABASE shop FROM PUBLIC, site")
	memory, result := s.captureAs("postgres", "shop")
	target := s.target("postgres", "shop")
	_, err := target.Stage(t.Context(), result.Entries, memory)
	s.must(err)
	s.must(target.Swap(t.Context()))
	if open := s.value("postgres", "SELECT has_database_privilege('backup', 'shop', 'CONNECT')"); open != "f" {
		t.Error("anybody may connect")
	}
}

func TestADatabaseThatIsCreatedHasTheSettingsOfTheSnapshot(t *testing.T) {
	s := ownedShop(t)
	memory, result := s.capture()
	s.server.Exec("postgres", "ALTER ROLE \"odd \"\"role\"\" IN DATABASE x\" RENAME TO gone")
	target := s.target("postgres", "fresh")
	staged, err := target.Stage(t.Context(), result.Entries, memory)
	s.must(err)
	if notes := strings.Join(staged.Notes, "\n"); !strings.Contains(notes, `lacks what the snapshot's has: ALTER ROLE "odd ""role"" IN DATABASE x" IN DATABASE "fresh" SET application_name TO 'it''s; mine': ERROR: role`) {
		t.Error(notes)
	}
	s.must(target.Swap(t.Context()))
	again, later := s.captureAs("postgres", "fresh")
	if text := s.file(again, later, "db/database.sql"); !strings.Contains(text, "COMMENT ON DATABASE \"fresh\" IS 'it''s; -- ours'") {
		t.Errorf("before the restore has ended the comment is its journal, and not what is saved: %s", text)
	}
	s.must(target.Discard(t.Context()))
	s.same(strings.Join([]string{"owner postgres", "limit -1", "tablespace pg_default", "comment it's; -- ours", "privileges as usual", `- search_path="$user", public`, "- work_mem=5MB",
		"site search_path=nowhere, public", "site statement_timeout=1h"}, "\n"), s.ownOf("fresh"), "after the restore")
}
