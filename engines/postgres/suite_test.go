package postgres

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"holdfast/engines"
	"holdfast/engines/enginetest"
	"holdfast/internal/soak"
	"holdfast/internal/testserver"
)

const testPassword = "correct horse"

// TestSuiteInSchemas swaps schemas, TestSuiteBeside databases: what is in the
// database decides.
func TestSuiteInSchemas(t *testing.T) { runSuite(t, slowCases, nil) }

func TestSuiteBeside(t *testing.T) {
	runSuite(t, append(slices.Clone(slowCases), alikeCases...), []string{"SELECT lo_from_bytea(70001, 'large')",
		"CREATE PUBLICATION everything FOR TABLE accounts, moves", "CREATE EXTENSION pgcrypto",
		"CREATE TABLE tokens (id UUID PRIMARY KEY DEFAULT gen_random_uuid(), sum BYTEA DEFAULT digest('x', 'sha1'))",
		"INSERT INTO tokens DEFAULT VALUES"})
}

// slowCases are the cases that take minutes here. What they are about, a stop at any
// statement of a swap, a revert and a discard, is also tested by
// TestAStopBeforeEveryStatementIsReverted.
var slowCases = []enginetest.Case{enginetest.CrashStage, enginetest.CrashSwap, enginetest.CrashRevert, enginetest.CrashDiscard, enginetest.CrashUndone, enginetest.SinkFails}

// alikeCases are the cases in which it does not matter what is swapped.
var alikeCases = []enginetest.Case{enginetest.EmptyData, enginetest.LargeValues, enginetest.OddNames, enginetest.HeldWrites, enginetest.UnheldWrites,
	enginetest.Unchanged, enginetest.FewChanges, enginetest.CancelSource, enginetest.ContentFails, enginetest.Refusals}

// leaveOut leaves cases to the soak.
func leaveOut(t *testing.T, cases []enginetest.Case) map[enginetest.Case]string {
	if soak.On(t) {
		return nil
	}
	left := map[enginetest.Case]string{}
	for _, c := range cases {
		left[c] = "tried by make soak only"
	}
	return left
}

// runSuite runs it on databases that hold more than the suite's own tables.
func runSuite(t *testing.T, soaked []enginetest.Case, more []string) {
	server := testserver.Postgres(t)
	server.Exec("postgres", "CREATE ROLE site LOGIN PASSWORD '"+testPassword+"'", "CREATE ROLE backup LOGIN CREATEDB PASSWORD '"+testPassword+"'",
		"CREATE ROLE blind LOGIN PASSWORD '"+testPassword+"'", "CREATE DATABASE crowded OWNER backup")
	server.Exec("crowded", "CREATE TABLE t (id INT PRIMARY KEY)", "CREATE TABLE hidden (id INT)", "ALTER TABLE hidden ENABLE ROW LEVEL SECURITY",
		"GRANT SELECT ON hidden TO blind", "GRANT ALL ON ALL TABLES IN SCHEMA public TO site")
	var places atomic.Int64
	service := func(user, password, database string) engines.Service {
		return engines.Service{Name: "db", URL: server.URL(user, database), Password: password}
	}
	enginetest.Run(t, enginetest.Harness{
		Engine: Engine,
		Cannot: leaveOut(t, soaked),
		Place: func(t *testing.T) enginetest.Place {
			p := &testPlace{server: server, name: fmt.Sprintf("place%d", places.Add(1)), more: more}
			server.Exec("postgres", "CREATE ROLE "+p.name+" LOGIN CREATEDB PASSWORD '"+testPassword+"' IN ROLE pg_signal_backend",
				"CREATE ROLE "+p.name+"_site LOGIN PASSWORD '"+testPassword+"' IN ROLE "+p.name)
			p.service = service(p.name, testPassword, p.name)
			t.Cleanup(func() {
				p.disconnect()
				server.Exec("postgres", "DROP DATABASE IF EXISTS "+p.name+" WITH (FORCE)", "REASSIGN OWNED BY "+p.name+" TO postgres", "DROP ROLE "+p.name+"_site", "DROP ROLE "+p.name)
			})
			return p
		},
		Refused: func(t *testing.T) []enginetest.Refusal {
			address := server.URL("", "").Host
			nowhere := service("backup", testPassword, "crowded")
			nowhere.URL.Host = "127.0.0.1:1"
			withPassword := service("backup", testPassword, "crowded")
			withPassword.URL.User = url.UserPassword("backup", testPassword)
			unknown := service("backup", testPassword, "crowded")
			unknown.URL.RawQuery = "options=-cx"
			return []enginetest.Refusal{
				{What: "wrong password", Service: service("backup", "wrong battery", "crowded"), Want: []string{address, "backup", "password"}},
				{What: "nobody listens", Service: nowhere, Want: []string{"127.0.0.1:1", "reached"}},
				{What: "unknown database", Service: service("backup", testPassword, "nowhere"), Want: []string{address, "nowhere"}, NoTarget: true},
				{What: "password in the address", Service: withPassword, Want: []string{"password_file"}},
				{What: "no database", Service: service("backup", testPassword, ""), Want: []string{"no database", "postgres://user@host"}},
				{What: "unknown parameter", Service: unknown, Want: []string{"options=-cx"}},
				{What: "the server's own database", Service: service("backup", testPassword, "template1"), Want: []string{"template1"}},
				{What: "may not read", Service: service("blind", testPassword, "crowded"), Want: []string{"blind", "public.t", `GRANT pg_read_all_data TO "blind"`}, NoTarget: true},
				{What: "does not see all rows", Service: service("site", testPassword, "crowded"), Want: []string{"site", "public.hidden", `ALTER ROLE "site" BYPASSRLS`}, NoTarget: true},
				{What: "may neither rename nor create", Service: service("site", testPassword, "crowded"), Want: []string{
					"site", "crowded", `ALTER ROLE "site" CREATEDB`}, NoSource: true},
			}
		},
	})
}

