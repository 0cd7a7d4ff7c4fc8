package sqlite

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"holdfast/engines/enginetest"
)

// The tests of this file's helpers need other processes: locks of POSIX belong to
// a process, and only a process can be killed. They are this test binary again,
// in a role, or the sqlite3 command, another version of SQLite.

const roleVariable = "HOLDFAST_SQLITE_TEST_ROLE"

func TestMain(m *testing.M) {
	role, ok := os.LookupEnv(roleVariable)
	if !ok {
		os.Exit(m.Run())
	}
	if err := play(role, os.Args[1:]); err != nil {
		fmt.Println("error:", strings.ReplaceAll(err.Error(), "\n", " "))
		os.Exit(1)
	}
}

func play(role string, args []string) error {
	ctx := context.Background()
	switch role {
	case "site": // PATH FIRST: transfers, numbered from FIRST on, until stdin ends
		return site(ctx, args[0], args[1])
	case "lock": // PATH BEGIN: holds a transaction until stdin ends
		return holdLock(ctx, args[0], args[1])
	case "restore": // FROM TO TOKEN STEP…
		return restoreSteps(ctx, args[0], args[1], args[2], args[3:])
	case "capture": // PATH: says how the capture went
		return captureAs(ctx, args[0])
	}
	return fmt.Errorf("no role %q", role)
}

// site is an application at work. It says "ack N" once transfer N is committed,
// checkpoints in every way there is, and now and then opens the database anew.
func site(ctx context.Context, path, first string) error {
	n, err := strconv.Atoi(first)
	if err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		close(ended)
	}()
	app := connect(path, "rw")
	for {
		select {
		case <-ended:
			return app.Close()
		default:
		}
		if err := transfer(ctx, app, n); err != nil {
			return fmt.Errorf("transfer %d: %w", n, err)
		}
		fmt.Println("ack", n)
		n++
		if mode := []string{"PASSIVE", "FULL", "RESTART", "TRUNCATE"}[n%4]; n%7 == 0 {
			if _, err := app.ExecContext(ctx, "PRAGMA wal_checkpoint("+mode+")"); err != nil {
				return err
			}
		}
		if n%40 == 0 {
			if err := app.Close(); err != nil {
				return err
			}
			app = connect(path, "rw")
		}
		time.Sleep(time.Millisecond)
	}
}

