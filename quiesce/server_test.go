package quiesce

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sync/errgroup"
)

// A gate is replaced by another on the same socket while visitors come, on
// connections that they keep; nobody is turned away.
func TestAGateIsReplacedUnderTraffic(t *testing.T) {
	first, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	file, err := first.(*net.TCPListener).File() // what systemd keeps
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	start := func(l net.Listener) (stop func() error) {
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			ended <- Serve(ctx, []net.Listener{l}, &Gate{Site: &slow{takes: 3 * time.Millisecond}}, 10*time.Second)
		}()
		return func() error { cancel(); return <-ended }
	}
	stop := start(first)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 20}}
	var visitors errgroup.Group
	var over atomic.Bool
	var answered atomic.Int64
	for range 10 {
		visitors.Go(func() error {
			for !over.Load() {
				// Without GetBody the client does not try again by itself.
				r, err := http.NewRequest(http.MethodPost, "http://"+first.Addr().String(), io.NopCloser(strings.NewReader("order")))
				if err != nil {
					return err
				}
				response, err := client.Do(r)
				if err != nil {
					return err
				}
				io.Copy(io.Discard, response.Body)
				response.Body.Close()
				answered.Add(1)
			}
			return nil
		})
	}
	for range 3 {
		time.Sleep(50 * time.Millisecond)
		l, err := net.FileListener(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := stop(); err != nil {
			t.Errorf("the gate ended with %v", err)
		}
		stop = start(l)
	}
	over.Store(true)
	if err := visitors.Wait(); err != nil {
		t.Errorf("after %d answers: %v", answered.Load(), err)
	}
	client.CloseIdleConnections()
	if err := stop(); err != nil {
		t.Error(err)
	}
	t.Logf("%d requests were answered", answered.Load())
}

// deserted is a listener to which nobody comes.
type deserted struct {
	net.Listener
	closed chan struct{}
}

func (d deserted) Accept() (net.Conn, error) { <-d.closed; return nil, net.ErrClosed }
func (d deserted) Close() error              { close(d.closed); return nil }

// A gate that nobody is connected to ends at once: another is about to take its place.
func TestADesertedGateEndsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Hour, cancel)
		began := time.Now()
		if err := Serve(ctx, []net.Listener{deserted{closed: make(chan struct{})}}, quick, time.Minute); err != nil || time.Since(began) != time.Hour {
			t.Errorf("it ended after %v: %v", time.Since(began), err)
		}
	})
}

// A listener that breaks ends the server with its error.
func TestServeFails(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if err := Serve(t.Context(), []net.Listener{l}, quick, time.Second); err == nil {
		t.Error("it did not fail")
	}
}

// TestInheritedChild is the process to which a socket is handed on.
func TestInheritedChild(t *testing.T) {
	if os.Getenv("HOLDFAST_INHERITS") == "" {
		t.Skip("run by TestInherited")
	}
	os.Setenv("LISTEN_PID", os.Getenv("HOLDFAST_INHERITS"))
	if os.Getenv("HOLDFAST_INHERITS") == "own" {
		os.Setenv("LISTEN_PID", strconv.Itoa(os.Getpid()))
	}
	listeners, err := Inherited(os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range listeners {
		conn, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		conn.Write([]byte("hello"))
		conn.Close()
	}
	println("listeners", len(listeners))
}

func TestInherited(t *testing.T) {
	for pid, want := range map[string]string{"own": "listeners 1", "1": "listeners 0"} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		file, err := l.(*net.TCPListener).File()
		if err != nil {
			t.Fatal(err)
		}
		child := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestInheritedChild$")
		child.ExtraFiles = []*os.File{file}
		child.Env = append(os.Environ(), "LISTEN_FDS=1", "HOLDFAST_INHERITS="+pid)
		var output []byte
		var running sync.WaitGroup
		running.Go(func() { output, err = child.CombinedOutput() })
		if pid == "own" {
			conn, dialErr := net.Dial("tcp", l.Addr().String())
			if dialErr != nil {
				t.Fatal(dialErr)
			}
			if got, _ := io.ReadAll(conn); string(got) != "hello" {
				t.Errorf("the child answered %q", got)
			}
			conn.Close()
		}
		running.Wait()
		if err != nil || !strings.Contains(string(output), want) {
			t.Errorf("LISTEN_PID %s: %v, %s; want %q", pid, err, output, want)
		}
		file.Close()
		l.Close()
	}
}
