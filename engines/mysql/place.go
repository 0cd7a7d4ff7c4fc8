package mysql

import (
	"context"
	"database/sql"
	"fmt"
	"net"
	"strings"
	"time"

	driver "github.com/go-sql-driver/mysql"

	"holdfast/engines"
	"holdfast/engines/dump"
)

const dialTimeout = 10 * time.Second

// place is one database of one server, and how to get there.
type place struct {
	service  string
	database string
	user     string
	address  string // for messages: host:port, or the socket's path
	config   *driver.Config
	answer   time.Duration // what the server has for its first answer
	// schemaOnly are patterns of tables whose rows are left out.
	schemaOnly []string
	accounts   bool // the server's accounts belong to the service
	reading    dump.Reading
	// taken is the server that a snapshot comes from, "" where that is not known.
	taken string
	// known is the server's product, "" before a session has asked.
	known string
}

// product names the server in messages.
func (p place) product() string {
	if p.known == "" {
		return "the database server"
	}
	return p.known
}

// at is the server, for messages.
func (p place) at() string { return fmt.Sprintf("%s at %s", p.product(), p.address) }

// placeOf reads a service's URL.
func placeOf(s engines.Service) (place, error) {
	want := func(found string) (place, error) {
		return place{}, fmt.Errorf("service %s: %s; want mysql://user@host:3306/database, or mysql://user@localhost/database?socket=/path", s.Name, found)
	}
	u := s.URL
	if u == nil || u.Opaque != "" || u.Fragment != "" {
		return want("not an address of a database")
	}
	if _, has := u.User.Password(); has {
		return place{}, fmt.Errorf("service %s: the password stands in the address; write it as password or password_file", s.Name)
	}
	if u.User.Username() == "" {
		return want("no user in the address")
	}
	database := strings.TrimPrefix(u.Path, "/")
	switch strings.ToLower(database) {
	case "":
		return want("no database in the address")
	case "mysql", "information_schema", "performance_schema", "sys":
		return place{}, fmt.Errorf("service %s: %s is the server's own database and cannot be captured or restored", s.Name, database)
	}
	if len([]rune(database)) > maxDatabaseName || strings.ContainsAny(database, "/\\\x00") || strings.HasSuffix(database, " ") {
		return want(fmt.Sprintf("%q is no name of a database", database))
	}

	config := driver.NewConfig()
	config.User, config.Passwd = u.User.Username(), s.Password
	config.Net, config.Addr = "tcp", net.JoinHostPort(u.Hostname(), "3306")
	if u.Port() != "" {
		config.Addr = u.Host
	}
	config.Timeout = dialTimeout
	config.MaxAllowedPacket = 0 // what the server allows
	config.InterpolateParams = true
	config.Logger = &driver.NopLogger{}
	config.DialFunc = dialWire
	reading := dump.DefaultReading
	for key, values := range u.Query() {
		switch value := values[len(values)-1]; {
		case key == "socket" && strings.HasPrefix(value, "/"):
			config.Net, config.Addr = "unix", value
		case key == "tls" && (value == "true" || value == "skip-verify" || value == "preferred" || value == "false"):
			config.TLSConfig = value
		case key == "connections" && reading.SetConnections(value):
		default:
			return want(fmt.Sprintf("parameter %s=%s is not known (socket=/path; tls=true, skip-verify, preferred or false; connections=1 to %d)", key, value, dump.MaxConnections))
		}
	}
	if u.Hostname() == "" && config.Net == "tcp" {
		return want("no host in the address")
	}
	return place{service: s.Name, database: database, user: config.User, address: config.Addr, config: config, answer: engines.AnswerTimeout,
		schemaOnly: s.SchemaOnly, reading: reading, accounts: s.Accounts, taken: s.Server}, nil
}

// pool returns a pool that opens nothing yet.
func (p place) pool() (*sql.DB, error) {
	connector, err := driver.NewConnector(p.config)
	if err != nil {
		return nil, fmt.Errorf("service %s: %w", p.service, err)
	}
	db := sql.OpenDB(connector)
	db.SetMaxIdleConns(0) // a connection that is closed is gone, with its locks
	return db, nil
}

