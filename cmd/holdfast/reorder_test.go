package main

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestReorder(t *testing.T) {
	const create = "holdfast snapshot create --"
	for _, test := range []struct{ line, want string }{
		{"snapshot create", create},
		// One command, many names.
		{"snapshot:create", create},
		{"backup create", create},
		{"backup:create", create},
		{"environment:backup", "holdfast environment backup --"},
		{"environment backup", "holdfast environment backup --"},
		{"environment:restore abcdef", "holdfast environment restore -- abcdef"},
		{"snapshot list", "holdfast snapshot list --"},
		{"snapshot:list", "holdfast snapshot list --"},
		{"snapshots", "holdfast snapshots --"},
		{"backups", "holdfast snapshots --"},
		{"repo key add", "holdfast repo key add --"},
		{"repo:key:add", "holdfast repo key add --"},
		{"repo key:add", "holdfast repo key add --"},
		{"repo:key add", "holdfast repo key add --"},
		{"--version", "holdfast --version=true version --"},
		// Flags anywhere.
		{"snapshot create --live", "holdfast snapshot create --live=true --"},
		{"--live snapshot create", "holdfast snapshot create --live=true --"},
		{"snapshot --live create", "holdfast snapshot create --live=true --"},
		{"snapshot create --json -e master", "holdfast --json=true --environment=master snapshot create --"},
		{"snapshot restore 2ca4d9 --target staging --yes", "holdfast snapshot restore --target=staging --yes=true -- 2ca4d9"},
		{"snapshot --target staging restore --quiet 2ca4d9", "holdfast --quiet=true snapshot restore --target=staging -- 2ca4d9"},
		{"--target staging -p shop snapshot restore 2ca4d9", "holdfast --project=shop snapshot restore --target=staging -- 2ca4d9"},
		{"snapshot diff abcdef --no-color latest", "holdfast --no-color=true snapshot diff -- abcdef latest"},
		// Values.
		{"snapshot create --description=x=y", "holdfast snapshot create --description=x=y --"},
		{"snapshot create --description --live", "holdfast snapshot create --description=--live --"},
		{"snapshot create --description snapshot", "holdfast snapshot create --description=snapshot --"},
		{"snapshot create -e=master", "holdfast --environment=master snapshot create --"},
		{"snapshot create --e master", "holdfast --environment=master snapshot create --"},
		{"snapshot create -live", "holdfast snapshot create --live=true --"},
		{"snapshot create --live=false", "holdfast snapshot create --live=false --"},
		{"snapshot create --live --live", "holdfast snapshot create --live=true --live=true --"},
		{"-e a -e a snapshot create", "holdfast --environment=a --environment=a snapshot create --"},
		{"snapshot restore --only a --only b,c", "holdfast snapshot restore --only=a --only=b,c --"},
		// Arguments that look like flags or commands.
		{"snapshot find -- --live", "holdfast snapshot find -- --live"},
		{"snapshot find --all -- -x", "holdfast snapshot find --all=true -- -x"},
		{"-- snapshot find -x", "holdfast snapshot find -- -x"},
		{"snapshot find -", "holdfast snapshot find -- -"},
		{"snapshot find a:b", "holdfast snapshot find -- a:b"},
		{"snapshot find create", "holdfast snapshot find -- create"},
		{"snapshot find json --json", "holdfast --json=true snapshot find -- json"},
	} {
		app, _, _ := testEnv()
		call, err := reorder(newApp(app, actions{}), strings.Fields(test.line))
		if got := strings.Join(call.args, " "); err != nil || got != test.want {
			t.Errorf("%s\n  is %s, %v\nwant %s", test.line, got, err, test.want)
		}
	}
}

