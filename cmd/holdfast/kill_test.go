package main

import (
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"holdfast/internal/soak"
)

// fewKills is how often a process is killed by each test where this is no soak.
const fewKills = 25

// killSome runs a command again and again and kills it with SIGKILL, at times
// drawn evenly over as long as it takes; after is called each time.
func (s *site) killSome(before func(), after func(killed bool, when time.Duration), args ...string) {
	s.t.Helper()
	seed := uint64(time.Now().UnixNano())
	s.t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	before()
	started := time.Now()
	s.ok(args...)
	whole := time.Since(started)
	tried, hit := 0, 0
	for range soak.Cases(s.t, fewKills) {
		tried++
		before()
		when := time.Duration(random.Float64() * 1.1 * float64(whole))
		killed := s.kill(when, args...)
		if killed {
			hit++
		}
		after(killed, when)
	}
	s.t.Attr("cases", strconv.Itoa(hit))
	if hit == 0 {
		s.t.Errorf("none of %d processes was killed before it ended", tried)
	}
}

// kill runs a command, kills it with SIGKILL some time later, and reports whether it had
// not ended by then; one that had must have succeeded.
func (s *site) kill(when time.Duration, args ...string) bool {
	s.t.Helper()
	cmd := s.command(args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	s.must(cmd.Start())
	time.Sleep(when)
	_ = cmd.Process.Kill() // it may have ended by then
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code > 0 {
		s.t.Fatalf("holdfast %s: exit code %d\n%s", strings.Join(args, " "), code, stderr.String())
	}
	return !cmd.ProcessState.Exited()
}

func TestKilledCreateLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteConfig)
	s.rows("master", "one", 20000)
	s.files("master", "one", 200)
	s.repository()
	generation := 0
	s.killSome(func() {
		generation++
		s.rows("master", strings.Repeat("x", generation%7+1), 20000)
		s.write("master/uploads/new", []byte(strings.Repeat("y", generation*1000)))
	}, func(_ bool, when time.Duration) {
		want := s.state("master")
		s.ok("repo", "check", "--read-data")
		name := s.create()
		if generation%8 == 0 {
			s.ok("-e", "master", "snapshot", "restore", name, "--target", "staging", "--yes", "--no-safety-snapshot")
			if got := s.state("staging"); got != want {
				t.Fatalf("after a kill at %s, the next snapshot holds\n%s\nwant\n%s", when, got, want)
			}
		}
	}, "-e", "master", "snapshot", "create")
	if left := s.leftovers(); len(left) > 0 {
		t.Errorf("left behind: %s", left)
	}
}

// TestKilledRestoreIsWholeAfterOneCommand, also where up to two others that were to
// finish it were killed as well.
func TestKilledRestoreIsWholeAfterOneCommand(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteConfig)
	s.rows("master", "one", 20000)
	s.files("master", "one", 200)
	s.repository()
	name := s.create()
	restored := s.state("master")
	var before string
	undone, done, generation := 0, 0, 0
	s.killSome(func() {
		generation++
		s.rows("staging", "old", 5000)
		s.files("staging", "old", 100)
		before = s.state("staging")
	}, func(_ bool, when time.Duration) {
		for range generation % 3 {
			s.kill(rand.N(when+1), "-e", "staging", "snapshot", "recover")
		}
		s.ok("-e", "staging", "snapshot", "create") // any command on the environment recovers
		switch got := s.state("staging"); got {
		case before:
			undone++
		case restored:
			done++
		default:
			t.Fatalf("after a kill at %s and one command the target is a mixture:\n%s", when, got)
		}
		if left := s.leftovers(); len(left) > 0 {
			t.Fatalf("after a kill at %s: left behind: %s", when, left)
		}
	}, "-e", "master", "snapshot", "restore", name, "--target", "staging", "--yes")
	t.Logf("%d undone, %d done", undone, done)
	s.ok("repo", "check", "--read-data")
}

func TestKilledCollectionLosesNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteConfig)
	s.repository()
	generation := 0
	var name, want string
	s.killSome(func() {
		generation++
		s.rows("master", strings.Repeat("x", generation%7+1), 5000)
		s.write("master/uploads/new", []byte(strings.Repeat("y", generation*1000)))
		before := name
		name, want = s.create(), s.state("master")
		if before != "" {
			s.ok("snapshot", "delete", before, "--yes")
		}
	}, func(_ bool, when time.Duration) {
		s.ok("repo", "check", "--read-data")
		if generation%8 == 0 {
			s.ok("-e", "master", "snapshot", "restore", name, "--target", "staging", "--yes", "--no-safety-snapshot")
			if got := s.state("staging"); got != want {
				t.Fatalf("after a kill at %s, the snapshot holds\n%s\nwant\n%s", when, got, want)
			}
		}
	}, "repo", "gc", "--grace", "0", "--wait", "0")
	s.ok("repo", "gc", "--grace", "0")
	s.ok("repo", "check", "--read-data")
}

// TestAKilledCreateIsNotWaitedFor, not even one that was killed before it had left
// any record but its session.
func TestAKilledCreateIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteConfig)
	s.rows("master", "one", 40000)
	s.files("master", "one", 50)
	s.repository()
	old := s.create()
	s.ok("snapshot", "delete", old, "--yes")
	cmd := s.command("-e", "master", "snapshot", "create")
	s.must(cmd.Start())
	for !s.hasSession() {
		time.Sleep(time.Millisecond)
	}
	s.must(cmd.Process.Kill())
	_ = cmd.Wait()
	if !s.hasSession() {
		t.Fatal("it was faster than the signal")
	}
	s.must(os.RemoveAll(s.path("repo/activities")))
	out := s.ok("repo", "gc", "--grace", "0", "--wait", "0")
	if !strings.Contains(out, "Freed ") || !strings.Contains(out, "Ended ") || s.hasSession() {
		t.Errorf("a collection still waits for it:\n%s", out)
	}
	s.ok("repo", "check", "--read-data")
}

func TestInterruptedEndsCleanly(t *testing.T) {
	t.Parallel()
	hangUp(t)
	s := newSite(t, siteConfig)
	s.rows("master", "one", 40000)
	s.files("master", "one", 500)
	s.repository()
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		cmd := s.command("-e", "master", "snapshot", "create")
		var stdout strings.Builder
		cmd.Stdout = &stdout
		s.must(cmd.Start())
		for !s.hasSession() { // it has begun
			time.Sleep(time.Millisecond)
		}
		s.must(cmd.Process.Signal(signal))
		_ = cmd.Wait()
		code := cmd.ProcessState.ExitCode()
		if code == 0 && strings.HasPrefix(stdout.String(), "Snapshot name: ") {
			continue // it was faster than the signal
		}
		if code != int(exitInterrupted) || stdout.Len() > 0 {
			t.Errorf("%v: exit code %d, stdout %q", signal, code, stdout.String())
		}
		if s.hasSession() {
			t.Errorf("%v: its session is still open", signal)
		}
	}
	s.ok("repo", "check", "--read-data")
	s.create()
}

func (s *site) hasSession() bool {
	entries, err := os.ReadDir(s.path("repo", "sessions"))
	if err != nil {
		return false
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") {
			return true
		}
	}
	return false
}
