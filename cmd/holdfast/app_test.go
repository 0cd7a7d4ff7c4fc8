package main

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/urfave/cli/v2"
)

// testEnv returns an env without a terminal, and what it writes.
func testEnv() (app *env, stdout, stderr *bytes.Buffer) {
	stdout, stderr = new(bytes.Buffer), new(bytes.Buffer)
	app = &env{
		stdout:  stdout,
		console: &console{w: stderr, width: func() int { return 0 }},
		width:   func() int { return 0 },
		lookup:  func(string) (string, bool) { return "", false },
		now:     time.Now,
		zone:    time.UTC,
	}
	return app, stdout, stderr
}

// echoed is what an action of echoing says.
type echoed struct {
	Action  string
	Options json.RawMessage
	Globals globals
}

func echo[O any](action string) func(context.Context, *env, O) error {
	return func(_ context.Context, app *env, o O) error {
		options, err := json.Marshal(o)
		if err != nil {
			return err
		}
		return json.NewEncoder(app.stdout).Encode(echoed{action, options, app.flags})
	}
}

// echoing are actions that write what they were called with.
func echoing() actions {
	return actions{
		Init:         echo[InitOptions]("Init"),
		Create:       echo[CreateOptions]("Create"),
		List:         echo[ListOptions]("List"),
		Show:         echo[ShowOptions]("Show"),
		Ls:           echo[LsOptions]("Ls"),
		Cat:          echo[CatOptions]("Cat"),
		Diff:         echo[DiffOptions]("Diff"),
		Find:         echo[FindOptions]("Find"),
		Delete:       echo[DeleteOptions]("Delete"),
		Undelete:     echo[UndeleteOptions]("Undelete"),
		Prune:        echo[PruneOptions]("Prune"),
		Pin:          echo[PinOptions]("Pin"),
		Unpin:        echo[UnpinOptions]("Unpin"),
		Restore:      echo[RestoreOptions]("Restore"),
		Recover:      echo[RecoverOptions]("Recover"),
		Gate:         echo[GateOptions]("Gate"),
		Stats:        echo[StatsOptions]("Stats"),
		Check:        echo[CheckOptions]("Check"),
		RebuildIndex: echo[RebuildIndexOptions]("RebuildIndex"),
		Repair:       echo[RepairOptions]("Repair"),
		Collect:      echo[CollectOptions]("Collect"),
		ParityOn:     echo[ParityOnOptions]("ParityOn"),
		ParityOff:    echo[ParityOffOptions]("ParityOff"),
		ParityStatus: echo[ParityStatusOptions]("ParityStatus"),
		KeyAdd:       echo[KeyAddOptions]("KeyAdd"),
		KeyList:      echo[KeyListOptions]("KeyList"),
		KeyRemove:    echo[KeyRemoveOptions]("KeyRemove"),
		KeyRotate:    echo[KeyRotateOptions]("KeyRotate"),
		KeyPassword:  echo[KeyPasswordOptions]("KeyPassword"),
		Version:      echo[VersionOptions]("Version"),
	}
}

// commands lists every command of the program that is no group.
func commands(app *cli.App) (paths [][]*cli.Command) {
	walk(app.Commands, nil, func(path []*cli.Command) {
		if len(path[len(path)-1].Subcommands) == 0 {
			paths = append(paths, path)
		}
	})
	return paths
}

// reorder looks flags up by name before it knows the command.
func TestAFlagMeansTheSameInEveryCommand(t *testing.T) {
	app, _, _ := testEnv()
	program := newApp(app, actions{})
	global := map[string]bool{}
	takes := map[string]bool{}
	for _, f := range program.Flags {
		for _, n := range f.Names() {
			global[n], takes[n] = true, takesValue(f)
		}
	}
	walk(program.Commands, nil, func(path []*cli.Command) {
		last := path[len(path)-1]
		if len(last.Subcommands) > 0 && len(last.Flags) > 0 {
			t.Errorf("%s is a group and has flags", last.Name)
		}
		for _, f := range last.Flags {
			for _, n := range f.Names() {
				if before, known := takes[n]; known && before != takesValue(f) {
					t.Errorf("--%s takes a value in one command and none in %s", n, last.Name)
				}
				if global[n] {
					t.Errorf("--%s of %s is a global flag, too", n, last.Name)
				}
				takes[n] = takesValue(f)
			}
		}
	})
}

