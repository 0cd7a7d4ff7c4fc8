package main

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestLife runs the scripts of testdata/life: the command line at work on real
// databases and directories.
func TestLife(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/life",
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("TZ", "UTC")
			e.Setenv("XDG_CACHE_HOME", e.WorkDir+"/cache")
			e.Setenv("HOLDFAST_PASSWORD", "correct horse")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":  exits,
			"named":  named,
			"flip":   flip,
			"isjson": isJSON,
		},
	})
}

var twentyDigits = regexp.MustCompile(`[0-9a-f]{20}`)

// named puts the first snapshot name that the last command wrote to stdout into
// a variable, whole and (NAME_SHORT) its first six digits: named NAME
func named(ts *testscript.TestScript, negated bool, args []string) {
	name := twentyDigits.FindString(ts.ReadFile("stdout"))
	if negated || len(args) != 1 || name == "" {
		ts.Fatalf("usage: named NAME, after a command that wrote a snapshot's name")
	}
	ts.Setenv(args[0], name)
	ts.Setenv(args[0]+"_SHORT", name[:6])
}

// flip changes a bit in the middle of the first file that matches: flip PATTERN
func flip(ts *testscript.TestScript, negated bool, args []string) {
	if negated || len(args) != 1 {
		ts.Fatalf("usage: flip FILE")
	}
	path := ts.MkAbs(args[0])
	data, err := os.ReadFile(path)
	ts.Check(err)
	data[len(data)/2] ^= 1
	ts.Check(os.Chmod(path, 0o600))
	ts.Check(os.WriteFile(path, data, 0o600))
}

// isjson checks that the last command wrote one JSON document and nothing else.
func isJSON(ts *testscript.TestScript, negated bool, _ []string) {
	d := json.NewDecoder(strings.NewReader(ts.ReadFile("stdout")))
	var doc any
	ts.Check(d.Decode(&doc))
	if negated || d.More() {
		ts.Fatalf("more than one JSON document")
	}
}
