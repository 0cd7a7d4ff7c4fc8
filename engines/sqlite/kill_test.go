package sqlite

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// scene is a database about to be restored by a process that will be killed, and
// an application that has it open all the while.
type scene struct {
	*testing.T
	mode       string
	from, path string
	old, next  string // dumps
	ask        func(string) string
}

func newScene(t *testing.T, mode string) *scene {
	s := &scene{T: t, mode: mode, from: another(t, mode), path: filled(t, mode)}
	s.old, s.next = mustDump(t, s.path), mustDump(t, s.from)
	s.ask = prompt(t, s.path)
	s.ask("SELECT count(*) FROM transfer;")
	return s
}

// restore runs steps in a process of its own.
func (s *scene) restore(wrap []string, steps ...string) *child {
	s.Helper()
	return start(s.T, "restore", append([]string{s.from, s.path, token}, steps...), wrap...)
}

// kill runs steps in a process that is killed on its way, and reports whether it was.
func (s *scene) kill(wrap []string, steps ...string) bool {
	s.Helper()
	c := s.restore(wrap, steps...)
	err := c.wait()
	if err != nil && !killed(err) {
		s.Fatalf("%v: %v: %q", steps, err, c.seen)
	}
	return err != nil
}

// recover runs steps in a new process, as whoever comes after does, and compares.
func (s *scene) recover(when string, want string, steps ...string) {
	s.Helper()
	c := s.restore(nil, append(steps, "close")...)
	if err := c.wait(); err != nil {
		s.Fatalf("%s: recovery: %v: %q", when, err, c.seen)
	}
	if mustDump(s.T, s.path) != want {
		s.Fatalf("%s, after %v the data are others", when, steps)
	}
	if got := s.ask("PRAGMA integrity_check; SELECT sum(balance) FROM account; PRAGMA journal_mode;"); got != "ok\n20000\n"+s.mode {
		s.Fatalf("%s, after %v an open connection sees %q", when, steps, got)
	}
}

// clean fails the test if anything is left beside the database.
func (s *scene) clean(when string) {
	s.Helper()
	for _, name := range names(s.T, filepath.Dir(s.path)) {
		if strings.HasPrefix(name, ".holdfast") {
			s.Fatalf("%s: %s is left", when, name)
		}
	}
	if got := s.ask("SELECT count(*) FROM sqlite_schema WHERE name = 'holdfast_swap';"); got != "0" {
		s.Fatalf("%s: the token's table is left", when)
	}
}

// killSwap kills one swap, and brings the old data back.
func (s *scene) killSwap(when string, wrap []string, swap string) bool {
	s.Helper()
	dead := s.kill(wrap, "stage", swap)
	if now := mustDump(s.T, s.path); now != s.old && now != s.next {
		s.Fatalf("%s: the data are neither the old nor the new", when)
	}
	s.recover(when, s.old, "revert", "revert", "discard")
	s.clean(when)
	return dead
}

func TestSwapIsKilledAtAnyStep(t *testing.T) {
	inBothModes(t, func(t *testing.T, mode string) {
		s := newScene(t, mode)
		deaths := 0
		for n := 1; ; n += 1 + n/2 {
			if !s.killSwap(fmt.Sprintf("killed at step %d", n), nil, fmt.Sprintf("swap:%d", n)) {
				break
			}
			deaths++
		}
		if deaths < 6 {
			t.Errorf("only %d swaps were killed", deaths)
		}
	})
}

// strace kills a process at the n-th system call that touches the database, its
// journal or its log: also in the middle of a commit.
func (s *scene) strace(n int, calls string) []string {
	return []string{tool(s.T, "strace"), "-f", "-qq", "-o", "/dev/null",
		"-P", s.path, "-P", s.path + "-journal", "-P", s.path + "-wal",
		"-e", "inject=" + calls + fmt.Sprintf(":signal=SIGKILL:when=%d", n)}
}

const writes = "pwrite64,fsync,fdatasync,ftruncate,unlink,unlinkat"

