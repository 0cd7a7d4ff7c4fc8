package redis

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"holdfast/engines"
	"holdfast/engines/enginetest"
	"holdfast/internal/testserver"
)

// slow makes a server take so many microseconds for each key of a dump.
func slow(a *admin, microseconds int) { a.must("CONFIG", "SET", "rdb-key-save-delay", microseconds) }

// A server that synchronises with a replica through its disk offers that dump to
// whoever comes next, although there have been writes since.
func TestAnOlderDumpIsNotTakenForThePoint(t *testing.T) {
	server := testserver.Redis(t, "--repl-diskless-sync", "no")
	a := dial(t, server, "", 0)
	fill(t, a, 0, knownData())
	memory := enginetest.NewMemory()
	source, err := Engine.Source(serviceAt(server.URL("", "0")))
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	if err := source.Prepare(t.Context(), memory); err != nil {
		t.Fatal(err)
	}
	slow(a, 4000)
	replica := dial(t, server, "", 0)
	if _, err := replica.synchronise(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	slow(a, 0)
	a.must("SET", "written", "since")
	if _, err := source.Mark(t.Context(), memory); err != nil {
		t.Fatal(err)
	}
	a.must("DEL", "written")
	result, err := source.Send(t.Context(), memory)
	if err != nil {
		t.Fatal(err)
	}
	restore(t, serviceAt(server.URL("", "0")), memory, result.Entries)
	if got := a.must("GET", "written"); got != "since" {
		t.Errorf("what was written before the mark is not in the snapshot: %v", got)
	}
}

func TestAPointThatIsLostIsMarkedAgain(t *testing.T) {
	server := testserver.Redis(t)
	a := dial(t, server, "", 0)
	fill(t, a, 0, knownData())
	source, err := Engine.Source(serviceAt(server.URL("", "0")))
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	memory := enginetest.NewMemory()
	if err := source.Prepare(t.Context(), memory); err != nil {
		t.Fatal(err)
	}
	slow(a, 4000)
	if _, err := source.Mark(t.Context(), memory); err != nil {
		t.Fatal(err)
	}
	a.must("CLIENT", "KILL", "TYPE", "replica")
	if _, err := source.Send(t.Context(), memory); !errors.Is(err, engines.ErrPointLost) {
		t.Fatalf("the server ended the synchronisation: %v", err)
	}
	slow(a, 0)
	a.must("SET", "written", "since")
	if _, err := source.Mark(t.Context(), memory); err != nil {
		t.Fatal(err)
	}
	result, err := source.Send(t.Context(), memory)
	if err != nil {
		t.Fatal(err)
	}
	data, err := memory.File(t.Context(), result.Entries, "cache.rdb")
	if list, e := listing(data); err != nil || e != nil || !strings.Contains(strings.Join(list, "\n"), `"written"`) {
		t.Errorf("the second point lacks what was written before it: %v, %v", err, e)
	}
}

func TestAServerThatCannotForkFailsTheMarkAndIsLeftAsItWas(t *testing.T) {
	server := testserver.Redis(t)
	a := dial(t, server, "", 0)
	fill(t, a, 0, knownData())
	s := &source{place: place{service: "cache", network: "unix", address: server.Socket, answer: time.Minute}, now: time.Now, wait: 300 * time.Millisecond}
	defer s.Close()
	if err := s.Prepare(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	slow(a, 10000)
	a.must("BGSAVE")
	if _, err := s.Mark(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "did not fork within 300ms") {
		t.Errorf("a server that saves for seconds: %v", err)
	}
	s.Close()
	if got := fmt.Sprint(a.must("CONFIG", "GET", "repl-diskless-sync-delay")); got != "[repl-diskless-sync-delay 5]" {
		t.Errorf("afterwards it has %s", got)
	}
}

func TestPrepareWaitsForASave(t *testing.T) {
	server := testserver.Redis(t)
	a := dial(t, server, "", 0)
	fill(t, a, 0, knownData())
	slow(a, 2000)
	a.must("BGSAVE")
	source, err := Engine.Source(serviceAt(server.URL("", "0")))
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	if err := source.Prepare(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if i, err := a.info(t.Context(), "persistence"); err != nil || i["rdb_bgsave_in_progress"] != "0" {
		t.Errorf("it still saves, and the mark would wait for it: %v", err)
	}
}

// A process that dies within a restore leaves what the commands up to there made,
// and its connection: whoever comes next finds the data as they were.
func TestARestoreThatStopsAtAnyCommandIsUndone(t *testing.T) {
	server := testserver.Redis(t, "--enable-debug-command", "yes")
	a := dial(t, server, "", 0)
	service := serviceAt(server.URL("", ""))
	fill(t, a, 0, knownData())
	fill(t, a, 4, knownData(), [][]any{{"FUNCTION", "LOAD", fmt.Sprintf(library, "old", "old")}})
	memory, result, _ := capture(t, service, nil)
	fill(t, a, 9, knownData(), [][]any{{"FUNCTION", "FLUSH"}})
	fill(t, a, 4, [][]any{{"FLUSHDB"}})
	all := []int{0, 4, 9}
	before := allOf(t, a, all...)
	stopped := errors.New("stopped")
	for _, call := range []struct {
		name string
		run  func(context.Context, *target) error
	}{
		{"stage", func(ctx context.Context, t *target) error {
			_, err := t.Stage(ctx, result.Entries, memory)
			return err
		}},
		{"swap", func(ctx context.Context, t *target) error { return t.Swap(ctx) }},
		{"revert", func(ctx context.Context, t *target) error { return t.Revert(ctx) }},
		{"discard", func(ctx context.Context, t *target) error { return t.Discard(ctx) }},
	} {
		n := 0
		for done := false; !done; n++ {
			target := openTarget(t, service, otherToken)
			if call.name != "stage" {
				if _, err := target.Stage(t.Context(), result.Entries, memory); err != nil {
					t.Fatal(err)
				}
			}
			if call.name == "revert" {
				if err := target.Swap(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			left := n
			target.step = func(string) error {
				if left--; left < 0 {
					return stopped
				}
				return nil
			}
			err := call.run(t.Context(), target)
			if done = err == nil; !done && !errors.Is(err, stopped) {
				t.Fatalf("%s, stopped at command %d: %v", call.name, n, err)
			}
			target.Close()
			target = openTarget(t, service, otherToken)
			if err := errors.Join(target.Revert(t.Context()), target.Discard(t.Context()), target.Close()); err != nil {
				t.Fatalf("%s, stopped at command %d: %v", call.name, n, err)
			}
			if got := allOf(t, a, all...); got != before {
				t.Fatalf("%s, stopped at command %d: the data are others", call.name, n)
			}
			if left, err := a.restores(t.Context()); err != nil || len(left) > 0 {
				t.Fatalf("%s, stopped at command %d: left behind: %v, %v", call.name, n, left, err)
			}
		}
		t.Logf("%s: stopped at %d commands", call.name, n-1)
	}
}

// The server dies, and comes back with what it had saved: all of a restore up to
// some command, or nothing.
func TestTheServersDeathLeavesNoMixture(t *testing.T) {
	server := testserver.Redis(t, "--enable-debug-command", "yes", "--appendonly", "yes", "--appendfsync", "always")
	service := serviceAt(server.URL("", "0"))
	a := dial(t, server, "", 0)
	fill(t, a, 0, knownData(), [][]any{{"DEL", "events"}}) // its consumers' times are not in the server's log
	old := allOf(t, a, 0)
	memory, result, _ := capture(t, service, nil)
	fill(t, a, 0, [][]any{{"SET", "account:1", 7}, {"DEL", "page"}})
	before := allOf(t, a, 0)
	again := func(steps int) string {
		target := openTarget(t, service, otherToken)
		_, err := target.Stage(t.Context(), result.Entries, memory)
		if err == nil && steps > 0 {
			err = target.Swap(t.Context())
		}
		if err == nil && steps > 1 {
			err = target.Revert(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
		server.Kill()
		server.Start()
		a = dial(t, server, "", 0)
		found := allOf(t, a, 0)
		target = openTarget(t, service, otherToken)
		if err := errors.Join(target.Revert(t.Context()), target.Discard(t.Context()), target.Close()); err != nil {
			t.Fatal(err)
		}
		if got := allOf(t, a, 0); got != before {
			t.Errorf("after %d steps, a death of the server and a revert the data are others", steps)
		}
		return found
	}
	for steps, want := range []string{before, old, before} {
		if again(steps) != want {
			t.Errorf("after %d steps and a death of the server it has other data", steps)
		}
	}
}
