package sqlite

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"holdfast/engines"
	"holdfast/engines/enginetest"
)

// place is a database of the tests' own, with an application in this process
// that keeps connections to it open.
type place struct {
	path string
	mode string // journal mode: wal, delete
	app  *sql.DB
}

func newPlace(t *testing.T, mode string) *place {
	p := &place{path: filepath.Join(t.TempDir(), "odd name?#%41'.db"), mode: mode}
	t.Cleanup(p.close)
	return p
}

func (p *place) close() {
	if p.app != nil {
		p.app.Close()
	}
	p.app = nil
}

// connect opens the database as an application would.
func connect(path, access string) *sql.DB {
	dsn := url.URL{Scheme: "file", Path: path, RawQuery: "mode=" + access + "&_pragma=busy_timeout(30000)&_txlock=immediate"}
	db, err := sql.Open("sqlite", dsn.String())
	if err != nil {
		panic(err) // only a malformed name can do this
	}
	return db
}

func (p *place) Service() engines.Service { return serviceOf(p.path) }

func serviceOf(path string) engines.Service {
	return engines.Service{Name: "settings", URL: &url.URL{Scheme: "sqlite", Path: path}}
}

// known is the data that every kind but Empty has: accounts, and transfers that
// explain every balance.
const known = `
CREATE TABLE account (id INTEGER PRIMARY KEY, balance INTEGER NOT NULL);
CREATE TABLE transfer (n INTEGER PRIMARY KEY, source INTEGER NOT NULL, destination INTEGER NOT NULL, amount INTEGER NOT NULL);
CREATE INDEX by_source ON transfer (source);
CREATE TABLE page (id INTEGER PRIMARY KEY, body TEXT);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 200) INSERT INTO account SELECT i, 100 FROM n;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 300) INSERT INTO page SELECT i, hex(randomblob(400)) FROM n;
`

const odd = `
CREATE TABLE "odd "" name; --" ("a b" TEXT, "ü" BLOB, "select" REAL);
INSERT INTO "odd "" name; --" VALUES ('it''s', x'00ff00', 9e999), (char(0) || 'after NUL', NULL, -9e999), (CAST(x'fffe' AS TEXT), zeroblob(70000), 0.1);
CREATE TABLE w (k TEXT PRIMARY KEY, v) WITHOUT ROWID;
INSERT INTO w VALUES ('min', -9223372036854775808), ('max', 9223372036854775807), ('', ''), (char(0x1F600), 1);
CREATE TABLE g (a INT, b INT GENERATED ALWAYS AS (a * 2) STORED, CHECK (a > 0));
INSERT INTO g (a) VALUES (1), (2);
CREATE VIEW "a view" AS SELECT a FROM g;
CREATE TRIGGER "on g" AFTER INSERT ON g BEGIN UPDATE w SET v = new.a WHERE k = ''; END;
CREATE VIRTUAL TABLE words USING fts5(body);
INSERT INTO words VALUES ('held fast'), ('let go');
CREATE TABLE gaps (a); INSERT INTO gaps (rowid, a) VALUES (-5, 'negative'), (4000000000, 'far');
PRAGMA user_version = 7; PRAGMA application_id = 1234;
`

