package main

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"holdfast/internal/testserver"
)

// newPostgresSite is a site whose environments keep a database on one server,
// each with a user who owns it and can do no more.
func newPostgresSite(t *testing.T) (*site, *testserver.PostgresServer) {
	t.Helper()
	server := testserver.Postgres(t)
	config := "project: shop\nrepository: repo\nenvironments:\n"
	for _, e := range []string{"master", "staging"} {
		server.Exec("postgres", fmt.Sprintf("CREATE ROLE %s LOGIN PASSWORD '%s'", e, password), "CREATE DATABASE shop_"+e+" OWNER "+e)
		config += fmt.Sprintf("  %s:\n    services: {database: \"postgres://%s:${DB_PASSWORD}@127.0.0.1:%d/shop_%s\"}\n    mounts: {uploads: %s/uploads}\n",
			e, e, server.Port, e, e)
	}
	s := newSite(t, config)
	s.env = append(s.env, "DB_PASSWORD="+password)
	server.Exec("shop_master", "SET ROLE master; CREATE TABLE goods (id INT PRIMARY KEY, name TEXT, price NUMERIC(8,2)); "+
		"INSERT INTO goods SELECT g, 'thing ' || g, g / 3.0 FROM generate_series(1, 5000) g; CREATE VIEW cheap AS SELECT * FROM goods WHERE price < 10")
	server.Exec("shop_staging", "SET ROLE staging; CREATE TABLE old (id INT PRIMARY KEY); INSERT INTO old VALUES (7)")
	s.files("master", "one", 5)
	s.files("staging", "old", 5)
	return s, server
}

func TestPostgresSite(t *testing.T) {
	t.Parallel()
	s, server := newPostgresSite(t)
	s.repository()
	day1 := s.create()
	server.Exec("shop_master", "UPDATE goods SET price = price + 1 WHERE id % 100 = 0")
	s.create()
	if stored := s.ok("-e", "master", "snapshot", "diff", day1, "latest"); !strings.Contains(stored, "goods") {
		t.Errorf("diff names no table:\n%s", stored)
	}

	// The plain dump loads with the client alone, anywhere.
	server.Exec("postgres", "CREATE DATABASE elsewhere OWNER master")
	client := exec.Command("psql", "--quiet", "--set=ON_ERROR_STOP=1", "--host=127.0.0.1", fmt.Sprintf("--port=%d", server.Port), "--username=master", "elsewhere")
	client.Env = append(s.env, "PGPASSWORD="+password)
	client.Stdin = strings.NewReader(s.ok("snapshot", "cat", day1, "database.sql"))
	if out, err := client.CombinedOutput(); err != nil {
		t.Fatalf("load database.sql: %v\n%s", err, out)
	}
	query := func(database, q string) string { return string(server.Client(database, strings.NewReader(q))) }
	sum := func(database string) string { return query(database, "SELECT count(*), sum(price) FROM goods") }
	want := sum("elsewhere")
	if today := sum("shop_master"); want == today || !strings.Contains(want, "5000|") {
		t.Errorf("the first day's dump has %q, today has %q", want, today)
	}

	// Into staging, and back by the line that undoes it.
	out := s.ok("-e", "master", "snapshot", "restore", day1, "--target", "staging", "--yes")
	if got := sum("shop_staging"); got != want {
		t.Errorf("restored %s, want %s", got, want)
	}
	if got := query("shop_staging", "SELECT viewowner, (SELECT count(*) > 0 FROM cheap) FROM pg_views WHERE viewname = 'cheap'"); got != "staging|t\n" {
		t.Errorf("of the view there is: %s", got)
	}
	_, undo, found := strings.Cut(out, "To undo: holdfast ")
	if !found {
		t.Fatalf("no line undoes it:\n%s", out)
	}
	s.ok(append(strings.Fields(undo), "--yes")...)
	if got := query("shop_staging", "SELECT id FROM old"); got != "7\n" {
		t.Errorf("after undoing: %s", got)
	}
	if left := query("shop_staging", "SELECT string_agg(nspname, ' ') FROM pg_namespace WHERE nspname LIKE 'holdfast%'"); left != "\n" {
		t.Errorf("left behind: %s", left)
	}
	s.ok("repo", "check", "--read-data")
}
