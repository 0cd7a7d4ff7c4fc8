package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/internal/soak"
)

// TestWhateverIsKilled runs commands one after the other, drawn from a seed, and kills most
// of them. After each the repository checks to its last byte, every snapshot that
// nobody has deleted is listed, what a restore that was killed left is what was there or
// what was restored, and one that was not gives back what the environment held when the
// snapshot was taken.
func TestWhateverIsKilled(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	k := &killer{site: newSite(t, siteConfig), random: rand.New(rand.NewPCG(seed, 0)), states: map[string]taken{}, deleted: map[string]bool{}}
	k.repository()
	for _, e := range []string{"master", "staging"} {
		k.rows(e, e, 500)
		k.files(e, e, 50)
	}
	kills := 0
	for range soak.Cases(t, 40) {
		kills += k.step()
		if t.Failed() {
			t.Fatalf("after:\n%s", strings.Join(k.done, "\n"))
		}
	}
	t.Attr("cases", fmt.Sprint(kills))
}

type killer struct {
	*site
	random  *rand.Rand
	states  map[string]taken // the snapshots that nobody has deleted, by name
	deleted map[string]bool  // also where the command was killed
	done    []string
}

// taken is what an environment held when a snapshot was taken of it.
type taken struct{ environment, state string }

// step returns 1 if it has killed the command that it ran.
func (k *killer) step() int {
	e := []string{"master", "master", "master", "staging"}[k.random.IntN(4)]
	switch draw := k.random.IntN(20); {
	case draw < 7:
		k.change(e)
		state := k.state(e)
		return k.try(&state, "-e", e, "snapshot", "create")
	case draw < 11 && len(k.states) > 0:
		return k.restore(k.any(), e)
	case draw < 13 && len(k.states) > 2:
		name := k.any()
		delete(k.states, name)
		k.deleted[name] = true
		return k.try(nil, "snapshot", "delete", name, "--yes")
	case draw < 16:
		return k.try(nil, "repo", "gc", "--grace", "0", "--wait", "0")
	case draw < 17:
		return k.try(nil, "repo", "rebuild-index")
	case draw < 18:
		return k.try(nil, "repo", "repair")
	case draw < 19:
		return k.try(nil, "repo", "parity", "on", "--percent", "20")
	}
	return k.try(nil, "repo", "parity", "off")
}

func (k *killer) any() string {
	names := make([]string, 0, len(k.states))
	for name := range k.states {
		names = append(names, name)
	}
	slices.Sort(names)
	return names[k.random.IntN(len(names))]
}

func (k *killer) change(e string) {
	k.rows(e, strings.Repeat("x", 1+k.random.IntN(7)), 500+k.random.IntN(500))
	k.write(fmt.Sprintf("%s/uploads/%d", e, k.random.IntN(10)), []byte(strings.Repeat("y", k.random.IntN(50000))))
}

// try runs a command, kills it or not, and looks at what it has left.
func (k *killer) try(state *string, args ...string) (killed int) {
	k.t.Helper()
	what := strings.Join(args, " ")
	if k.random.IntN(4) == 0 {
		k.ok(args...)
	} else {
		when := time.Duration(k.random.ExpFloat64() * float64(60*time.Millisecond))
		if k.kill(when, args...) {
			killed = 1
			what += fmt.Sprintf(" killed after %s", when)
		}
	}
	k.done = append(k.done, what)
	if args[0] == "repo" {
		k.ok("repo", "check", "--read-data")
	}
	k.listed(state)
	return killed
}

// listed compares the snapshots with those that there should be. state is what a new one
// holds; nil if there cannot be one.
func (k *killer) listed(state *string) {
	k.t.Helper()
	var all []struct{ Name, Environment string }
	there := map[string]bool{}
	k.must(json.Unmarshal([]byte(k.ok("snapshot", "list", "--all", "--json")), &all))
	for _, s := range all {
		there[s.Name] = true
		if _, known := k.states[s.Name]; known || k.deleted[s.Name] {
			continue
		}
		if state == nil {
			k.t.Fatalf("snapshot %s was not there before", s.Name)
		}
		k.states[s.Name] = taken{s.Environment, *state}
	}
	for name := range k.states {
		if !there[name] {
			k.t.Errorf("snapshot %s is not listed", name)
		}
	}
}

func (k *killer) restore(name, into string) int {
	k.t.Helper()
	before := k.state(into)
	killed := k.try(&before, "-e", k.states[name].environment, "snapshot", "restore", name, "--target", into, "--yes")
	for range k.random.IntN(3) {
		k.kill(time.Duration(k.random.ExpFloat64()*float64(40*time.Millisecond)), "-e", into, "snapshot", "recover")
	}
	k.ok("-e", into, "snapshot", "recover")
	k.listed(&before)
	if got := k.state(into); got != k.states[name].state && (killed == 0 || got != before) {
		k.t.Errorf("the target holds\n%s\nbefore it was\n%s\nand the snapshot\n%s", got, before, k.states[name].state)
	}
	if left := k.leftovers(); len(left) > 0 {
		k.t.Errorf("left behind: %s", left)
	}
	return killed
}