// testPlace is one database with accounts, whose balances are what was moved
// between them.
type testPlace struct {
	server  *testserver.PostgresServer
	name    string
	service engines.Service
	more    []string // statements that make what keeps a restore out of schemas

	mu   sync.Mutex
	idle []*pgconn.PgConn
}

func (p *testPlace) Service() engines.Service { return p.service }

// address is how the site connects: as another user than the engine, so that what
// the engine leaves behind can be told from it.
func (p *testPlace) address(database string) string {
	u := p.server.URL(p.name+"_site", database)
	u.User, u.RawQuery = url.UserPassword(p.name+"_site", testPassword), "sslmode=disable"
	return u.String()
}

// connection takes an idle connection of the site, or opens one: it keeps them over
// a restore, as sites do.
func (p *testPlace) connection(ctx context.Context) (*pgconn.PgConn, error) {
	p.mu.Lock()
	if n := len(p.idle); n > 0 {
		conn := p.idle[n-1]
		p.idle = p.idle[:n-1]
		p.mu.Unlock()
		return conn, nil
	}
	p.mu.Unlock()
	return pgconn.Connect(ctx, p.address(p.name))
}

func (p *testPlace) release(conn *pgconn.PgConn) {
	if conn.IsClosed() {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.idle = append(p.idle, conn)
}

func (p *testPlace) disconnect() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, conn := range p.idle {
		conn.Close(context.Background())
	}
	p.idle = nil
}

const accounts, opening = 40, 1000

