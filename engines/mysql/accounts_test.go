package mysql

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"holdfast/engines"
	"holdfast/engines/enginetest"
	"holdfast/internal/testserver"
	"holdfast/internal/tree"
)

func TestAccounts(t *testing.T) {
	for name, start := range map[string]func(testing.TB, ...string) *testserver.MySQLServer{"MariaDB": testserver.MariaDB, "MySQL": testserver.MySQL} {
		t.Run(name, func(t *testing.T) {
			server := start(t)
			db := server.Open("root", "", "")
			t.Cleanup(func() { db.Close() })
			s := accountShop{shop{t, server, db}, name == "MySQL"}
			s.fill()
			memory, entries := s.take()
			t.Run("the stream", func(t *testing.T) { s.at(t).stream(memory, entries) })
			t.Run("come back with what they may do", func(t *testing.T) { s.at(t).comeBack(memory, entries) })
			t.Run("what exists is left", func(t *testing.T) { s.at(t).staysAsItIs(memory, entries) })
			t.Run("not asked for", func(t *testing.T) { s.at(t).notAskedFor(memory, entries) })
			t.Run("a stop before every statement", func(t *testing.T) { s.at(t).stops(memory, entries) })
			t.Run("privileges", func(t *testing.T) { s.at(t).refused(entries) })
		})
	}
}

type accountShop struct {
	shop
	mysql bool
}

func (s accountShop) at(t *testing.T) accountShop {
	return accountShop{shop{t, s.server, s.db}, s.mysql}
}

// passwordOf is what nobody may find in a message.
const passwordOf = "hunter;\n2'"

func (s accountShop) fill() {
	s.server.Exec("CREATE DATABASE shop", "CREATE TABLE shop.orders (id INT PRIMARY KEY, v INT)", "INSERT INTO shop.orders VALUES (1, 10)",
		"CREATE TABLE shop.secrets (id INT PRIMARY KEY)", "CREATE FUNCTION shop.f() RETURNS INT DETERMINISTIC RETURN 7",
		"CREATE DATABASE other", "CREATE USER bystander@'%'", "GRANT ALL ON other.* TO bystander@'%'")
	s.create()
	s.in("shop", "CREATE DEFINER = `of views`@localhost VIEW seen AS SELECT id FROM orders")
}

var accountNames = []string{"'Site'@'%'", "'of tables'@localhost", "'of views'@localhost", "member@'%'"}

func (s accountShop) create() {
	s.server.Exec("CREATE ROLE reader, nested", "CREATE USER 'Site'@'%' IDENTIFIED BY 'hunter;\\n2\\'' REQUIRE NONE WITH MAX_USER_CONNECTIONS 50",
		"GRANT ALL ON shop.* TO 'Site'@'%' WITH GRANT OPTION", "GRANT PROCESS ON *.* TO 'Site'@'%'", "GRANT SELECT ON other.* TO 'Site'@'%'",
		"CREATE USER 'of tables'@localhost IDENTIFIED BY 'x'", "GRANT SELECT (id), INSERT ON shop.orders TO 'of tables'@localhost",
		"GRANT EXECUTE ON FUNCTION shop.f TO 'of tables'@localhost", "CREATE USER 'of views'@localhost",
		"GRANT SELECT ON shop.* TO reader", "GRANT nested TO reader", "CREATE USER member@'%' IDENTIFIED BY 'y'", "GRANT reader TO member@'%'")
	if s.mysql {
		s.server.Exec("SET DEFAULT ROLE reader TO member@'%'")
	} else {
		s.server.Exec("SET DEFAULT ROLE reader FOR member@'%'")
	}
}

func (s accountShop) forget() {
	s.server.Exec("DROP USER IF EXISTS "+strings.Join(accountNames, ", "), "DROP ROLE IF EXISTS reader, nested")
}

// known are the accounts with all that is said of them.
func (s accountShop) known() string {
	s.Helper()
	var text []string
	for _, name := range append(slices.Clone(accountNames), "reader", "nested") {
		for _, query := range []string{"SHOW CREATE USER ", "SHOW GRANTS FOR "} {
			rows, err := s.db.QueryContext(s.Context(), query+name)
			if err != nil {
				text = append(text, name+" is not there")
				break
			}
			for rows.Next() {
				var line string
				if err := rows.Scan(&line); err != nil {
					s.Fatal(err)
				}
				text = append(text, line)
			}
			rows.Close()
		}
	}
	slices.Sort(text)
	return strings.Join(slices.Compact(text), "\n")
}

