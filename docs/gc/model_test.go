// Package gc holds the protocol of garbage collection as a model, and the test
// that has it explored. It has no other code: that is in repo/gc.
package gc

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"holdfast/internal/soak"
)

// A scene says who takes part, as macros of gc.pml.
type scene struct {
	name   string
	macros string
	soak   bool // too large for every change
	// Above zero, all states do not fit into memory: as many of them as can be met in
	// so many minutes, told apart by a hash.
	minutes int
}

var scenes = []scene{
	{name: "a writer and purges", macros: "WRITERS=1 SIMPLE=1"},
	{name: "two writers", macros: "WRITERS=2 LISTS=3 TRASH=0 SIMPLE=1"},
	{name: "two collectors", macros: "WRITERS=0 COLLECTORS=2 GROUPS=2 LISTS=5 TRASH=0 SIMPLE=1"},
	{name: "a reader, undelete and purge", macros: "WRITERS=0 READERS=1 TRASH=2 SIMPLE=1"},
	{name: "rebuild-index", macros: "WRITERS=1 REBUILDERS=1 TRASH=0 SIMPLE=1"},
	{name: "stale listings", macros: "WRITERS=1 STALE=1 TRASH=0 SIMPLE=1"},
	{name: "stale listings and a reader", macros: "WRITERS=0 READERS=1 STALE=1 SIMPLE=1"},
	{name: "stale listings and rebuild-index", macros: "WRITERS=1 COLLECTORS=0 REBUILDERS=1 STALE=1 TRASH=0"},

	{name: "a writer and purges, any past", macros: "WRITERS=1 TRASH=2", soak: true},
	{name: "two writers and purges", macros: "WRITERS=2 SIMPLE=1", soak: true},
	{name: "two collectors, six lists", macros: "WRITERS=0 COLLECTORS=2 GROUPS=2 LISTS=6 TRASH=0 SIMPLE=1", soak: true},
	{name: "two collectors and a writer", macros: "WRITERS=1 COLLECTORS=2 TRASH=0 SIMPLE=1", soak: true},
	{name: "rebuild-index, any past", macros: "WRITERS=1 REBUILDERS=1 TRASH=0", soak: true},
	{name: "stale listings and purges", macros: "WRITERS=1 STALE=1 SIMPLE=1", soak: true},
	{name: "stale listings and two groups", macros: "WRITERS=1 STALE=1 TRASH=0 GROUPS=2 LISTS=7 SIMPLE=1", soak: true},
	{name: "everybody", macros: "WRITERS=2 COLLECTORS=2 READERS=1 REBUILDERS=1 TRASH=2 GROUPS=2 LISTS=6", soak: true, minutes: 10},
	{name: "everybody, stale listings", macros: "WRITERS=2 COLLECTORS=2 READERS=1 REBUILDERS=1 TRASH=2 GROUPS=2 LISTS=6 STALE=1", soak: true, minutes: 10},
}

// broken are scenes in which leaving out a rule of the protocol shows.
var broken = map[string]string{
	"LIST_BEFORE_SESSION":   "WRITERS=1",
	"LIST_AFTER_INDEX":      "WRITERS=1",
	"TRUST_INDEX":           "WRITERS=1 REBUILDERS=1 TRASH=0 SIMPLE=1",
	"TRUST_PRESENCE":        "WRITERS=1",
	"COMMIT_OVER_TOMBSTONE": "WRITERS=1",
	"COMMIT_BEFORE_SEGMENT": "WRITERS=1",
	"NO_WAIT":               "WRITERS=1",
	"TRACE_BEFORE_WAIT":     "WRITERS=1",
	"PUBLISH_ANYWAY":        "WRITERS=0 COLLECTORS=2 TRASH=0 GROUPS=2 LISTS=6 SIMPLE=1",
	"NUMBER_TWICE":          "WRITERS=0 COLLECTORS=2 TRASH=0 GROUPS=2 LISTS=6 SIMPLE=1",
	"COUNT_CYCLES":          "WRITERS=0",
	"PURGED_SINCE":          "WRITERS=1",
	"SEGMENT_LATE":          "WRITERS=0 COLLECTORS=2",
	"DROP_EARLY":            "WRITERS=1 REBUILDERS=1 TRASH=0",
	"REMOVE_TOMBSTONES":     "WRITERS=1",
	"UNDELETE_PURGED":       "WRITERS=0 TRASH=2",
	"REBUILD_PACKS_FIRST":   "WRITERS=0 REBUILDERS=1",
	"SETTLE_ONCE":           "WRITERS=1 TRASH=0 STALE=1",
	"TRACE_UNSETTLED":       "WRITERS=1 TRASH=0 STALE=1",
	"DELETE_UNSETTLED":      "WRITERS=0 TRASH=0 READERS=1 STALE=1",
	"REMOVE_UNSETTLED":      "WRITERS=1 TRASH=0 GROUPS=2 LISTS=7 SIMPLE=1 STALE=1",
	"REBUILD_UNSETTLED":     "WRITERS=1 TRASH=0 REBUILDERS=1 COLLECTORS=0 STALE=1",
	"JOIN_UNSETTLED":        "WRITERS=0 TRASH=0 READERS=1 STALE=1",
	"NOTHING_IS_FREED":      "WRITERS=0",
}

