package testserver

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// mysql8 is the version that internal/testserver/install fetches.
const mysql8 = "mysql-8.0.12"

// MySQL starts MySQL 8 for the time of the test, with its binary log. options are
// added to its command line.
func MySQL(tb testing.TB, options ...string) *MySQLServer {
	tb.Helper()
	base := filepath.Join(fetched(tb), mysql8)
	program := filepath.Join(base, "bin", "mysqld")
	if _, err := os.Stat(program); err != nil {
		tb.Fatalf("%s is missing; install it: internal/testserver/install", program)
	}
	both := []string{"--basedir=" + base, "--lc-messages-dir=" + filepath.Join(base, "share"),
		"--innodb-data-file-path=ibdata1:5M:autoextend", "--innodb-log-file-size=32M", "--innodb-autoextend-increment=1"}
	return startMySQL(tb, product{
		program: program,
		options: append([]string{"--mysqlx=OFF", "--server-id=1", "--sync-binlog=0", "--innodb-doublewrite=0"}, both...),
		name:    mysql8 + strings.Join(both, ""),
		initialise: func(tb testing.TB, p *process, data string) {
			tb.Helper()
			// Its own root may only connect over the socket.
			const users = "CREATE USER root@'%' IDENTIFIED BY '';\nGRANT ALL ON *.* TO root@'%' WITH GRANT OPTION;\n"
			script := filepath.Join(p.dir, "users.sql")
			if err := os.WriteFile(script, []byte(users), 0o644); err != nil {
				tb.Fatal(err)
			}
			args := append([]string{"--no-defaults", "--initialize-insecure", "--datadir=" + data, "--init-file=" + script}, both...)
			if out, err := p.command(program, args...).CombinedOutput(); err != nil {
				tb.Fatalf("mysqld --initialize-insecure: %v\n%s", err, tail(out, 8<<10))
			}
		},
	}, options)
}
