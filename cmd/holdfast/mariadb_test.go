package main

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"holdfast/internal/snapshot"
	"holdfast/internal/testserver"
	"holdfast/repo"
)

const password = "s3cret/@%"

// newMariaDBSite is a site whose environments keep a database on one server,
// each with a user who has that schema and no more.
func newMariaDBSite(t *testing.T) (*site, *testserver.MySQLServer) {
	t.Helper()
	server := testserver.MariaDB(t)
	config := "project: shop\nrepository: repo\nenvironments:\n"
	for _, e := range []string{"master", "staging"} {
		server.Exec("CREATE DATABASE shop_"+e,
			fmt.Sprintf("CREATE USER %s@'%%' IDENTIFIED BY '%s'", e, password),
			fmt.Sprintf("GRANT ALL ON *.* TO %s@'%%'", e))
		config += fmt.Sprintf("  %s:\n    services: {database: \"mysql://%s:${DB_PASSWORD}@127.0.0.1:%d/shop_%s\"}\n    mounts: {uploads: %s/uploads}\n",
			e, e, server.Port, e, e)
	}
	s := newSite(t, config)
	s.env = append(s.env, "DB_PASSWORD="+password)
	server.Exec("CREATE TABLE shop_master.goods (id INT PRIMARY KEY, name VARCHAR(50), price DECIMAL(8,2)) ENGINE=InnoDB",
		"INSERT INTO shop_master.goods SELECT seq, concat('thing ', seq), seq / 3 FROM shop_master.seq_1_to_5000",
		"CREATE VIEW shop_master.cheap AS SELECT * FROM shop_master.goods WHERE price < 10",
		"CREATE TABLE shop_staging.old (id INT PRIMARY KEY)", "INSERT INTO shop_staging.old VALUES (7)")
	s.files("master", "one", 5)
	s.files("staging", "old", 5)
	return s, server
}

func TestMariaDBSite(t *testing.T) {
	t.Parallel()
	s, server := newMariaDBSite(t)
	s.repository()
	day1 := s.create()
	server.Exec("UPDATE shop_master.goods SET price = price + 1 WHERE id % 100 = 0")
	s.create()
	if stored := s.ok("-e", "master", "snapshot", "diff", day1, "latest"); !strings.Contains(stored, "goods") {
		t.Errorf("diff names no table:\n%s", stored)
	}

	// The plain dump loads with the client alone, anywhere.
	server.Exec("CREATE DATABASE elsewhere")
	client := exec.Command("mariadb", "--protocol=tcp", "--host=127.0.0.1", fmt.Sprintf("--port=%d", server.Port), "--user=master", "elsewhere")
	client.Env = append(s.env, "MYSQL_PWD="+password)
	client.Stdin = strings.NewReader(s.ok("snapshot", "cat", day1, "database.sql"))
	if out, err := client.CombinedOutput(); err != nil {
		t.Fatalf("load database.sql: %v\n%s", err, out)
	}
	query := func(q string) string { return string(server.Client("shop_master", strings.NewReader(q))) }
	sum := func(schema string) string {
		return query("SELECT concat(count(*), ' ', sum(price)) AS s FROM " + schema + ".goods")
	}
	want := sum("elsewhere")
	if today := sum("shop_master"); want == today || !strings.Contains(want, "5000 ") {
		t.Errorf("the first day's dump has %q, today has %q", want, today)
	}

	// Into staging, and back by the line that undoes it.
	out := s.ok("-e", "master", "snapshot", "restore", day1, "--target", "staging", "--yes")
	if got := sum("shop_staging"); got != want {
		t.Errorf("restored %s, want %s", got, want)
	}
	if got := query("SELECT count(*) > 0 FROM shop_staging.cheap"); !strings.Contains(got, "1") {
		t.Errorf("the view is not there: %s", got)
	}
	_, undo, found := strings.Cut(out, "To undo: holdfast ")
	if !found {
		t.Fatalf("no line undoes it:\n%s", out)
	}
	s.ok(append(strings.Fields(undo), "--yes")...)
	if got := query("SELECT id FROM shop_staging.old"); !strings.Contains(got, "7") {
		t.Errorf("after undoing: %s", got)
	}
	if left := query("SHOW DATABASES"); strings.Contains(left, day1[:10]) || strings.Count(left, "shop_") != 2 {
		t.Errorf("left behind: %s", left)
	}
	s.ok("repo", "check", "--read-data")
}

