package testserver

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// RedisServer is a private Redis. It keeps nothing on the disk unless it is told to.
type RedisServer struct {
	process *process
	options []string

	Port   int    // on 127.0.0.1
	Socket string // path of the unix socket
}

// Redis starts a server for the time of the test. options are added to its command
// line: "--requirepass", "secret", or "--maxmemory", "20mb".
func Redis(tb testing.TB, options ...string) *RedisServer {
	tb.Helper()
	redisTool(tb, "redis-server")
	p := newProcess(tb, "redis")
	s := &RedisServer{process: p, options: options, Port: freePort(tb), Socket: filepath.Join(p.dir, "socket")}
	if err := os.Mkdir(s.Data(), 0o700); err != nil {
		tb.Fatal(err)
	}
	p.give(s.Data())
	s.Start()
	return s
}

// Data is the server's directory: dump.rdb in it is loaded at the start.
func (s *RedisServer) Data() string { return filepath.Join(s.process.dir, "data") }

// Start starts a server that was killed or shut down, on the same data and port.
func (s *RedisServer) Start() {
	s.process.tb.Helper()
	args := []string{"--dir", s.Data(), "--port", strconv.Itoa(s.Port), "--bind", "127.0.0.1",
		"--unixsocket", s.Socket, "--unixsocketperm", "777", "--save", "", "--appendonly", "no", "--daemonize", "no"}
	s.process.start(s.answers, redisTool(s.process.tb, "redis-server"), append(args, s.options...)...)
}

// answers reports whether the server has loaded its data.
func (s *RedisServer) answers() error {
	conn, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", s.Port), time.Second)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return err
	}
	if _, err := conn.Write([]byte("PING\r\n")); err != nil {
		return err
	}
	answer := make([]byte, 64)
	n, err := conn.Read(answer)
	if err == nil && strings.HasPrefix(string(answer[:n]), "-LOADING") {
		err = errors.New("it is loading")
	}
	return err
}

// Kill ends the server at once, as a power failure would.
func (s *RedisServer) Kill() { s.process.kill() }

// Stop shuts the server down in order.
func (s *RedisServer) Stop() { s.process.end(syscall.SIGTERM) }

// Load makes the server's data that of a dump: it is started again with it.
func (s *RedisServer) Load(dump []byte) {
	s.process.tb.Helper()
	s.Stop()
	if err := os.WriteFile(filepath.Join(s.Data(), "dump.rdb"), dump, 0o644); err != nil {
		s.process.tb.Fatal(err)
	}
	s.process.give(s.Data())
	s.Start()
}

// URL returns the address of a database in the form of holdfast.yaml; of all, where
// database is "".
func (s *RedisServer) URL(user, database string) *url.URL {
	u := &url.URL{Scheme: "redis", Host: fmt.Sprintf("127.0.0.1:%d", s.Port), Path: "/" + database}
	if user != "" {
		u.User = url.User(user)
	}
	return u
}

// SocketURL does the same for the unix socket.
func (s *RedisServer) SocketURL(user, database string) *url.URL {
	u := s.URL(user, database)
	u.Host, u.RawQuery = "", url.Values{"socket": {s.Socket}}.Encode()
	return u
}

// Cli executes commands, one a line, by redis-cli, and returns what it prints. The
// first errors of the server fail the test.
func (s *RedisServer) Cli(database int, commands ...string) string {
	s.process.tb.Helper()
	cmd := exec.Command(redisTool(s.process.tb, "redis-cli"), "-e", "-s", s.Socket, "-n", strconv.Itoa(database))
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(strings.Join(commands, "\n")+"\n"), &out, &errs
	if err := cmd.Run(); err != nil {
		s.process.tb.Fatalf("redis-cli: %v\n%s%s", err, out.String(), errs.String())
	}
	return strings.TrimSuffix(out.String(), "\n")
}

// redisTool returns the path of one of Redis's programs. Of another server, which
// may come without a client, the installed client does.
func redisTool(tb testing.TB, name string) string {
	tb.Helper()
	if other := os.Getenv(redisVariable); other != "" {
		if name == "redis-server" {
			return other
		}
		if cli := beside(other, strings.Replace(filepath.Base(other), "server", "cli", 1)); cli != "" {
			return cli
		}
	}
	path, err := exec.LookPath(name)
	if err != nil {
		tb.Fatalf("%s is missing; install it: apt-get install redis-server", name)
	}
	return path
}
