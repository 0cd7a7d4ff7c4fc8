package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"holdfast/engines"
	"holdfast/engines/enginetest"
	"holdfast/internal/testserver"
)

const testPassword = "correct horse"

func TestSuite(t *testing.T) {
	t.Run("MariaDB", func(t *testing.T) { t.Parallel(); conforms(t, testserver.MariaDB(t, testserver.Binlog), false) })
	t.Run("MySQL", func(t *testing.T) { t.Parallel(); conforms(t, testserver.MySQL(t), true) })
}

// conforms runs the suite on a server; mysql says that it is MySQL.
func conforms(t *testing.T, server *testserver.MySQLServer, mysql bool) {
	server.Exec("CREATE USER backup@'%' IDENTIFIED BY '"+testPassword+"'",
		"GRANT ALL PRIVILEGES ON *.* TO backup@'%'",
		"CREATE USER site@'%' IDENTIFIED BY '"+testPassword+"'",
		"CREATE USER blind@'%' IDENTIFIED BY '"+testPassword+"'", "CREATE USER stranger@'%' IDENTIFIED BY '"+testPassword+"'",
		"CREATE DATABASE crowded", "CREATE TABLE crowded.t (id INT PRIMARY KEY)",
		"CREATE VIEW crowded.v AS SELECT id FROM crowded.t",
		"GRANT ALL PRIVILEGES ON `crowded`.* TO site@'%'", "GRANT SELECT ON `crowded`.* TO blind@'%'")
	var places atomic.Int64
	service := func(user, password, database string) engines.Service {
		return engines.Service{Name: "db", URL: server.URL(user, database), Password: password}
	}
	enginetest.Run(t, enginetest.Harness{
		Engine: Engine,
		Place: func(t *testing.T) enginetest.Place {
			p := &testPlace{server: server, mysql: mysql, name: fmt.Sprintf("place%d", places.Add(1))}
			server.Exec("CREATE USER "+p.name+" IDENTIFIED BY '"+testPassword+"'", "GRANT ALL PRIVILEGES ON *.* TO "+p.name)
			p.service = service(p.name, testPassword, p.name)
			p.db = server.Open("root", "", "")
			t.Cleanup(func() {
				server.Exec("DROP DATABASE IF EXISTS "+p.name, "DROP USER "+p.name)
				p.db.Close()
			})
			return p
		},
		Refused: func(t *testing.T) []enginetest.Refusal {
			address := strings.TrimPrefix(server.URL("", "").Host, "")
			nowhere := service("backup", testPassword, "crowded")
			nowhere.URL.Host = "127.0.0.1:1"
			withPassword := service("backup", testPassword, "crowded")
			withPassword.URL.User = url.UserPassword("backup", testPassword)
			nameless := service("backup", testPassword, "")
			unknown := service("backup", testPassword, "crowded")
			unknown.URL.RawQuery = "charset=latin1"
			return []enginetest.Refusal{
				{What: "wrong password", Service: service("backup", "wrong battery", "crowded"), Want: []string{address, "backup", "password"}},
				{What: "nobody listens", Service: nowhere, Want: []string{"127.0.0.1:1", "reached"}},
				{What: "unknown database", Service: service("backup", testPassword, "nowhere"), Want: []string{address, "nowhere"}, NoTarget: true},
				{What: "password in the address", Service: withPassword, Want: []string{"password_file"}},
				{What: "no database", Service: nameless, Want: []string{"no database", "mysql://user@host"}},
				{What: "unknown parameter", Service: unknown, Want: []string{"charset=latin1"}},
				{What: "the server's own database", Service: service("backup", testPassword, "mysql"), Want: []string{"mysql"}},
				{What: "may do nothing in it", Service: service("stranger", testPassword, "crowded"), Want: []string{
					"stranger", "crowded", "GRANT SELECT, SHOW VIEW, TRIGGER, EVENT, EXECUTE ON `crowded`.* TO 'stranger'@'%'"}, NoTarget: true},
				{What: "may not see triggers", Service: service("blind", testPassword, "crowded"), Want: []string{
					"blind", "crowded", "GRANT SHOW VIEW, TRIGGER, EVENT, EXECUTE ON `crowded`.* TO 'blind'@'%'"}, NoTarget: true},
				{What: "may not create databases, nor what others define", Service: service("site", testPassword, "crowded"), Want: []string{
					"site", "crowded_hf_0000000000", "GRANT ALL PRIVILEGES ON `crowded\\_h_\\_%`.* TO 'site'@'%'", "is defined by"}, NoSource: true},
			}
		},
	})
}

// testPlace is one database with accounts, whose balances are what was moved
// between them.
type testPlace struct {
	server  *testserver.MySQLServer
	mysql   bool // which has no sequences
	db      *sql.DB
	name    string
	service engines.Service
}

func (p *testPlace) Service() engines.Service { return p.service }

const accounts, opening = 40, 1000

