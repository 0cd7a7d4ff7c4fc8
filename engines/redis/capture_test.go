package redis

import (
	"bytes"
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/engines"
	"holdfast/engines/enginetest"
	"holdfast/internal/testserver"
	"holdfast/internal/tree"
)

func serviceAt(u *url.URL) engines.Service { return engines.Service{Name: "cache", URL: u} }

// capture takes a snapshot; between is called between mark and send.
func capture(t *testing.T, s engines.Service, between func()) (*enginetest.Memory, engines.Result, engines.Point) {
	t.Helper()
	memory := enginetest.NewMemory()
	source, err := Engine.Source(s)
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	if err := source.Prepare(t.Context(), memory); err != nil {
		t.Fatal(err)
	}
	point, err := source.Mark(t.Context(), memory)
	if err != nil {
		t.Fatal(err)
	}
	if between != nil {
		between()
	}
	result, err := source.Send(t.Context(), memory)
	if err != nil {
		t.Fatal(err)
	}
	return memory, result, point
}

// dumped is what a snapshot's file holds.
func dumped(t *testing.T, s engines.Service) []byte {
	t.Helper()
	memory, result, _ := capture(t, s, nil)
	data, err := memory.File(t.Context(), result.Entries, "cache.rdb")
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func fill(t *testing.T, a *admin, database int, lists ...[][]any) {
	t.Helper()
	a.must("SELECT", database)
	for _, list := range lists {
		for _, command := range list {
			a.must(command...)
		}
	}
}

func allOf(t *testing.T, a *admin, databases ...int) string {
	t.Helper()
	var all strings.Builder
	for _, n := range databases {
		text, err := dumpOf(t.Context(), a.conn, n)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&all, "database %d\n%s", n, text)
	}
	fmt.Fprint(&all, a.must("FUNCTION", "LIST", "WITHCODE"))
	return all.String()
}

func saved(t *testing.T, a *admin) error {
	_, err := a.do(t.Context(), "SAVE")
	return err
}

const library = "#!lua name=%s\nredis.register_function('%s_f', function() return 1 end)"

func TestARestartOfTheServerChangesNothing(t *testing.T) {
	server := testserver.Redis(t)
	a := dial(t, server, "", 0)
	fill(t, a, 0, knownData(), oddData())
	fill(t, a, 7, knownData())
	for _, name := range []string{"one", "two", "three"} {
		a.must("FUNCTION", "LOAD", fmt.Sprintf(library, name, name))
	}
	order := fmt.Sprint(a.must("KEYS", "*"), a.must("SMEMBERS", "visitors"), a.must("HGETALL", "catalogue"))
	before := dumped(t, serviceAt(server.URL("", "")))
	one := dumped(t, serviceAt(server.URL("", "7")))

	for code(saved(t, a)) == "ERR" { // the fork's end has not been noticed yet
		time.Sleep(again)
	}
	server.Stop()
	server.Start()
	a = dial(t, server, "", 7)
	if order == fmt.Sprint(a.must("KEYS", "*"), a.must("SMEMBERS", "visitors"), a.must("HGETALL", "catalogue")) {
		t.Fatal("the server gives its keys in the same order: this shows nothing")
	}
	if !bytes.Equal(before, dumped(t, serviceAt(server.URL("", "")))) {
		t.Error("after a restart the dump of all databases is another one")
	}
	if !bytes.Equal(one, dumped(t, serviceAt(server.URL("", "7")))) {
		t.Error("after a restart the dump of one database is another one")
	}
}

func TestADumpLoadsInAPlainServerAndIsRestored(t *testing.T) {
	server, other := testserver.Redis(t, "--enable-debug-command", "yes"), testserver.Redis(t, "--enable-debug-command", "yes")
	a := dial(t, server, "", 0)
	fill(t, a, 0, knownData(), oddData(), largeData())
	fill(t, a, 7, knownData())
	a.must("FUNCTION", "LOAD", fmt.Sprintf(library, "lib", "lib"))
	if info := a.must("COMMAND", "INFO", "HPEXPIREAT").([]any); info[0] != nil { // since Redis 7.4
		a.must("HPEXPIREAT", "settings", "4102444800001", "FIELDS", "1", "name 7")
		a.must("HPEXPIREAT", "catalogue", "4102444800001", "FIELDS", "2", "sku-1", "sku-199")
	}
	want := allOf(t, a, 0, 3, 7)
	memory, result, _ := capture(t, serviceAt(server.URL("", "")), nil)
	data, err := memory.File(t.Context(), result.Entries, "cache.rdb")
	if err != nil {
		t.Fatal(err)
	}
	other.Load(data)
	if got := allOf(t, dial(t, other, "", 0), 0, 3, 7); got != want {
		t.Errorf("loaded, the data are others: %d bytes instead of %d", len(got), len(want))
	}
	fill(t, a, 7, [][]any{{"FLUSHALL"}})
	restore(t, serviceAt(server.URL("", "")), memory, result.Entries)
	if got := allOf(t, a, 0, 3, 7); got != want {
		t.Errorf("restored, the data are others: %d bytes instead of %d", len(got), len(want))
	}
}

