package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const nothingReplaced = "nothing was replaced: the environment staging is as it was"

// A restore that failed while it was staged says that everything is as it was.
func TestAFailedRestoreSaysThatNothingWasReplaced(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteConfig)
	s.rows("master", "one", 2000)
	s.files("master", "one", 20)
	s.rows("staging", "old", 50)
	s.files("staging", "old", 5)
	s.repository()
	name, before := s.create(), s.state("staging")
	packs, err := filepath.Glob(s.path("repo/packs/*/*"))
	s.must(err)
	s.must(damage(largest(packs), "flip"))
	restore := []string{"-e", "master", "snapshot", "restore", name, "--target", "staging", "--yes"}
	_, stderr, code := s.run(restore...)
	if code != int(exitFailed) || !strings.Contains(stderr, nothingReplaced) {
		t.Errorf("exit code %d\n%s", code, stderr)
	}
	_, stderr, _ = s.run(append(restore, "--json", "--quiet")...)
	var said struct{ Undone bool }
	lines := strings.Split(strings.TrimSpace(stderr), "\n")
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &said); err != nil || !said.Undone {
		t.Errorf("as JSON (%v): %s", err, stderr)
	}
	if got := s.state("staging"); got != before || len(s.leftovers()) > 0 {
		t.Errorf("it is not as it was:\n%s", got)
	}
}

// So does one that was interrupted before it was decided.
func TestAnInterruptedRestoreSaysThatNothingWasReplaced(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteConfig)
	s.rows("master", "one", 40000)
	s.files("master", "one", 500)
	s.repository()
	name := s.create()
	for range 20 {
		s.rows("staging", "old", 50)
		s.files("staging", "old", 5)
		before := s.state("staging")
		cmd := s.command("-e", "master", "snapshot", "restore", name, "--target", "staging", "--yes", "--no-safety-snapshot")
		var stderr strings.Builder
		cmd.Stderr = &stderr
		s.must(cmd.Start())
		ended := make(chan struct{})
		go func() { _ = cmd.Wait(); close(ended) }()
		for running := true; running; {
			select {
			case <-ended:
				running = false
			case <-time.After(time.Millisecond):
				_, err := os.Stat(s.path(".holdfast/shop-staging/restore.json"))
				running = err != nil
			}
		}
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended by then
		<-ended
		said := strings.Contains(stderr.String(), nothingReplaced)
		if cmd.ProcessState.ExitCode() == 0 {
			if said {
				t.Fatalf("it was done, and says that it was not: %s", stderr.String())
			}
			continue // it was faster than the signal
		}
		if code := cmd.ProcessState.ExitCode(); code != int(exitInterrupted) || !said || s.state("staging") != before {
			t.Errorf("exit code %d\n%s", code, stderr.String())
		}
		return
	}
	t.Error("every restore was faster than the signal")
}