func TestReorderRefuses(t *testing.T) {
	for _, test := range []struct{ line, want string }{
		{"snapshto create", `unknown command "snapshto"; did you mean "snapshot"?`},
		{"snapshot craete", `unknown command "snapshot craete"; did you mean "snapshot create"?`},
		{"snapshot:craete", `unknown command "snapshot craete"; did you mean "snapshot create"?`},
		{"snapshot:create:x", `unknown command "snapshot create x"`},
		{"restore", `unknown command "restore"; did you mean "snapshot restore"?`},
		{"check", `unknown command "check"; did you mean "repo check"?`},
		{"frobnicate", `unknown command "frobnicate"`},
		{"environment:bakup", `unknown command "environment bakup"; did you mean "environment backup"?`},
		{"snapshot", "snapshot needs one of create, list, show, ls, cat, diff, find, restore, recover, delete, undelete, prune, pin, unpin after it"},
		{"repo key", "repo key needs one of add, list, remove, password, rotate after it"},

		{"snapshot create --liv", "unknown flag --liv; did you mean --live?"},
		{"snapshot create --colour", "unknown flag --colour"},
		{"snapshot create -x", "unknown flag -x"},
		{"--targt staging snapshot restore", "unknown flag --targt; did you mean --target?"},
		{"snapshot create --target staging", `--target is a flag of "snapshot restore", not of "snapshot create"`},
		{"snapshot list --live", `--live is a flag of "snapshot create", not of "snapshot list"`},
		{"snapshot restore --target", "--target needs a value"},
		{"snapshot restore --yes=maybe", "--yes takes no value"},
		{"snapshot restore --yes=", "--yes takes no value"},
		{"snapshot restore -e a --environment b", "--environment is given twice, with different values"},

		{"snapshot create now", `snapshot create takes no arguments, found "now"`},
		{"snapshot create --live true", `snapshot create takes no arguments, found "true"`},
		{"snapshot show", "snapshot show needs ID"},
		{"snapshot cat abcdef", "snapshot cat needs PATH"},
		{"snapshot ls abcdef uploads more", `snapshot ls takes ID [PATH] and no more, found "more"`},
		{"snapshot restore abcdef ghijkl", `snapshot restore takes [ID] and no more, found "ghijkl"`},
	} {
		app, _, _ := testEnv()
		call, err := reorder(newApp(app, actions{}), strings.Fields(test.line))
		if !errors.Is(err, errUsage) || err.Error() != test.want {
			t.Errorf("%s\nsays %v (%q)\nwant %s", test.line, err, call.args, test.want)
		}
	}
}

func TestHelpIsUnderstoodAnywhere(t *testing.T) {
	for line, want := range map[string]string{
		"--help": "", "-h": "", "help": "",
		"help snapshot": "snapshot", "snapshot --help": "snapshot", "--help snapshot": "snapshot",
		"help snapshot create": "snapshot create", "snapshot:create -h": "snapshot create",
		"snapshot show --help": "snapshot show", "snapshot show a b c --help": "snapshot show",
		"snapshot create --target x --help": "snapshot create",
	} {
		app, _, _ := testEnv()
		call, err := reorder(newApp(app, actions{}), strings.Fields(line))
		if err != nil || !call.help || call.name() != want {
			t.Errorf("%s: help %v on %q, %v", line, call.help, call.name(), err)
		}
	}
}

// Whatever order the words of a command line come in, it means the same.
func TestEveryOrderMeansTheSame(t *testing.T) {
	parts := [][]string{{"snapshot", "restore", "2ca4d9"}, {"--target", "staging"}, {"--yes"}, {"-e", "master"}, {"--json"}}
	var want string
	seen := 0
	permute(parts, 0, func(order [][]string) {
		app, stdout, stderr := testEnv()
		if code := run(t.Context(), app, echoing(), slices.Concat(order...)); code != exitDone {
			t.Fatalf("%q: %s", order, stderr)
		}
		if want == "" {
			want = stdout.String()
		}
		if stdout.String() != want {
			t.Errorf("%q means %s, want %s", order, stdout, want)
		}
		seen++
	})
	var e echoed
	if err := json.Unmarshal([]byte(want), &e); err != nil || e.Globals.Environment != "master" || !e.Globals.JSON || seen != 120 {
		t.Errorf("%d orders mean %s, %v", seen, want, err)
	}
}

func permute[T any](s []T, from int, visit func([]T)) {
	if from == len(s) {
		visit(s)
	}
	for i := from; i < len(s); i++ {
		s[from], s[i] = s[i], s[from]
		permute(s, from+1, visit)
		s[from], s[i] = s[i], s[from]
	}
}

func FuzzReorder(f *testing.F) {
	for _, line := range []string{"snapshot create --live", "-e a -- x", "--target= snapshot:restore", "help repo:key", "--=x -", "::"} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		app, _, _ := testEnv()
		call, err := reorder(newApp(app, actions{}), strings.Fields(line))
		if err != nil && !errors.Is(err, errUsage) {
			t.Fatalf("%q: %v is no usage error", line, err)
		}
		if err == nil && !call.help && len(call.path) > 0 && len(call.args) == 0 {
			t.Fatalf("%q was understood as nothing", line)
		}
	})
}
