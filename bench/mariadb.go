package main

import (
	"context"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"holdfast/bench/corpus"
)

type mariadb struct{}

// mariadbOptions are what differs from the server's defaults.
var mariadbOptions = []string{"--innodb-buffer-pool-size=512M", "--innodb-log-file-size=256M", "--skip-networking",
	"--character-set-server=utf8mb4", "--max-allowed-packet=64M", "--log-bin=binlog", "--expire-logs-days=1"}

func (mariadb) name() string            { return "MariaDB" }
func (mariadb) dialect() corpus.Dialect { return corpus.MySQL }
func (mariadb) account() string         { return "mysql" }

func (mariadb) socket(dir string) string { return filepath.Join(dir, "socket") }

func (mariadb) install(dir string) *exec.Cmd {
	return exec.Command("mariadb-install-db", "--no-defaults", "--datadir="+filepath.Join(dir, "data"), "--auth-root-authentication-method=normal", "--skip-test-db")
}

func (m mariadb) start(dir string) *exec.Cmd {
	program, err := exec.LookPath("mariadbd")
	if err != nil {
		program = "/usr/sbin/mariadbd"
	}
	return exec.Command(program, append([]string{"--no-defaults", "--datadir=" + filepath.Join(dir, "data"), "--socket=" + m.socket(dir)}, mariadbOptions...)...)
}

func (m mariadb) client(dir string) []string {
	return []string{"mariadb", "--no-defaults", "--user=root", "--socket=" + m.socket(dir), "--batch", "--skip-column-names"}
}

func (m mariadb) dump(dir, database string) string {
	return "mariadb-dump --no-defaults --user=root --socket=" + m.socket(dir) + " --single-transaction --quick --routines --events --triggers " + database
}

func (m mariadb) address(dir, database string) string {
	return "mysql://root@localhost/" + database + "?socket=" + m.socket(dir)
}

func (mariadb) create(database string) string {
	return "CREATE DATABASE " + database + " CHARACTER SET utf8mb4"
}

func (mariadb) checksum(tables []string) string {
	return "CHECKSUM TABLE " + strings.Join(tables, ", ") + ";"
}

func (mariadb) rest(ctx context.Context, s *server) error {
	const busy = `SELECT VARIABLE_VALUE FROM information_schema.global_status
		WHERE VARIABLE_NAME IN ('INNODB_BUFFER_POOL_PAGES_DIRTY', 'INNODB_HISTORY_LIST_LENGTH') AND VARIABLE_VALUE > 20`
	if _, err := s.query(ctx, "SET GLOBAL innodb_max_dirty_pages_pct = 0, innodb_max_dirty_pages_pct_lwm = 0"); err != nil {
		return err
	}
	for range 600 {
		left, err := s.query(ctx, busy)
		if err != nil || left == "" {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	_, err := s.query(ctx, "SET GLOBAL innodb_max_dirty_pages_pct = 90")
	return err
}