// The fork is what counts, not when it is read: the server's own settings would
// have it seconds later, and through its disk.
func TestThePointIsTheForkHoweverTheServerIsSet(t *testing.T) {
	for _, settings := range [][]string{
		{"--repl-diskless-sync", "yes", "--repl-diskless-sync-delay", "30"},
		{"--repl-diskless-sync", "no"},
		{"--repl-diskless-sync", "no", "--rdbcompression", "no", "--rdbchecksum", "no"},
		{"--maxmemory", "200mb", "--maxmemory-policy", "allkeys-lfu"},
		{"--maxmemory", "200mb", "--maxmemory-policy", "allkeys-lru", "--client-output-buffer-limit", "replica 1mb 1mb 1"},
	} {
		server := testserver.Redis(t, append(settings, "--enable-debug-command", "yes")...)
		a := dial(t, server, "", 2)
		fill(t, a, 2, knownData(), largeData())
		want := allOf(t, a, 2)
		service := serviceAt(server.SocketURL("", "2"))
		begun := time.Now()
		memory, result, point := capture(t, service, func() {
			fill(t, a, 2, [][]any{{"FLUSHDB"}}, largeData(), largeData())
		})
		if !strings.HasPrefix(point.Server, "Redis ") && !strings.HasPrefix(point.Server, "Valkey ") || len(strings.Split(point.Position, ":")) != 2 || point.Rung != rungConfig {
			t.Errorf("%v: %+v", settings, point)
		}
		if took := point.At.Sub(begun); took > 20*time.Second {
			t.Errorf("%v: the fork came after %v", settings, took)
		}
		if len(result.Losses)+len(result.Notes) > 0 {
			t.Errorf("%v: %+v", settings, result)
		}
		restore(t, service, memory, result.Entries)
		if got := allOf(t, a, 2); got != want {
			t.Errorf("%v: what was restored is not what was there at the mark", settings)
		}
		for i := 0; i < len(settings); i += 2 {
			if got := fmt.Sprint(a.must("CONFIG", "GET", settings[i][2:]).([]any)[1]); strings.HasPrefix(settings[i], "--repl") && got != settings[i+1] {
				t.Errorf("%s is %s afterwards", settings[i], got)
			}
		}
	}
}

// restore does a whole restore.
func restore(t *testing.T, s engines.Service, content engines.Content, entries []tree.Entry) engines.Staged {
	t.Helper()
	target, err := Engine.Target(s, "0123456789abcdef0123")
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	if _, err := target.Plan(t.Context(), entries); err != nil {
		t.Fatal(err)
	}
	staged, err := target.Stage(t.Context(), entries, content)
	if err != nil {
		t.Fatal(err)
	}
	if err := target.Swap(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := target.Discard(context.WithoutCancel(t.Context())); err != nil {
		t.Fatal(err)
	}
	return staged
}

func TestFunctionsThatAreLeftOutAreCounted(t *testing.T) {
	server := testserver.Redis(t)
	a := dial(t, server, "", 0)
	for i, want := range []string{"1 library of functions left out", "2 libraries of functions left out"} {
		name := fmt.Sprintf("lib%d", i)
		a.must("FUNCTION", "LOAD", fmt.Sprintf(library, name, name))
		if _, result, _ := capture(t, serviceAt(server.URL("", "0")), nil); !strings.Contains(strings.Join(result.Notes, "\n"), want) {
			t.Errorf("%q, without %q", result.Notes, want)
		}
	}
}

func TestKeysThatAreAskedForGiveTheSameDump(t *testing.T) {
	server := testserver.Redis(t, "--enable-debug-command", "yes")
	a := dial(t, server, "", 0)
	fill(t, a, 0, knownData(), oddData(), largeData())
	fill(t, a, 7, knownData())
	a.must("FUNCTION", "LOAD", fmt.Sprintf(library, "lib", "lib"))
	a.must(fields("ACL SETUSER poor on >PASSWORD ~* +select +info +hgetall +scan +dump +pexpiretime +function|dump")...)
	for _, database := range []string{"", "0", "7"} {
		service := serviceAt(server.URL("poor", database))
		service.Password, service.Unheld = "PASSWORD", true
		memory, result, point := capture(t, service, nil)
		if point.Rung != rungKeys || len(result.Apart) != 1 || len(result.Notes) == 0 {
			t.Errorf("%+v %+v", point, result)
		}
		service.Unheld = false
		patient, err := Engine.Source(service)
		if err != nil {
			t.Fatal(err)
		}
		patient.(*source).hold = time.Minute
		if held := drain(t, patient, enginetest.NewMemory()); len(held.Apart) > 0 {
			t.Errorf("read while requests were held: %v", held.Apart)
		}
		patient.Close()
		data, err := memory.File(t.Context(), result.Entries, "cache.rdb")
		if err != nil {
			t.Fatal(err)
		}
		got, err := listing(data)
		if err != nil {
			t.Fatal(err)
		}
		want, err := listing(dumped(t, serviceAt(server.URL("", database))))
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("database %q: %d records, %d by the fork", database, len(got), len(want))
		}
	}
}

// One user of the server after the other is told less.
func TestWhoMayNotSynchroniseIsFoundOutAtTheLatestByTheMark(t *testing.T) {
	server := testserver.Redis(t)
	a := dial(t, server, "", 0)
	fill(t, a, 0, knownData())
	a.must(fields("ACL SETUSER untold on >PASSWORD ~* +@all -psync -acl")...)
	service := serviceAt(server.URL("untold", "0"))
	service.Password = "PASSWORD"
	if _, result, point := capture(t, service, nil); point.Rung != rungKeys || len(result.Notes) == 0 {
		t.Errorf("%+v %+v", point, result)
	}
	if got := fmt.Sprint(a.must("CONFIG", "GET", "repl-diskless-sync-delay")); got != "[repl-diskless-sync-delay 5]" {
		t.Errorf("afterwards it has %s", got)
	}
}
