package quiesce

import (
	"bufio"
	"errors"
	"fmt"
	"log"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
)

// Any number of clients who say nothing keep nobody waiting.
func TestClientsWhoSayNothing(t *testing.T) {
	k := newKeeper(t, quick)
	c := controlled(t, k)
	var silent []net.Conn
	for range 3 * maxControl {
		conn, err := net.Dial("unix", string(c))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		silent = append(silent, conn)
	}
	if _, err := holding(t, c, Mark, 0).Release(); err != nil {
		t.Error(err)
	}
	// It was not that those before had to be given up first: the last one is still there.
	last := silent[len(silent)-1]
	fmt.Fprintln(last, `{"op":"status"}`)
	if line, err := bufio.NewReader(last).ReadString('\n'); !strings.Contains(line, `"status"`) {
		t.Errorf("the last of those who said nothing was answered %q, %v", line, err)
	}
}

// Clients who have lost their leases and stay are not more than are served at once.
func TestTooManyClients(t *testing.T) {
	k := newKeeper(t, quick)
	c := controlled(t, k)
	for n := range maxControl {
		h := holding(t, c, Mark, 0)
		defer h.Abandon()
		if n < maxControl-1 {
			k.Force()
		}
	}
	if _, err := c.Hold(t.Context(), Request{Mode: Mark}); err == nil || !strings.Contains(err.Error(), "64 clients already") {
		t.Errorf("one more was told %v", err)
	}
}

// Where the gate may open no more files, a client waits; the gate goes on.
func TestNoMoreFiles(t *testing.T) {
	k := newKeeper(t, quick)
	said := make(chan string, 100)
	k.Log = log.New(writerFunc(func(p []byte) (int, error) {
		select {
		case said <- string(p):
		default:
		}
		return len(p), nil
	}), "", 0)
	c := controlled(t, k)
	restore := allowFewFiles(t)
	for {
		leaveOneFile(t)
		answered := make(chan error, 1)
		go func() {
			_, err := c.Status(t.Context())
			answered <- err
		}()
		select {
		case line := <-said:
			if !strings.Contains(line, "too many open files") {
				t.Errorf("the gate said %q", line)
			}
			restore()
			if err := <-answered; err != nil {
				t.Error(err)
			}
			return
		case err := <-answered: // something left behind was closed, and the gate had its file
			if err != nil {
				t.Fatal(err)
			}
		}
	}
}

// allowFewFiles lets the process open some files more than it has, until restore is called.
func allowFewFiles(t *testing.T) (restore func()) {
	t.Helper()
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	next, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	few := syscall.Rlimit{Cur: uint64(next.Fd()) + 10, Max: before.Max}
	next.Close()
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &few); err != nil {
		t.Fatal(err)
	}
	restore = func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(restore)
	return restore
}

// leaveOneFile opens all files that may still be opened, except one.
func leaveOneFile(t *testing.T) {
	t.Helper()
	for last := (*os.File)(nil); ; {
		f, err := os.Open(os.DevNull)
		if errors.Is(err, syscall.EMFILE) {
			if last != nil {
				last.Close()
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		last = f
	}
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
