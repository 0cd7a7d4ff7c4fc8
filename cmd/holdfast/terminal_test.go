package main

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// pseudoTerminal returns both ends of one: what a person has, and what a program
// gets as its terminal.
func pseudoTerminal(t *testing.T) (person, program *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { person.Close() })
	raw, err := person.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	number := 0
	if err := raw.Control(func(fd uintptr) {
		if err = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); err == nil {
			number, err = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
		}
	}); err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	program, err = os.OpenFile("/dev/pts/"+strconv.Itoa(number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { program.Close() })
	return person, program
}

// shows reads what the terminal shows until it ends with text.
func shows(t *testing.T, person *os.File, text string) string {
	t.Helper()
	if err := person.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	var seen strings.Builder
	buffer := make([]byte, 256)
	for !strings.HasSuffix(seen.String(), text) {
		n, err := person.Read(buffer)
		seen.Write(buffer[:n])
		if err != nil {
			t.Fatalf("the terminal shows %q, want %q: %v", seen.String(), text, err)
		}
	}
	return seen.String()
}

// onPseudoTerminal starts a program with a terminal of its own.
func onPseudoTerminal(t *testing.T, args ...string) (person *os.File, cmd *exec.Cmd, stdout, stderr *strings.Builder) {
	t.Helper()
	person, program := pseudoTerminal(t)
	stdout, stderr = new(strings.Builder), new(strings.Builder)
	cmd = exec.Command("trial", args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = program, stdout, stderr
	cmd.Env = append(os.Environ(), "HOLDFAST_REPO=/repo")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return person, cmd, stdout, stderr
}

func TestPasswordsAreNotShown(t *testing.T) {
	person, cmd, stdout, stderr := onPseudoTerminal(t, "repo", "key", "password")
	for _, step := range []struct{ question, answer string }{
		{"Password of the repository /repo: ", "old-secret"},
		{"New password: ", "new-secret"},
		{"The same again: ", "new-secret"},
	} {
		if seen := shows(t, person, step.question); strings.Contains(seen, "secret") {
			t.Errorf("the terminal shows %q", seen)
		}
		if _, err := person.WriteString(step.answer + "\n"); err != nil {
			t.Fatal(err)
		}
	}
	if err := cmd.Wait(); err != nil || stdout.String() != "old old-secret new new-secret\n" {
		t.Errorf("%v, %s, %s", err, stdout, stderr)
	}
	if seen := shows(t, person, "\n"); strings.Contains(seen, "secret") {
		t.Errorf("the terminal shows %q", seen)
	}
}

// A process that waits for an answer can be interrupted, and leaves a terminal
// that shows what is typed.
func TestQuestionsCanBeInterrupted(t *testing.T) {
	for _, test := range []struct {
		args     []string
		question string
	}{
		{[]string{"snapshot", "delete", "2ca4d9"}, "Delete the snapshot 2ca4d9? [y/N] "},
		{[]string{"repo", "key", "password"}, "Password of the repository /repo: "},
	} {
		person, cmd, _, stderr := onPseudoTerminal(t, test.args...)
		shows(t, person, test.question)
		if _, err := person.WriteString("\x03"); err != nil { // Ctrl-C
			t.Fatal(err)
		}
		_ = cmd.Wait() // the exit code says it all
		if cmd.ProcessState.ExitCode() != int(exitInterrupted) || !strings.HasSuffix(stderr.String(), "holdfast: interrupted\n") {
			t.Errorf("%q: %v, %s", test.args, cmd.ProcessState, stderr)
		}
		if _, err := person.WriteString("echo"); err != nil {
			t.Fatal(err)
		}
		shows(t, person, "echo")
	}
}
