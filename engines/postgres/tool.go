package postgres

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// packaged is where Debian's packages put the programs of each version; what is on
// PATH there chooses one of them in its own ways.
const packaged = "/usr/lib/postgresql"

var toolVersion = regexp.MustCompile(`\) (\d+)`)

// findDump returns a pg_dump that can read a server of that version: one of the
// same or a later major version.
func findDump(ctx context.Context, version int) (string, error) {
	major := version / 10000
	candidates := []string{filepath.Join(packaged, strconv.Itoa(major), "bin", "pg_dump")}
	if path, err := exec.LookPath("pg_dump"); err == nil {
		candidates = append(candidates, path)
	}
	if later, err := filepath.Glob(filepath.Join(packaged, "*", "bin", "pg_dump")); err == nil {
		candidates = append(candidates, later...)
	}
	for _, path := range candidates {
		said, err := exec.CommandContext(ctx, path, "--version").Output()
		if ctx.Err() != nil {
			return "", context.Cause(ctx)
		}
		if m := toolVersion.FindSubmatch(said); err == nil && m != nil {
			if found, err := strconv.Atoi(string(m[1])); err == nil && found >= major {
				return path, nil
			}
		}
	}
	return "", fmt.Errorf("pg_dump %d or later, which reads PostgreSQL %d, is missing: apt-get install postgresql-client-%d", major, major, major)
}

// maxComplaint bounds what is kept of what a program says on its way out.
const maxComplaint = 8 << 10

// dump lets pg_dump write one section of the definitions, as of the snapshot that
// was exported, and lets use read it.
func (out *output) dump(ctx context.Context, section string, exclude []string, use func(io.Reader) error) error {
	args := []string{"--section=" + section, "--snapshot=" + out.snapshot, "--no-password", "--encoding=" + out.encoding,
		"--no-tablespaces", "--no-subscriptions", "--no-blobs", fmt.Sprintf("--lock-wait-timeout=%d", patience.Milliseconds())}
	for _, pattern := range exclude {
		args = append(args, "--exclude-schema="+pattern)
	}
	cmd := exec.CommandContext(ctx, out.tool, append(args, "--dbname="+out.conninfo(out.from()))...)
	// Nothing of this process's environment: PGOPTIONS and the like belong to others.
	cmd.Env = []string{"LC_ALL=C", "PATH=" + os.Getenv("PATH"), "PGPASSFILE=/proc/self/fd/3", "PGSERVICEFILE=" + os.DevNull}
	password, err := passFile(out.config.Password)
	if err != nil {
		return fmt.Errorf("pg_dump: hand over the password: %w", err)
	}
	defer password.Close()
	cmd.ExtraFiles = []*os.File{password}
	var complaint bytes.Buffer
	cmd.Stderr = &limited{to: &complaint, left: maxComplaint}
	text, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("pg_dump: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", out.tool, err)
	}
	useErr := use(text)
	if useErr != nil {
		_ = text.Close() // so that pg_dump does not wait for a reader
	}
	err = cmd.Wait()
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil && useErr == nil:
		return fmt.Errorf("database %s: pg_dump: %w: %s", out.from(), err, strings.TrimSpace(complaint.String()))
	}
	return useErr
}

// conninfo tells libpq how to connect; it says nothing that is secret.
func (p place) conninfo(database string) string {
	var words []string
	for _, pair := range [][2]string{{"host", p.host}, {"port", strconv.Itoa(p.port)}, {"user", p.user}, {"dbname", database},
		{"application_name", p.config.RuntimeParams["application_name"]}, {"sslmode", p.tls["sslmode"]}, {"sslrootcert", p.tls["sslrootcert"]}} {
		if pair[1] != "" {
			words = append(words, pair[0]+"='"+strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(pair[1])+"'")
		}
	}
	return strings.Join(words, " ")
}

// passFile returns a password file that is in memory only, and that no other user
// can open.
func passFile(password string) (*os.File, error) {
	fd, err := unix.MemfdCreate("pgpass", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(fd), "pgpass")
	err = file.Chmod(0o600) // else libpq does not read it
	if err == nil && password != "" {
		_, err = fmt.Fprintf(file, "*:*:*:*:%s\n", strings.NewReplacer(`\`, `\\`, `:`, `\:`).Replace(password))
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

// limited keeps the first bytes that are written to it.
type limited struct {
	to   io.Writer
	left int
}

// Write implements io.Writer.
func (l *limited) Write(p []byte) (int, error) {
	n := min(len(p), l.left)
	l.left -= n
	if _, err := l.to.Write(p[:n]); err != nil {
		return 0, err
	}
	return len(p), nil
}
