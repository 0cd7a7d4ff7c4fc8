package mysql

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"holdfast/engines"
)

var errStop = errors.New("stopped by the test")

// stopping stops a target before its n-th statement, and says whether it got there.
func stopping(target *target, n int) *bool {
	reached := new(bool)
	count := 0
	target.step = func(string) error {
		if count++; count == n {
			*reached = true
			return errStop
		}
		return nil
	}
	return reached
}

func TestAStopBeforeEveryStatementOfASwapIsReverted(t *testing.T) {
	s, before, changed, memory, entries := shopWithSnapshot(t)
	s.must(s.stage(memory, entries).Close())
	for n := 1; ; n++ {
		target := s.target("root", "", "shop", testToken)
		reached := stopping(target, n)
		if err := target.Swap(t.Context()); (err != nil) != *reached {
			t.Fatal(err)
		}
		s.must(target.Close())
		s.isAsBeforeOnceReverted(changed, fmt.Sprintf("stopped before statement %d", n))
		if !*reached {
			t.Logf("%d statements", n-1)
			if n < 15 {
				t.Errorf("a swap had %d statements only", n-1)
			}
			break
		}
	}
	s.restore("shop", memory, entries)
	s.server.Exec("DROP VIEW shop.torn")
	s.same(before, s.dump("shop"), "restored at last")
}

func TestAStopBeforeEveryStatementOfARevertIsReverted(t *testing.T) {
	s, _, changed, memory, entries := shopWithSnapshot(t)
	s.must(s.stage(memory, entries).Close())
	for n := 1; ; n++ {
		target := s.target("root", "", "shop", testToken)
		s.must(target.Swap(t.Context()))
		reached := stopping(target, n)
		if err := target.Revert(t.Context()); (err != nil) != *reached {
			t.Fatal(err)
		}
		s.must(target.Close())
		s.isAsBeforeOnceReverted(changed, fmt.Sprintf("stopped before statement %d", n))
		if !*reached {
			break
		}
	}
	s.must(s.target("root", "", "shop", testToken).Discard(t.Context()))
}

func TestAStopBeforeEveryStatementOfADiscardIsDiscarded(t *testing.T) {
	s, _, _, memory, entries := shopWithSnapshot(t)
	s.in("shop", "DROP VIEW torn")
	var after string
	for n := 1; ; n++ {
		target := s.stage(memory, entries)
		s.must(target.Swap(t.Context()))
		reached := stopping(target, n)
		if err := target.Discard(t.Context()); (err != nil) != *reached {
			t.Fatal(err)
		}
		s.must(target.Close())
		again := s.target("root", "", "shop", testToken)
		s.must(again.Discard(t.Context()))
		s.must(again.Close())
		if n == 1 {
			after = s.dump("shop")
		}
		s.same(after, s.dump("shop"), fmt.Sprintf("stopped before statement %d and discarded", n))
		if left := s.value(`SELECT COUNT(*) FROM information_schema.schemata WHERE schema_name LIKE 'shop\_%'`); left != "0" {
			t.Errorf("stopped before statement %d: %s databases are left", n, left)
		}
		if !*reached {
			break
		}
	}
}