func holdLock(ctx context.Context, path, begin string) error {
	db := connect(path, "rw")
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	var n int
	if _, err = conn.ExecContext(ctx, begin); err == nil {
		err = conn.QueryRowContext(ctx, "SELECT count(*) FROM account").Scan(&n)
	}
	if err != nil {
		return err
	}
	fmt.Println("locked")
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// restoreSteps takes a snapshot of one database and goes through steps of
// restoring it into another. It says each step that it has done.
func restoreSteps(ctx context.Context, from, to, token string, steps []string) error {
	target, err := Engine.Target(serviceOf(to), token)
	if err != nil {
		return err
	}
	for _, step := range steps {
		name, number, _ := strings.Cut(step, ":")
		stepCtx := ctx
		if number != "" {
			n, err := strconv.Atoi(number)
			if err != nil {
				return err
			}
			d := &deadly{Context: ctx}
			d.left.Store(int64(n))
			stepCtx = d
		}
		switch name {
		case "stage":
			memory := enginetest.NewMemory()
			s, err := capture(ctx, from, memory)
			if err != nil {
				return err
			}
			_, err = target.Stage(stepCtx, s, memory)
			if err != nil {
				return err
			}
		case "swap":
			err = target.Swap(stepCtx)
		case "revert":
			err = target.Revert(stepCtx)
		case "discard":
			err = target.Discard(stepCtx)
		case "wait": // for a line
			_, err = bufio.NewReader(os.Stdin).ReadString('\n')
		case "close":
			err = target.Close()
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		fmt.Println("done", name)
	}
	return nil
}

// deadly is a context that kills its process with SIGKILL when it is asked for
// the n-th time whether it is cancelled.
type deadly struct {
	context.Context
	left atomic.Int64
}

func (d *deadly) burn() {
	if d.left.Add(-1) == 0 {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
}

func (d *deadly) Err() error            { d.burn(); return d.Context.Err() }
func (d *deadly) Done() <-chan struct{} { d.burn(); return d.Context.Done() }

func captureAs(ctx context.Context, path string) error {
	memory := enginetest.NewMemory()
	entries, err := capture(ctx, path, memory)
	if err != nil {
		return err
	}
	fmt.Println("captured", entries[0].Size)
	return nil
}

// child is another process.
type child struct {
	t     *testing.T
	cmd   *exec.Cmd
	stdin io.WriteCloser
	lines chan string // of stdout, closed at its end
	seen  []string    // lines that were read so far
}

// start runs this test binary in a role. wrap is a command to run it under.
func start(t *testing.T, role string, args []string, wrap ...string) *child {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	line := append(append(wrap, self), args...)
	cmd := exec.Command(line[0], line[1:]...)
	// Under the race detector a process sleeps for a second before it ends.
	cmd.Env = append(os.Environ(), roleVariable+"="+role, "GORACE=atexit_sleep_ms=0")
	return run(t, cmd)
}

func run(t *testing.T, cmd *exec.Cmd) *child {
	t.Helper()
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := &child{t: t, cmd: cmd, stdin: stdin, lines: make(chan string, 1<<16)}
	go func() {
		defer close(c.lines)
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			c.lines <- lines.Text()
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		c.wait()
	})
	return c
}

// expect reads lines until one begins with want, and returns it.
func (c *child) expect(want string) string {
	c.t.Helper()
	deadline := time.After(time.Minute)
	for {
		select {
		case line, ok := <-c.lines:
			if !ok {
				c.t.Fatalf("the other process ended without saying %q; it said %q", want, c.seen)
			}
			c.seen = append(c.seen, line)
			if strings.HasPrefix(line, want) {
				return line
			}
		case <-deadline:
			c.t.Fatalf("the other process does not say %q; it said %q", want, c.seen)
		}
	}
}

// wait reads all that is still said and returns how the process ended.
func (c *child) wait() error {
	for line := range c.lines {
		c.seen = append(c.seen, line)
	}
	err := c.cmd.Wait()
	if err != nil && strings.Contains(err.Error(), "already called") {
		return nil
	}
	return err
}

// end ends a process that works until its stdin ends, and fails the test if it
// met an error.
func (c *child) end() {
	c.t.Helper()
	c.stdin.Close()
	if err := c.wait(); err != nil {
		c.t.Fatalf("the other process: %v: %q", err, c.seen[max(0, len(c.seen)-3):])
	}
}

// acknowledged returns the numbers of the transfers that a site has acknowledged.
func (c *child) acknowledged() []int {
	var acks []int
	for _, line := range c.seen {
		if number, ok := strings.CutPrefix(line, "ack "); ok {
			n, err := strconv.Atoi(number)
			if err != nil {
				c.t.Fatal(err)
			}
			acks = append(acks, n)
		}
	}
	return acks
}

// last is the number of the transfer that a site acknowledged last, of those that were read.
func (c *child) last() int {
	acks := c.acknowledged()
	return acks[len(acks)-1]
}

// killed reports whether err is the end of a process by SIGKILL, its own or that
// of what it was running under.
func killed(err error) bool {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return false
	}
	status := exit.Sys().(syscall.WaitStatus)
	return status.Signaled() && status.Signal() == syscall.SIGKILL || status.ExitStatus() == 128+int(syscall.SIGKILL)
}

// tool is the path of a command, without which the tests fail.
func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%v: apt-get install %s", err, name)
	}
	return path
}

// shell runs statements with the sqlite3 command and returns what it printed.
func shell(t *testing.T, path, statements string) string {
	t.Helper()
	cmd := exec.Command(tool(t, "sqlite3"), "-batch", "-cmd", ".timeout 30000", path)
	cmd.Stdin = strings.NewReader(statements)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("sqlite3 %s: %v: %s", path, err, out)
	}
	return strings.TrimSpace(string(out))
}

// query reads one value in a connection of its own.
func query[T any](t *testing.T, db *sql.DB, q string) (value T) {
	t.Helper()
	if err := db.QueryRowContext(t.Context(), q).Scan(&value); err != nil {
		t.Fatalf("%s: %v", q, err)
	}
	return value
}