// session is one connection, with everything set that a site's defaults could
// spoil: text comes raw as it is stored, times in UTC, and no time limit ends a
// long read.
type session struct {
	*sql.Conn
	place   place
	current string // database
	id      uint64 // the server's number of it
	server  server
	wire    *wire // nil where it is encrypted
	// outside asks for spaces on another session: within its transaction a reader is told
	// of those at the mark.
	outside func(ctx context.Context, table string) (map[string]string, error)
}

const sessionSettings = `SET SESSION character_set_results = NULL, time_zone = '+00:00', sql_mode = '',
	sql_quote_show_create = 1, wait_timeout = 604800, net_read_timeout = 86400, net_write_timeout = 86400,
	sql_big_selects = 1, sql_select_limit = 18446744073709551615, autocommit = 1`

const (
	mariadbSettings = ", max_statement_time = 0, idle_transaction_timeout = 0, idle_readonly_transaction_timeout = 0"
	// What the data dictionary says of a table is kept for a day otherwise.
	mysqlSettings = ", max_execution_time = 0, information_schema_stats_expiry = 0"
)

// connect opens a session in database, or in none. wait bounds, in whole
// seconds, how long it waits for locks on tables, and so how long others wait
// behind it.
func (p place) connect(ctx context.Context, db *sql.DB, database string, wait time.Duration) (*session, error) {
	s := &session{place: p, current: database}
	ctx, cancel := engines.Answering(ctx, p.at(), p.answer)
	defer cancel()
	conn, err := db.Conn(context.WithValue(ctx, wireKey{}, &s.wire))
	if err != nil {
		return nil, p.explain(ctx, "connect", err)
	}
	s.Conn = conn
	if p.config.TLSConfig != "" && p.config.TLSConfig != "false" {
		s.wire = nil
	}
	if err := s.prepare(ctx, database, wait); err != nil {
		conn.Close()
		return nil, err
	}
	return s, nil
}

func (s *session) prepare(ctx context.Context, database string, wait time.Duration) error {
	var version string
	err := s.one(ctx, "SELECT CONNECTION_ID(), VERSION()", &s.id, &version)
	if err != nil {
		return err
	}
	if s.server, err = serverOf(version); err != nil {
		return fmt.Errorf("the server at %s is %w", s.place.address, err)
	}
	s.place.known = s.server.product()
	own := mariadbSettings
	switch {
	case s.server.mysql:
		own = mysqlSettings
	case s.server.atLeast(10, 3, 7) && !s.server.atLeast(11, 5, 0): // since then it says nothing
		own += ", alter_algorithm = 'DEFAULT'"
	}
	settings := []string{"SET NAMES utf8mb4", sessionSettings + own, "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ WRITE", fmt.Sprintf("SET SESSION lock_wait_timeout = %d", int(wait.Seconds()))}
	if database != "" {
		settings = append(settings, "USE "+quote(database))
	}
	for _, statement := range settings {
		if err := s.exec(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

// exec executes one statement.
func (s *session) exec(ctx context.Context, statement string, args ...any) error {
	if _, err := s.ExecContext(ctx, statement, args...); err != nil {
		return s.place.explain(ctx, verb(statement), err)
	}
	return nil
}

// one reads the single row of a query; sql.ErrNoRows is passed on.
func (s *session) one(ctx context.Context, query string, into ...any) error {
	if err := s.QueryRowContext(ctx, query).Scan(into...); err != nil {
		return s.place.explain(ctx, verb(query), err)
	}
	return nil
}

// each calls row for every row of a query; row scans it.
func (s *session) each(ctx context.Context, query string, row func(*sql.Rows) error, args ...any) error {
	rows, err := s.QueryContext(ctx, query, args...)
	if err != nil {
		return s.place.explain(ctx, verb(query), err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := row(rows); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return s.place.explain(ctx, verb(query), err)
	}
	return nil
}

// quote makes an identifier of name.
func quote(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }

// literal makes a string literal of text, in a session with backslash escapes.
func literal(text string) string { return string(appendString(nil, []byte(text))) }
