package testserver

import (
	"bytes"
	"database/sql"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	driver "github.com/go-sql-driver/mysql"
)

// Binlog is an option for MariaDB that switches the binary log on.
const Binlog = "--log-bin=binlog"

// MariaDBServer is a private MariaDB. Its user root has no password.
type MariaDBServer struct {
	process *process
	options []string
	db      *sql.DB

	Port   int    // on 127.0.0.1
	Socket string // path of the unix socket
}

// sizes are what the template and the servers must have in common, and as
// small as they can be.
var sizes = []string{
	"--innodb-data-file-path=ibdata1:1M:autoextend", "--innodb-autoextend-increment=1",
	"--innodb-log-file-size=8M", "--aria-log-file-size=8M",
}

// MariaDB starts a server for the time of the test. options are added to its
// command line: Binlog, "--event-scheduler=on".
func MariaDB(tb testing.TB, options ...string) *MariaDBServer {
	tb.Helper()
	mariadbTool(tb, "mariadbd")
	p := newProcess(tb, "mysql")
	s := &MariaDBServer{process: p, options: options, Port: freePort(tb), Socket: filepath.Join(p.dir, "socket")}
	template := s.template()
	if err := os.CopyFS(s.data(), os.DirFS(template)); err != nil {
		tb.Fatal(err)
	}
	p.give(s.data())
	s.db = s.Open("root", "", "")
	tb.Cleanup(func() { s.db.Close() })
	s.start()
	return s
}

func (s *MariaDBServer) data() string { return filepath.Join(s.process.dir, "data") }

func (s *MariaDBServer) start() {
	s.process.tb.Helper()
	// Servers that share a directory for temporary tables delete each other's.
	scratch := filepath.Join(s.process.dir, "tmp")
	if err := os.MkdirAll(scratch, 0o777); err != nil {
		s.process.tb.Fatal(err)
	}
	if err := os.Chmod(scratch, 0o777); err != nil {
		s.process.tb.Fatal(err)
	}
	args := append([]string{"--no-defaults", "--tmpdir=" + scratch,
		"--datadir=" + s.data(), "--socket=" + s.Socket, "--pid-file=" + filepath.Join(s.process.dir, "pid"),
		"--bind-address=127.0.0.1", "--port=" + strconv.Itoa(s.Port), "--skip-name-resolve",
		"--innodb-buffer-pool-size=64M", "--innodb-fast-shutdown=1", "--key-buffer-size=1M",
		"--aria-pagecache-buffer-size=1M", "--performance-schema=off", "--character-set-server=utf8mb4",
		// Nothing has to survive the machine; the process's death it all does.
		"--innodb-flush-method=nosync", "--innodb-flush-log-at-trx-commit=2", "--skip-sync-frm",
	}, sizes...)
	s.process.start(s.db.Ping, mariadbTool(s.process.tb, "mariadbd"), append(args, s.options...)...)
}

// template returns the path of an initialised data directory, which is made if
// there is none for this version yet. Several test binaries may do so at once:
// the first to rename its own into place wins.
func (s *MariaDBServer) template() string {
	tb := s.process.tb
	tb.Helper()
	version, err := exec.Command(mariadbTool(tb, "mariadbd"), "--version").Output()
	if err != nil {
		tb.Fatalf("mariadbd --version: %v", err)
	}
	key := regexp.MustCompile(`[^0-9A-Za-z.-]+`).ReplaceAllString(string(version)+strings.Join(sizes, ""), "-")
	finished := filepath.Join(templates(tb), key)
	if _, err := os.Stat(finished); err == nil {
		return finished
	}
	return s.initialise(finished)
}

func (s *MariaDBServer) initialise(finished string) string {
	tb := s.process.tb
	tb.Helper()
	fresh := filepath.Join(s.process.dir, "template")
	args := append([]string{"--no-defaults", "--datadir=" + fresh,
		"--auth-root-authentication-method=normal", "--skip-test-db"}, sizes...)
	install := s.process.command(mariadbTool(tb, "mariadb-install-db"), args...)
	if out, err := install.CombinedOutput(); err != nil {
		tb.Fatalf("mariadb-install-db: %v\n%s", err, tail(out, 8<<10))
	}
	if err := os.Rename(fresh, finished); err != nil && !os.IsExist(err) {
		tb.Fatal(err)
	}
	return finished
}

// mariadbTool returns the path of one of MariaDB's programs.
func mariadbTool(tb testing.TB, name string) string {
	tb.Helper()
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	path := filepath.Join("/usr/sbin", name)
	if _, err := os.Stat(path); err != nil {
		tb.Fatalf("%s is missing; install it: apt-get install mariadb-server", name)
	}
	return path
}

// URL returns the address of a database in the form of holdfast.yaml.
func (s *MariaDBServer) URL(user, database string) *url.URL {
	return &url.URL{Scheme: "mysql", User: url.User(user), Host: fmt.Sprintf("127.0.0.1:%d", s.Port), Path: "/" + database}
}

// SocketURL does the same for the unix socket.
func (s *MariaDBServer) SocketURL(user, database string) *url.URL {
	return &url.URL{Scheme: "mysql", User: url.User(user), Host: "localhost", Path: "/" + database,
		RawQuery: url.Values{"socket": {s.Socket}}.Encode()}
}

// Open returns a pool of connections to a database, or to none.
func (s *MariaDBServer) Open(user, password, database string) *sql.DB {
	s.process.tb.Helper()
	config := driver.NewConfig()
	config.User, config.Passwd, config.DBName = user, password, database
	config.Net, config.Addr = "tcp", fmt.Sprintf("127.0.0.1:%d", s.Port)
	config.Logger = &driver.NopLogger{}
	connector, err := driver.NewConnector(config)
	if err != nil {
		s.process.tb.Fatal(err)
	}
	return sql.OpenDB(connector)
}

// Exec executes statements as root, each by itself, in no database.
func (s *MariaDBServer) Exec(statements ...string) {
	s.process.tb.Helper()
	for _, statement := range statements {
		if _, err := s.db.Exec(statement); err != nil {
			s.process.tb.Fatalf("%v\n%s", err, tail([]byte(statement), 1000))
		}
	}
}

// Client feeds script to the mariadb client, as root in database, and returns
// what it prints.
func (s *MariaDBServer) Client(database string, script io.Reader) []byte {
	s.process.tb.Helper()
	return s.run(script, "mariadb", "--batch", database)
}

// Dump returns what mariadb-dump makes of database, without time stamps.
func (s *MariaDBServer) Dump(database string, options ...string) []byte {
	s.process.tb.Helper()
	return s.run(nil, "mariadb-dump", append(options, "--skip-dump-date", database)...)
}

func (s *MariaDBServer) run(stdin io.Reader, tool string, args ...string) []byte {
	s.process.tb.Helper()
	cmd := exec.Command(mariadbTool(s.process.tb, tool),
		append([]string{"--no-defaults", "--user=root", "--socket=" + s.Socket}, args...)...)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, &out, &errs
	if err := cmd.Run(); err != nil {
		s.process.tb.Fatalf("%s: %v\n%s", tool, err, errs.String())
	}
	return out.Bytes()
}

// Kill ends the server at once, as a power failure would.
func (s *MariaDBServer) Kill() { s.process.kill() }

// Start starts a killed server again, on the same data and port.
func (s *MariaDBServer) Start() {
	s.process.tb.Helper()
	s.start()
}

// Restart shuts the server down in order and starts it again.
func (s *MariaDBServer) Restart() {
	s.process.tb.Helper()
	s.process.end(syscall.SIGTERM)
	s.start()
}
