package testserver

import (
	"bytes"
	"crypto/sha256"
	"database/sql"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	driver "github.com/go-sql-driver/mysql"
)

// Binlog is an option that switches the binary log on.
const Binlog = "--log-bin=binlog"

// MySQLServer is a private MariaDB or MySQL. Its user root has no password.
type MySQLServer struct {
	process *process
	product product
	options []string
	db      *sql.DB

	Port   int    // on 127.0.0.1
	Socket string // path of the unix socket
}

// product is what differs between the two.
type product struct {
	program string   // mysqld's path
	options []string // that the server is always started with
	layout  []string // those of its options that its data directory must have been made with
	// initialise makes an empty data directory with the options of layout.
	initialise func(tb testing.TB, p *process, data string)
}

// startMySQL starts a server on a copy of an empty data directory.
func startMySQL(tb testing.TB, product product, options []string) *MySQLServer {
	tb.Helper()
	p := newProcess(tb, "mysql")
	s := &MySQLServer{process: p, product: product, options: options, Port: freePort(tb), Socket: filepath.Join(p.dir, "socket")}
	if err := os.CopyFS(s.data(), os.DirFS(s.template())); err != nil {
		tb.Fatal(err)
	}
	p.give(s.data())
	s.db = s.Open("root", "", "")
	tb.Cleanup(func() { s.db.Close() })
	s.start()
	return s
}

func (s *MySQLServer) data() string { return filepath.Join(s.process.dir, "data") }

func (s *MySQLServer) start() {
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
		"--innodb-buffer-pool-size=64M", "--innodb-fast-shutdown=1", "--key-buffer-size=1M", "--character-set-server=utf8mb4",
		// Nothing has to survive the machine; the process's death it all does.
		"--innodb-flush-method=nosync", "--innodb-flush-log-at-trx-commit=2",
	}, slices.Concat(s.product.options, s.product.layout)...)
	s.process.start(s.db.Ping, s.product.program, append(args, s.options...)...)
}

// template returns the path of an initialised data directory, which is made if
// there is none for this version yet. Several test binaries may do so at once:
// the first to rename its own into place wins.
func (s *MySQLServer) template() string {
	tb := s.process.tb
	tb.Helper()
	version, err := exec.Command(s.product.program, "--version").Output()
	if err != nil {
		tb.Fatalf("%s --version: %v", s.product.program, err)
	}
	key := sha256.Sum256(append(version, strings.Join(s.product.layout, " ")...))
	finished := filepath.Join(templates(tb), fmt.Sprintf("mysql-%x", key[:8]))
	if _, err := os.Stat(finished); err == nil {
		return finished
	}
	fresh := filepath.Join(s.process.dir, "template")
	s.product.initialise(tb, s.process, fresh)
	if err := os.Rename(fresh, finished); err != nil && !os.IsExist(err) {
		tb.Fatal(err)
	}
	return finished
}

// URL returns the address of a database in the form of holdfast.yaml.
func (s *MySQLServer) URL(user, database string) *url.URL {
	return &url.URL{Scheme: "mysql", User: url.User(user), Host: fmt.Sprintf("127.0.0.1:%d", s.Port), Path: "/" + database}
}

// SocketURL does the same for the unix socket.
func (s *MySQLServer) SocketURL(user, database string) *url.URL {
	return &url.URL{Scheme: "mysql", User: url.User(user), Host: "localhost", Path: "/" + database,
		RawQuery: url.Values{"socket": {s.Socket}}.Encode()}
}

// Open returns a pool of connections to a database, or to none.
func (s *MySQLServer) Open(user, password, database string) *sql.DB {
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
func (s *MySQLServer) Exec(statements ...string) {
	s.process.tb.Helper()
	for _, statement := range statements {
		if _, err := s.db.Exec(statement); err != nil {
			s.process.tb.Fatalf("%v\n%s", err, tail([]byte(statement), 1000))
		}
	}
}

// Client feeds script to the mariadb client, as root in database, and returns
// what it prints.
func (s *MySQLServer) Client(database string, script io.Reader) []byte {
	s.process.tb.Helper()
	return s.run(script, "mariadb", "--batch", database)
}

// Dump returns what mariadb-dump makes of database, without time stamps.
func (s *MySQLServer) Dump(database string, options ...string) []byte {
	s.process.tb.Helper()
	return s.run(nil, "mariadb-dump", append(options, "--skip-dump-date", database)...)
}

func (s *MySQLServer) run(stdin io.Reader, tool string, args ...string) []byte {
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
func (s *MySQLServer) Kill() { s.process.kill() }

// Start starts a killed server again, on the same data and port.
func (s *MySQLServer) Start() {
	s.process.tb.Helper()
	s.start()
}

// Restart shuts the server down in order and starts it again.
func (s *MySQLServer) Restart() {
	s.process.tb.Helper()
	s.process.end(syscall.SIGTERM)
	s.start()
}