func (p *place) Fill(ctx context.Context, kind enginetest.Kind) error {
	p.close()
	for _, f := range withCompanions(p.path) {
		if err := os.Remove(f); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if kind == enginetest.Missing {
		return nil
	}
	statements := "PRAGMA journal_mode = " + p.mode + ";"
	if kind == enginetest.Empty {
		return os.WriteFile(p.path, nil, 0o640) // nobody has it open
	}
	statements += known
	switch kind {
	case enginetest.Large:
		statements += "CREATE TABLE large (b BLOB); INSERT INTO large VALUES (randomblob(5000000)), (zeroblob(3000000));"
	case enginetest.Odd:
		statements += odd
	}
	p.app = connect(p.path, "rwc")
	_, err := p.app.ExecContext(ctx, statements)
	return err
}

func (p *place) Write(ctx context.Context, n int) error {
	if p.app == nil {
		p.app = connect(p.path, "rw")
	}
	return transfer(ctx, p.app, n)
}

// transfer moves an amount from one account to another.
func transfer(ctx context.Context, app *sql.DB, n int) error {
	tx, err := app.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	source, destination, amount := n%200+1, (n*7+3)%200+1, n%9+1
	for _, q := range []struct {
		sql  string
		args []any
	}{
		{"UPDATE account SET balance = balance - ? WHERE id = ?", []any{amount, source}},
		{"INSERT INTO transfer VALUES (?, ?, ?, ?)", []any{n, source, destination, amount}},
		{"UPDATE account SET balance = balance + ? WHERE id = ?", []any{amount, destination}},
	} {
		if _, err := tx.ExecContext(ctx, q.sql, q.args...); err != nil {
			return err
		}
	}
	return tx.Commit()
}

func (p *place) Check(ctx context.Context) error {
	db := connect(p.path, "rw")
	defer db.Close()
	return checkAccounts(ctx, db)
}

func checkAccounts(ctx context.Context, db *sql.DB) error {
	var wrong, sum int
	err := db.QueryRowContext(ctx, `SELECT sum(balance <> 100
		- coalesce((SELECT sum(amount) FROM transfer WHERE source = id), 0)
		+ coalesce((SELECT sum(amount) FROM transfer WHERE destination = id), 0)), sum(balance) FROM account`).Scan(&wrong, &sum)
	if err != nil {
		return err
	}
	if wrong != 0 || sum != 20000 {
		return fmt.Errorf("%d balances are not what the transfers say, the sum is %d", wrong, sum)
	}
	var found string
	if err := db.QueryRowContext(ctx, "PRAGMA integrity_check").Scan(&found); err != nil || found != "ok" {
		return fmt.Errorf("integrity check: %s: %w", found, err)
	}
	return nil
}

func (p *place) Dump(ctx context.Context) (string, error) {
	if _, err := os.Stat(p.path); errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return dump(ctx, p.path)
}

// dump gives schema and rows, with their rowids, in order.
func dump(ctx context.Context, path string) (string, error) {
	db := connect(path, "rw")
	defer db.Close()
	tx, err := db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return "", err
	}
	defer tx.Rollback()
	out := &strings.Builder{}
	for _, pragma := range []string{"user_version", "application_id", "encoding"} {
		if err := dumpRows(ctx, tx, out, "PRAGMA "+pragma); err != nil {
			return "", err
		}
	}
	if err := dumpRows(ctx, tx, out, "SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE tbl_name <> 'holdfast_swap' ORDER BY type, name"); err != nil {
		return "", err
	}
	rows, err := tx.QueryContext(ctx, "SELECT name FROM sqlite_schema WHERE type = 'table' AND name <> 'holdfast_swap' ORDER BY name")
	if err != nil {
		return "", err
	}
	defer rows.Close()
	var tables []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return "", err
		}
		tables = append(tables, name)
	}
	for _, name := range tables {
		fmt.Fprintf(out, "-- %q\n", name)
		err := dumpRows(ctx, tx, out, "SELECT rowid, * FROM "+quote(name)+" ORDER BY rowid")
		if err != nil && strings.Contains(err.Error(), "no such column: rowid") {
			err = dumpRows(ctx, tx, out, "SELECT * FROM "+quote(name)+" ORDER BY 1")
		}
		if err != nil {
			return "", err
		}
	}
	return out.String(), rows.Err()
}

func dumpRows(ctx context.Context, tx *sql.Tx, out *strings.Builder, query string) error {
	rows, err := tx.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return err
	}
	values, to := make([]any, len(columns)), make([]any, len(columns))
	for i := range values {
		to[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(to...); err != nil {
			return err
		}
		for _, v := range values {
			if b, ok := v.([]byte); ok && len(b) > 1000 {
				v = fmt.Sprintf("%d bytes %x", len(b), sha256.Sum256(b))
			}
			fmt.Fprintf(out, "%T %q ", v, fmt.Sprint(v))
		}
		out.WriteString("\n")
	}
	return rows.Err()
}

func (p *place) Litter(ctx context.Context) ([]string, error) {
	files, err := os.ReadDir(filepath.Dir(p.path))
	if err != nil {
		return nil, err
	}
	var litter []string
	for _, f := range files {
		if !slices.Contains(withCompanions(filepath.Base(p.path)), f.Name()) {
			litter = append(litter, f.Name())
		}
	}
	if there, err := exists(p.path); err != nil || !there {
		return litter, err
	}
	db := connect(p.path, "rw")
	defer db.Close()
	var tables int
	err = db.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema WHERE name = 'holdfast_swap'").Scan(&tables)
	if tables > 0 {
		litter = append(litter, "table holdfast_swap")
	}
	return litter, err
}
