package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/bench/corpus"
	"holdfast/bench/report"
)

// need fails a test that lacks what internal/testserver/install installs.
func need(t *testing.T, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		t.Fatalf("%s is not installed: apt-get install %s", program, program)
	}
}

func smallRace(t *testing.T, only string) *race {
	t.Helper()
	need(t, "restic")
	found, leftOut := installed(tools(self(t), "no/such/holdfast"), only)
	if len(leftOut) > 0 {
		t.Fatal(leftOut)
	}
	return &race{self: self(t), dir: t.TempDir(), data: corpus.Mixed{Seed: 1, Scale: 0.005}, tools: found, steps: allSteps, log: io.Discard, keepsCaches: true}
}

// A whole run, against a real peer.
func TestRaceBesideRestic(t *testing.T) {
	t.Parallel()
	r := smallRace(t, "limit,restic")
	columns, total, err := r.once(t.Context(), 1, r.timed)
	if err != nil {
		t.Fatal(err)
	}
	if len(columns) != 2 || columns[0].Name != report.Limit || columns[1].Name != "restic" {
		t.Fatalf("columns are %+v, want limit and restic", columns)
	}
	for _, c := range columns {
		for _, at := range allSteps {
			for _, m := range c.Steps[at.String()] {
				if m.Seconds <= 0 || m.CPU <= 0 || m.Peak <= 0 {
					t.Errorf("%s, %s: %+v, want all figures above 0", c.Name, at, m)
				}
			}
			if n := len(c.Steps[at.String()]); n != 1 {
				t.Errorf("%s, %s: measured %d times", c.Name, at, n)
			}
		}
	}
	restic := columns[1]
	if one, two := restic.DayOne[0], restic.DayTwo[0]; one < total.Bytes/2 || one > total.Bytes || two <= one {
		t.Errorf("restic's repository had %d and then %d bytes for a corpus of %d", one, two, total.Bytes)
	}
	if n := len(restic.Alone[report.AloneStart]); n != shortCommands {
		t.Errorf("restic's start-up was measured %d times, want %d", n, shortCommands)
	}
	if left, _ := os.ReadDir(r.dir); len(left) > 0 {
		t.Errorf("%s was left behind", left[0].Name())
	}
}

func TestWhatRestoresSomethingElseFails(t *testing.T) {
	t.Parallel()
	r := smallRace(t, "restic")
	r.steps = []step{first, restore}
	r.tools[0].steps[restore] = "restore latest --quiet --target {out} --exclude *.sql"
	if _, _, err := r.once(t.Context(), 0, r.timed); err == nil || !strings.Contains(err.Error(), "shop.sql is missing") {
		t.Errorf("error is %v, want the file that is missing", err)
	}
}

func TestSyncsAreCountedInARunOfItsOwn(t *testing.T) {
	t.Parallel()
	need(t, "strace")
	r := smallRace(t, "limit,restic")
	r.steps = []step{first, restore}
	columns, _, err := r.once(t.Context(), 0, r.counted)
	if err != nil {
		t.Fatal(err)
	}
	if got := columns[0].Syncs[report.StepRestore]; got["syncfs"] != 1 || len(got) != 1 {
		t.Errorf("the limit's restore: %s, want one syncfs", got)
	}
	if got := columns[1].Syncs[report.StepFirst]; got["fsync"] < 2 {
		t.Errorf("restic's first snapshot: %s, want some fsyncs", got)
	}
}

// A call goes on from what an earlier one has kept, and only from the same.
func TestCompareGoesOn(t *testing.T) {
	need(t, "restic")
	out := filepath.Join(t.TempDir(), "out.json")
	run := func(arguments ...string) (*report.Comparison, error) {
		t.Helper()
		common := []string{"--data", "incompressible", "--scale", "0.003", "--only", "limit", "--syncs=false", "--keep-caches", "--dir", t.TempDir(), "--out", out}
		err := quietly(t, func() error { return compare(t.Context(), append(common, arguments...)) })
		c := new(report.Comparison)
		if content, readErr := os.ReadFile(out); readErr != nil {
			t.Fatal(readErr)
		} else if readErr := json.Unmarshal(content, c); readErr != nil {
			t.Fatal(readErr)
		}
		return c, err
	}
	for _, runs := range []string{"1", "2"} {
		c, err := run("--runs", runs)
		if err != nil {
			t.Fatal(err)
		}
		if got := len(c.Tools[0].Steps[report.StepFirst]); c.Runs != got || runs != string('0'+rune(got)) {
			t.Errorf("%d runs with %d measurements, want %s", c.Runs, got, runs)
		}
	}
	before, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	for _, other := range [][]string{{"--scale", "0.002"}, {"--steps", "restore"}, {"--only", "limit,restic"}, {"--seed", "2"}} {
		if _, err := run(append(other, "--runs", "3")...); err == nil || !strings.Contains(err.Error(), "another") {
			t.Errorf("%v went on from other measurements: %v", other, err)
		}
	}
	if after, err := os.ReadFile(out); err != nil || string(after) != string(before) {
		t.Errorf("the file has changed: %v", err)
	}
}

