package main

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	_ "modernc.org/sqlite"
)

// site is a configured pair of environments, master and staging, on which tests
// run the real program.
type site struct {
	t   *testing.T
	dir string
	env []string
}

const siteConfig = `project: shop
repository: repo
environments:
  master:
    services: {settings: "sqlite:master/settings.db"}
    mounts: {uploads: master/uploads}
  staging:
    services: {settings: "sqlite:staging/settings.db"}
    mounts: {uploads: staging/uploads}
`

func newSite(t *testing.T, config string) *site {
	t.Helper()
	s := &site{t: t, dir: t.TempDir()}
	s.env = append(os.Environ(), "HOLDFAST_PASSWORD="+sitePassword, "XDG_CACHE_HOME="+s.path("cache"), "TZ=UTC")
	s.write("holdfast.yaml", []byte(config))
	for _, e := range []string{"master", "staging"} {
		s.must(os.MkdirAll(s.path(e, "uploads"), 0o755))
	}
	return s
}

func (s *site) path(elements ...string) string {
	return filepath.Join(append([]string{s.dir}, elements...)...)
}

func (s *site) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) write(name string, data []byte) {
	s.t.Helper()
	s.must(os.MkdirAll(filepath.Dir(s.path(name)), 0o755))
	s.must(os.WriteFile(s.path(name), data, 0o644))
}

// rows makes an environment's database, in WAL mode, hold n rows of one generation.
func (s *site) rows(environment, generation string, n int) {
	s.t.Helper()
	s.must(executeSQL(s.path(environment, "settings.db"), "PRAGMA journal_mode=WAL",
		"CREATE TABLE IF NOT EXISTS t (i INTEGER PRIMARY KEY, v TEXT)", "DELETE FROM t",
		fmt.Sprintf("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<%d) INSERT INTO t SELECT i, '%s'||i||hex(zeroblob(100)) FROM n", n, generation)))
}

// files makes an environment's uploads n files of one generation.
func (s *site) files(environment, generation string, n int) {
	s.t.Helper()
	s.must(os.RemoveAll(s.path(environment, "uploads")))
	for i := range n {
		s.write(fmt.Sprintf("%s/uploads/%02d/%s-%d", environment, i%10, generation, i), bytes.Repeat([]byte(fmt.Sprint(generation, i)), 500))
	}
	s.write(environment+"/uploads/common", []byte(generation))
}

// state is all data of an environment, to be compared.
func (s *site) state(environment string) string {
	s.t.Helper()
	var b strings.Builder
	db, err := sql.Open("sqlite", s.path(environment, "settings.db"))
	s.must(err)
	defer db.Close()
	var n int
	var v string
	if err := db.QueryRow("SELECT count(*), coalesce(max(v),'') || coalesce(min(v),'') || sum(i) FROM t").Scan(&n, &v); err != nil {
		v = err.Error()
	}
	var tables string
	s.must(db.QueryRow("SELECT group_concat(name) FROM sqlite_schema").Scan(&tables))
	fmt.Fprintln(&b, n, v, tables)
	root := s.path(environment, "uploads")
	s.must(filepath.WalkDir(root, func(at string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if d.Name() == ".holdfast" {
				return filepath.SkipDir
			}
			return nil
		}
		data, err := os.ReadFile(at)
		fmt.Fprintln(&b, strings.TrimPrefix(at, root), len(data), string(data[:min(20, len(data))]))
		return err
	}))
	return b.String()
}

// leftovers lists what is beside the data and should not be.
func (s *site) leftovers() (found []string) {
	s.t.Helper()
	for _, top := range []string{"master", "staging", ".holdfast"} {
		err := filepath.WalkDir(s.path(top), func(at string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			for _, word := range []string{"staged", "retired", "created", "restore.json", ".tmp-"} {
				if strings.Contains(d.Name(), word) {
					found = append(found, at)
				}
			}
			return nil
		})
		if !errors.Is(err, fs.ErrNotExist) {
			s.must(err)
		}
	}
	return found
}

func (s *site) command(args ...string) *exec.Cmd {
	cmd := exec.Command("holdfast", args...)
	cmd.Dir, cmd.Env = s.dir, s.env
	return cmd
}

// run runs the program to its end.
func (s *site) run(args ...string) (stdout, stderr string, code int) {
	s.t.Helper()
	cmd := s.command(args...)
	var out, errors bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errors
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		s.t.Fatal(err)
	}
	return out.String(), errors.String(), cmd.ProcessState.ExitCode()
}

// ok runs the program, which must succeed, and returns its stdout.
func (s *site) ok(args ...string) string {
	s.t.Helper()
	stdout, stderr, code := s.run(args...)
	if code != 0 {
		s.t.Fatalf("holdfast %s: exit code %d\n%s%s", strings.Join(args, " "), code, stdout, stderr)
	}
	return stdout
}

// repository makes the site's repository, of a password that is cheap to try.
func (s *site) repository() {
	s.t.Helper()
	s.must(makeRepository(s.path("repo")))
}

// create takes a snapshot of master and returns its name.
func (s *site) create() string {
	s.t.Helper()
	return twentyDigits.FindString(s.ok("-e", "master", "snapshot", "create"))
}
