package testserver

import (
	"os"
	"path/filepath"
	"testing"
)

// mysql8 is the version that internal/testserver/install fetches.
const mysql8 = "mysql-8.0.12"

// MySQL starts MySQL for the time of the test, with its binary log. options are
// added to its command line.
func MySQL(tb testing.TB, options ...string) *MySQLServer {
	tb.Helper()
	program := os.Getenv(mysqlVariable)
	if program == "" {
		program = filepath.Join(fetched(tb), mysql8, "bin", "mysqld")
	}
	if _, err := os.Stat(program); err != nil {
		tb.Fatalf("%s is missing; install it: internal/testserver/install", program)
	}
	base := filepath.Dir(filepath.Dir(program))
	messages := filepath.Join(base, "share", "mysql") // as Debian's packages lay it out
	if _, err := os.Stat(messages); err != nil {
		messages = filepath.Join(base, "share")
	}
	layout := []string{"--basedir=" + base, "--lc-messages-dir=" + messages,
		"--innodb-data-file-path=ibdata1:5M:autoextend", "--innodb-autoextend-increment=1",
		// The later replaced the earlier in 8.0.30.
		"--loose-innodb-log-file-size=32M", "--loose-innodb-redo-log-capacity=64M"}
	return startMySQL(tb, product{
		program: program,
		options: []string{"--mysqlx=OFF", "--server-id=1", "--sync-binlog=0", "--innodb-doublewrite=0", "--secure-file-priv=NULL"},
		layout:  layout,
		initialise: func(tb testing.TB, p *process, data string) {
			tb.Helper()
			// Its own root may only connect over the socket.
			const users = "CREATE USER root@'%' IDENTIFIED BY '';\nGRANT ALL ON *.* TO root@'%' WITH GRANT OPTION;\n"
			script := filepath.Join(p.dir, "users.sql")
			if err := os.WriteFile(script, []byte(users), 0o644); err != nil {
				tb.Fatal(err)
			}
			args := append([]string{"--no-defaults", "--initialize-insecure", "--datadir=" + data, "--init-file=" + script}, layout...)
			if out, err := p.command(program, args...).CombinedOutput(); err != nil {
				tb.Fatalf("mysqld --initialize-insecure: %v\n%s", err, tail(out, 8<<10))
			}
		},
	}, options)
}