func TestEveryCommandExplainsItself(t *testing.T) {
	app, _, _ := testEnv()
	program := newApp(app, actions{})
	for _, path := range commands(program) {
		var b strings.Builder
		if err := writeHelp(&b, program, path); err != nil {
			t.Fatal(err)
		}
		help, name := b.String(), invocation{path: path}.name()
		for _, part := range []string{"Usage: holdfast " + name, "\nExamples:\n", "\nExit codes:\n", "    0  done\n"} {
			if !strings.Contains(help, part) {
				t.Errorf("help of %s has no %q", name, part)
			}
		}
		for line := range strings.SplitSeq(help, "\n") {
			if len(line) > 120 {
				t.Errorf("help of %s has a line of %d characters: %s", name, len(line), line)
			}
		}
	}
}

// What help shows must work.
func TestEveryExampleIsUnderstood(t *testing.T) {
	app, _, _ := testEnv()
	program := newApp(app, actions{})
	all := []string{program.Description}
	walk(program.Commands, nil, func(path []*cli.Command) { all = append(all, path[len(path)-1].Description) })
	found := 0
	for _, text := range all {
		_, text, _ = strings.Cut(text, "\nExamples:\n")
		text, _, _ = strings.Cut(text, "\nExit codes:\n")
		for line := range strings.Lines(text) {
			_, line, ok := strings.Cut(line, "holdfast ")
			if !ok {
				continue
			}
			line, _, _ = strings.Cut(line, " ||")
			line, _, _ = strings.Cut(line, " >")
			line, _, _ = strings.Cut(line, "  ") // what follows explains it
			found++
			app, _, stderr := testEnv()
			if code := run(t.Context(), app, echoing(), shellWords(line)); code != exitDone {
				t.Errorf("holdfast %s: exit code %d, %s", line, code, stderr)
			}
		}
	}
	if found < 40 {
		t.Errorf("%d examples were found", found)
	}
}

// shellWords splits a line at spaces outside of quotes.
func shellWords(line string) []string {
	var words []string
	quote := rune(0)
	word, inside := "", false
	for _, r := range line {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote == 0 && (r == '"' || r == '\''):
			quote, inside = r, true
		case quote == 0 && (r == ' ' || r == '\n'):
			if inside {
				words = append(words, word)
			}
			word, inside = "", false
		default:
			word, inside = word+string(r), true
		}
	}
	if inside {
		words = append(words, word)
	}
	return words
}

// Every action can be reached, under its own name.
func TestEveryActionHasACommand(t *testing.T) {
	app, _, _ := testEnv()
	var reached []string
	for _, path := range commands(newApp(app, actions{})) {
		last := path[len(path)-1]
		args := strings.Fields(invocation{path: path}.name())
		for word := range strings.FieldsSeq(last.ArgsUsage) {
			args = append(args, map[string]string{"ID": "2ca4d9", "[ID]": "2ca4d9", "SLOT": "5f3a91", "[status|release]": "status"}[word])
			if args[len(args)-1] == "" {
				args[len(args)-1] = "uploads/x"
			}
		}
		app, stdout, stderr := testEnv()
		if code := run(t.Context(), app, echoing(), args); code != exitDone {
			t.Errorf("%q: exit code %d, %s", args, code, stderr)
			continue
		}
		var e echoed
		if err := json.Unmarshal(stdout.Bytes(), &e); err != nil {
			t.Fatal(err)
		}
		reached = append(reached, e.Action)
	}
	slices.Sort(reached)
	if got := slices.Compact(reached); len(got) != 30 {
		t.Errorf("%d actions were reached: %q", len(got), got)
	}
}

func TestAMissingActionIsAnInternalError(t *testing.T) {
	app, _, stderr := testEnv()
	code := run(t.Context(), app, actions{}, []string{"snapshot", "create"})
	if want := "holdfast: internal error: holdfast snapshot create has no action\n"; code != exitFailed || stderr.String() != want {
		t.Errorf("exit code %d, %s", code, stderr)
	}
}
