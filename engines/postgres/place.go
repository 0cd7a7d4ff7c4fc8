package postgres

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"holdfast/engines"
	"holdfast/engines/dump"
)

const (
	dialTimeout = 10 * time.Second
	defaultPort = 5432
	// maxName is PostgreSQL's bound of a name, in bytes.
	maxName = 63
)

// place is one database of one server, and how to get there.
type place struct {
	service  string
	database string
	user     string
	host     string // a name, an address, or the directory of a unix socket
	port     int
	tls      map[string]string // sslmode, sslrootcert
	address  string            // for messages
	config   *pgconn.Config    // of a connection to database
	answer   time.Duration     // what the server has for its first answer
	// schemaOnly are patterns of tables whose rows are left out.
	schemaOnly []string
	accounts   bool // the server's accounts belong to the service
	reading    dump.Reading
	taken      string // the server that a snapshot was taken from, where it is known
}

// at is the server, for messages.
func (p place) at() string { return "PostgreSQL at " + p.address }

// placeOf reads a service's URL.
func placeOf(s engines.Service) (place, error) {
	want := func(found string) (place, error) {
		return place{}, fmt.Errorf("service %s: %s; want postgres://user@host:5432/database, or postgres://user@/database?host=/directory/of/socket", s.Name, found)
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
	p := place{service: s.Name, database: strings.TrimPrefix(u.Path, "/"), user: u.User.Username(),
		host: u.Hostname(), port: defaultPort, tls: map[string]string{"sslmode": "prefer"}, answer: engines.AnswerTimeout, schemaOnly: s.SchemaOnly, reading: dump.DefaultReading, accounts: s.Accounts, taken: s.Server}
	switch p.database {
	case "":
		return want("no database in the address")
	case "template0", "template1":
		return place{}, fmt.Errorf("service %s: %s is the server's own database and cannot be captured or restored", s.Name, p.database)
	}
	if len(p.database) > maxName || strings.ContainsRune(p.database, 0) {
		return want(fmt.Sprintf("%q is no name of a database", p.database))
	}
	port := u.Port()
	for key, values := range u.Query() {
		switch value := values[len(values)-1]; {
		case key == "host" && strings.HasPrefix(value, "/"):
			p.host = value
		case key == "port":
			port = value
		case key == "sslmode" || key == "sslrootcert":
			p.tls[key] = value
		case key == "connections" && p.reading.SetConnections(value):
		default:
			return want(fmt.Sprintf("parameter %s=%s is not known (host=/directory, port, sslmode, sslrootcert, connections=1 to %d)", key, value, dump.MaxConnections))
		}
	}
	if port != "" {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return want(fmt.Sprintf("%q is no port", port))
		}
		p.port = int(n)
	}
	if p.host == "" {
		return want("no host in the address")
	}
	p.address = fmt.Sprintf("%s:%d", p.host, p.port)
	config, err := p.configuration(s.Password)
	if err != nil {
		return want(err.Error())
	}
	p.config = config
	return p, nil
}

// configuration says how to connect. Nothing of it comes from this process's
// environment: PGPASSWORD and the like belong to somebody else.
func (p place) configuration(password string) (*pgconn.Config, error) {
	values := url.Values{"host": {p.host}, "port": {strconv.Itoa(p.port)}, "user": {p.user}, "dbname": {p.database},
		"passfile": {os.DevNull}, "servicefile": {os.DevNull}, "application_name": {application}}
	for key, value := range p.tls {
		values.Set(key, value)
	}
	config, err := pgconn.ParseConfig("postgres:///?" + values.Encode())
	if err != nil {
		return nil, fmt.Errorf("the address cannot be used (sslmode, sslrootcert): %w", err)
	}
	config.Password = password
	config.DialFunc = (&net.Dialer{Timeout: dialTimeout}).DialContext
	return config, nil
}

// application is what the server's lists of sessions call us.
const application = "holdfast"

// quote makes an identifier of name, as the server's quote_ident would but for
// quotes that are not needed.
func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// literal makes a string literal of text; standard_conforming_strings is on.
func literal(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

// quoteAsNeeded is quote for names that look better without.
func quoteAsNeeded(name string) string {
	if plain.MatchString(name) {
		return name
	}
	return quote(name)
}

// plain matches names that are no words of SQL, as far as that can be told.
var plain = regexp.MustCompile(`^(?:public|[a-z_]+[0-9_][a-z0-9_]*)$`)