func TestAPlanSaysWhichRowsAreLost(t *testing.T) {
	t.Parallel()
	s, server := newMariaDBSite(t)
	s.repository()
	config, err := os.ReadFile(s.path("holdfast.yaml"))
	s.must(err)
	s.write("holdfast.yaml", regexp.MustCompile(`\{database: ("[^"]*")\}`).ReplaceAll(config, []byte(`{database: {url: $1, schema_only: ["cache_*", sessions]}}`)))
	server.Exec("CREATE TABLE shop_master.cache_page (id INT)", "CREATE TABLE shop_staging.sessions (id INT)", "CREATE TABLE shop_staging.cache_old (id INT)")
	day := s.create()
	const emptied = "    empty from now on, because the snapshot holds none of their rows (schema_only): cache_page\n"
	const unsaved = "    the current rows of cache_old, sessions are not saved (schema_only): undoing brings these tables back empty\n"
	restore := []string{"-e", "master", "snapshot", "restore", day, "--target", "staging", "--only", "database"}
	if out := s.ok(append(restore, "--dry-run")...); !strings.Contains(out, emptied) || !strings.Contains(out, unsaved) {
		t.Errorf("the dry run says:\n%s", out)
	}
	if _, asked, code := s.run(restore...); code != int(exitUsage) || !strings.Contains(asked, emptied) || !strings.Contains(asked, unsaved) {
		t.Errorf("before the question (exit code %d):\n%s", code, asked)
	}
	if out := s.ok(append(restore, "--dry-run", "--no-safety-snapshot")...); !strings.Contains(out, emptied) || strings.Contains(out, "not saved") {
		t.Errorf("without a safety snapshot:\n%s", out)
	}
	if out := s.ok(append(restore, "--dry-run", "--json")...); !strings.Contains(strings.Join(strings.Fields(out), ""), `"emptied":["cache_page"],"unsaved":["cache_old","sessions"]`) {
		t.Errorf("as JSON:\n%s", out)
	}
}

// Backups have a user of their own, who cannot finish a restore that was killed. Where that
// left the data whole they are taken all the same, and nothing is restored.
func TestABackupBesideAKilledRestoreSaysWhoCanFinishIt(t *testing.T) {
	t.Parallel()
	s, server := newMariaDBSite(t)
	s.repository()
	server.Exec("CREATE USER backup IDENTIFIED BY '"+password+"'", "GRANT SELECT, SHOW VIEW, TRIGGER, EVENT, EXECUTE ON shop_master.* TO backup")
	config, err := os.ReadFile(s.path("holdfast.yaml"))
	s.must(err)
	s.write("backup.yaml", []byte(strings.Replace(string(config), "mysql://master:", "mysql://backup:", 1)))
	backup := []string{"--config", "backup.yaml", "-e", "master", "snapshot", "create"}
	name := twentyDigits.FindString(s.ok(backup...))

	place := snapshot.PlaceOf(s.dir, "shop", "master")
	of, err := repo.ParseName(name)
	s.must(err)
	killed := &snapshot.Journal{State: snapshot.Staging, Token: "0123456789abcdef0123", Snapshot: of, Project: "shop", Environment: "master",
		Parts: []string{"database"}, Config: s.path("holdfast.yaml")}
	s.must(place.Store(killed))
	server.Exec("CREATE DATABASE shop_master_hf_0123456789")
	const hint = "hint: the restore was begun with another configuration, whose users may do more: holdfast "
	stdout, stderr, code := s.run(append(backup, "--quiet")...)
	_, line, hinted := strings.Cut(stderr, hint)
	if code != 0 || !twentyDigits.MatchString(stdout) || !hinted || !strings.Contains(stderr, "lacks a privilege") || !strings.Contains(stderr, "the data of master is whole, and saved all the same") {
		t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
	}
	if _, stderr, code := s.run("--config", "backup.yaml", "-e", "master", "snapshot", "restore", name, "--yes"); code != int(exitFailed) || !strings.Contains(stderr, hint) {
		t.Errorf("a restore beside another one: exit code %d\n%s", code, stderr)
	}
	killed.State = snapshot.Swapping
	s.must(place.Store(killed))
	if _, stderr, code := s.run(backup...); code != int(exitFailed) || !strings.Contains(stderr, hint) {
		t.Errorf("a snapshot of what may be half restored: exit code %d\n%s", code, stderr)
	}
	line, _, _ = strings.Cut(line, "\n")
	s.ok(strings.Fields(strings.ReplaceAll(line, "'", ""))...)
	s.ok(backup...)
}

func TestMariaDBTroubleIsSaidWithoutThePassword(t *testing.T) {
	t.Parallel()
	s, server := newMariaDBSite(t)
	s.repository()
	config, err := os.ReadFile(s.path("holdfast.yaml"))
	s.must(err)
	for name, c := range map[string]struct{ from, to, want string }{
		"wrong password":   {"${DB_PASSWORD}", "wrong", "wrong"},
		"unknown database": {"shop_master", "nowhere", "nowhere"},
		"nobody listens":   {fmt.Sprint(server.Port), "1", "127.0.0.1:1"},
	} {
		s.write("other.yaml", []byte(strings.Replace(string(config), c.from, c.to, 1)))
		stdout, stderr, code := s.run("--config", "other.yaml", "-e", "master", "snapshot", "create")
		if code != 1 || stdout != "" || !strings.Contains(stderr, "database: ") {
			t.Errorf("%s: exit code %d\n%s%s", name, code, stdout, stderr)
		}
		if strings.Contains(stderr, password) || strings.Contains(stderr, ":wrong@") {
			t.Errorf("%s: the error shows the password:\n%s", name, stderr)
		}
	}
	stdout, _, _ := s.run("-e", "master", "snapshot", "list")
	if stdout != "" {
		t.Errorf("something was published:\n%s", stdout)
	}
}
