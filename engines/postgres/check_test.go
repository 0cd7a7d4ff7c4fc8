package postgres

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"holdfast/engines"
	"holdfast/engines/enginetest"
)

// check plans a restore into shop, as user.
func (s shop) check(user string, memory *enginetest.Memory, result engines.Result) (string, error) {
	s.Helper()
	target := s.target(user, "shop")
	defer target.Close()
	plan, err := target.Plan(s.Context(), result.Entries)
	s.must(err)
	err = target.Check(s.Context(), result.Entries, memory, &plan)
	return strings.Join(plan.Warnings, "\n"), err
}

// visit opens a session of role, whose password is that of the tests, in shop.
func (s shop) visit(role string) *pgconn.PgConn {
	s.Helper()
	return s.visitIn("shop", role)
}

func (s shop) visitIn(database, role string) *pgconn.PgConn {
	s.Helper()
	u := s.server.URL(role, database)
	u.User, u.RawQuery = url.UserPassword(role, testPassword), "sslmode=disable"
	conn, err := pgconn.Connect(s.Context(), u.String())
	s.must(err)
	s.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

func TestWhatOnlyADatabaseOfItsOwnTakesIsSaidBeforehand(t *testing.T) {
	s := newShop(t)
	s.in("shop", "CREATE TABLE a (id INT PRIMARY KEY)")
	memory, plain := s.capture()
	s.in("shop", "SELECT lo_from_bytea(70001, 'large')")
	large, whole := s.capture()
	s.in("shop", "SELECT lo_unlink(70001)")
	visitors := s.visit("site")

	if said, err := s.check("site", memory, plain); said != "" || err != nil {
		t.Errorf("in schemas: %q, %v", said, err)
	}
	if said, err := s.check("site", large, whole); err != nil || !strings.Contains(said, "replaced as a whole (the snapshot has large objects), which ends the sessions in it: 1 now") {
		t.Errorf("as a whole: %q, %v", said, err)
	}
	s.must(visitors.Exec(t.Context(), "SELECT 1").Close())
	s.server.Exec("postgres", "ALTER ROLE site NOCREATEDB")
	if _, err := s.check("site", large, whole); err == nil || !strings.Contains(err.Error(), `ALTER ROLE "site" CREATEDB`) || !strings.Contains(err.Error(), "large objects") {
		t.Errorf("without CREATEDB: %v", err)
	}
	if s.value("postgres", "SELECT count(*) FROM pg_database WHERE datname LIKE 'shop_%'") != "0" {
		t.Error("the check left something behind")
	}
}

// TestADatabaseThatIsGoneIsMadeForItsUser, who need not be allowed to make others.
func TestADatabaseThatIsGoneIsMadeForItsUser(t *testing.T) {
	s := newShop(t)
	s.in("shop", "CREATE TABLE a (id INT PRIMARY KEY)", "INSERT INTO a VALUES (1)")
	memory, result := s.capture()
	s.server.Exec("postgres", "CREATE ROLE restorer LOGIN PASSWORD '"+testPassword+"'", "DROP DATABASE shop WITH (FORCE)")
	target := s.target("restorer", "shop")
	_, err := target.Plan(t.Context(), result.Entries)
	s.must(target.Close())
	if err == nil || !strings.Contains(err.Error(), `ALTER ROLE "restorer" CREATEDB; or, with less: CREATE DATABASE "shop" OWNER "restorer"`) {
		t.Fatal(err)
	}
	s.server.Exec("postgres", err.Error()[strings.Index(err.Error(), "CREATE DATABASE"):], "GRANT site TO restorer")
	if said, err := s.check("restorer", memory, result); err != nil {
		t.Errorf("%q, %v", said, err)
	}
}

// What the errors ask for suffices, and leaves the database its owner's.
func TestTheGrantsInTheErrorsSuffice(t *testing.T) {
	s := newShop(t)
	s.in("shop", "CREATE TABLE a (id INT PRIMARY KEY)", "SELECT lo_from_bytea(70001, 'large')")
	memory, result := s.capture()
	before := s.dump("shop")
	s.server.Exec("postgres", "CREATE ROLE restorer LOGIN PASSWORD '"+testPassword+"'", "REVOKE CONNECT ON DATABASE postgres, template1 FROM PUBLIC", "ALTER DATABASE shop OWNER TO postgres")
	plan := func() error {
		target := s.target("restorer", "shop")
		defer target.Close()
		_, err := target.Plan(t.Context(), result.Entries)
		return err
	}
	if err := plan(); err == nil || !strings.HasSuffix(err.Error(), `ALTER DATABASE "shop" OWNER TO "restorer"`) {
		t.Errorf("of a superuser's database: %v", err)
	}
	s.server.Exec("postgres", "ALTER DATABASE shop OWNER TO site")
	err := plan()
	if err == nil || !strings.HasSuffix(err.Error(), `: GRANT CONNECT ON DATABASE postgres TO "restorer"; ALTER ROLE "restorer" CREATEDB; GRANT site TO "restorer"`) {
		t.Fatal(err)
	}
	s.server.Exec("postgres", strings.Split(err.Error()[strings.Index(err.Error(), ": GRANT")+2:], "; ")...)
	if _, err := s.check("restorer", memory, result); err != nil {
		t.Fatal(err)
	}
	s.visit("site")
	s.in("shop", "DROP TABLE a", "SELECT lo_unlink(70001)")
	target := s.target("restorer", "shop")
	_, err = target.Stage(t.Context(), result.Entries, memory)
	s.must(err)
	s.must(target.Swap(t.Context()))
	s.must(target.Discard(t.Context()))
	s.same(before, s.dump("shop"), "after the restore")
	if owner := s.value("postgres", "SELECT datdba::regrole FROM pg_database WHERE datname = 'shop'"); owner != "site" {
		t.Errorf("the database is %s's", owner)
	}
}

func TestExtensionsThatTheUserMayNotCreateAreSaidBeforehand(t *testing.T) {
	s := newShop(t)
	s.in("shop", "CREATE TABLE a (id INT PRIMARY KEY)")
	s.server.Exec("shop", "CREATE EXTENSION pgcrypto", "CREATE EXTENSION pg_buffercache")
	memory, result := s.capture()
	said, err := s.check("site", memory, result)
	if err != nil || !strings.Contains(said, `only a superuser may create extension pg_buffercache: ALTER ROLE "site" SUPERUSER`) || strings.Contains(said, "create extension pgcrypto") {
		t.Errorf("%q, %v", said, err)
	}
	target := s.target("site", "shop")
	if _, err := target.Stage(t.Context(), result.Entries, memory); err == nil || !strings.Contains(err.Error(), `ALTER ROLE "site" SUPERUSER`) {
		t.Errorf("the stage: %v", err)
	}
	s.must(target.Discard(t.Context()))
	s.must(target.Close())
	s.server.Exec("postgres", `ALTER ROLE "site" SUPERUSER`)
	if said, err := s.check("site", memory, result); err != nil || strings.Contains(said, "superuser") {
		t.Errorf("a superuser: %q, %v", said, err)
	}
	s.restore("shop", memory, result.Entries)

	content, entries := damaged(t, memory, result.Entries, "schema.sql", func(text string) string {
		return strings.ReplaceAll(text, "EXTENSION IF NOT EXISTS pg_buffercache", "EXTENSION IF NOT EXISTS not_installed")
	})
	if _, err := s.check("site", content, engines.Result{Entries: entries}); err == nil || !strings.Contains(err.Error(), "has no extension not_installed") {
		t.Errorf("an extension that the server does not have: %v", err)
	}
}

// While one session may not be ended, those of the site go on.
func TestSessionsAreEndedOnlyWhereAllCanBe(t *testing.T) {
	s := newShop(t)
	s.in("shop", "CREATE TABLE a (id INT PRIMARY KEY)", "SELECT lo_from_bytea(70001, 'large')")
	memory, result := s.capture()
	s.server.Exec("postgres", "CREATE ROLE visitor LOGIN PASSWORD '"+testPassword+"'", "CREATE ROLE root LOGIN SUPERUSER PASSWORD '"+testPassword+"'")
	own := s.visit("site")
	for role, c := range map[string]struct{ without, want, not, cure string }{
		"visitor": {"REVOKE pg_signal_backend FROM site", `GRANT pg_signal_backend TO "site"`, "superuser", `GRANT pg_signal_backend TO "site"`},
		"root":    {"GRANT pg_signal_backend TO site", "only a superuser may end", "GRANT", ""},
	} {
		s.server.Exec("postgres", c.without)
		target, _ := s.stage("shop", memory, result.Entries)
		other := s.visit(role)
		_, err := s.check("site", memory, result)
		for when, err := range map[string]error{"beforehand": err, "at the swap": target.Swap(t.Context())} {
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), c.not) {
				t.Errorf("%s, %s: %v", role, when, err)
			}
		}
		if err := own.Exec(t.Context(), "SELECT 1").Close(); err != nil {
			t.Errorf("%s: the site's session was ended for nothing: %v", role, err)
		}
		s.server.Exec("postgres", fmt.Sprintf("SELECT pg_terminate_backend(%d)", other.PID()))
		s.must(target.Discard(t.Context()))
		s.must(target.Close())
		if c.cure != "" {
			s.server.Exec("postgres", c.cure)
		}
		s.visit("visitor")
		s.restore("shop", memory, result.Entries)
		own = s.visit("site")
	}
}

