package hold

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	_ "modernc.org/sqlite"             // the driver "sqlite"

	"holdfast/internal/testserver"
)

// world is the site with its servers, a gate in front of it, and a repository.
//
// The environments master and open are the same data, behind the gate and as if
// there was none; staging has places of its own.
type world struct {
	*testing.T
	dir     string
	program string
	servers map[string]int // databases of Redis by environment
	maria   *testserver.MySQLServer
	pg      *testserver.PostgresServer
	redis   *testserver.RedisServer
	site    *site
	staging services
	// unwatched has the kernel refuse to tell the program what is touched.
	unwatched bool
	gate      string // its address
}

func newWorld(t *testing.T) *world {
	t.Helper()
	allowFiles(t)
	w := &world{T: t, dir: scratch(t), servers: map[string]int{"master": 0, "staging": 5},
		maria: testserver.MariaDB(t, testserver.Binlog), pg: testserver.Postgres(t), redis: testserver.Redis(t, "--databases", "64")}
	w.program = filepath.Join(w.dir, "holdfast")
	w.execute(exec.Command("go", "build", "-o", w.program, "holdfast/cmd/holdfast"))
	w.configure()
	w.site = &site{services: w.services("master"), done: map[int]int{}}
	w.prepare(w.site.services)
	w.staging = w.services("staging")
	w.prepare(w.staging)
	w.holdfast("init")
	w.startGate()
	return w
}

// allowFiles lets this process and what it starts open a file for each visitor who
// waits, at both ends.
func allowFiles(t *testing.T) {
	t.Helper()
	const enough = 65536
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	limit.Cur, limit.Max = max(limit.Cur, enough), max(limit.Max, enough)
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Logf("no more files can be opened than the limit allows (ulimit -n %d would do): %v", enough, err)
	}
}

// scratch is a directory on a real filesystem, with a name short enough for sockets.
func scratch(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "hf-hold-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func (w *world) path(names ...string) string {
	return filepath.Join(append([]string{w.dir}, names...)...)
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// urls are the places of an environment's data, by service.
func (w *world) urls(environment string) map[string]*url.URL {
	return map[string]*url.URL{
		"orders":   w.maria.URL("root", environment),
		"catalog":  w.pg.URL("postgres", environment),
		"counters": w.redis.URL("", fmt.Sprint(w.servers[environment])),
		"settings": {Scheme: "sqlite", OmitHost: true, Path: w.path(environment, "settings.db")},
	}
}

func (w *world) configure() {
	var b strings.Builder
	fmt.Fprintf(&b, "project: hold\nrepository: %s\nenvironments:\n", w.path("repository"))
	for _, e := range []struct{ name, data, gate string }{
		{"master", "master", w.path("gate.sock")}, {"open", "master", ""}, {"staging", "staging", ""},
	} {
		fmt.Fprintf(&b, "  %s:\n    services:\n", e.name)
		for name, u := range w.urls(e.data) {
			fmt.Fprintf(&b, "      %s: %s\n", name, u)
		}
		fmt.Fprintf(&b, "    mounts: {entries: %s}\n", w.path(e.data, "entries"))
		if e.gate != "" {
			fmt.Fprintf(&b, "    gate: unix:%s\n", e.gate)
		}
	}
	w.must(os.WriteFile(w.path("holdfast.yaml"), []byte(b.String()), 0o600))
}

// pooled is how many connections the site has to each service at most: visitors who
// come faster than it works wait for one, and do not open files of their own.
const pooled = 16

// services opens an environment's services.
func (w *world) services(environment string) services {
	w.Helper()
	entries := w.path(environment, "entries")
	for i := range 50 {
		w.must(os.MkdirAll(filepath.Join(entries, fmt.Sprintf("%02d", i)), 0o755))
	}
	w.maria.Exec("CREATE DATABASE IF NOT EXISTS " + environment)
	if out := w.pg.Client("postgres", strings.NewReader("SELECT 1 FROM pg_database WHERE datname = '"+environment+"'")); len(out) == 0 {
		w.pg.Exec("postgres", "CREATE DATABASE "+environment)
	}
	s := services{
		maria:    w.maria.Open("root", "", environment),
		postgres: w.open("pgx", w.pg.URL("postgres", environment).String()+"?sslmode=disable"),
		sqlite:   w.open("sqlite", "file:"+w.path(environment, "settings.db")+"?_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)&_pragma=busy_timeout(20000)"),
		entries:  entries,
	}
	s.redis = &redis.Pool{MaxIdle: pooled, MaxActive: pooled, Wait: true, Dial: func() (redis.Conn, error) {
		return redis.DialURL(w.redis.URL("", fmt.Sprint(w.servers[environment])).String())
	}}
	for _, db := range []*sql.DB{s.maria, s.postgres, s.sqlite} {
		db.SetMaxOpenConns(pooled)
		db.SetMaxIdleConns(pooled)
	}
	w.Cleanup(func() {
		for _, c := range []interface{ Close() error }{s.maria, s.postgres, s.sqlite, s.redis} {
			if err := c.Close(); err != nil {
				w.Error(err)
			}
		}
	})
	return s
}

func (w *world) open(driver, name string) *sql.DB {
	w.Helper()
	db, err := sql.Open(driver, name)
	w.must(err)
	return db
}

// prepare makes the tables.
func (w *world) prepare(s services) {
	w.Helper()
	for _, db := range []*sql.DB{s.maria, s.postgres, s.sqlite} {
		_, err := db.Exec("CREATE TABLE entries (id INTEGER PRIMARY KEY, amount INTEGER NOT NULL)")
		w.must(err)
	}
	c := s.redis.Get()
	defer c.Close()
	_, err := c.Do("MSET", "count", 0, "sum", 0)
	w.must(err)
}

// startGate starts the gate in front of the site, as a process of its own.
func (w *world) startGate() {
	w.Helper()
	upstream := httptest.NewServer(w.site)
	w.Cleanup(upstream.Close)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	w.must(err)
	address := listener.Addr().String()
	w.must(listener.Close())
	w.gate = "http://" + address
	cmd := w.command("gate", "--listen", address, "--upstream", upstream.URL, "--control", "unix:"+w.path("gate.sock"))
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	w.must(cmd.Start())
	w.Cleanup(func() {
		w.must(cmd.Process.Signal(os.Interrupt))
		if err := cmd.Wait(); w.Failed() {
			w.Logf("the gate: %v\n%s", err, out.String())
		}
	})
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		response, err := http.Get(w.gate)
		if err == nil {
			response.Body.Close()
			return
		}
		if time.Now().After(deadline) {
			w.Fatalf("the gate does not answer: %v\n%s", err, out.String())
		}
	}
}

