package main

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"holdfast/quiesce"
)

// gated is a site whose environments have a gate each, in front of an application
// that changes and reads all parts of them in every request.
type gated struct {
	*site
	apps    map[string]*httptest.Server
	sockets map[string]*os.File // what visitors connect to, as systemd would keep it
	urls    map[string]string
}

func newGated(t *testing.T) *gated {
	t.Helper()
	s := newSite(t, siteConfig)
	g := &gated{site: s, apps: map[string]*httptest.Server{}, sockets: map[string]*os.File{}, urls: map[string]string{}}
	config := siteConfig
	for _, e := range []string{"master", "staging"} {
		config = strings.Replace(config, "  "+e+":\n", fmt.Sprintf("  %s:\n    gate: unix:%s\n", e, s.path(e+".sock")), 1)
		g.apps[e] = httptest.NewServer(s.application(e))
		t.Cleanup(g.apps[e].Close)
		l, err := net.Listen("tcp", "127.0.0.1:0")
		s.must(err)
		g.sockets[e], err = l.(*net.TCPListener).File()
		s.must(err)
		g.urls[e] = "http://" + l.Addr().String()
		l.Close() // the file is the same socket
		t.Cleanup(func() { g.sockets[e].Close() })
	}
	s.write("holdfast.yaml", []byte(config))
	s.repository()
	return g
}

// application counts in a database and, a moment later, on a mount. Both are the
// same between any two requests.
func (s *site) application(environment string) http.Handler {
	db, err := sql.Open("sqlite", "file:"+s.path(environment, "settings.db")+"?_pragma=busy_timeout(10000)")
	s.must(err)
	s.t.Cleanup(func() { db.Close() })
	var one sync.Mutex
	counts := func() (rows, files int, err error) {
		if err := db.QueryRow("SELECT count(*) FROM t").Scan(&rows); err != nil {
			return 0, 0, err
		}
		names, err := filepath.Glob(s.path(environment, "uploads", "n-*"))
		return rows, len(names), err
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		one.Lock()
		defer one.Unlock()
		err := func() error {
			rows, files, err := counts()
			if err != nil || rows != files {
				return errors.Join(err, fmt.Errorf("mixture: %d rows and %d files", rows, files))
			}
			if r.Method == http.MethodGet {
				_, err := fmt.Fprint(w, rows)
				return err
			}
			if _, err := db.Exec("INSERT INTO t (v) VALUES ('x')"); err != nil {
				return err
			}
			time.Sleep(20 * time.Millisecond)
			return os.WriteFile(s.path(environment, "uploads", fmt.Sprintf("n-%d", rows+1)), []byte("x"), 0o644)
		}()
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
}

// begin makes an environment hold n rows and as many files.
func (g *gated) begin(environment string, n int) {
	g.t.Helper()
	g.rows(environment, "begin", n)
	g.must(os.RemoveAll(g.path(environment, "uploads")))
	for i := range n {
		g.write(fmt.Sprintf("%s/uploads/n-%d", environment, i+1), []byte("begin"))
	}
	g.must(os.MkdirAll(g.path(environment, "uploads"), 0o755))
}

// consistent returns how many rows and files an environment has.
func (g *gated) consistent(environment string) (rows, files int) {
	g.t.Helper()
	db, err := sql.Open("sqlite", g.path(environment, "settings.db"))
	g.must(err)
	defer db.Close()
	g.must(db.QueryRow("SELECT count(*) FROM t").Scan(&rows))
	names, err := filepath.Glob(g.path(environment, "uploads", "n-*"))
	g.must(err)
	return rows, len(names)
}

// gate starts an environment's gate on its socket, as systemd does, and returns
// once it has begun.
func (g *gated) gate(environment string, flags ...string) *exec.Cmd {
	g.t.Helper()
	args := append([]string{"-e", environment, "gate", "--upstream", g.apps[environment].URL}, flags...)
	cmd := exec.Command("/bin/sh", append([]string{"-c", `LISTEN_PID=$$ LISTEN_FDS=1 exec holdfast "$@"`, "sh"}, args...)...)
	cmd.Dir, cmd.Env, cmd.ExtraFiles = g.dir, g.env, []*os.File{g.sockets[environment]}
	var log bytes.Buffer
	cmd.Stderr = &log
	g.must(cmd.Start())
	g.t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended by then
		_ = cmd.Wait()
		if g.t.Failed() {
			g.t.Logf("the gate of %s said:\n%s", environment, log.String())
		}
	})
	g.becomes(environment, func(s quiesce.Status) bool { return s.Holder != "a gate that starts" })
	return cmd
}

// becomes returns once the gate's status is as wanted.
func (g *gated) becomes(environment string, wanted func(quiesce.Status) bool) {
	g.t.Helper()
	var s quiesce.Status
	var err error
	for range 15_000 {
		if s, err = quiesce.Client(g.path(environment + ".sock")).Status(g.t.Context()); err == nil && wanted(s) {
			return
		}
		time.Sleep(2 * time.Millisecond)
	}
	g.t.Fatalf("the gate of %s never became what it should; it is %+v, %v", environment, s, err)
}

// unfinished reports whether a restore of the environment has left its journal.
func (g *gated) unfinished(environment string) bool {
	_, err := os.Stat(g.path(".holdfast", "shop-"+environment, "restore.json"))
	return !errors.Is(err, fs.ErrNotExist)
}

func isOpen(s quiesce.Status) bool { return s.State == quiesce.Open && s.Holder == "" }

// visitors make requests until they are stopped, and say what became of them.
type visitors struct {
	mu      sync.Mutex
	answers map[int]int
	errors  []string // without an answer
	bodies  []string // of what was answered 500
	longest time.Duration
	stop    func()
}

func (g *gated) visit(environment, method string, several int) *visitors {
	v := &visitors{answers: map[int]int{}}
	ctx, cancel := context.WithCancel(context.Background())
	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: several}}
	var all sync.WaitGroup
	for range several {
		all.Go(func() {
			for ctx.Err() == nil {
				start := time.Now()
				request, _ := http.NewRequest(method, g.urls[environment], nil)
				response, err := client.Do(request)
				v.note(response, err, time.Since(start))
			}
		})
	}
	v.stop = func() {
		cancel()
		all.Wait()
		client.CloseIdleConnections()
	}
	return v
}

func (v *visitors) note(response *http.Response, err error, took time.Duration) {
	var body []byte
	if err == nil {
		body, err = io.ReadAll(response.Body)
		response.Body.Close()
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.longest = max(v.longest, took)
	if err != nil {
		v.errors = append(v.errors, err.Error())
		return
	}
	v.answers[response.StatusCode]++
	if response.StatusCode == http.StatusInternalServerError {
		v.bodies = append(v.bodies, string(body))
	}
}

// onlyOK fails unless every request was answered 200.
func (v *visitors) onlyOK(t *testing.T) {
	t.Helper()
	if len(v.errors) > 0 || len(v.answers) != 1 || v.answers[http.StatusOK] == 0 {
		t.Errorf("visitors were answered %v, %.200q; without an answer %.200q", v.answers, v.bodies, v.errors)
	}
}
