package mysql

import (
	"strings"
	"testing"

	"holdfast/engines/enginetest"
	"holdfast/internal/testserver"
	"holdfast/internal/tree"
)

const (
	aFunction  = "CREATE FUNCTION f() RETURNS INT DETERMINISTIC RETURN 1"
	aTrigger   = "CREATE TRIGGER tr BEFORE INSERT ON t FOR EACH ROW SET NEW.id = NEW.id + 1"
	aRash      = "CREATE FUNCTION rash() RETURNS DOUBLE RETURN RAND()"
	aProcedure = "CREATE PROCEDURE p() DELETE FROM t"
)

// A restore says beforehand what a server with a binary log takes from nobody or from
// nobody without SUPER, and goes through where it does not say so.
func TestDefinitionsThatABinaryLogForbids(t *testing.T) {
	const trust = "SET GLOBAL log_bin_trust_function_creators = 1"
	cases := []struct {
		what   string
		only   string // the product that this is about
		grant  string // on all databases, besides everything on its own
		trusts bool
		holds  []string // the snapshot, besides a table
		there  []string // the target
		want   []string // of the refusal; nil: it is restored
	}{
		{what: "a function", holds: []string{aFunction}, want: []string{"binary log", "function `f`", trust, "GRANT SUPER ON *.* TO 'site'@'%'"}},
		{what: "a trigger", holds: []string{aTrigger}, want: []string{"trigger `tr`", trust, "GRANT SUPER ON *.*"}},
		{what: "a trigger that is there", there: []string{aTrigger}, want: []string{"trigger `tr`", trust, "GRANT SUPER ON *.*"}},
		{what: "a procedure", holds: []string{aProcedure}, there: []string{aProcedure}},
		{what: "a function, for SUPER", grant: "SUPER", holds: []string{aFunction, aTrigger}, there: []string{aTrigger}},
		{what: "a trigger, for SET USER", only: "MariaDB", grant: "SET USER", holds: []string{aTrigger}, want: []string{"trigger `tr`"}},
		{what: "a trigger, for SET_USER_ID", only: "MySQL", grant: "SET_USER_ID", holds: []string{aTrigger}, there: []string{aTrigger}},
		{what: "a function, for SET_USER_ID", only: "MySQL", grant: "SET_USER_ID", holds: []string{aFunction, aTrigger}, want: []string{"create function `f`: "}},
		{what: "a function, with trust", trusts: true, holds: []string{aFunction, aRash, aTrigger}, there: []string{aTrigger}},
		{what: "a function that says nothing", holds: []string{aRash}, want: []string{"function `rash`", trust}},
		{what: "a function that says nothing, for SUPER", grant: "SUPER", holds: []string{aRash, aFunction}, want: []string{"function `rash`", "DETERMINISTIC", trust}},
	}
	for _, product := range []struct {
		name string
		run  func(testing.TB, ...string) *testserver.MySQLServer
	}{{"MariaDB", testserver.MariaDB}, {"MySQL", testserver.MySQL}} {
		t.Run(product.name, func(t *testing.T) {
			server := product.run(t, testserver.Binlog)
			db := server.Open("root", "", "")
			t.Cleanup(func() { db.Close() })
			for _, c := range cases {
				if c.only != "" && c.only != product.name {
					continue
				}
				t.Run(c.what, func(t *testing.T) {
					s := shop{t, server, db}
					server.Exec("SET GLOBAL log_bin_trust_function_creators = 1", "DROP USER IF EXISTS site", "CREATE USER site@'%' IDENTIFIED BY 'x'",
						"GRANT ALL ON shop.* TO site", "GRANT ALL ON `shop\\_h_\\_%`.* TO site", "GRANT SELECT ON *.* TO site")
					if c.grant != "" {
						server.Exec("GRANT " + c.grant + " ON *.* TO site")
					}
					memory, entries := s.heldBySite(c.holds)
					s.asSite(append([]string{"CREATE TABLE t (id INT)"}, c.there...)...)
					if !c.trusts {
						server.Exec("SET GLOBAL log_bin_trust_function_creators = 0")
					}
					err := s.restoreAsSite(memory, entries)
					if c.want == nil {
						s.must(err)
						return
					}
					for _, want := range c.want {
						if err == nil || !strings.Contains(err.Error(), want) {
							t.Errorf("want %q: %v", want, err)
						}
					}
					if err != nil && strings.Contains(strings.Join(c.want, ""), "rash") && strings.Contains(err.Error(), "GRANT SUPER") {
						t.Errorf("SUPER does not help: %v", err)
					}
				})
			}
		})
	}
}

// heldBySite is a snapshot of a table and what site defines beside it.
func (s shop) heldBySite(definitions []string) (*enginetest.Memory, []tree.Entry) {
	s.Helper()
	s.asSite(append([]string{"CREATE TABLE t (id INT)"}, definitions...)...)
	memory, result, _ := s.capture("shop")
	return memory, result.Entries
}

// asSite makes the database anew, as site.
func (s shop) asSite(statements ...string) {
	s.Helper()
	s.server.Exec("DROP DATABASE IF EXISTS shop", "CREATE DATABASE shop")
	db := s.server.Open("site", "x", "shop")
	defer db.Close()
	for _, statement := range statements {
		if _, err := db.Exec(statement); err != nil {
			s.Fatalf("%v\n%s", err, statement)
		}
	}
}

// restoreAsSite plans a restore by site and, unless that refuses, carries it out and back.
func (s shop) restoreAsSite(memory *enginetest.Memory, entries []tree.Entry) error {
	s.Helper()
	target := s.target("site", "x", "shop", testToken)
	plan, err := target.Plan(s.Context(), entries)
	if err != nil {
		return err
	}
	if err := target.Check(s.Context(), entries, memory, &plan); err != nil {
		return err
	}
	_, err = target.Stage(s.Context(), entries, memory)
	s.must(err)
	s.must(target.Swap(s.Context()))
	s.must(target.Revert(s.Context()))
	s.must(target.Discard(s.Context()))
	return nil
}

func TestMessagesNameWhatIsCreated(t *testing.T) {
	for statement, want := range map[string]string{
		"CREATE OR REPLACE DEFINER=`site`@`%` FUNCTION `f`() RETURNS INT RETURN 1": "create function",
		"CREATE OR REPLACE ALGORITHM=UNDEFINED VIEW `v` AS SELECT 1":               "create view",
		"CREATE TABLE `t` (`a` INT COMMENT 'a trigger ')":                          "create table",
		"SHOW CREATE TABLE t":       "read",
		"INSERT INTO t VALUES (17)": "insert into",
	} {
		if got := verb(statement); got != want {
			t.Errorf("%.40s: %q, want %q", statement, got, want)
		}
	}
}
