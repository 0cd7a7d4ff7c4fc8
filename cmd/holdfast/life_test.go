package main

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/rogpeppe/go-internal/txtar"
)

// TestLife runs the scripts of testdata/life: the command line at work on real
// databases and directories. Each finds the site of testdata/site.txtar.
func TestLife(t *testing.T) {
	site, err := txtar.ParseFile("testdata/site.txtar")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/life",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("TZ", "UTC")
			e.Setenv("XDG_CACHE_HOME", e.WorkDir+"/cache")
			e.Setenv("HOLDFAST_PASSWORD", sitePassword)
			return layOut(site, e.WorkDir)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":      exits,
			"repository": repository,
			"twins":      twins,
			"aged":       aged,
			"named":      named,
			"follow":     follow,
			"shape":      shape,
			"isjson":     isJSON,
			"patch":      patch,
		},
	})
}

// layOut makes the site in dir.
func layOut(site *txtar.Archive, dir string) error {
	made := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, f := range site.Files {
		at := filepath.Join(dir, f.Name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(at), 0o755), os.WriteFile(at, f.Data, 0o644), os.Chtimes(at, made, made)); err != nil {
			return err
		}
	}
	for environment, row := range map[string]string{"master": "day one", "staging": "old"} {
		if err := executeSQL(filepath.Join(dir, environment, "settings.db"),
			"PRAGMA journal_mode=WAL", "CREATE TABLE t (v TEXT)", "INSERT INTO t VALUES ('"+row+"')"); err != nil {
			return err
		}
	}
	time.Sleep(50 * time.Millisecond) // what is younger than a tick of the clock would be suspect in the first snapshot
	return nil
}

// repository makes the site's repository, without an init that takes its time:
// repository
func repository(ts *testscript.TestScript, negated bool, args []string) {
	if negated || len(args) > 0 {
		ts.Fatalf("usage: repository")
	}
	ts.Check(makeRepository(ts.MkAbs("repo")))
}

var twentyDigits = regexp.MustCompile(`\b[0-9a-f]{20}\b`)

// named puts the first snapshot name that the last command wrote to stdout into
// a variable, whole and (NAME_SHORT) its first six digits: named NAME
func named(ts *testscript.TestScript, negated bool, args []string) {
	name := twentyDigits.FindString(ts.ReadFile("stdout"))
	if negated || len(args) != 1 || name == "" {
		ts.Fatalf("usage: named NAME, after a command that wrote a snapshot's name")
	}
	ts.Setenv(args[0], name)
	ts.Setenv(args[0]+"_SHORT", name[:6])
	ts.Setenv("NAMED", ts.Getenv("NAMED")+" "+name)
}

// follow takes from what a command wrote the first group of a pattern and lets a
// shell execute it, as a user does who copies the line:
// follow stdout|stderr|FILE PATTERN [ARGUMENT...]
func follow(ts *testscript.TestScript, negated bool, args []string) {
	if negated || len(args) < 2 {
		ts.Fatalf("usage: follow stdout|stderr|FILE PATTERN [ARGUMENT...]")
	}
	found := regexp.MustCompile("(?m)" + args[1]).FindStringSubmatch(ts.ReadFile(args[0]))
	if len(found) != 2 {
		ts.Fatalf("%s has nothing like %s", args[0], args[1])
	}
	line := strings.Join(append(found[1:], args[2:]...), " ")
	ts.Logf("$ %s", line)
	ts.Check(ts.Exec("sh", "-c", line))
}

// What differs from run to run.
var (
	localTimes = regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d(:\d\d)? UTC`)
	durations  = regexp.MustCompile(`\b[\d.]+(m|µ|n)?s\b`)
	storedSize = regexp.MustCompile(`(?m)^Stored.*|^Read .*|^Blobs.*|[\d.]+ [KMG]?i?B \| (one|per|live)`)
	identity   = regexp.MustCompile(`\b[0-9a-f]{32}\b`)
	sqliteWord = regexp.MustCompile(`SQLite [\d.]+`)
	digits     = regexp.MustCompile(`\d`)
)

// shape writes a file with what the last command wrote, but for what differs from
// run to run: the k-th name that "named" was given is k twenty times; times, and
// sizes that depend on encryption, have # for each digit; durations, identities,
// places and versions are words: shape stdout|stderr FILE
func shape(ts *testscript.TestScript, negated bool, args []string) {
	if negated || len(args) != 2 {
		ts.Fatalf("usage: shape stdout|stderr FILE")
	}
	noDigits := func(s string) string { return digits.ReplaceAllString(s, "#") }
	text := strings.ReplaceAll(ts.ReadFile(args[0]), ts.Getenv("WORK"), "$WORK")
	for i, name := range strings.Fields(ts.Getenv("NAMED")) {
		text = strings.ReplaceAll(text, name, strings.Repeat(strconv.Itoa(i+1), 20))
	}
	text = localTimes.ReplaceAllStringFunc(text, noDigits)
	text = durations.ReplaceAllString(text, "#s")
	text = storedSize.ReplaceAllStringFunc(text, noDigits)
	text = identity.ReplaceAllString(text, "IDENTITY")
	text = sqliteWord.ReplaceAllString(text, "SQLite VERSION")
	text = strings.ReplaceAll(text, " on "+hostname()+" by "+programName(), " on HOST by PROGRAM")
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(text), 0o644))
}

// isJSON checks that the last command wrote one JSON document and nothing else:
// isjson [stdout|stderr]
func isJSON(ts *testscript.TestScript, negated bool, args []string) {
	d := json.NewDecoder(strings.NewReader(ts.ReadFile(append(args, "stdout")[0])))
	var doc any
	ts.Check(d.Decode(&doc))
	if negated || d.More() {
		ts.Fatalf("more than one JSON document")
	}
}

// patch damages the largest file that matches: changes a bit in its middle, cuts
// its second half off, removes it, or sets the byte at an offset:
// patch PATTERN flip|cut|remove|OFFSET=BYTE
func patch(ts *testscript.TestScript, negated bool, args []string) {
	if negated || len(args) != 2 {
		ts.Fatalf("usage: patch PATTERN flip|cut|remove|OFFSET=BYTE")
	}
	found, err := filepath.Glob(ts.MkAbs(args[0]))
	ts.Check(err)
	if len(found) == 0 {
		ts.Fatalf("nothing matches %s", args[0])
	}
	ts.Check(damage(largest(found), args[1]))
}