// TestWhoSitsInWhatARestoreLeftIsNamed, in each state that a killed one can have left, with
// a line that ends all of them; then the same call goes on.
func TestWhoSitsInWhatARestoreLeftIsNamed(t *testing.T) {
	s := newShop(t)
	s.in("shop", "CREATE TABLE a (id INT PRIMARY KEY)", "SELECT lo_from_bytea(70001, 'large')")
	memory, result := s.capture()
	s.server.Exec("postgres", "REVOKE pg_signal_backend FROM site", "CREATE ROLE visitor LOGIN PASSWORD '"+testPassword+"'",
		"CREATE ROLE root LOGIN SUPERUSER PASSWORD '"+testPassword+"'")
	staging, retired := beside("shop", "_hf_", testToken), beside("shop", "_hr_", testToken)
	staged := func() *target {
		target, _ := s.stage("shop", memory, result.Entries)
		return target
	}
	swapped := func() *target {
		target := staged()
		s.must(target.Swap(t.Context()))
		return target
	}
	for name, c := range map[string]struct {
		begin    func() *target
		goOn     func(*target) error
		database string
	}{
		"staged":   {staged, func(t *target) error { return t.Discard(s.Context()) }, staging},
		"swapping": {swapped, func(t *target) error { return t.Revert(s.Context()) }, retired},
		"retired":  {swapped, func(t *target) error { return t.Discard(s.Context()) }, retired},
	} {
		for _, roles := range [][]string{{"visitor"}, {"root", "visitor", "visitor"}} {
			target := c.begin()
			want := []string{c.database, `"holdfast snapshot recover" goes on then`}
			for _, role := range roles {
				want = append(want, fmt.Sprintf("pid %d of role %s in database %s", s.visitIn(c.database, role).PID(), role, c.database))
			}
			err := c.goOn(target)
			if err == nil {
				t.Fatalf("%s, %v: it went on", name, roles)
			}
			for _, text := range want {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("%s, %v: %q is not in: %v", name, roles, text, err)
				}
			}
			if strings.Contains(err.Error(), "lacks a privilege") || strings.Contains(err.Error(), "GRANT pg_signal_backend") != (len(roles) == 1) {
				t.Errorf("%s, %v: %v", name, roles, err)
			}
			_, line, _ := strings.Cut(err.Error(), "SELECT ")
			line, _, _ = strings.Cut(line, ";")
			s.server.Exec("postgres", "SELECT "+line)
			s.must(c.goOn(target))
			s.must(target.Discard(t.Context()))
			s.must(target.Close())
		}
	}
}

// TestWhatCannotBeSavedIsKnownBefore: the user owns the database, and somebody else has
// put a table there.
func TestWhatCannotBeSavedIsKnownBefore(t *testing.T) {
	s := newShop(t)
	s.in("shop", "CREATE TABLE orders (id INT)")
	memory, result := s.capture()
	target := s.target("site", "shop")
	plan, err := target.Plan(t.Context(), result.Entries)
	s.must(errors.Join(err, plan.Unreadable))
	s.server.Exec("shop", "CREATE TABLE closed (id INT)")
	plan, err = target.Plan(t.Context(), result.Entries)
	s.must(err)
	if plan.Unreadable == nil || !strings.Contains(plan.Unreadable.Error(), "cannot read public.closed") {
		t.Error(plan.Unreadable)
	}
	// And so it would be.
	_, err = target.Stage(t.Context(), result.Entries, memory)
	s.must(err)
	s.must(target.Swap(t.Context()))
	retired, err := target.Retired(t.Context())
	s.must(err)
	defer retired.Close()
	if err := retired.Prepare(t.Context(), memory); err == nil || !strings.Contains(err.Error(), "cannot read public.closed") {
		t.Error(err)
	}
}