func (s accountShop) take() (*enginetest.Memory, []tree.Entry) {
	s.Helper()
	service := s.service("root", "", "shop")
	service.Accounts = true
	opened, err := Engine.Source(service)
	s.must(err)
	defer opened.Close()
	memory := enginetest.NewMemory()
	s.must(opened.Prepare(s.Context(), memory))
	_, err = opened.Mark(s.Context(), memory)
	s.must(err)
	result, err := opened.Send(s.Context(), memory)
	s.must(err)
	return memory, result.Entries
}

// opened is a target with accounts, or without.
func (s accountShop) opened(user, database string, accounts bool) *target {
	s.Helper()
	service := s.service(user, "", database)
	service.Accounts = accounts
	opened, err := Engine.Target(service, testToken)
	s.must(err)
	s.Cleanup(func() { opened.Close() })
	return opened.(*target)
}

func (s accountShop) stream(memory *enginetest.Memory, entries []tree.Entry) {
	text, err := memory.File(s.Context(), entries, "db/accounts.sql")
	s.must(err)
	for _, want := range []string{"GRANT ALL PRIVILEGES ON * TO `Site`@`%` WITH GRANT OPTION;", "GRANT EXECUTE ON FUNCTION `f` TO `of tables`@`localhost`;",
		"ON `orders` TO `of tables`@`localhost`;", "-- GRANT SELECT ON `other`.* TO `Site`@`%`\n", "GRANT PROCESS ON *.* TO `Site`@`%`;", "MAX_USER_CONNECTIONS 50"} {
		if !strings.Contains(string(text), want) {
			s.Errorf("no %s in\n%s", want, text)
		}
	}
	for _, odd := range []string{"bystander", "root", "`shop`"} {
		if strings.Contains(string(text), odd) {
			s.Errorf("%s in\n%s", odd, text)
		}
	}
	if joined := s.joined(memory, engines.Result{Entries: entries}); strings.Contains(joined, "CREATE USER") {
		s.Error("accounts are part of the one file that loads into any database")
	}
	again, same := s.take()
	if other, err := again.File(s.Context(), same, "db/accounts.sql"); err != nil || string(other) != string(text) {
		s.Errorf("another one the second time: %v\n%s", err, other)
	}
}

func (s accountShop) comeBack(memory *enginetest.Memory, entries []tree.Entry) {
	want := s.known()
	s.forget()
	target := s.opened("root", "shop", true)
	staged, err := target.Stage(s.Context(), entries, memory)
	s.must(err)
	if notes := strings.Join(staged.Notes, "\n"); !strings.Contains(notes, "created, because the server did not have them: ") || !strings.Contains(notes, "user `Site`@`%`") {
		s.Errorf("notes: %s", notes)
	}
	s.must(target.Swap(s.Context()))
	s.must(target.Discard(s.Context()))
	got := s.known()
	without := func(text string) string {
		return strings.ReplaceAll(text, "GRANT SELECT ON `other`.* TO `Site`@`%`\n", "")
	}
	s.same(without(want), got, "after the restore")
	if s.mysql {
		return // its client cannot know the old hash without TLS
	}
	site := s.server.Open("Site", passwordOf, "shop")
	defer site.Close()
	if err := site.PingContext(s.Context()); err != nil {
		s.Error("the password does not open: ", err)
	}
}

func (s accountShop) staysAsItIs(memory *enginetest.Memory, entries []tree.Entry) {
	s.server.Exec("ALTER USER 'Site'@'%' IDENTIFIED BY 'changed'", "REVOKE DELETE ON shop.* FROM 'Site'@'%'", "DROP USER member@'%'")
	before := s.known()
	target := s.opened("root", "copy", true)
	plan, err := target.Plan(s.Context(), entries)
	s.must(err)
	if !strings.Contains(strings.Join(plan.Warnings, "\n"), "those that exist are left as they are") {
		s.Errorf("the plan says %q", plan.Warnings)
	}
	staged, err := target.Stage(s.Context(), entries, memory)
	s.must(err)
	notes := strings.Join(staged.Notes, "\n")
	if !strings.Contains(notes, "created, because the server did not have them: user `member`@`%`") || !strings.Contains(notes, "left as they are, because the server has them: ") {
		s.Errorf("notes: %s", notes)
	}
	s.must(target.Swap(s.Context()))
	s.must(target.Revert(s.Context()))
	s.must(target.Discard(s.Context()))
	s.same(before, s.known(), "after a revert")
	s.forget()
	s.create()
}

func (s accountShop) notAskedFor(memory *enginetest.Memory, entries []tree.Entry) {
	s.forget()
	target := s.opened("root", "copy", false)
	staged, err := target.Stage(s.Context(), entries, memory)
	s.must(err)
	if notes := strings.Join(staged.Notes, "\n"); !strings.Contains(notes, "accounts: true") {
		s.Errorf("notes: %s", notes)
	}
	if known := s.known(); strings.Contains(known, "GRANT") {
		s.Error(known)
	}
	s.must(target.Discard(s.Context()))
}

