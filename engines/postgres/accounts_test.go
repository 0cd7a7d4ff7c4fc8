package postgres

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"holdfast/engines"
	"holdfast/engines/enginetest"
	"holdfast/internal/tree"
)

// rolesOf are the roles of the tests, with all that is said of them.
const rolesOf = `SELECT string_agg(line, E'\\n' ORDER BY line) FROM (
	SELECT concat_ws(' ', rolname, rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolcanlogin, rolconnlimit, rolpassword, rolvaliduntil, shobj_description(oid, 'pg_authid'))
		FROM pg_authid WHERE rolname ~ 'r[0-9]'
	UNION ALL SELECT concat_ws(' ', g.rolname, m.rolname, admin_option) FROM pg_auth_members a JOIN pg_roles g ON g.oid = roleid JOIN pg_roles m ON m.oid = member WHERE m.rolname ~ 'r[0-9]'
	UNION ALL SELECT concat_ws(' ', rolname, setconfig) FROM pg_db_role_setting JOIN pg_roles r ON r.oid = setrole WHERE rolname ~ 'r[0-9]') AS lines (line)`

func newShopWithRoles(t *testing.T) shop {
	s := newShop(t)
	s.server.Exec("postgres", `CREATE ROLE "r1 owner" LOGIN CREATEDB PASSWORD 'hunter;2' CONNECTION LIMIT 7 VALID UNTIL '2031-01-01 00:00:00+00'`,
		`ALTER ROLE "r1 owner" SET search_path TO "$user", public`, `COMMENT ON ROLE "r1 owner" IS 'it''s; -- mine'`,
		"CREATE ROLE r2_group NOINHERIT", "CREATE ROLE r3_member LOGIN", "GRANT r2_group TO r3_member WITH ADMIN OPTION", "CREATE ROLE r4_outer",
		"GRANT r4_outer TO r2_group", "CREATE ROLE bystander LOGIN", "CREATE DATABASE other OWNER bystander")
	s.server.Exec("shop", "CREATE TABLE orders (id INT PRIMARY KEY)", "INSERT INTO orders VALUES (1)", "ALTER SCHEMA public OWNER TO site",
		`ALTER TABLE orders OWNER TO "r1 owner"`, "GRANT SELECT ON orders TO r2_group")
	return s
}

func (s shop) forgetRoles() {
	s.server.Exec("shop", "DROP TABLE IF EXISTS orders")
	s.server.Exec("postgres", `DROP ROLE IF EXISTS "r1 owner", r2_group, r3_member, r4_outer`)
}

func (s shop) withAccounts(user, database string) engines.Service {
	service := s.service(user, database)
	service.Accounts = true
	return service
}

func (s shop) takeWithRoles(user string) (*enginetest.Memory, engines.Result) {
	s.Helper()
	source, memory, _ := s.markedIn(s.withAccounts(user, "shop"))
	defer source.Close()
	result, err := source.Send(s.Context(), memory)
	s.must(err)
	return memory, result
}

func (s shop) targetWithRoles(user, database string) *target {
	s.Helper()
	opened, err := Engine.Target(s.withAccounts(user, database), testToken)
	s.must(err)
	s.Cleanup(func() { opened.Close() })
	return opened.(*target)
}

func TestRolesComeBack(t *testing.T) {
	s := newShopWithRoles(t)
	want := s.value("postgres", rolesOf)
	memory, result := s.takeWithRoles("postgres")
	text := s.file(memory, result, "db/accounts.sql")
	for _, odd := range []string{"bystander", `"postgres"`} {
		if strings.Contains(text, odd) {
			t.Errorf("%s in\n%s", odd, text)
		}
	}
	if joined := s.file(memory, result, "db.sql"); strings.Contains(joined, "CREATE ROLE") {
		t.Error("roles are part of the one file that loads into any database")
	}
	again, same := s.takeWithRoles("postgres")
	if other := s.file(again, same, "db/accounts.sql"); other != text {
		t.Errorf("another one the second time:\n%s", other)
	}
	for _, database := range []string{"shop", "fresh"} { // in schemas, and in a database of its own
		t.Run(database, func(t *testing.T) {
			s := shop{t, s.server}
			s.server.Exec("postgres", "DROP DATABASE IF EXISTS fresh")
			s.forgetRoles()
			target := s.targetWithRoles("postgres", database)
			plan, err := target.Plan(t.Context(), result.Entries)
			s.must(err)
			if !strings.Contains(strings.Join(plan.Warnings, "\n"), "those that exist are left as they are") {
				t.Errorf("the plan says %q", plan.Warnings)
			}
			staged, err := target.Stage(t.Context(), result.Entries, memory)
			s.must(err)
			if notes := strings.Join(staged.Notes, "\n"); !strings.Contains(notes, `created, because the server did not have them: "r1 owner", "r2_group", "r3_member", "r4_outer"`) ||
				!strings.Contains(notes, `left as they are, because the server has them: "site"`) || strings.Contains(notes, "could not be restored") {
				t.Errorf("notes: %s", notes)
			}
			s.must(target.Swap(t.Context()))
			s.must(target.Discard(t.Context()))
			s.same(want, s.value("postgres", rolesOf), "after the restore")
			if owner := s.value(database, "SELECT relowner::regrole FROM pg_class WHERE relname = 'orders'"); owner != `"r1 owner"` {
				t.Errorf("the table belongs to %s", owner)
			}
		})
	}
}

