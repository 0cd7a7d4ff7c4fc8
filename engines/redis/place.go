package redis

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"holdfast/engines"
)

const dialTimeout = 10 * time.Second

// allDatabases stands for a place that is the whole server.
const allDatabases = -1

// place is one database of one server, or all of them, and how to get there.
type place struct {
	service  string
	database int // or allDatabases
	network  string
	address  string // host:port, or the socket's path
	user     string // "" for the default user
	password string
	tls      *tls.Config   // nil: plain
	answer   time.Duration // what the server has for its first answer
}

// placeOf reads a service's URL.
func placeOf(s engines.Service) (place, error) {
	want := func(found string) (place, error) {
		return place{}, fmt.Errorf("service %s: %s; want redis://host:6379/0 for one database, redis://host:6379 for all, or redis:///0?socket=/path", s.Name, found)
	}
	u := s.URL
	if u == nil || u.Opaque != "" || u.Fragment != "" {
		return want("not an address of a server")
	}
	if _, has := u.User.Password(); has {
		return place{}, fmt.Errorf("service %s: the password stands in the address; write it as password or password_file", s.Name)
	}
	p := place{service: s.Name, database: allDatabases, user: u.User.Username(), password: s.Password, answer: engines.AnswerTimeout,
		network: "tcp", address: net.JoinHostPort(u.Hostname(), "6379")}
	if u.Port() != "" {
		p.address = u.Host
	}
	if u.Scheme == "rediss" {
		p.tls = &tls.Config{ServerName: u.Hostname(), MinVersion: tls.VersionTLS12}
	}
	if number := strings.Trim(u.Path, "/"); number != "" {
		n, err := strconv.ParseUint(number, 10, 31)
		if err != nil {
			return want(fmt.Sprintf("%q is no number of a database", number))
		}
		p.database = int(n)
	}
	for key, values := range u.Query() {
		switch value := values[len(values)-1]; {
		case key == "socket" && strings.HasPrefix(value, "/") && p.tls == nil:
			p.network, p.address = "unix", value
		case key == "tls" && value == "skip-verify" && p.tls != nil:
			p.tls.InsecureSkipVerify = true // asked for by the user
		default:
			return want(fmt.Sprintf("parameter %s=%s is not known (socket=/path; with rediss:// tls=skip-verify)", key, value))
		}
	}
	if u.Hostname() == "" && p.network == "tcp" {
		return want("no host in the address")
	}
	if p.user != "" && p.password == "" {
		return want("user " + p.user + " has no password")
	}
	return p, nil
}

// String names the place in messages.
func (p place) String() string {
	if p.database == allDatabases {
		return "the Redis server at " + p.address
	}
	return fmt.Sprintf("database %d of the Redis server at %s", p.database, p.address)
}

func (p place) userName() string {
	if p.user == "" {
		return "default"
	}
	return p.user
}

// connect opens a connection and logs in.
func (p place) connect(ctx context.Context) (*conn, error) {
	ctx, cancel := engines.Answering(ctx, "the Redis server at "+p.address, p.answer)
	defer cancel()
	dialer := net.Dialer{Timeout: dialTimeout}
	network, err := dialer.DialContext(ctx, p.network, p.address)
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, fmt.Errorf("the Redis server at %s cannot be reached: is it running, and is the address right? %w", p.address, err)
	}
	if p.tls != nil {
		secure := tls.Client(network, p.tls)
		if err := secure.HandshakeContext(ctx); err != nil {
			network.Close()
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			return nil, fmt.Errorf("the Redis server at %s does not speak TLS as it should: %w", p.address, err)
		}
		network = secure
	}
	c := newConn(network, p.address)
	if err := p.logIn(ctx, c); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func (p place) logIn(ctx context.Context, c *conn) error {
	login := []any{"AUTH", p.password}
	if p.user != "" {
		login = []any{"AUTH", p.user, p.password}
	}
	if p.password == "" {
		login = []any{"PING"}
	}
	_, err := c.do(ctx, login...)
	switch name := "user " + p.user; {
	case err == nil || code(err) == "NOPERM": // who may not PING may do what is needed
		return nil
	case code(err) == "NOAUTH":
		return fmt.Errorf("the Redis server at %s wants a password: give it as password or password_file", p.address)
	case code(err) == "WRONGPASS" || code(err) == "ERR" && p.password != "":
		if p.user == "" {
			name = "the default user"
		}
		return fmt.Errorf("the Redis server at %s refuses %s: the password is wrong, or there is no such user or no password: %w", p.address, name, err)
	}
	return err
}
