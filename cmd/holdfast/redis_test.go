package main

import (
	"fmt"
	"strings"
	"testing"

	"holdfast/internal/testserver"
)

func TestRedisSite(t *testing.T) {
	t.Parallel()
	server := testserver.Redis(t, "--requirepass", "s3cret/@%")
	config := "project: shop\nrepository: repo\nenvironments:\n"
	for i, e := range []string{"master", "staging"} {
		config += fmt.Sprintf("  %s:\n    services:\n      cache: \"redis://:${REDIS_PASSWORD}@127.0.0.1:%d/%d\"\n      queue: \"redis://default:${REDIS_PASSWORD}@127.0.0.1:%d/%d\"\n",
			e, server.Port, 2*i, server.Port, 2*i+1)
	}
	s := newSite(t, config)
	s.env = append(s.env, "REDIS_PASSWORD=s3cret/@%")
	const login = "AUTH s3cret/@%"
	var fill []string
	for i := range 3000 {
		fill = append(fill, fmt.Sprintf("HSET session:%d user %d cart %d", i, i*7919, i*i), fmt.Sprintf("SET page:%d '<html>page %d</html>'", i, i*31337))
	}
	server.Cli(0, append([]string{login}, fill...)...)
	server.Cli(1, login, "RPUSH jobs one two three")
	server.Cli(2, login, "SET old 7")
	s.repository()
	day1 := s.create()
	server.Cli(0, login, "SET page:5 changed", "HSET session:7 cart full")
	s.create()

	// Into staging, and back by the line that undoes it.
	out := s.ok("-e", "master", "snapshot", "restore", day1, "--target", "staging", "--yes")
	if got := server.Cli(2, login, "GET page:5", "EXISTS old", "DBSIZE"); got != "OK\n<html>page 156685</html>\n0\n6000" {
		t.Errorf("restored: %q", got)
	}
	if got := server.Cli(3, login, "LRANGE jobs 0 -1"); got != "OK\none\ntwo\nthree" {
		t.Errorf("restored: %q", got)
	}
	_, undo, found := strings.Cut(out, "To undo: holdfast ")
	if !found {
		t.Fatalf("no line undoes it:\n%s", out)
	}
	s.ok(append(strings.Fields(undo), "--yes")...)
	if got := server.Cli(2, login, "GET old", "DBSIZE"); got != "OK\n7\n1" {
		t.Errorf("after undoing: %q", got)
	}
	if got := server.Cli(0, login, "INFO keyspace"); strings.Count(got, ":keys=") != 4 {
		t.Errorf("left behind: %s", got)
	}
	s.ok("repo", "check", "--read-data")

	// The plain dump loads without Holdfast.
	plain := testserver.Redis(t)
	plain.Load([]byte(s.ok("snapshot", "cat", day1, "cache.rdb")))
	if got := plain.Cli(0, "GET page:5", "DBSIZE"); got != "<html>page 156685</html>\n6000" {
		t.Errorf("loaded: %q", got)
	}
}
