package testserver

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// startLimit bounds how long a server may take until it answers. It is far more
// than any needs: a server that died is noticed at once.
const startLimit = 60 * time.Second

// process is one server process with its scratch directory. Its log is the file
// "log" in there.
type process struct {
	tb      testing.TB
	dir     string
	owner   *syscall.Credential // who runs it; nil: ourselves
	running *exec.Cmd
	ended   chan struct{} // closed when the process is gone
}

// newProcess makes the scratch directory. accounts are names of system users of
// which the first existing one runs the server if we are root, because servers
// refuse to run as root.
func newProcess(tb testing.TB, accounts ...string) *process {
	tb.Helper()
	// Not tb.TempDir(): the path of a socket must be short.
	dir, err := os.MkdirTemp("", "holdfast-server-")
	if err != nil {
		tb.Fatal(err)
	}
	p := &process{tb: tb, dir: dir, owner: credential(tb, accounts)}
	tb.Cleanup(func() {
		p.kill()
		if text, err := os.ReadFile(p.log()); err == nil && tb.Failed() {
			tb.Logf("what the server in %s said last:\n%s", dir, tail(text, 8<<10))
		}
		if err := os.RemoveAll(dir); err != nil {
			tb.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o755); err != nil {
		tb.Fatal(err)
	}
	p.give(dir)
	return p
}

// credential returns who shall run a server if we are root.
func credential(tb testing.TB, accounts []string) *syscall.Credential {
	tb.Helper()
	if os.Geteuid() != 0 {
		return nil
	}
	for _, name := range append(accounts, "nobody") {
		account, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(account.Uid, 10, 32)
		if err != nil {
			continue
		}
		gid, err := strconv.ParseUint(account.Gid, 10, 32)
		if err != nil {
			continue
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	tb.Fatalf("a test as root needs one of the users %q to run a server", accounts)
	return nil
}

// give makes the server's user the owner of everything in path.
func (p *process) give(path string) {
	p.tb.Helper()
	if p.owner == nil {
		return
	}
	err := filepath.Walk(path, func(name string, _ os.FileInfo, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(name, int(p.owner.Uid), int(p.owner.Gid))
	})
	if err != nil {
		p.tb.Fatal(err)
	}
}

// command prepares program to run as the server's user, and to die with us.
func (p *process) command(program string, args ...string) *exec.Cmd {
	cmd := exec.Command(program, args...)
	cmd.Dir = p.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Credential: p.owner}
	return cmd
}

// start runs program and returns when ready does without an error.
func (p *process) start(ready func() error, program string, args ...string) {
	p.tb.Helper()
	log, err := os.OpenFile(p.log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		p.tb.Fatal(err)
	}
	defer log.Close()
	cmd := p.command(program, args...)
	cmd.Stdout, cmd.Stderr = log, log
	started, ended := make(chan error), make(chan struct{})
	go func() {
		// Pdeathsig is sent when the thread that started the process ends, so this
		// thread must stay until the process is gone.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(ended)
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ended is told by its log
		}
	}()
	if err := <-started; err != nil {
		p.tb.Fatalf("start %s: %v", program, err)
	}
	p.running, p.ended = cmd, ended
	if err := p.wait(ready); err != nil {
		text, _ := os.ReadFile(p.log())
		p.tb.Fatalf("%s does not start: %v\n%s", program, err, tail(text, 8<<10))
	}
}

func (p *process) wait(ready func() error) error {
	for deadline := time.Now().Add(startLimit); ; {
		err := ready()
		if err == nil {
			return nil
		}
		select {
		case <-p.ended:
			return errors.New("it ended")
		case <-time.After(10 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("it does not answer: %w", err)
		}
	}
}

// kill ends the process at once, as a power failure would.
func (p *process) kill() {
	p.end(syscall.SIGKILL)
}

// end sends a signal and waits until the process is gone.
func (p *process) end(signal os.Signal) {
	if p.running == nil {
		return
	}
	_ = p.running.Process.Signal(signal) // it may have ended by itself
	<-p.ended
	p.running = nil
}

func (p *process) log() string { return filepath.Join(p.dir, "log") }

func tail(text []byte, n int) []byte {
	if len(text) > n {
		return text[len(text)-n:]
	}
	return text
}

// freePort returns a port of 127.0.0.1 that nobody listened on just now.
func freePort(tb testing.TB) int {
	tb.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
}

// templates returns the directory in which initialised data directories are kept.
func templates(tb testing.TB) string {
	tb.Helper()
	dir := filepath.Join(os.TempDir(), fmt.Sprintf("holdfast-templates-%d", os.Geteuid()))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		tb.Fatal(err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		tb.Fatal(err)
	}
	if int(info.Sys().(*syscall.Stat_t).Uid) != os.Geteuid() {
		tb.Fatalf("%s belongs to somebody else: remove it, or set TMPDIR", dir)
	}
	return dir
}
