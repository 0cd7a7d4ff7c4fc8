package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"holdfast/bench/corpus"
)

// product is what differs between the servers that are measured.
type product interface {
	// name is the product's, and dialect that of the statements it is given.
	name() string
	dialect() corpus.Dialect
	// account is whom a server runs as when its starter is root.
	account() string
	// install makes a new server's files beneath dir, and start is what runs it.
	install(dir string) *exec.Cmd
	start(dir string) *exec.Cmd
	// client is the command line of the product's own client, to which a database's
	// name may be added. It prints values alone, with tabs between.
	client(dir string) []string
	// dump is the command line of the product's own dump of a database.
	dump(dir, database string) string
	// address is how Holdfast is told of a database.
	address(dir, database string) string
	// create is the statement that creates a database.
	create(database string) string
	// checksum is a script for the client that gives one for all rows of each table.
	checksum(tables []string) string
	// rest waits until the server has nothing left to do.
	rest(ctx context.Context, s *server) error
}

// server is a private server to be saved, with the settings of a small site: its own
// user may do everything over the socket, and nobody else is there.
type server struct {
	product
	dir     string
	process *exec.Cmd
}

// startServer starts a server beneath dir, where there may be one from before. The
// caller stops it.
func startServer(ctx context.Context, p product, dir string) (*server, error) {
	s := &server{product: p, dir: dir}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	as, err := s.credential()
	if err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	install := p.install(dir)
	s.process = p.start(dir)
	for _, cmd := range []*exec.Cmd{install, s.process} {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: as}
		cmd.Dir = dir
		cmd.Stdout, cmd.Stderr = log, log
	}
	if _, err := os.Stat(filepath.Join(dir, "data")); errors.Is(err, fs.ErrNotExist) {
		if err := install.Run(); err != nil {
			return nil, fmt.Errorf("%s: %w\n%s", install.Path, err, s.said())
		}
	}
	if err := s.process.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", p.name(), err)
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		_, err := s.query(ctx, "SELECT 1")
		if err == nil {
			return s, nil
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			return nil, errors.Join(fmt.Errorf("%s does not start: %w\n%s", p.name(), err, s.said()), s.stop())
		}
	}
}

// said is the end of what the server has said.
func (s *server) said() string {
	text, err := os.ReadFile(filepath.Join(s.dir, "log"))
	if err != nil {
		return err.Error()
	}
	return tail(text)
}

// credential gives the directory to whom the server shall run as: it refuses to be root.
func (s *server) credential() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	account, err := user.Lookup(s.account())
	if err != nil {
		return nil, fmt.Errorf("to run %s: %w", s.name(), err)
	}
	uid, errU := strconv.Atoi(account.Uid)
	gid, errG := strconv.Atoi(account.Gid)
	if err := errors.Join(errU, errG, os.Chown(s.dir, uid, gid)); err != nil {
		return nil, err
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, os.Chmod(filepath.Dir(s.dir), 0o755)
}

// stop ends the server at once: its data are removed anyway.
func (s *server) stop() error {
	if err := s.process.Process.Kill(); err != nil {
		return err
	}
	_ = s.process.Wait() // it was killed
	return nil
}

// load feeds a script that write writes to the client.
func (s *server) load(ctx context.Context, database string, write func(io.Writer) error) error {
	client := append(s.client(s.dir), database)
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
func (s *server) query(ctx context.Context, statements string) (string, error) {
	return s.queryIn(ctx, "", statements)
}

func (s *server) queryIn(ctx context.Context, database, statements string) (string, error) {
	client := s.client(s.dir)
	if database != "" {
		client = append(client, database)
	}
	cmd := exec.CommandContext(ctx, client[0], client[1:]...)
	cmd.Stdin = strings.NewReader(statements)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%.60s: %w\n%s", statements, err, tail(said.Bytes()))
	}
	return string(out), nil
}

// sums are the checksums of all tables of a database.
func (s *server) sums(ctx context.Context, database string) (string, error) {
	text, err := s.queryIn(ctx, database, s.checksum(corpus.DatabaseTables()))
	return strings.ReplaceAll(text, database+".", ""), err
}
