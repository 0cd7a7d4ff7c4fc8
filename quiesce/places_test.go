package quiesce

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// fewFiles is how many a gate may open in a test, visitors are more.
const fewFiles, manyVisitors = 60, 100

// TestGateWithFewFilesChild is that gate. It ends with its standard input.
func TestGateWithFewFilesChild(t *testing.T) {
	dir, site := os.Getenv("HOLDFAST_FEW_FILES"), os.Getenv("HOLDFAST_SITE")
	if dir == "" {
		t.Skip("run by TestVisitorsDoNotTakeAllFiles")
	}
	l, err := net.FileListener(os.NewFile(firstInherited, "listener"))
	if err != nil {
		t.Fatal(err)
	}
	proxy, err := NewProxy(&url.URL{Scheme: "http", Host: site}, nil)
	if err != nil {
		t.Fatal(err)
	}
	control, _, err := ListenControl(filepath.Join(dir, "sock"), -1)
	if err != nil {
		t.Fatal(err)
	}
	k := &Keeper{Gate: &Gate{Site: proxy}, MaxHold: time.Minute, Record: Record(filepath.Join(dir, "state")),
		Freeze: []Freezable{{PIDFile: filepath.Join(dir, "pid")}}, Hooks: Hooks{After: []string{"touch '" + dir + "/after'"}}}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	go (&Control{Keeper: k, Group: -1}).Serve(ctx, control)
	if err := Serve(ctx, []net.Listener{l}, k.Gate, time.Minute); err != nil {
		t.Error(err)
	}
}

// However many visitors come: those who wait reach the site, and what is frozen is
// thawed, for which the gate needs files.
func TestVisitorsDoNotTakeAllFiles(t *testing.T) {
	site := serve(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	file, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	dir := t.TempDir()
	w := startWorker(t)
	if err := os.WriteFile(filepath.Join(dir, "pid"), fmt.Appendln(nil, w.pid), 0o600); err != nil {
		t.Fatal(err)
	}
	child := exec.CommandContext(t.Context(), "/bin/sh", "-c", fmt.Sprintf(`ulimit -n %d; exec "$0" -test.run '^TestGateWithFewFilesChild$'`, fewFiles), os.Args[0])
	child.Env = append(os.Environ(), "HOLDFAST_FEW_FILES="+dir, "HOLDFAST_SITE="+site)
	child.ExtraFiles = []*os.File{file}
	child.Stdout, child.Stderr = log.Writer(), log.Writer()
	end, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		end.Close()
		if err := child.Wait(); err != nil {
			t.Errorf("the gate ended with %v", err)
		}
	}()
	c := Client(filepath.Join(dir, "sock"))
	h, err := c.Hold(t.Context(), Request{Mode: Mark, Holder: "test"})
	for n := 0; err != nil && n < 1000; n++ {
		time.Sleep(10 * time.Millisecond)
		h, err = c.Hold(t.Context(), Request{Mode: Mark, Holder: "test"})
	}
	if err != nil {
		t.Fatal(err)
	}
	var visitors []net.Conn
	for range manyVisitors {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprint(conn, "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		visitors = append(visitors, conn)
	}
	for waiting := 0; waiting < placesIn(fewFiles); time.Sleep(10 * time.Millisecond) {
		s, err := c.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		waiting = s.Waiting
	}
	if r, err := h.Release(); err != nil || len(r.Trouble) > 0 {
		t.Errorf("the release told %v, %v", r.Trouble, err)
	}
	w.isOn(t, true)
	if _, err := os.Stat(filepath.Join(dir, "after")); err != nil {
		t.Error(err)
	}
	for i, conn := range visitors {
		if response, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil || response.StatusCode != http.StatusOK {
			t.Fatalf("visitor %d was answered %+v, %v", i, response, err)
		}
	}
}

// Visitors have three quarters of the files, but for those that the gate keeps for itself.
func TestPlaces(t *testing.T) {
	for files, want := range map[uint64]int{1: 1, 60: 33, 1024: 576, 65_536: 48_960} {
		if got := placesIn(files); got != want {
			t.Errorf("of %d files visitors have places for %d, want %d", files, got, want)
		}
	}
}

// A listener without a free place closes like any other.
func TestAFullListenerCloses(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	bounded := withPlaces([]net.Listener{l}, 1)[0]
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	first, err := bounded.Accept()
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := bounded.Accept()
		ended <- err
	}()
	bounded.Close()
	if err := <-ended; err == nil {
		t.Error("it accepted somebody")
	}
	first.Close()
}
