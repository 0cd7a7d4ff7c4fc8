package testserver

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

// PostgresServer is a private PostgreSQL. Its superuser postgres needs no
// password; everybody else does.
type PostgresServer struct {
	process  *process
	programs string
	options  []string

	Port   int    // on 127.0.0.1
	Socket string // directory of the unix socket
}

// access is the server's pg_hba.conf. md5 lets passwords of both kinds in.
const access = `local all postgres trust
host all postgres 127.0.0.1/32 trust
local all all md5
host all all 127.0.0.1/32 md5
`

// Postgres starts a server for the time of the test. settings are added to its
// configuration: "wal_level=logical".
func Postgres(tb testing.TB, settings ...string) *PostgresServer {
	tb.Helper()
	p := newProcess(tb, "postgres")
	s := &PostgresServer{process: p, programs: postgresPrograms(tb), options: settings, Port: freePort(tb), Socket: p.dir}
	template := s.template()
	if err := os.CopyFS(s.data(), os.DirFS(template)); err != nil {
		tb.Fatal(err)
	}
	if err := os.Chmod(s.data(), 0o700); err != nil {
		tb.Fatal(err)
	}
	p.give(s.data())
	s.start()
	// Killed in no order, it would leave a segment of shared memory.
	tb.Cleanup(func() { p.end(syscall.SIGQUIT) })
	return s
}

// foremost makes another server's pg_dump the first that the engine finds.
var foremost sync.Once

// postgresPrograms returns the directory with the programs of the server, of the
// newest one that is installed.
func postgresPrograms(tb testing.TB) string {
	tb.Helper()
	if server := os.Getenv(postgresVariable); server != "" {
		dir := filepath.Dir(server)
		foremost.Do(func() {
			if err := os.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH")); err != nil {
				tb.Fatal(err)
			}
		})
		return dir
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if err != nil {
		tb.Fatal(err)
	}
	if len(found) == 0 {
		tb.Fatal("postgres is missing; install it: apt-get install postgresql")
	}
	newest := slices.MaxFunc(found, func(a, b string) int {
		return majorIn(a) - majorIn(b)
	})
	return filepath.Dir(newest)
}

// majorIn reads the version out of /usr/lib/postgresql/15/bin/postgres.
func majorIn(path string) int {
	major, err := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path))))
	if err != nil {
		return 0
	}
	return major
}

func (s *PostgresServer) data() string { return filepath.Join(s.process.dir, "data") }

func (s *PostgresServer) start() {
	s.process.tb.Helper()
	args := []string{"-D", s.data(), "-k", s.Socket, "-p", strconv.Itoa(s.Port)}
	for _, setting := range append([]string{
		"listen_addresses=127.0.0.1", "shared_buffers=32MB", "max_connections=60", "password_encryption=md5",
		// Nothing has to survive the machine; the process's death it all does.
		"fsync=off", "synchronous_commit=off", "full_page_writes=off",
		// For whoever looks why a test has failed.
		"log_lock_waits=on",
		// What a killed server leaves is in its directory.
		"dynamic_shared_memory_type=mmap",
	}, s.options...) {
		args = append(args, "-c", setting)
	}
	ready := func() error {
		conn, err := pgconn.Connect(context.Background(), s.address("postgres"))
		if err != nil {
			return err
		}
		return conn.Close(context.Background())
	}
	s.process.start(ready, filepath.Join(s.programs, "postgres"), args...)
}