// knownSchema uses what has to be put back with care: foreign keys, a counter, a
// sequence as default, a trigger, routines, views on views, an event.
var knownSchema = []string{
	"CREATE SEQUENCE receipts START WITH 100 CACHE 5",
	"CREATE TABLE accounts (id INT PRIMARY KEY, owner VARCHAR(40) NOT NULL, balance BIGINT NOT NULL, KEY (owner))",
	`CREATE TABLE moves (id BIGINT PRIMARY KEY AUTO_INCREMENT, receipt BIGINT NOT NULL DEFAULT NEXTVAL(receipts),
		debit INT NOT NULL, credit INT NOT NULL, amount BIGINT NOT NULL, note VARCHAR(80),
		CONSTRAINT fk_debit FOREIGN KEY (debit) REFERENCES accounts (id), CONSTRAINT fk_credit FOREIGN KEY (credit) REFERENCES accounts (id))`,
	"CREATE TABLE audit (id BIGINT PRIMARY KEY AUTO_INCREMENT, move BIGINT NOT NULL)",
	"CREATE TABLE settings (name VARCHAR(40) PRIMARY KEY, value TEXT) ENGINE=MyISAM",
	"INSERT INTO settings VALUES ('motto', 'keep'), ('colour', 'blue')",
	"CREATE FUNCTION doubled(n BIGINT) RETURNS BIGINT DETERMINISTIC RETURN n * 2",
	"CREATE PROCEDURE rest() SELECT 'a;\nb' AS c",
	"CREATE VIEW rich AS SELECT id, doubled(balance) AS twice FROM accounts WHERE balance > 1000",
	"CREATE VIEW names AS SELECT a.owner, r.twice FROM accounts a JOIN rich r ON r.id = a.id",
	"CREATE TRIGGER moved AFTER INSERT ON moves FOR EACH ROW INSERT INTO audit (move) VALUES (NEW.id)",
	"CREATE EVENT sweep ON SCHEDULE EVERY 1 DAY STARTS '2030-01-01 00:00:00' DISABLE DO DELETE FROM audit WHERE id < 0",
}

// oddSchema has names and values that are hard to get right.
var oddSchema = []string{
	"CREATE TABLE `a/b` (`c``d` INT PRIMARY KEY, `.` TEXT)",
	"INSERT INTO `a/b` VALUES (1, 'x;\ny'), (2, '-- no comment\nDELIMITER ;;\n'), (3, '')",
	"CREATE TABLE `..` (`ключ` VARCHAR(20) PRIMARY KEY)", "INSERT INTO `..` VALUES ('значение')",
	"CREATE TABLE `100%; DROP` (id INT)", "INSERT INTO `100%; DROP` VALUES (1), (1), (NULL)",
	"CREATE TABLE `back\\slash` (id INT COMMENT 'it''s;\n', KEY (id)) COMMENT = ') ENGINE=x AUTO_INCREMENT=9'",
	"CREATE VIEW `Sicht ``1` AS SELECT `..`.`ключ` FROM `..`",
	"CREATE TRIGGER `tr;;igger` BEFORE INSERT ON `a/b` FOR EACH ROW BEGIN SET @a = ';;'; SET @b = 1; END",
}

func (p *testPlace) Fill(ctx context.Context, kind enginetest.Kind) error {
	conn, err := p.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	list := []string{"DROP DATABASE IF EXISTS " + p.name}
	if kind != enginetest.Missing {
		list = append(list, "CREATE DATABASE "+p.name+" CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci", "USE "+p.name)
	}
	if kind == enginetest.Known || kind == enginetest.Large || kind == enginetest.Odd {
		for _, statement := range knownSchema {
			if p.mysql {
				statement = strings.ReplaceAll(statement, "DEFAULT NEXTVAL(receipts)", "DEFAULT 7")
			}
			if !p.mysql || !strings.Contains(statement, "SEQUENCE") {
				list = append(list, statement)
			}
		}
		for i := range accounts {
			list = append(list, fmt.Sprintf("INSERT INTO accounts VALUES (%d, 'owner %d', %d)", i, i, opening))
		}
		for i := range 200 {
			from, to := i%accounts, (i*7+1)%accounts
			list = append(list, fmt.Sprintf("INSERT INTO moves (debit, credit, amount, note) VALUES (%d, %d, %d, 'past')", from, to, i),
				fmt.Sprintf("UPDATE accounts SET balance = balance - %d WHERE id = %d", i, from),
				fmt.Sprintf("UPDATE accounts SET balance = balance + %d WHERE id = %d", i, to))
		}
	}
	switch kind {
	case enginetest.Odd:
		list = append(list, oddSchema...)
	case enginetest.Large:
		list = append(list, "CREATE TABLE files (id INT PRIMARY KEY, body LONGBLOB, words LONGTEXT)",
			"INSERT INTO files VALUES (1, REPEAT(UNHEX('00FF270A5C'), 800000), REPEAT('Größe\n', 500000)), (2, '', ''), (3, NULL, REPEAT('x', 5000000))")
	}
	for _, statement := range list {
		if _, err := conn.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("%.100s: %w", statement, err)
		}
	}
	return nil
}