func (s accountShop) stops(memory *enginetest.Memory, entries []tree.Entry) {
	s.server.Exec("DROP DATABASE IF EXISTS copy")
	s.forget()
	none := s.known()
	for n := 1; ; n++ {
		target := s.opened("root", "copy", true)
		stopped := stopping(target, n)
		_, err := target.Stage(s.Context(), entries, memory)
		if err == nil {
			err = target.Swap(s.Context())
		}
		if !*stopped {
			s.must(err)
			target.step = nil
			s.must(target.Discard(s.Context()))
			break
		}
		if !errors.Is(err, errStop) {
			s.Fatalf("statement %d: %v", n, err)
		}
		s.must(target.Close())
		next := s.opened("root", "copy", true)
		s.must(next.Revert(s.Context()))
		s.must(next.Discard(s.Context()))
		s.must(next.Close())
		s.same(none, s.known(), "after a stop")
	}
	if strings.Contains(s.known(), "not there") {
		s.Error(s.known())
	}
}

func (s accountShop) refused(entries []tree.Entry) {
	s.server.Exec("CREATE USER poor@'%'", "GRANT ALL ON shop.* TO poor@'%'", "GRANT ALL ON `shop\\_h_\\_%`.* TO poor@'%'")
	if s.mysql {
		s.server.Exec("GRANT SELECT, " + strings.Join(s.version().asAnybody(), ", ") + " ON *.* TO poor@'%'")
	} else {
		s.server.Exec("GRANT SELECT ON mysql.proc TO poor@'%'", "GRANT SET USER ON *.* TO poor@'%'")
	}
	_, err := s.opened("poor", "shop", true).Plan(s.Context(), entries)
	if err == nil || !strings.Contains(err.Error(), "GRANT CREATE USER ON *.* TO 'poor'@'%'") || !strings.Contains(err.Error(), "GRANT ALL PRIVILEGES ON `shop`.* TO 'poor'@'%' WITH GRANT OPTION") {
		s.Error(err)
	}
	if s.mysql {
		return // which lets whoever may read every routine read this, too
	}
	service := s.service("poor", "", "shop")
	service.Accounts = true
	opened, err := Engine.Source(service)
	s.must(err)
	defer opened.Close()
	if err := opened.Prepare(s.Context(), enginetest.NewMemory()); err == nil || !strings.Contains(err.Error(), "GRANT SELECT ON `mysql`.* TO 'poor'@'%'") {
		s.Error(err)
	}
}

func TestLinesOfShowGrants(t *testing.T) {
	for line, want := range map[string]string{
		"GRANT ALL PRIVILEGES ON `a\\_b`.* TO `u`@`%` WITH GRANT OPTION":                                           "`u`@`%` GRANT ALL PRIVILEGES ON * TO `u`@`%` WITH GRANT OPTION",
		"GRANT RELOAD ON *.* TO `u`@`%` IDENTIFIED BY PASSWORD '*AB TO x' REQUIRE SSL WITH MAX_USER_CONNECTIONS 3": "`u`@`%` GRANT RELOAD ON *.* TO `u`@`%`",
		"GRANT SELECT (`TO`, `ON`) ON `d`.`t.x` TO `r`":                                                            "`r` GRANT SELECT (`TO`, `ON`) ON `t.x` TO `r`",
		"GRANT EXECUTE ON PROCEDURE `d`.`p` TO `u`@`h`":                                                            "`u`@`h` GRANT EXECUTE ON PROCEDURE `p` TO `u`@`h`",
		"GRANT `a`@`%`,`b`@`%` TO `u`@`h` WITH ADMIN OPTION":                                                       "`u`@`h` GRANT `a`@`%`,`b`@`%` TO `u`@`h` WITH ADMIN OPTION",
		"SET DEFAULT ROLE `a` FOR `u`@`h`":                                                                         "`u`@`h` SET DEFAULT ROLE `a` FOR `u`@`h`",
		"GRANT PROXY ON ''@'%' TO 'root'@'localhost' WITH GRANT OPTION":                                            "",
		"GRANT":           "",
		"SHOW ME":         "",
		"GRANT x ON y TO": "",
	} {
		g, ok := parseGiven(line)
		got := ""
		if ok && g.reach != onOther {
			got = g.to + " " + g.unnamed()
		}
		if got != want {
			t.Errorf("%s\ngives %s\nwant  %s", line, got, want)
		}
	}
}