// knownSchema uses what has to be put back with care.
var knownSchema = []string{
	"CREATE SCHEMA ledger", "CREATE TYPE kind AS ENUM ('past', 'write')", "CREATE DOMAIN money_amount AS bigint CHECK (VALUE >= 0)",
	"CREATE SEQUENCE receipts START WITH 100 CACHE 5",
	"CREATE TABLE accounts (id INT PRIMARY KEY, owner VARCHAR(40) NOT NULL, balance BIGINT NOT NULL, doubled BIGINT GENERATED ALWAYS AS (balance * 2) STORED)",
	"CREATE INDEX ON accounts (lower(owner)) WHERE balance > 0",
	`CREATE TABLE moves (id BIGINT PRIMARY KEY GENERATED ALWAYS AS IDENTITY, receipt BIGINT NOT NULL DEFAULT nextval('receipts'),
		debit INT NOT NULL REFERENCES accounts (id), credit INT NOT NULL REFERENCES accounts (id), amount money_amount NOT NULL, note kind)`,
	"CREATE TABLE ledger.audit (id BIGSERIAL, move BIGINT NOT NULL)",
	"CREATE TABLE parts (id INT, day DATE NOT NULL) PARTITION BY RANGE (day)",
	"CREATE TABLE parts_old PARTITION OF parts FOR VALUES FROM (MINVALUE) TO ('2026-01-01')",
	"CREATE TABLE parts_new PARTITION OF parts FOR VALUES FROM ('2026-01-01') TO (MAXVALUE)",
	"INSERT INTO parts VALUES (1, '2025-05-05'), (2, '2026-02-02')",
	"CREATE TABLE empty ()", "INSERT INTO empty DEFAULT VALUES", "DELETE FROM empty",
	"CREATE FUNCTION doubled(n BIGINT) RETURNS BIGINT LANGUAGE sql IMMUTABLE AS 'SELECT $1 * 2'",
	"CREATE PROCEDURE rest() LANGUAGE plpgsql AS $$BEGIN PERFORM 'a;\nb'; END$$",
	"CREATE VIEW rich AS SELECT id, doubled(balance) AS twice FROM accounts WHERE balance > 1000",
	"CREATE VIEW ledger.names AS SELECT a.owner, r.twice FROM accounts a JOIN rich r ON r.id = a.id",
	"CREATE MATERIALIZED VIEW frozen AS SELECT count(*) AS n FROM parts",
	"CREATE FUNCTION note_move() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN INSERT INTO ledger.audit (move) VALUES (NEW.id); RETURN NEW; END$$",
	"CREATE TRIGGER moved AFTER INSERT ON moves FOR EACH ROW EXECUTE FUNCTION note_move()",
	"GRANT SELECT ON accounts TO backup",
}

// oddSchema has names and values that are hard to get right.
var oddSchema = []string{
	`CREATE SCHEMA "a/b.c"`, `CREATE TABLE "a/b.c"."d.e/f" ("c""d" INT PRIMARY KEY, "." TEXT)`,
	`INSERT INTO "a/b.c"."d.e/f" VALUES (1, E'x;\ny\t\\.\n\\N'), (2, E'\\.'), (3, ''), (4, NULL), (5, E'-- no comment\n\\.\n')`,
	`CREATE TABLE ".." ("ключ" VARCHAR(20) PRIMARY KEY)`, `INSERT INTO ".." VALUES ('значение')`,
	`CREATE TABLE "100%; DROP" (id INT)`, `INSERT INTO "100%; DROP" VALUES (1), (1), (NULL)`,
	`CREATE TABLE "back\slash" (id INT)`, `COMMENT ON TABLE "back\slash" IS E'it''s;\n-- Name: x; Type: TABLE\n\\.'`,
	`CREATE VIEW "Sicht ""1" AS SELECT "ключ" FROM ".."`, `CREATE TABLE "select" ("from" INT)`,
	`CREATE FUNCTION atomic(n INT) RETURNS INT LANGUAGE sql BEGIN ATOMIC SELECT CASE n WHEN 1 THEN 2 ELSE 3 END; SELECT n; END`,
	`CREATE RULE ru AS ON INSERT TO "select" DO ALSO (DELETE FROM "100%; DROP" WHERE id = -1; DELETE FROM ".." WHERE false)`,
	`CREATE TABLE values_of (f REAL, d DOUBLE PRECISION, t TIMESTAMPTZ, i INTERVAL, b BYTEA, a TEXT[], j JSONB, n NUMERIC, m MONEY, r INT4RANGE)`,
	`INSERT INTO values_of VALUES ('NaN', 0.1, '2026-03-01 12:00:00+05:30', '1 mon -2 days 03:00:00.5', '\x00ff5c', '{a,"b,c",NULL,"\\"}', '{"a": "\\n\\u0041"}', 1e30, 12.34, '[1,5)'),
		('-Infinity', 1e-300, '-infinity', '-1 year', '', '{}', 'null', 'NaN', -1, 'empty')`,
}

