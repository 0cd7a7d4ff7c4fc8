package testserver

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// sizes are what the template and the servers must have in common, and as
// small as they can be.
var sizes = []string{
	"--innodb-data-file-path=ibdata1:1M:autoextend", "--innodb-autoextend-increment=1",
	"--innodb-log-file-size=8M", "--aria-log-file-size=8M",
}

// MariaDB starts MariaDB for the time of the test. options are added to its
// command line: Binlog, "--event-scheduler=on".
func MariaDB(tb testing.TB, options ...string) *MySQLServer {
	tb.Helper()
	program := mariadbTool(tb, "mariadbd")
	layout := append(mariadbBase(), sizes...)
	return startMySQL(tb, product{
		program: program,
		options: []string{"--aria-pagecache-buffer-size=1M", "--performance-schema=off", "--skip-sync-frm"},
		layout:  layout,
		initialise: func(tb testing.TB, p *process, data string) {
			tb.Helper()
			args := append([]string{"--no-defaults", "--datadir=" + data,
				"--auth-root-authentication-method=normal", "--skip-test-db"}, layout...)
			install := p.command(mariadbTool(tb, "mariadb-install-db"), args...)
			if out, err := install.CombinedOutput(); err != nil {
				tb.Fatalf("mariadb-install-db: %v\n%s", err, tail(out, 8<<10))
			}
		},
	}, options)
}

// mariadbBase tells another server than the installed one where its own files are.
func mariadbBase() []string {
	server := os.Getenv(mariadbVariable)
	if server == "" {
		return nil
	}
	return []string{"--basedir=" + filepath.Dir(filepath.Dir(server))}
}

// mariadbTool returns the path of one of MariaDB's programs.
func mariadbTool(tb testing.TB, name string) string {
	tb.Helper()
	if server := os.Getenv(mariadbVariable); server != "" {
		path := beside(server, name)
		if path == "" {
			tb.Fatalf("%s is not beside %s, which %s names", name, server, mariadbVariable)
		}
		return path
	}
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	path := filepath.Join("/usr/sbin", name)
	if _, err := os.Stat(path); err != nil {
		tb.Fatalf("%s is missing; install it: apt-get install mariadb-server", name)
	}
	return path
}