func (p *testPlace) Write(ctx context.Context, n int) error {
	for {
		err := p.write(ctx, n)
		// Between two tries the tables may be locked, or be others.
		if code := number(err); code != errDeadlock && code != errLockTimeout {
			return err
		}
	}
}

func (p *testPlace) write(ctx context.Context, n int) error {
	tx, err := p.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	from, to := n%accounts, (n*13+5)%accounts
	for _, statement := range []string{
		fmt.Sprintf("UPDATE %s.accounts SET balance = balance - %d WHERE id = %d", p.name, n%17, from),
		fmt.Sprintf("UPDATE %s.accounts SET balance = balance + %d WHERE id = %d", p.name, n%17, to),
		fmt.Sprintf("INSERT INTO %s.moves (debit, credit, amount, note) VALUES (%d, %d, %d, 'write %d')", p.name, from, to, n%17, n),
	} {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return tx.Commit()
}

func (p *testPlace) Check(ctx context.Context) error {
	var sum int64
	if err := p.db.QueryRowContext(ctx, "SELECT SUM(balance) FROM "+p.name+".accounts").Scan(&sum); err != nil {
		return err
	}
	if sum != accounts*opening {
		return fmt.Errorf("the accounts hold %d instead of %d", sum, accounts*opening)
	}
	var wrong int
	err := p.db.QueryRowContext(ctx, strings.ReplaceAll(fmt.Sprintf(`SELECT COUNT(*) FROM $.accounts a WHERE balance <> %d
		- (SELECT COALESCE(SUM(amount), 0) FROM $.moves WHERE debit = a.id)
		+ (SELECT COALESCE(SUM(amount), 0) FROM $.moves WHERE credit = a.id)`, opening), "$", p.name)).Scan(&wrong)
	if err != nil {
		return err
	}
	if wrong > 0 {
		return fmt.Errorf("%d accounts do not hold what was moved", wrong)
	}
	return nil
}

func (p *testPlace) Dump(ctx context.Context) (string, error) {
	return dumpOf(ctx, p.server, p.db, p.name)
}

// dumpOf is what mariadb-dump says about a database, with the server's checksums of
// all tables, because the dump rounds FLOAT.
func dumpOf(ctx context.Context, server *testserver.MySQLServer, db *sql.DB, name string) (string, error) {
	var found string
	err := db.QueryRowContext(ctx, "SELECT schema_name FROM information_schema.schemata WHERE schema_name = '"+name+"'").Scan(&found)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	var text strings.Builder
	text.Write(server.Dump(name, "--skip-comments", "--routines", "--events", "--triggers", "--order-by-primary", "--hex-blob"))
	rows, err := db.QueryContext(ctx, "SELECT table_name FROM information_schema.tables WHERE table_schema = '"+name+"' AND table_type <> 'VIEW' ORDER BY BINARY table_name")
	if err != nil {
		return "", err
	}
	var tables []string
	for rows.Next() {
		var table string
		if err := rows.Scan(&table); err != nil {
			return "", err
		}
		tables = append(tables, table)
	}
	if err := rows.Err(); err != nil {
		return "", err
	}
	for _, table := range tables {
		var full string
		var sum sql.NullInt64
		if err := db.QueryRowContext(ctx, "CHECKSUM TABLE "+quote(name)+"."+quote(table)+" EXTENDED").Scan(&full, &sum); err != nil {
			return "", err
		}
		fmt.Fprintf(&text, "-- %s %d\n", table, sum.Int64)
	}
	// MySQL notes whether a character set was written down, and writes it down itself.
	same := strings.ReplaceAll(text.String(), " CHARACTER SET utf8mb4 COLLATE ", " COLLATE ")
	return strings.ReplaceAll(same, quote(name), "`this`"), nil
}

// Litter names databases and locks of restores, and connections of the engine's
// user, which the server may take a moment to notice the end of.
func (p *testPlace) Litter(ctx context.Context) ([]string, error) {
	var litter []string
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		litter = nil
		rows, err := p.db.QueryContext(ctx, `SELECT CONCAT('database ', schema_name) FROM information_schema.schemata
			WHERE schema_name LIKE '`+p.name+`\_h_\_%'
			UNION ALL SELECT 'lock' FROM DUAL WHERE IS_USED_LOCK('holdfast:`+p.name+`') IS NOT NULL
			UNION ALL SELECT CONCAT('connection ', id) FROM information_schema.processlist WHERE user = '`+p.name+`'`)
		if err != nil {
			return nil, err
		}
		for rows.Next() {
			var what string
			if err := rows.Scan(&what); err != nil {
				return nil, err
			}
			litter = append(litter, what)
		}
		if err := rows.Err(); err != nil || len(litter) == 0 {
			return nil, err
		}
		if strings.HasPrefix(litter[0], "database") {
			return litter, nil
		}
	}
	return litter, nil
}