func TestSwapIsKilledInItsSystemCalls(t *testing.T) {
	inBothModes(t, func(t *testing.T, mode string) {
		s := newScene(t, mode)
		deaths := 0
		for n := 1; ; n += 1 + n/2 {
			if !s.killSwap(fmt.Sprintf("killed at call %d", n), s.strace(n, writes), "swap") {
				break
			}
			deaths++
		}
		if deaths < 6 {
			t.Errorf("only %d swaps were killed", deaths)
		}
	})
}

func TestRevertIsKilledInItsSystemCalls(t *testing.T) {
	inBothModes(t, func(t *testing.T, mode string) {
		s := newScene(t, mode)
		for n := 1; ; n += 1 + n/2 {
			when := fmt.Sprintf("killed at call %d", n)
			s.recover("before", s.next, "stage", "swap")
			dead := s.kill(s.strace(n, writes), "revert")
			if now := mustDump(t, s.path); now != s.old && now != s.next {
				t.Fatalf("%s: the data are neither the old nor the new", when)
			}
			s.recover(when, s.old, "revert", "discard")
			s.clean(when)
			if !dead {
				return
			}
		}
	})
}

func TestDiscardIsKilledInItsSystemCalls(t *testing.T) {
	s := newScene(t, "wal")
	for n := 1; ; n += 1 + n/8 {
		when := fmt.Sprintf("killed at call %d", n)
		s.recover("before", s.next, "stage", "swap")
		dead := s.kill([]string{tool(t, "strace"), "-f", "-qq", "-o", "/dev/null",
			"-e", "inject=" + writes + fmt.Sprintf(":signal=SIGKILL:when=%d", n)}, "discard")
		s.recover(when, s.next, "discard")
		s.clean(when)
		if !dead {
			return
		}
	}
}

func TestSwapIsKilledAtAnyTime(t *testing.T) {
	inBothModes(t, func(t *testing.T, mode string) {
		s := newScene(t, mode)
		deaths := 0
		for i := range 8 {
			c := s.restore(nil, "stage", "wait", "swap", "wait")
			c.expect("done stage")
			fmt.Fprintln(c.stdin)
			time.Sleep(rand.N(30 * time.Millisecond))
			_ = c.cmd.Process.Kill()
			_ = c.wait()
			if !strings.Contains(strings.Join(c.seen, "\n"), "done swap") {
				deaths++
			}
			s.recover(fmt.Sprintf("kill %d", i), s.old, "revert", "discard")
			s.clean("after a kill")
		}
		t.Logf("%d of 8 were killed before they were done", deaths)
	})
}

// A database that is created, by a process that is killed on its way or on its
// way back, is removed with all that belongs to it.
func TestCreatingIsKilledInItsSystemCalls(t *testing.T) {
	from := another(t, "wal")
	path := filepath.Join(t.TempDir(), "new.db")
	play := func(n int, steps ...string) bool {
		t.Helper()
		var wrap []string
		if n > 0 {
			wrap = []string{tool(t, "strace"), "-f", "-qq", "-o", "/dev/null",
				"-P", path, "-P", path + "-journal", "-P", path + "-wal", "-P", path + "-shm",
				"-P", filepath.Join(filepath.Dir(path), ".holdfast-"+token+"-new.db.created"),
				"-e", fmt.Sprintf("inject=openat,link,linkat,%s:signal=SIGKILL:when=%d", writes, n)}
		}
		c := start(t, "restore", append([]string{from, path, token}, steps...), wrap...)
		err := c.wait()
		if err != nil && (n == 0 || !killed(err)) {
			t.Fatalf("%v: %v: %q", steps, err, c.seen)
		}
		return err != nil
	}
	for _, killed := range []string{"swap", "revert"} {
		for n := 1; ; n += 1 + n/4 {
			dead := false
			if killed == "swap" {
				dead = play(n, "stage", "swap")
			} else {
				play(0, "stage", "swap")
				site := start(t, "lock", []string{path, "BEGIN"}) // and leaves a log
				site.expect("locked")
				shell(t, path, "UPDATE page SET body = 'x';")
				_ = site.cmd.Process.Kill()
				_ = site.wait()
				dead = play(n, "revert")
			}
			play(0, "revert", "discard", "close")
			if left := names(t, filepath.Dir(path)); len(left) > 0 {
				t.Fatalf("%s killed at call %d: after the recovery there is %q", killed, n, left)
			}
			if !dead {
				break
			}
		}
	}
}
