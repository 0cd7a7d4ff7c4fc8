package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// mariadb is a private server to be saved, with the settings of a small site: its
// own user may do everything over the socket, and nobody else is there.
type mariadb struct {
	socket string
	dir    string
	server *exec.Cmd
}

// mariadbOptions are what differs from the server's defaults.
var mariadbOptions = []string{"--innodb-buffer-pool-size=512M", "--innodb-log-file-size=256M", "--skip-networking",
	"--character-set-server=utf8mb4", "--max-allowed-packet=64M", "--log-bin=binlog", "--expire-logs-days=1"}

// startMariaDB starts a server beneath dir, which the caller stops.
func startMariaDB(ctx context.Context, dir string) (*mariadb, error) {
	m := &mariadb{dir: dir, socket: filepath.Join(dir, "socket")}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	as, err := m.account()
	if err != nil {
		return nil, err
	}
	data := "--datadir=" + filepath.Join(dir, "data")
	install := exec.CommandContext(ctx, "mariadb-install-db", "--no-defaults", data, "--auth-root-authentication-method=normal", "--skip-test-db")
	install.SysProcAttr = &syscall.SysProcAttr{Credential: as}
	install.Dir = dir
	if said, err := install.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("mariadb-install-db: %w\n%s", err, tail(said))
	}
	program, err := exec.LookPath("mariadbd")
	if err != nil {
		program = "/usr/sbin/mariadbd"
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	m.server = exec.Command(program, append([]string{"--no-defaults", data, "--socket=" + m.socket}, mariadbOptions...)...)
	m.server.Dir = dir
	m.server.Stdout, m.server.Stderr = log, log
	m.server.SysProcAttr = &syscall.SysProcAttr{Credential: as}
	if err := m.server.Start(); err != nil {
		return nil, fmt.Errorf("start MariaDB: %w", err)
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		_, err := m.query(ctx, "SELECT 1")
		if err == nil {
			return m, nil
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			said, _ := os.ReadFile(log.Name())
			return nil, errors.Join(fmt.Errorf("MariaDB does not start: %w\n%s", err, tail(said)), m.stop())
		}
	}
}

// account gives the directory to whom the server shall run as: it refuses to be root.
func (m *mariadb) account() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	account, err := user.Lookup("mysql")
	if err != nil {
		return nil, fmt.Errorf("to run MariaDB: %w", err)
	}
	uid, errU := strconv.Atoi(account.Uid)
	gid, errG := strconv.Atoi(account.Gid)
	if err := errors.Join(errU, errG, os.Chown(m.dir, uid, gid)); err != nil {
		return nil, err
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, os.Chmod(filepath.Dir(m.dir), 0o755)
}

// stop ends the server at once: its data are removed anyway.
func (m *mariadb) stop() error {
	if err := m.server.Process.Kill(); err != nil {
		return err
	}
	_ = m.server.Wait() // it was killed
	return nil
}

// client is the command line of the server's own client.
func (m *mariadb) client() []string {
	return []string{"mariadb", "--no-defaults", "--user=root", "--socket=" + m.socket, "--batch", "--skip-column-names"}
}

// load feeds a script that write writes to the client.
func (m *mariadb) load(ctx context.Context, database string, write func(io.Writer) error) error {
	client := append(m.client(), database)
	cmd := exec.CommandContext(ctx, client[0], client[1:]...)
	var said bytes.Buffer
	cmd.Stderr = &said
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	err = errors.Join(write(in), in.Close())
	if ended := cmd.Wait(); ended != nil {
		return fmt.Errorf("%s: %w\n%s", client[0], ended, tail(said.Bytes()))
	}
	return err
}

// query returns what the client prints.
func (m *mariadb) query(ctx context.Context, statement string) (string, error) {
	client := m.client()
	cmd := exec.CommandContext(ctx, client[0], client[1:]...)
	cmd.Stdin = strings.NewReader(statement)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%.60s: %w\n%s", statement, err, tail(said.Bytes()))
	}
	return string(out), nil
}

// checksum is that of all tables of a database, in order of their names.
func (m *mariadb) checksum(ctx context.Context, database string) (string, error) {
	names, err := m.query(ctx, "SELECT table_name FROM information_schema.tables WHERE table_schema = '"+database+"' AND table_type = 'BASE TABLE' ORDER BY 1")
	if err != nil || names == "" {
		return names, err
	}
	tables := strings.Fields(names)
	sums, err := m.query(ctx, "USE "+database+"; CHECKSUM TABLE "+strings.Join(tables, ", ")+";")
	return strings.ReplaceAll(sums, database+".", ""), err
}

// rest waits until the server has nothing left to write back or to purge.
func (m *mariadb) rest(ctx context.Context) error {
	const busy = `SELECT VARIABLE_VALUE FROM information_schema.global_status
		WHERE VARIABLE_NAME IN ('INNODB_BUFFER_POOL_PAGES_DIRTY', 'INNODB_HISTORY_LIST_LENGTH') AND VARIABLE_VALUE > 20`
	if _, err := m.query(ctx, "SET GLOBAL innodb_max_dirty_pages_pct = 0, innodb_max_dirty_pages_pct_lwm = 0"); err != nil {
		return err
	}
	for range 600 {
		left, err := m.query(ctx, busy)
		if err != nil || left == "" {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	_, err := m.query(ctx, "SET GLOBAL innodb_max_dirty_pages_pct = 90")
	return err
}