// TestKilledProcess is the process that TestAProcessKilledInASwap kills.
func TestKilledProcess(t *testing.T) {
	address, kill := os.Getenv("HOLDFAST_TEST_SHOP"), os.Getenv("HOLDFAST_TEST_KILL")
	if address == "" {
		return // on its own it has nothing to do
	}
	service := engines.Service{Name: "db", URL: mustURL(t, address)}
	target, err := newTarget(service, testToken)
	if err != nil {
		t.Fatal(err)
	}
	target.step = func(statement string) error {
		if strings.HasPrefix(statement, kill) {
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
		return nil
	}
	if err := target.Swap(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestAProcessKilledInASwap(t *testing.T) {
	s, _, changed, memory, entries := shopWithSnapshot(t)
	for _, kill := range []string{"journal swapping", "CREATE DATABASE", "DROP TRIGGER", "RENAME TABLE", "CREATE OR REPLACE", "journal swapped"} {
		target := s.stage(memory, entries)
		s.must(target.Close())
		child := exec.Command(os.Args[0], "-test.run=^TestKilledProcess$")
		child.Env = append(os.Environ(), "HOLDFAST_TEST_SHOP="+s.server.URL("root", "shop").String(), "HOLDFAST_TEST_KILL="+kill)
		out, err := child.CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			t.Fatalf("%s: the process was not killed: %v\n%s", kill, err, out)
		}
		s.isAsBeforeOnceReverted(changed, "killed before "+kill)
		s.discard()
	}
}

// isAsBeforeOnceReverted lets the next process take a swap back that ended as stopped says.
func (s shop) isAsBeforeOnceReverted(before, stopped string) {
	s.Helper()
	again := s.target("root", "", "shop", testToken)
	s.must(again.Revert(s.Context()))
	s.same(before, s.whole("shop"), stopped+", and reverted")
	s.must(again.Close())
}

// discard removes what a restore has staged.
func (s shop) discard() {
	s.Helper()
	target := s.target("root", "", "shop", testToken)
	s.must(target.Discard(s.Context()))
	s.must(target.Close())
}

func TestTheServerDiesInASwap(t *testing.T) {
	s, _, changed, memory, entries := shopWithSnapshot(t)
	for _, when := range []string{"DROP TRIGGER", "RENAME TABLE", "journal swapped"} {
		target := s.stage(memory, entries)
		killed := make(chan struct{})
		target.step = func(statement string) error {
			if strings.HasPrefix(statement, when) {
				target.step = nil
				go func() { s.server.Kill(); close(killed) }() // while the statement is under way, or just before
			}
			return nil
		}
		err := target.Swap(t.Context())
		<-killed
		s.must(target.Close())
		s.server.Start()
		t.Logf("killed at %s: %v", when, err)
		s.isAsBeforeOnceReverted(changed, "the server died at "+when)
		s.discard()
	}
}

func TestTwoRestoresCannotMeet(t *testing.T) {
	s, _, _, memory, entries := shopWithSnapshot(t)
	first := s.stage(memory, entries)
	second := s.target("root", "", "shop", strings.Repeat("5", 20))
	if _, err := second.Stage(t.Context(), entries, memory); err == nil || !strings.Contains(err.Error(), "another restore") {
		t.Errorf("the second restore was let in: %v", err)
	}
	s.must(first.Close())
	_, err := second.Stage(t.Context(), entries, memory)
	s.must(err)
	s.must(second.Discard(t.Context()))
	s.must(second.Close())
	s.must(first.Discard(t.Context()))
}

func TestHalfASwapIsNotDiscarded(t *testing.T) {
	s, _, changed, memory, entries := shopWithSnapshot(t)
	target := s.stage(memory, entries)
	target.step = func(statement string) error {
		if strings.HasPrefix(statement, "CREATE OR REPLACE") {
			return errStop
		}
		return nil
	}
	if err := target.Swap(t.Context()); !errors.Is(err, errStop) {
		t.Fatal(err)
	}
	target.step = nil
	if err := target.Discard(t.Context()); err == nil || !strings.Contains(err.Error(), "revert it first") {
		t.Fatalf("the old data were thrown away: %v", err)
	}
	s.must(target.Revert(t.Context()))
	s.same(changed, s.whole("shop"), "after the revert")

	// But a whole one whose end the journal does not know of is.
	s.must(target.Swap(t.Context()))
	j, _, err := target.readJournal(t.Context())
	s.must(err)
	j.Phase = phaseSwapping
	s.must(target.writeJournal(t.Context(), j))
	s.must(target.Discard(t.Context()))
}

func TestATableCreatedDuringTheSwapFailsIt(t *testing.T) {
	s, _, changed, memory, entries := shopWithSnapshot(t)
	target := s.stage(memory, entries)
	target.step = func(statement string) error {
		if strings.HasPrefix(statement, "RENAME TABLE") {
			s.server.Exec("CREATE TABLE shop.sudden (id INT)")
		}
		return nil
	}
	if err := target.Swap(t.Context()); err == nil || !strings.Contains(err.Error(), "sudden") {
		t.Fatal(err)
	}
	target.step = nil
	s.must(target.Revert(t.Context()))
	s.server.Exec("DROP TABLE shop.sudden")
	s.same(changed, s.whole("shop"), "after the revert")
	s.must(target.Discard(t.Context()))
}
