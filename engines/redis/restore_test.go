package redis

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"holdfast/engines"
	"holdfast/engines/enginetest"
	"holdfast/internal/testserver"
	"holdfast/internal/tree"
)

const otherToken = "fedcba98765432100000"

func openTarget(t *testing.T, s engines.Service, token string) *target {
	t.Helper()
	target, err := newTarget(s, token)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { target.Close() })
	return target
}

func TestAllDatabasesAndFunctionsAreRestoredTogether(t *testing.T) {
	server := testserver.Redis(t, "--enable-debug-command", "yes")
	service := serviceAt(server.URL("", ""))
	a := dial(t, server, "", 0)
	fill(t, a, 0, knownData())
	fill(t, a, 15, oddData()) // where a restore would build, were it not in use
	fill(t, a, 3, knownData())
	a.must("FUNCTION", "LOAD", fmt.Sprintf(library, "old", "old"))
	all := []int{0, 3, 7, 15}
	old := allOf(t, a, all...)
	memory, result, _ := capture(t, service, nil)

	fill(t, a, 3, [][]any{{"FLUSHDB"}})
	fill(t, a, 7, knownData()) // not in the snapshot
	fill(t, a, 0, [][]any{{"SET", "account:1", 5}, {"FUNCTION", "FLUSH"}, {"FUNCTION", "LOAD", fmt.Sprintf(library, "new", "new")}})
	before := allOf(t, a, all...)
	target := openTarget(t, service, "0123456789abcdef0123")
	if plan, err := target.Plan(t.Context(), result.Entries); err != nil || !strings.Contains(plan.Replaces, "all databases") && !strings.Contains(plan.Replaces, "keys)") {
		t.Fatal(plan, err)
	}
	if _, err := target.Stage(t.Context(), result.Entries, memory); err != nil {
		t.Fatal(err)
	}
	fill(t, a, 8, [][]any{{"SET", "late", "x"}}) // after the stage, and not in the snapshot
	for _, swap := range []bool{true, false} {
		if !swap {
			if err := target.Revert(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := allOf(t, a, all...); got != before || a.must("SELECT", 8) != "OK" || a.must("GET", "late") != "x" {
				t.Fatal("after the revert the data are others")
			}
			if _, err := target.Stage(t.Context(), result.Entries, memory); err != nil {
				t.Fatal(err)
			}
		}
		if err := target.Swap(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := allOf(t, a, all...); got != old {
			t.Fatal("after the swap the data are others")
		}
	}
	source, err := target.Retired(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	retired := enginetest.NewMemory()
	sent := drain(t, source, retired)
	source.Close()
	if err := target.Discard(t.Context()); err != nil {
		t.Fatal(err)
	}
	target.Close()
	if got := allOf(t, a, all...); got != old {
		t.Fatal("after the discard the data are others")
	}
	restore(t, service, retired, sent.Entries)
	if got := allOf(t, a, all...); got != before {
		t.Error("what was retired does not bring back what was there")
	}
	if got := server.Cli(0, "INFO keyspace"); strings.Count(got, "\n") != 4 {
		t.Errorf("left behind: %s", got)
	}
}

func drain(t *testing.T, source engines.Source, sink engines.Sink) engines.Result {
	t.Helper()
	if err := source.Prepare(t.Context(), sink); err != nil {
		t.Fatal(err)
	}
	if _, err := source.Mark(t.Context(), sink); err != nil {
		t.Fatal(err)
	}
	result, err := source.Send(t.Context(), sink)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// What a server holds that has more than fits into memory to be sorted.
func TestADumpOfManyRunsIsRestored(t *testing.T) {
	loaded, restored := testserver.Redis(t, "--enable-debug-command", "yes"), testserver.Redis(t, "--enable-debug-command", "yes")
	loaded.Load(golden(t))
	want := allOf(t, dial(t, loaded, "", 0), 0, 5)
	for _, size := range []int64{1, 500} {
		memory := enginetest.NewMemory()
		e, err := memory.Put(t.Context(), tree.Entry{Name: "cache.rdb", Type: tree.File}, tree.Stream{}, bytes.NewReader(sorted(t, golden(t), size)))
		if err != nil {
			t.Fatal(err)
		}
		restore(t, serviceAt(restored.URL("", "")), memory, []tree.Entry{e})
		if got := allOf(t, dial(t, restored, "", 0), 0, 5); got != want {
			t.Errorf("in runs of %d bytes it is restored as other data", size)
		}
	}
}

func TestStagingNeverEvictsWhatIsCurrent(t *testing.T) {
	server := testserver.Redis(t, "--maxmemory", "24mb", "--maxmemory-policy", "allkeys-lru")
	a := dial(t, server, "", 0)
	service := serviceAt(server.URL("", "0"))
	noise := largeData()[0][2].([]byte)
	for i := range 2000 {
		a.must("SET", fmt.Sprintf("k%d", i), noise[i*1000:i*1000+1000])
		a.must("SET", fmt.Sprintf("squeezed %d", i), make([]byte, 2000)) // small in a dump, large in memory
	}
	memory, result, _ := capture(t, service, nil)
	var fits, refused int
	for i := range 40 {
		keys := a.must("DBSIZE")
		target := openTarget(t, service, fmt.Sprintf("%020x", i))
		_, err := target.Plan(t.Context(), result.Entries)
		if err == nil {
			_, err = target.Stage(t.Context(), result.Entries, memory)
		}
		if e := target.Discard(t.Context()); e != nil {
			t.Fatal(e)
		}
		target.Close()
		a.must("SELECT", 0)
		if now := a.must("DBSIZE"); now != keys {
			t.Fatalf("step %d: %v of %v keys are left: %v", i, now, keys, err)
		}
		if i, err := a.info(t.Context(), "stats"); err != nil || i.number("evicted_keys") > 0 {
			t.Fatalf("%d keys were evicted, %v", i.number("evicted_keys"), err)
		}
		switch {
		case err == nil:
			fits++
		case strings.Contains(err.Error(), "maxmemory") && strings.Contains(err.Error(), "allkeys-lru"):
			refused++
		default:
			t.Fatal(err)
		}
		if refused == 3 {
			break // before the test itself fills the server so that it evicts
		}
		a.settled()
		a.must("SET", fmt.Sprintf("more %d", i), noise[i*500:i*500+500000])
	}
	if fits == 0 || refused == 0 {
		t.Errorf("%d restores fitted, %d did not: nothing is shown", fits, refused)
	}
}

func TestServersThatCannotBeCapturedAreRefused(t *testing.T) {
	master := testserver.Redis(t)
	replica := testserver.Redis(t, "--replicaof", fmt.Sprintf("127.0.0.1 %d", master.Port))
	cluster := testserver.Redis(t, "--cluster-enabled", "yes")
	for want, server := range map[string]*testserver.RedisServer{"is a replica of 127.0.0.1": replica, "part of a cluster": cluster} {
		source, err := Engine.Source(serviceAt(server.URL("", "0")))
		if err != nil {
			t.Fatal(err)
		}
		if err := source.Prepare(t.Context(), enginetest.NewMemory()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the source says %v, without %q", err, want)
		}
		source.Close()
		memory, result, _ := capture(t, serviceAt(master.URL("", "0")), nil)
		_ = memory
		if _, err := openTarget(t, serviceAt(server.URL("", "0")), otherToken).Plan(t.Context(), result.Entries); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the target says %v, without %q", err, want)
		}
	}
}

func TestTwoServicesOnOneServerAreMarkedAtOnce(t *testing.T) {
	server := testserver.Redis(t, "--enable-debug-command", "yes")
	a := dial(t, server, "", 0)
	fill(t, a, 0, knownData(), largeData())
	fill(t, a, 1, knownData())
	var sources []engines.Source
	memory := enginetest.NewMemory()
	for n := range 2 {
		source, err := Engine.Source(serviceAt(server.URL("", fmt.Sprint(n))))
		if err != nil {
			t.Fatal(err)
		}
		defer source.Close()
		if err := source.Prepare(t.Context(), memory); err != nil {
			t.Fatal(err)
		}
		sources = append(sources, source)
	}
	group, ctx := errgroup.WithContext(t.Context())
	for _, source := range sources {
		group.Go(func() error {
			_, err := source.Mark(ctx, memory)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	for n, source := range sources {
		want := allOf(t, a, n)
		result, err := source.Send(t.Context(), memory)
		if err != nil {
			t.Fatal(err)
		}
		fill(t, a, n, [][]any{{"FLUSHDB"}})
		restore(t, serviceAt(server.URL("", fmt.Sprint(n))), memory, result.Entries)
		if allOf(t, a, n) != want {
			t.Errorf("database %d is another one", n)
		}
	}
	if got := fmt.Sprint(a.must("CONFIG", "GET", "repl-diskless-sync-delay")); !strings.Contains(got, " 5") {
		t.Errorf("a setting is changed afterwards: %s", got)
	}
}

func TestTheRulesInTheDocumentationSuffice(t *testing.T) {
	server := testserver.Redis(t)
	a := dial(t, server, "", 0)
	fill(t, a, 0, knownData())
	a.must(fields("ACL SETUSER backup on >PASSWORD ~* +select +info +psync +replconf +hgetall +config|get +config|set")...)
	a.must(fields("ACL SETUSER slow on >PASSWORD ~* +select +info +psync +replconf +hgetall")...)
	a.must("CONFIG", "SET", "repl-diskless-sync-delay", 1)
	for user, want := range map[string]string{"backup": rungConfig, "slow": rungSync} {
		for _, database := range []string{"0", ""} {
			service := serviceAt(server.URL(user, database))
			service.Password = "PASSWORD"
			_, result, point := capture(t, service, nil)
			if point.Rung != want || (len(result.Notes) > 0) != (want == rungSync) {
				t.Errorf("%s: %+v %q", user, point, result.Notes)
			}
		}
	}
}

func TestLeftoversOfKilledRestoresAreRemoved(t *testing.T) {
	server := testserver.Redis(t, "--enable-debug-command", "yes")
	service := serviceAt(server.URL("", "0"))
	a := dial(t, server, "", 0)
	fill(t, a, 0, knownData())
	whole := allOf(t, a, 0)
	memory, result, _ := capture(t, service, nil)
	killed := openTarget(t, service, otherToken)
	if _, err := killed.Stage(t.Context(), result.Entries, memory); err != nil {
		t.Fatal(err)
	}
	killed.Close()

	// Nobody's snapshot has them.
	everything, sent, _ := capture(t, serviceAt(server.URL("", "")), nil)
	data, err := everything.File(t.Context(), sent.Entries, "cache.rdb")
	if err != nil {
		t.Fatal(err)
	}
	if list, err := listing(data); err != nil || strings.Contains(strings.Join(list, "\n"), "\n15 ") {
		t.Errorf("the snapshot of all databases has what a restore was building: %v", err)
	}
	restore(t, service, memory, result.Entries)
	if got := server.Cli(0, "INFO keyspace"); strings.Contains(got, "db15") || allOf(t, a, 0) != whole {
		t.Errorf("left behind: %s", got)
	}
}

func TestARestoreExcludesAnother(t *testing.T) {
	server := testserver.Redis(t)
	first, second := openTarget(t, serviceAt(server.URL("", "0")), otherToken), openTarget(t, serviceAt(server.URL("", "0")), "0123456789abcdef0123")
	elsewhere := openTarget(t, serviceAt(server.URL("", "1")), "0123456789abcdef0123")
	if err := first.lock(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := elsewhere.lock(t.Context()); err != nil {
		t.Errorf("another database: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- second.lock(ctx) }()
	select {
	case err := <-done:
		t.Fatalf("two work on one database: %v", err)
	case <-time.After(20 * again):
	}
	first.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
	cancel()
}