func (p *testPlace) Fill(ctx context.Context, kind enginetest.Kind) error {
	p.disconnect()
	p.server.Exec("postgres", "DROP DATABASE IF EXISTS "+p.name+" WITH (FORCE)")
	if kind == enginetest.Missing {
		return nil
	}
	p.server.Exec("postgres", "CREATE DATABASE "+p.name+" OWNER "+p.name+" TEMPLATE template0")
	var list []string
	if kind == enginetest.Known || kind == enginetest.Large || kind == enginetest.Odd {
		list = append(list, knownSchema...)
		for i := range accounts {
			list = append(list, fmt.Sprintf("INSERT INTO accounts VALUES (%d, 'owner %d', %d)", i, i, opening))
		}
		for i := range 200 {
			from, to := i%accounts, (i*7+1)%accounts
			list = append(list, fmt.Sprintf("INSERT INTO moves (debit, credit, amount, note) VALUES (%d, %d, %d, 'past')", from, to, i),
				fmt.Sprintf("UPDATE accounts SET balance = balance - %d WHERE id = %d", i, from),
				fmt.Sprintf("UPDATE accounts SET balance = balance + %d WHERE id = %d", i, to))
		}
		list = append(list, p.more...)
	}
	switch kind {
	case enginetest.Odd:
		list = append(list, oddSchema...)
	case enginetest.Large:
		list = append(list, "CREATE TABLE files (id INT PRIMARY KEY, body BYTEA, words TEXT)",
			`INSERT INTO files VALUES (1, decode(repeat('00FF270A5C', 800000), 'hex'), repeat(E'Größe\n', 500000)), (2, '', ''), (3, NULL, repeat('x', 5000000))`)
		if p.more != nil {
			list = append(list, "SELECT lo_from_bytea(70002, decode(repeat('00FF270A5C', 500000), 'hex'))", "SELECT lo_from_bytea(70003, decode(repeat('00', 1048576), 'hex'))")
		}
	}
	conn := p.server.Open(p.name)
	defer conn.Close(ctx)
	if err := conn.Exec(ctx, "SET SESSION AUTHORIZATION "+p.name).Close(); err != nil {
		return err
	}
	if err := conn.Exec(ctx, strings.Join(list, ";\n")).Close(); err != nil {
		return fmt.Errorf("fill: %w", err)
	}
	return nil
}

func (p *testPlace) Write(ctx context.Context, n int) error {
	for {
		err := p.write(ctx, n)
		var said *pgconn.PgError
		var connecting *pgconn.ConnectError
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return err
		// Sessions that are ended with their database connect again.
		case errors.As(err, &connecting), errors.As(err, &said) && (said.Code == "57P01" || said.Code == codeDeadlock), strings.Contains(err.Error(), "conn"):
			time.Sleep(time.Millisecond)
		default:
			return err
		}
	}
}

func (p *testPlace) write(ctx context.Context, n int) error {
	conn, err := p.connection(ctx)
	if err != nil {
		return err
	}
	defer p.release(conn)
	from, to := n%accounts, (n*13+5)%accounts
	for _, statement := range []string{
		"BEGIN",
		fmt.Sprintf("UPDATE accounts SET balance = balance - %d WHERE id = %d", n%17, from),
		fmt.Sprintf("UPDATE accounts SET balance = balance + %d WHERE id = %d", n%17, to),
		fmt.Sprintf("INSERT INTO moves (debit, credit, amount, note) VALUES (%d, %d, %d, 'write')", from, to, n%17),
		"COMMIT",
	} {
		if err := conn.Exec(ctx, statement).Close(); err != nil {
			_ = conn.Exec(ctx, "ROLLBACK").Close()
			return err
		}
	}
	return nil
}