func (w *world) command(args ...string) *exec.Cmd {
	cmd := exec.Command(w.program, args...)
	if w.unwatched { // in a namespace of its own, so that nobody else is concerned
		refuse := `echo 0 >/proc/sys/user/max_inotify_watches && exec "$0" "$@"`
		cmd = exec.Command("unshare", append([]string{"--user", "--map-root-user", "sh", "-c", refuse, w.program}, args...)...)
	}
	cmd.Dir = w.dir
	cmd.Env = append(os.Environ(), "HOLDFAST_PASSWORD=hold", "XDG_CACHE_HOME="+w.path("cache"), "TZ=UTC")
	return cmd
}

func (w *world) execute(cmd *exec.Cmd) string {
	w.Helper()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		w.Fatalf("%s: %v\n%s", strings.Join(cmd.Args, " "), err, errs.String())
	}
	return out.String()
}

// holdfast runs the program, which must succeed.
func (w *world) holdfast(args ...string) string {
	w.Helper()
	return w.execute(w.command(args...))
}

// snapshot is what "snapshot show" says of one, as far as it matters here.
type snapshot struct {
	Name        string        `json:"name"`
	Consistency string        `json:"consistency"`
	Held        time.Duration `json:"held_ns"`
	Skew        time.Duration `json:"skew_ns"`
	Services    []struct {
		Notes []string `json:"notes"`
	} `json:"services"`
}

// walked reports whether every file of the mount was looked at under the hold.
func (s *snapshot) walked() bool {
	for _, service := range s.Services {
		for _, note := range service.Notes {
			if strings.Contains(note, "every file was looked at under the hold") {
				return true
			}
		}
	}
	return false
}

// create takes a snapshot of an environment.
func (w *world) create(environment string) (s snapshot) {
	w.Helper()
	var made struct {
		Name string `json:"name"`
	}
	w.must(json.Unmarshal([]byte(w.holdfast("-e", environment, "snapshot", "create", "--json")), &made))
	w.must(json.Unmarshal([]byte(w.holdfast("snapshot", "show", made.Name, "--json")), &s))
	return s
}