func TestRolesThatExistAreLeft(t *testing.T) {
	s := newShopWithRoles(t)
	memory, result := s.takeWithRoles("postgres")
	s.server.Exec("postgres", `ALTER ROLE "r1 owner" PASSWORD 'changed' NOLOGIN`, "DROP ROLE r3_member")
	before := s.value("postgres", rolesOf)
	for _, revert := range []bool{true, false} {
		target := s.targetWithRoles("postgres", "shop")
		_, err := target.Stage(t.Context(), result.Entries, memory)
		s.must(err)
		s.must(target.Swap(t.Context()))
		if revert {
			s.must(target.Revert(t.Context()))
		}
		s.must(target.Discard(t.Context()))
		s.must(target.Close())
		after := s.value("postgres", rolesOf)
		if revert {
			s.same(before, after, "after a revert")
		} else if !strings.Contains(after, "r3_member") || !strings.HasPrefix(strings.ReplaceAll(after, "r3_member", ""), before[:20]) {
			t.Errorf("after the restore:\n%s", after)
		}
	}
}

func TestRolesThatWereNotAskedFor(t *testing.T) {
	s := newShopWithRoles(t)
	memory, result := s.takeWithRoles("postgres")
	s.forgetRoles()
	_, staged := s.stage("shop", memory, result.Entries)
	if notes := strings.Join(staged.Notes, "\n"); !strings.Contains(notes, "accounts: true") {
		t.Errorf("notes: %s", notes)
	}
	if roles := s.value("postgres", rolesOf); roles != "" {
		t.Error(roles)
	}
}

func TestAStopBeforeEveryStatementLeavesNoRoles(t *testing.T) {
	s := newShopWithRoles(t)
	memory, result := s.takeWithRoles("postgres")
	want := s.value("postgres", rolesOf)
	s.forgetRoles()
	for _, database := range []string{"shop", "fresh"} {
		for n := 1; ; n++ {
			if !s.stops(n, database, memory, result.Entries) {
				break
			}
		}
		s.same(want, s.value("postgres", rolesOf), "after the restore at last")
		s.server.Exec("postgres", "DROP DATABASE IF EXISTS fresh")
		s.forgetRoles()
	}
}

// stops stops a restore before its n-th statement and lets a successor discard it.
func (s shop) stops(n int, database string, memory *enginetest.Memory, entries []tree.Entry) bool {
	s.Helper()
	count := 0
	target := s.targetWithRoles("postgres", database)
	target.step = func(string) error {
		if count++; count == n {
			return errStop
		}
		return nil
	}
	_, err := target.Stage(s.Context(), entries, memory)
	if err == nil {
		err = target.Swap(s.Context())
	}
	if count < n {
		s.must(err)
		target.step = nil
		s.must(target.Discard(s.Context()))
		s.must(target.Close())
		return false
	}
	if !errors.Is(err, errStop) {
		s.Fatalf("statement %d: %v", n, err)
	}
	s.must(target.Close())
	next := s.targetWithRoles("postgres", database)
	s.must(next.Revert(s.Context()))
	s.must(next.Discard(s.Context()))
	s.must(next.Close())
	if roles := s.value("postgres", rolesOf); roles != "" {
		s.Fatalf("stopped before statement %d, and left\n%s", n, roles)
	}
	return true
}

func TestRolesNeedPrivileges(t *testing.T) {
	s := newShopWithRoles(t)
	s.server.Exec("shop", "GRANT SELECT ON orders TO site")
	memory, result := s.takeWithRoles("site")
	if notes := strings.Join(result.Notes, "\n"); !strings.Contains(notes, `GRANT SELECT ON pg_catalog.pg_authid TO "site"`) {
		t.Errorf("notes: %s", notes)
	}
	if text := s.file(memory, result, "db/accounts.sql"); strings.Contains(text, "PASSWORD") || !strings.Contains(text, "r1 owner") {
		t.Error(text)
	}
	s.server.Exec("shop", "GRANT SELECT ON pg_catalog.pg_authid TO site")
	if memory, result = s.takeWithRoles("site"); !strings.Contains(s.file(memory, result, "db/accounts.sql"), " PASSWORD '") {
		t.Error("no passwords, though the user may read them")
	}
	_, err := s.targetWithRoles("site", "shop").Plan(t.Context(), result.Entries)
	if err == nil || !strings.Contains(err.Error(), `ALTER ROLE "site" CREATEROLE`) {
		t.Error(err)
	}
}

func TestMarksOfRoles(t *testing.T) {
	for comment, want := range map[string]string{"": " ", "mine": "mine ", "{": "{ ", `{"Token": "short"}`: `{"Token": "short"} `,
		fmt.Sprintf(`{"Token": %q, "Comment": "a'b"}`, testToken): "a'b " + testToken} {
		if text, token := unmark(comment); text+" "+token != want {
			t.Errorf("%q: %q, %q", comment, text, token)
		}
	}
}