// TestProtocolLosesNothing explores every run of each scene: no promise is broken
// in any of their states.
func TestProtocolLosesNothing(t *testing.T) {
	for _, s := range scenes {
		if s.soak && !soak.On(t) {
			continue
		}
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			found := explore(t, s, "NOTHING")
			if found.broken {
				t.Errorf("the model breaks a promise:\n%s", found.run)
			}
			if found.states < 1000 {
				t.Errorf("only %d states: the scene is not played", found.states)
			}
			t.Attr("cases", strconv.Itoa(found.states))
		})
	}
}

// TestEveryRuleIsNeeded leaves out one rule after the other: each time a promise
// is broken, so the model sees what the rule is for.
func TestEveryRuleIsNeeded(t *testing.T) {
	model, err := os.ReadFile("gc.pml")
	if err != nil {
		t.Fatal(err)
	}
	_, rules, _ := strings.Cut(string(model), "#define NOTHING ")
	rules, _, _ = strings.Cut(rules, "#ifndef BROKEN")
	for _, rule := range regexp.MustCompile(`(?m)^#define (\w+) `).FindAllStringSubmatch(rules, -1) {
		name := rule[1]
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			macros, ok := broken[name]
			if !ok {
				t.Fatal("no scene shows what happens without it")
			}
			if found := explore(t, scene{macros: macros}, name); !found.broken {
				t.Errorf("nothing is lost without it, in %d states", found.states)
			}
		})
	}
	t.Attr("cases", strconv.Itoa(len(broken)))
}

type outcome struct {
	broken bool
	states int
	run    string // that broke a promise, step by step
}

var counted = regexp.MustCompile(`(?m)^ *(\d+(?:\.\d+)?(?:e\+\d+)?) states, stored`)

// explore has spin visit all states of a scene until a promise is broken.
func explore(t *testing.T, s scene, rule string) (found outcome) {
	t.Helper()
	model, err := filepath.Abs("gc.pml")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(model); err != nil { // go test takes note of what it depends on
		t.Fatal(err)
	}
	dir := t.TempDir()
	macros := []string{"-DBROKEN=" + rule}
	for m := range strings.FieldsSeq(s.macros) {
		macros = append(macros, "-D"+m)
	}
	must(t, dir, "spin", append(macros, "-a", model)...)
	compile := []string{"-O1", "-w", "-DSAFETY", "-o", "pan", "pan.c"}
	if rule != "NOTHING" {
		compile[0] = "-O0" // what is wrong is found soon
	}
	run := []string{"-E", "-n", "-m1000000"}
	if s.minutes > 0 {
		compile = append(compile, "-DBITSTATE")
		run = append(run, "-w32", "-Q"+strconv.Itoa(s.minutes))
	} else {
		compile = append(compile, "-DCOLLAPSE", "-DMEMLIM=8000")
	}
	must(t, dir, "gcc", compile...)
	out := must(t, dir, "./pan", run...)
	if m := counted.FindSubmatch(out); m != nil {
		n, err := strconv.ParseFloat(string(m[1]), 64)
		if err != nil {
			t.Fatal(err)
		}
		found.states = int(n)
	}
	found.broken = bytes.Contains(out, []byte("assertion violated"))
	switch {
	case found.broken && rule == "NOTHING":
		found.run = string(must(t, dir, "spin", append(macros, "-t", "-p", "-k", "gc.pml.trail", model)...))
	case !found.broken && (!bytes.Contains(out, []byte("errors: 0")) || bytes.Contains(out, []byte("Search not completed")) && s.minutes == 0):
		t.Fatalf("spin did not see all of it:\n%s", out)
	}
	return found
}

func must(t *testing.T, dir, name string, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if _, missing := exec.LookPath(name); missing != nil && !strings.HasPrefix(name, "./") {
		t.Fatalf("%s is needed: internal/testserver/install, or apt-get install spin gcc", name)
	}
	// A search ends with another code when its time is over, or a promise broken.
	if err != nil && !strings.HasPrefix(name, "./") {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return out
}