// quietly keeps what do prints out of the test's output.
func quietly(t *testing.T, do func() error) error {
	t.Helper()
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	stdout, stderr := os.Stdout, os.Stderr
	os.Stdout, os.Stderr = null, null
	defer func() { os.Stdout, os.Stderr = stdout, stderr }()
	return do()
}

func TestDaysOfRestic(t *testing.T) {
	t.Parallel()
	need(t, "strace")
	r := smallRace(t, "restic")
	columns, err := r.month(t.Context(), 2)
	if err != nil {
		t.Fatal(err)
	}
	c := columns[0]
	if len(c.Create) != 3 || len(c.Repository) != 3 || c.Repository[1] <= c.Repository[0] || c.Repository[2] <= c.Repository[1] {
		t.Errorf("%d snapshots, repository %v: want 3, growing", len(c.Create), c.Repository)
	}
	if c.Restore.Seconds <= 0 || c.Restored < 4e6 || c.Read.Once > c.Read.All || c.Read.All < c.Repository[0]/2 || c.Read.Once > c.Repository[2] {
		t.Errorf("restored %d bytes in %v s, read %+v of a repository of %d", c.Restored, c.Restore.Seconds, c.Read, c.Repository[2])
	}
}

func TestParseSteps(t *testing.T) {
	for list, want := range map[string][]step{
		"restore":                          {first, unchanged, restore},
		"next day, first":                  {first, unchanged, nextDay},
		"first,unchanged,next day,restore": allSteps,
	} {
		got, err := parseSteps(list)
		if err != nil || len(got) != len(want) || got[len(got)-1] != want[len(want)-1] {
			t.Errorf("%s: %v, %v; want %v", list, got, err, want)
		}
	}
	for _, wrong := range []string{"", "first,,restore", "second"} {
		if _, err := parseSteps(wrong); err == nil {
			t.Errorf("%q was accepted", wrong)
		}
	}
}

func TestWrongFlagsAreErrors(t *testing.T) {
	for _, args := range [][]string{
		{"--data", "unknown"}, {"--runs", "0"}, {"--scale", "-1"}, {"surplus"}, {"--only", "nothing"}, {"--steps", "x"},
		{"curve", "--only", "restic"}, {"curve", "--scales", "1,x"}, {"curve", "--scales", "0"}, {"days", "--days", "0"}, {"render"}, {"gate", "--rounds", "0"}, {"gate", "surplus"},
	} {
		if err := quietly(t, func() error { return dispatch(context.Background(), args) }); err == nil {
			t.Errorf("%v was accepted", args)
		}
	}
}

// The place for the result is made, or found wanting, before hours of measuring.
func TestThePlaceForTheResultIsMadeFirst(t *testing.T) {
	dir := t.TempDir()
	o := newOptions("compare", "limit")
	o.scratch, o.out = dir, filepath.Join(dir, "new", "deep", "x.json")
	if _, _, err := o.start(); err != nil {
		t.Fatal(err)
	}
	if err := o.save(&report.Comparison{}); err != nil {
		t.Error(err)
	}
	o.out = filepath.Join(dir, "new", "deep", "x.json", "y.json")
	if _, _, err := o.start(); err == nil || !strings.Contains(err.Error(), "--out") {
		t.Errorf("a file in the directory's place: %v", err)
	}
}

func TestHelpNamesAllCommands(t *testing.T) {
	for _, command := range []string{"compare", "curve", "days"} {
		o := newOptions(command, "")
		var said strings.Builder
		o.flags.SetOutput(&said)
		if err := o.parse([]string{"--help"}); !errors.Is(err, flag.ErrHelp) {
			t.Errorf("%s --help: %v", command, err)
		}
		for _, want := range []string{"[compare]", "curve", "days", "render PAGE", "Flags of " + command, "-dir", "-out"} {
			if !strings.Contains(said.String(), want) {
				t.Errorf("%s --help does not say %q", command, want)
			}
		}
	}
}

func TestMissingToolsAreSaid(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	found, leftOut := installed(tools(self(t), "no/such/holdfast"), "")
	if len(found) != 2 || found[0].name != report.Limit || found[1].name != report.LimitByBlob {
		t.Errorf("found %d tools with an empty PATH, want the two limits alone", len(found))
	}
	said := strings.Join(leftOut, "\n")
	for _, want := range []string{"restic is left out, it is not installed (make bench-peers)", "make build", "kopia", "borg"} {
		if !strings.Contains(said, want) {
			t.Errorf("said %q, want %q in it", said, want)
		}
	}
}
