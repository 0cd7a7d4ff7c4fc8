package main

import (
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"holdfast/internal/environment"
)

// invocation is a command line that was understood.
type invocation struct {
	path []*cli.Command // the command, outermost group first; none: the program
	args []string       // the same in the order that cli.App.Run understands
	help bool           // --help, or the word help in front
	json bool           // --json, also where the rest was not understood
}

// name is the command's full name: "snapshot create".
func (c invocation) name() string {
	names := make([]string, len(c.path))
	for i, p := range c.path {
		names[i] = p.Name
	}
	return strings.Join(names, " ")
}

// givenFlag is a flag as it was typed.
type givenFlag struct {
	name     string // without dashes
	typed    string // with them
	value    string
	hasValue bool
}

// reorder brings a command line into the only order that cli.App.Run
// understands: global flags, command, its flags, "--", its arguments. The package
// ignores flags that come later and refuses global ones after a command; here
// flags may stand anywhere. It also takes "snapshot:create" for "snapshot
// create", and refuses what no command or flag of app allows. Its errors wrap
// errUsage.
func reorder(app *cli.App, args []string) (invocation, error) {
	words, flags, scanErr := scan(app, args)
	isGiven := func(name string) bool {
		return slices.ContainsFunc(flags, func(f givenFlag) bool { return f.name == name })
	}
	call := invocation{help: isGiven("help") || isGiven("h"), json: isGiven("json")}
	if len(words) > 0 && words[0] == "help" {
		call.help, words = true, words[1:]
	}
	if len(words) == 0 && isGiven("version") {
		words = []string{"version"}
	}
	var rest []string
	var commandErr error
	call.path, rest, commandErr = resolve(app, words)
	if scanErr != nil {
		return call, scanErr
	}
	// A flag that does not exist comes first: its value may have been taken for
	// the command.
	if i := slices.IndexFunc(flags, func(f givenFlag) bool { return anyFlag(app, f.name) == nil }); i >= 0 {
		return call, unknownFlag(app, call, flags[i])
	}
	if commandErr != nil || call.help || len(call.path) == 0 {
		return call, commandErr
	}
	globals, own, err := place(app, call, flags)
	if err == nil {
		err = checkArguments(call, rest)
	}
	if err != nil {
		return call, err
	}
	call.args = append([]string{app.Name}, globals...)
	for _, c := range call.path {
		call.args = append(call.args, c.Name)
	}
	call.args = append(append(append(call.args, own...), "--"), rest...)
	return call, nil
}

// scan separates flags, with their values, from words. Whether a flag takes a
// value does not depend on the command: a name means the same in all of them.
func scan(app *cli.App, args []string) (words []string, flags []givenFlag, err error) {
	for i := 0; i < len(args); i++ {
		typed := args[i]
		if typed == "--" {
			return append(words, args[i+1:]...), flags, err
		}
		if len(typed) < 2 || typed[0] != '-' {
			words = append(words, typed)
			continue
		}
		f := givenFlag{typed: typed, name: strings.TrimPrefix(typed[1:], "-")}
		if name, value, ok := strings.Cut(f.name, "="); ok {
			f.typed, _, _ = strings.Cut(typed, "=")
			f.name, f.value, f.hasValue = name, value, true
		}
		if known := anyFlag(app, f.name); known != nil && takesValue(known) && !f.hasValue {
			if i++; i == len(args) {
				return words, flags, usageError("%s needs a value", f.typed)
			}
			f.value, f.hasValue = args[i], true
		}
		flags = append(flags, f)
	}
	return words, flags, err
}

func takesValue(f cli.Flag) bool {
	documented, ok := f.(cli.DocGenerationFlag)
	return ok && documented.TakesValue()
}

func repeats(f cli.Flag) bool {
	slice, ok := f.(cli.DocGenerationSliceFlag)
	return ok && slice.IsSliceFlag()
}

func findFlag(flags []cli.Flag, name string) cli.Flag {
	for _, f := range flags {
		if slices.Contains(f.Names(), name) {
			return f
		}
	}
	return nil
}

// anyFlag returns the first flag of that name, wherever it is defined.
func anyFlag(app *cli.App, name string) cli.Flag {
	found := findFlag(app.Flags, name)
	walk(app.Commands, nil, func(path []*cli.Command) {
		if found == nil {
			found = findFlag(path[len(path)-1].Flags, name)
		}
	})
	return found
}

// place sorts flags into global ones and the command's own, in the form
// --name=value.
func place(app *cli.App, call invocation, flags []givenFlag) (globals, own []string, err error) {
	var ownFlags []cli.Flag
	if len(call.path) > 0 {
		ownFlags = call.path[len(call.path)-1].Flags
	}
	before := map[string]givenFlag{}
	for _, f := range flags {
		to, known := &own, findFlag(ownFlags, f.name)
		if known == nil {
			to, known = &globals, findFlag(app.Flags, f.name)
		}
		if known == nil {
			return nil, nil, unknownFlag(app, call, f)
		}
		name := known.Names()[0]
		if !takesValue(known) {
			if !f.hasValue {
				f.value = "true"
			}
			if _, err := strconv.ParseBool(f.value); err != nil {
				return nil, nil, usageError("%s takes no value", f.typed)
			}
		}
		if b, twice := before[name]; twice && !repeats(known) && b.value != f.value {
			return nil, nil, usageError("--%s is given twice, with different values", name)
		}
		before[name] = f
		*to = append(*to, "--"+name+"="+f.value)
	}
	return globals, own, nil
}

// unknownFlag suggests a flag of a similar name, of the command where that is
// known, or says whose flag it is.
func unknownFlag(app *cli.App, call invocation, f givenFlag) error {
	candidates, owner := slices.Clone(app.Flags), ""
	walk(app.Commands, nil, func(path []*cli.Command) {
		last := path[len(path)-1]
		if len(call.path) == 0 || last == call.path[len(call.path)-1] {
			candidates = append(candidates, last.Flags...)
		}
		if owner == "" && findFlag(last.Flags, f.name) != nil {
			owner = invocation{path: path}.name()
		}
	})
	if owner != "" {
		return usageError("%s is a flag of %q, not of %q", f.typed, owner, call.name())
	}
	var names []string
	for _, c := range candidates {
		names = append(names, c.Names()[0])
	}
	if near := environment.Nearest(f.name, names); near != "" {
		return usageError("unknown flag %s; did you mean --%s?", printable(f.typed), near)
	}
	return usageError("unknown flag %s", printable(f.typed))
}
