package main

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"

	"holdfast/bench/corpus"
)

type postgres struct {
	programs string // the directory of a version's programs
}

// postgresOptions are what differs from the server's defaults.
var postgresOptions = []string{"listen_addresses=", "shared_buffers=512MB", "max_wal_size=2GB"}

// findPostgres finds the programs of the latest version where Debian puts them.
func findPostgres() (postgres, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if err != nil || len(found) == 0 {
		return postgres{}, fmt.Errorf("PostgreSQL is not installed (apt-get install postgresql)")
	}
	return postgres{filepath.Dir(found[len(found)-1])}, nil
}

func (postgres) name() string            { return "PostgreSQL" }
func (postgres) dialect() corpus.Dialect { return corpus.Postgres }
func (postgres) account() string         { return "postgres" }

func (p postgres) program(name string) string { return filepath.Join(p.programs, name) }

func (p postgres) install(dir string) *exec.Cmd {
	return exec.Command(p.program("initdb"), "--pgdata="+filepath.Join(dir, "data"), "--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8")
}

func (p postgres) start(dir string) *exec.Cmd {
	args := []string{"-D", filepath.Join(dir, "data"), "-k", dir}
	for _, option := range postgresOptions {
		args = append(args, "-c", option)
	}
	return exec.Command(p.program("postgres"), args...)
}

func (p postgres) client(dir string) []string {
	return []string{p.program("psql"), "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1", "--host=" + dir, "--username=postgres"}
}

func (p postgres) dump(dir, database string) string {
	return p.program("pg_dump") + " --host=" + dir + " --username=postgres " + database
}

func (postgres) address(dir, database string) string {
	return "postgres://postgres@/" + database + "?host=" + dir
}

func (postgres) create(database string) string {
	return "CREATE DATABASE " + database + " TEMPLATE template0"
}

func (postgres) checksum(tables []string) string {
	var script strings.Builder
	for _, table := range tables {
		fmt.Fprintf(&script, "SELECT '%s', count(*), sum(hashtextextended(t::text, 0)::numeric) FROM %s t;\n", table, table)
	}
	return script.String()
}

func (postgres) rest(ctx context.Context, s *server) error {
	databases, err := s.query(ctx, "SELECT datname FROM pg_database WHERE datallowconn AND NOT datistemplate AND datname <> 'postgres'")
	if err != nil {
		return err
	}
	for _, database := range strings.Fields(databases) {
		if _, err := s.queryIn(ctx, database, "VACUUM (ANALYZE);"); err != nil {
			return err
		}
	}
	_, err = s.query(ctx, "CHECKPOINT")
	return err
}