// template returns the path of an initialised data directory, which is made if
// there is none for this version yet. Several test binaries may do so at once:
// the first to rename its own into place wins.
func (s *PostgresServer) template() string {
	tb := s.process.tb
	tb.Helper()
	version, err := exec.Command(filepath.Join(s.programs, "postgres"), "--version").Output()
	if err != nil {
		tb.Fatalf("postgres --version: %v", err)
	}
	key := regexp.MustCompile(`[^0-9A-Za-z.-]+`).ReplaceAllString(strings.TrimSpace(string(version)), "-")
	finished := filepath.Join(templates(tb), key)
	if _, err := os.Stat(finished); err == nil {
		return finished
	}
	fresh := filepath.Join(s.process.dir, "template")
	initdb := s.process.command(filepath.Join(s.programs, "initdb"), "-D", fresh, "--username=postgres",
		"--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", "--no-instructions")
	if out, err := initdb.CombinedOutput(); err != nil {
		tb.Fatalf("initdb: %v\n%s", err, tail(out, 8<<10))
	}
	if err := os.WriteFile(filepath.Join(fresh, "pg_hba.conf"), []byte(access), 0o600); err != nil {
		tb.Fatal(err)
	}
	if err := os.Rename(fresh, finished); err != nil && !os.IsExist(err) {
		tb.Fatal(err)
	}
	return finished
}

// address is how the superuser connects to a database.
func (s *PostgresServer) address(database string) string {
	return fmt.Sprintf("host=127.0.0.1 port=%d user=postgres dbname='%s' sslmode=disable", s.Port, database)
}

// URL returns the address of a database in the form of holdfast.yaml.
func (s *PostgresServer) URL(user, database string) *url.URL {
	return &url.URL{Scheme: "postgres", User: url.User(user), Host: fmt.Sprintf("127.0.0.1:%d", s.Port), Path: "/" + database}
}

// SocketURL does the same for the unix socket.
func (s *PostgresServer) SocketURL(user, database string) *url.URL {
	return &url.URL{Scheme: "postgresql", User: url.User(user), Path: "/" + database,
		RawQuery: url.Values{"host": {s.Socket}, "port": {strconv.Itoa(s.Port)}}.Encode()}
}

// Open returns the superuser's connection to a database.
func (s *PostgresServer) Open(database string) *pgconn.PgConn {
	s.process.tb.Helper()
	conn, err := pgconn.Connect(context.Background(), s.address(database))
	if err != nil {
		s.process.tb.Fatal(err)
	}
	return conn
}

// Exec executes statements as the superuser in a database, each by itself.
func (s *PostgresServer) Exec(database string, statements ...string) {
	s.process.tb.Helper()
	conn := s.Open(database)
	defer conn.Close(context.Background())
	for _, statement := range statements {
		if err := conn.Exec(context.Background(), statement).Close(); err != nil {
			s.process.tb.Fatalf("%v\n%s", err, tail([]byte(statement), 1000))
		}
	}
}

// Client feeds script to psql, as the superuser in database, and returns what it
// prints. The first error ends it.
func (s *PostgresServer) Client(database string, script io.Reader) []byte {
	s.process.tb.Helper()
	return s.run(script, "psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1", database)
}

// Dump returns what pg_dump makes of database.
func (s *PostgresServer) Dump(database string, options ...string) []byte {
	s.process.tb.Helper()
	return s.run(nil, "pg_dump", append(options, database)...)
}

func (s *PostgresServer) run(stdin io.Reader, tool string, args ...string) []byte {
	s.process.tb.Helper()
	cmd := exec.Command(filepath.Join(s.programs, tool),
		append([]string{"--username=postgres", "--host=" + s.Socket, "--port=" + strconv.Itoa(s.Port)}, args...)...)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, &out, &errs
	if err := cmd.Run(); err != nil {
		s.process.tb.Fatalf("%s: %v\n%s", tool, err, errs.String())
	}
	return out.Bytes()
}

// Programs is the directory of the server's own programs, pg_dump among them.
func (s *PostgresServer) Programs() string { return s.programs }

// Kill ends the server at once and without a checkpoint, as a crash would.
func (s *PostgresServer) Kill() { s.process.end(syscall.SIGQUIT) }

// Start starts a killed server again, on the same data and port.
func (s *PostgresServer) Start() {
	s.process.tb.Helper()
	s.start()
}
