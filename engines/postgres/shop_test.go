package postgres

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"holdfast/engines"
	"holdfast/engines/enginetest"
	"holdfast/internal/testserver"
	"holdfast/internal/tree"
)

// shop is a server with a database shop, which the role site owns; site may
// create databases.
type shop struct {
	*testing.T
	server *testserver.PostgresServer
}

const testToken = "0123456789abcdef0123"

func newShop(t *testing.T, settings ...string) shop {
	server := testserver.Postgres(t, settings...)
	server.Exec("postgres", "CREATE ROLE site LOGIN CREATEDB PASSWORD '"+testPassword+"' IN ROLE pg_signal_backend",
		"CREATE ROLE backup LOGIN PASSWORD '"+testPassword+"'", "CREATE DATABASE shop OWNER site")
	return shop{t, server}
}

// in executes statements in database, as site.
func (s shop) in(database string, statements ...string) {
	s.Helper()
	s.server.Exec(database, "SET SESSION AUTHORIZATION site; "+strings.Join(statements, "; "))
}

// value reads the first value of a query, as the superuser.
func (s shop) value(database, query string) string {
	s.Helper()
	conn := s.server.Open(database)
	defer conn.Close(context.Background())
	results, err := conn.Exec(s.Context(), query).ReadAll()
	if err != nil {
		s.Fatalf("%v\n%s", err, query)
	}
	if len(results) == 0 || len(results[0].Rows) == 0 {
		return ""
	}
	return string(results[0].Rows[0][0])
}

func (s shop) dump(database string) string {
	s.Helper()
	text, err := dumpOf(s.Context(), s.server, database)
	s.must(err)
	return text
}

func (s shop) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// same fails unless two dumps are equal.
func (s shop) same(want, got, when string) {
	s.Helper()
	wanted, found := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range max(len(wanted), len(found)) {
		if i >= len(wanted) || i >= len(found) || wanted[i] != found[i] {
			s.Fatalf("%s the data are others from line %d:\nwant %.500s\ngot  %.500s", when, i+1,
				strings.Join(wanted[min(i, len(wanted)):min(i+3, len(wanted))], "\n"), strings.Join(found[min(i, len(found)):min(i+3, len(found))], "\n"))
		}
	}
}

func (s shop) service(user, database string) engines.Service {
	return engines.Service{Name: "db", URL: s.server.URL(user, database), Password: testPassword}
}

func (s shop) source(service engines.Service) *source {
	s.Helper()
	opened, err := Engine.Source(service)
	s.must(err)
	s.Cleanup(func() { opened.Close() })
	return opened.(*source)
}

// marked prepares and marks shop, as site.
func (s shop) marked() (*source, *enginetest.Memory, engines.Point) {
	s.Helper()
	return s.markedIn(s.service("site", "shop"))
}

func (s shop) markedIn(service engines.Service) (*source, *enginetest.Memory, engines.Point) {
	s.Helper()
	source, memory := s.source(service), enginetest.NewMemory()
	s.must(source.Prepare(s.Context(), memory))
	point, err := source.Mark(s.Context(), memory)
	s.must(err)
	return source, memory, point
}

// capture takes shop quietly, as site.
func (s shop) capture() (*enginetest.Memory, engines.Result) {
	s.Helper()
	return s.captureAs("site", "shop")
}

func (s shop) captureAs(user, database string) (*enginetest.Memory, engines.Result) {
	s.Helper()
	source, memory, _ := s.markedIn(s.service(user, database))
	defer source.Close()
	result, err := source.Send(s.Context(), memory)
	s.must(err)
	return memory, result
}

func (s shop) file(memory *enginetest.Memory, result engines.Result, path string) string {
	s.Helper()
	text, err := memory.File(s.Context(), result.Entries, path)
	s.must(err)
	return string(text)
}

func (s shop) target(user, database string) *target {
	s.Helper()
	opened, err := Engine.Target(s.service(user, database), testToken)
	s.must(err)
	s.Cleanup(func() { opened.Close() })
	return opened.(*target)
}

// stage opens a target, as site, and stages.
func (s shop) stage(database string, memory *enginetest.Memory, entries []tree.Entry) (*target, engines.Staged) {
	s.Helper()
	target := s.target("site", database)
	_, err := target.Plan(s.Context(), entries)
	s.must(err)
	staged, err := target.Stage(s.Context(), entries, memory)
	s.must(err)
	return target, staged
}

// restore does a whole restore, as site.
func (s shop) restore(database string, memory *enginetest.Memory, entries []tree.Entry) engines.Staged {
	s.Helper()
	target, staged := s.stage(database, memory, entries)
	s.must(target.Swap(s.Context()))
	s.must(target.Discard(s.Context()))
	s.must(target.Close())
	return staged
}

// fresh creates a database of that name, which site owns.
func (s shop) fresh(name string, statements ...string) string {
	s.Helper()
	name = strings.ReplaceAll(strings.ReplaceAll(name, " ", "_"), ",", "")
	s.server.Exec("postgres", fmt.Sprintf("CREATE DATABASE %s OWNER site", name))
	s.in(name, statements...)
	return name
}