func (p *testPlace) value(ctx context.Context, query string) (string, error) {
	conn, err := pgconn.Connect(ctx, p.address(p.name))
	if err != nil {
		return "", err
	}
	defer conn.Close(ctx)
	results, err := conn.Exec(ctx, query).ReadAll()
	if err != nil {
		return "", err
	}
	return string(results[0].Rows[0][0]), nil
}

func (p *testPlace) Check(ctx context.Context) error {
	sum, err := p.value(ctx, "SELECT sum(balance) FROM accounts")
	if err != nil {
		return err
	}
	if sum != strconv.Itoa(accounts*opening) {
		return fmt.Errorf("the accounts hold %s instead of %d", sum, accounts*opening)
	}
	wrong, err := p.value(ctx, fmt.Sprintf(`SELECT count(*) FROM accounts a WHERE balance <> %d
		- (SELECT coalesce(sum(amount), 0) FROM moves WHERE debit = a.id)
		+ (SELECT coalesce(sum(amount), 0) FROM moves WHERE credit = a.id)`, opening))
	if err == nil && wrong != "0" {
		err = fmt.Errorf("%s accounts do not hold what was moved", wrong)
	}
	return err
}

func (p *testPlace) Dump(ctx context.Context) (string, error) {
	return dumpOf(ctx, p.server, p.name)
}

// dumpOf is what pg_dump says about a database, with rows in order and without
// what differs between two runs.
func dumpOf(ctx context.Context, server *testserver.PostgresServer, name string) (string, error) {
	admin := server.Open("postgres")
	defer admin.Close(ctx)
	results, err := admin.Exec(ctx, "SELECT 1 FROM pg_database WHERE datname = '"+name+"'").ReadAll()
	if err != nil || len(results[0].Rows) == 0 {
		return "", err
	}
	var sorted []string
	var rows []string
	inRows := false
	for _, line := range strings.Split(string(server.Dump(name, "--exclude-schema=holdfast_h*")), "\n") {
		switch {
		case strings.HasPrefix(line, "COPY ") && strings.HasSuffix(line, "FROM stdin;"):
			inRows = true
		case line == `\.` && inRows:
			inRows = false
			slices.Sort(rows)
			sorted, rows = append(sorted, rows...), nil
		case inRows:
			rows = append(rows, line)
			continue
		case strings.HasPrefix(line, `\restrict`), strings.HasPrefix(line, `\unrestrict`):
			continue
		}
		sorted = append(sorted, line)
	}
	return strings.NewReplacer(name, "this", "OWNER TO postgres", "OWNER TO this").Replace(strings.Join(sorted, "\n")), nil
}

// Litter names schemas, databases and locks of restores, and sessions of the
// engine's user, which the server may take a moment to notice the end of.
func (p *testPlace) Litter(ctx context.Context) ([]string, error) {
	admin := p.server.Open("postgres")
	defer admin.Close(ctx)
	var litter []string
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		litter = nil
		results, err := admin.Exec(ctx, `SELECT 'database ' || datname FROM pg_database WHERE datname ~ '^`+p.name+`_h[fr]_'
			UNION ALL SELECT 'comment ' || shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = '`+p.name+`'
			UNION ALL SELECT 'connection ' || pid FROM pg_stat_activity WHERE usename = '`+p.name+`'`).ReadAll()
		if err != nil {
			return nil, err
		}
		for _, row := range results[0].Rows {
			if len(row[0]) > 0 {
				litter = append(litter, string(row[0]))
			}
		}
		if len(litter) == 0 {
			break
		}
		if strings.HasPrefix(litter[0], "database") {
			return litter, nil
		}
	}
	if len(litter) > 0 {
		return litter, nil
	}
	found, err := p.value(ctx, `SELECT coalesce(string_agg('schema ' || nspname, ', '), '') FROM pg_namespace WHERE nspname ~ '^holdfast'`)
	var said *pgconn.PgError
	if errors.As(err, &said) && said.Code == codeNoDatabase {
		return nil, nil
	}
	if found != "" {
		litter = append(litter, found)
	}
	return litter, err
}
