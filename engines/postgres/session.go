package postgres

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"holdfast/engines"
)

// session is one connection, with everything set that a site's defaults could
// spoil: values are written in one form, and no time limit ends a long read.
type session struct {
	*pgconn.PgConn
	place   place
	version int // 150018 is 15.18
}

// settings are made by name where the server knows them: later ones than the
// oldest that is supported have more.
var settings = [][2]string{
	{"client_encoding", "UTF8"}, {"TimeZone", "UTC"}, {"DateStyle", "ISO, MDY"}, {"IntervalStyle", "postgres"},
	{"extra_float_digits", "3"}, {"bytea_output", "hex"}, {"xmloption", "content"}, {"lc_monetary", "C"}, {"lc_numeric", "C"},
	{"search_path", ""}, {"row_security", "off"}, {"synchronize_seqscans", "off"}, {"quote_all_identifiers", "off"},
	{"standard_conforming_strings", "on"}, {"array_nulls", "on"}, {"check_function_bodies", "off"}, {"client_min_messages", "warning"},
	{"default_transaction_isolation", "read committed"}, {"default_transaction_read_only", "off"}, {"default_transaction_deferrable", "off"},
	{"statement_timeout", "0"}, {"idle_in_transaction_session_timeout", "0"}, {"idle_session_timeout", "0"}, {"transaction_timeout", "0"},
	{"max_parallel_workers_per_gather", "0"}, {"jit", "off"}, {"default_with_oids", "off"}, {"synchronous_commit", "on"},
}

// oldest is the first version that is supported.
const oldest = 120000

// connect opens a session in database. wait bounds how long it waits for locks.
func (p place) connect(ctx context.Context, database string, wait time.Duration) (*session, error) {
	config := p.config.Copy()
	config.Database = database
	ctx, cancel := engines.Answering(ctx, p.at(), p.answer)
	defer cancel()
	conn, err := pgconn.ConnectConfig(ctx, config)
	if err != nil {
		p.database = database
		return nil, p.explain(ctx, "connect", err)
	}
	p.database = database
	s := &session{PgConn: conn, place: p}
	if err := s.prepare(ctx, wait); err != nil {
		s.end()
		return nil, err
	}
	return s, nil
}

func (s *session) prepare(ctx context.Context, wait time.Duration) error {
	var values []string
	for _, pair := range settings {
		values = append(values, fmt.Sprintf("(%s, %s)", literal(pair[0]), literal(pair[1])))
	}
	values = append(values, fmt.Sprintf("('lock_timeout', '%d')", wait.Milliseconds()))
	// client_encoding of a database without an encoding: bytes as they are.
	rows, err := s.rows(ctx, `SELECT pg_catalog.set_config(w.name, w.value, false), pg_catalog.pg_backend_pid(),
		pg_catalog.current_setting('server_version_num'), pg_catalog.current_setting('server_encoding')
		FROM (VALUES `+strings.Join(values, ", ")+`) AS w (name, value) WHERE pg_catalog.current_setting(w.name, true) IS NOT NULL`)
	if err != nil {
		return err
	}
	if len(rows) == 0 {
		return fmt.Errorf("%s has none of the settings it should have", s.place.at())
	}
	if rows[0][1] != strconv.Itoa(int(s.PID())) {
		return fmt.Errorf("what answers at %s is a connection pooler, which may change the server's session between two statements: give the server's own address", s.place.address)
	}
	if s.version, err = strconv.Atoi(rows[0][2]); err != nil || s.version < oldest {
		return fmt.Errorf("%s is version %s: %d or later is needed", s.place.at(), rows[0][2], oldest/10000)
	}
	if rows[0][3] == noEncoding {
		return s.exec(ctx, "SET client_encoding = "+noEncoding)
	}
	return nil
}

// noEncoding is the encoding of databases whose text is any bytes.
const noEncoding = "SQL_ASCII"

// exec executes statements, and as one transaction unless they say otherwise.
func (s *session) exec(ctx context.Context, statements string) error {
	if err := s.Exec(ctx, statements).Close(); err != nil {
		return s.place.explain(ctx, verb(statements), err)
	}
	return nil
}

// rows reads all rows of a query as text; NULL is "".
func (s *session) rows(ctx context.Context, query string) ([][]string, error) {
	results, err := s.Exec(ctx, query).ReadAll()
	if err != nil {
		return nil, s.place.explain(ctx, verb(query), err)
	}
	var list [][]string
	for _, row := range results[len(results)-1].Rows {
		values := make([]string, len(row))
		for i, value := range row {
			values[i] = string(value)
		}
		list = append(list, values)
	}
	return list, nil
}

var errNoRow = errors.New("the query gave no row")

// row reads the first row of a query.
func (s *session) row(ctx context.Context, query string) ([]string, error) {
	rows, err := s.rows(ctx, query)
	if err == nil && len(rows) == 0 {
		err = errNoRow
	}
	if err != nil {
		return nil, err
	}
	return rows[0], nil
}

// value reads the first value of a query's first row; without a row it is "".
func (s *session) value(ctx context.Context, query string) (string, error) {
	row, err := s.row(ctx, query)
	if errors.Is(err, errNoRow) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return row[0], nil
}

// yes reads a boolean.
func (s *session) yes(ctx context.Context, query string) (bool, error) {
	value, err := s.value(ctx, query)
	return value == "t", err
}

// transaction executes work between BEGIN and COMMIT.
func (s *session) transaction(ctx context.Context, work func() error) error {
	if err := s.exec(ctx, "BEGIN"); err != nil {
		return err
	}
	if err := work(); err != nil {
		// Where that fails the connection is gone, and the transaction with it.
		_ = s.exec(context.WithoutCancel(ctx), "ROLLBACK")
		return err
	}
	return s.exec(ctx, "COMMIT")
}

// end closes the connection, and with it transaction and locks.
func (s *session) end() {
	if s == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = s.Close(ctx) // it is gone in any case
}

// product names the server: PostgreSQL 15.18.
func (s *session) product() string {
	return fmt.Sprintf("PostgreSQL %d.%d", s.version/10000, s.version%10000)
}

// list makes an SQL array of names.
func list(names []string) string {
	var literals []string
	for _, name := range names {
		literals = append(literals, literal(name))
	}
	return "ARRAY[" + strings.Join(literals, ", ") + "]::text[]"
}
