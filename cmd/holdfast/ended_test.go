package main

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// withoutReader runs a command whose stderr is a pipe that nobody reads any more.
func (s *site) withoutReader(args ...string) *exec.Cmd {
	s.t.Helper()
	r, w, err := os.Pipe()
	s.must(err)
	s.must(r.Close())
	defer w.Close()
	cmd := s.command(args...)
	cmd.Stderr = w
	_ = cmd.Run() // its state says it all
	return cmd
}

// TestNobodyReadsTheRemarks, as of "2>&1 | head -1", and of "| tee" once Ctrl-C has ended it:
// what is said meanwhile ends no operation in its middle.
func TestNobodyReadsTheRemarks(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteConfig)
	s.rows("master", "one", 100)
	s.rows("staging", "old", 10)
	s.repository()
	s.ok("repo", "parity", "on")
	cmd := s.withoutReader("-e", "master", "snapshot", "create")
	if !cmd.ProcessState.Success() {
		t.Errorf("create: %v", cmd.ProcessState)
	}
	if status := s.ok("repo", "parity", "status"); !strings.Contains(status, "Not covered  0 objects") {
		t.Errorf("after the create:\n%s", status)
	}
	name := s.create()
	cmd = s.withoutReader("-e", "master", "snapshot", "restore", name, "--target", "staging", "--yes")
	if !cmd.ProcessState.Success() || s.state("staging") != s.state("master") {
		t.Errorf("restore: %v; it has left\n%s", cmd.ProcessState, s.state("staging"))
	}
	cmd = s.withoutReader("-e", "master", "snapshot", "restore", "ffffff", "--yes")
	if code := cmd.ProcessState.ExitCode(); code != int(exitFailed) {
		t.Errorf("a restore that fails: %v", cmd.ProcessState)
	}
}

// TestNoRoomForTheResult, as of ">>/var/log/backup" on a full disk: that it could not be written
// is an error, and that the work is done is said with it.
func TestNoRoomForTheResult(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteConfig)
	s.rows("master", "one", 100)
	s.rows("staging", "old", 10)
	s.repository()
	s.ok("repo", "parity", "on")
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	s.must(err)
	defer full.Close()
	unheard := func(want string, args ...string) {
		t.Helper()
		cmd := s.command(args...)
		var stderr strings.Builder
		cmd.Stdout, cmd.Stderr = full, &stderr
		_ = cmd.Run() // its state says it all
		if code := cmd.ProcessState.ExitCode(); code != int(exitFailed) || !regexp.MustCompile(want).MatchString(stderr.String()) {
			t.Errorf("exit code %d, %s; want %s", code, stderr.String(), want)
		}
		if status := s.ok("repo", "parity", "status"); !strings.Contains(status, "Not covered  0 objects") {
			t.Errorf("after %s:\n%s", args, status)
		}
	}
	unheard("(?m)^holdfast: the snapshot [0-9a-f]{20} is published, but its name could not be written: .*no space left", "-e", "master", "snapshot", "create")
	name := s.create()
	unheard("(?m)^holdfast: "+name+" is restored into staging; what it replaced is snapshot [0-9a-f]{20}, but that could not be written: .*no space left",
		"-e", "master", "snapshot", "restore", name, "--target", "staging", "--yes")
}
