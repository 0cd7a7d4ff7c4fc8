package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"holdfast/internal/environment"
)

// walk calls visit for every command, groups before what is in them.
func walk(commands []*cli.Command, above []*cli.Command, visit func(path []*cli.Command)) {
	for _, c := range commands {
		path := append(slices.Clone(above), c)
		visit(path)
		walk(c.Subcommands, path, visit)
	}
}

// resolve follows words, which may be joined by colons, to a command that has no
// commands beneath it, or as far as there are words. It returns the words that
// follow.
func resolve(app *cli.App, words []string) (path []*cli.Command, rest []string, err error) {
	commands, rest := app.Commands, words
	for len(commands) > 0 {
		if len(rest) == 0 {
			return path, rest, nil
		}
		for part := range strings.SplitSeq(rest[0], ":") {
			i := slices.IndexFunc(commands, func(c *cli.Command) bool { return c.HasName(part) })
			if i < 0 {
				return path, rest, unknownCommand(app, path, part)
			}
			path, commands = append(path, commands[i]), commands[i].Subcommands
		}
		rest = rest[1:]
	}
	return path, rest, nil
}

// unknownCommand suggests the command that is called so elsewhere, or one of a
// similar name, at its place or anywhere: "restore" is "snapshot restore".
func unknownCommand(app *cli.App, path []*cli.Command, part string) error {
	above := invocation{path: path}.name()
	text := fmt.Sprintf("unknown command %q", strings.TrimSpace(above+" "+part))
	if w, ok := otherWordFor(part); ok {
		return &withHint{usageError("%s; did you mean %q?", text, w.command), w.hint()}
	}
	beneath, full := []string{}, map[string]string{}
	walk(app.Commands, nil, func(p []*cli.Command) {
		last, name := p[len(p)-1], invocation{path: p}.name()
		for _, n := range last.Names() {
			if _, taken := full[n]; !taken && !last.Hidden {
				full[n] = name
			}
			if len(p) == len(path)+1 && slices.Equal(p[:len(path)], path) {
				beneath, full[n] = append(beneath, n), name
			}
		}
	})
	everywhere := make([]string, 0, len(full))
	for n := range full {
		everywhere = append(everywhere, n)
	}
	slices.Sort(everywhere)
	for _, names := range [][]string{beneath, everywhere} {
		if near := environment.Nearest(part, names); near != "" {
			return usageError("%s; did you mean %q?", text, full[near])
		}
	}
	return usageError("%s", text)
}

// checkArguments compares their number with the command's ArgsUsage: words, and
// [words] that may be left out.
func checkArguments(call invocation, rest []string) error {
	command := call.path[len(call.path)-1]
	if len(command.Subcommands) > 0 {
		return usageError("%s needs one of %s after it", call.name(), listNames(command.Subcommands))
	}
	usage := strings.Fields(command.ArgsUsage)
	least, most := 0, len(usage)
	for _, word := range usage {
		if !strings.HasPrefix(word, "[") {
			least++
		}
	}
	switch {
	case len(rest) < least:
		another := ""
		if len(rest) > 0 && usage[len(rest)] == usage[len(rest)-1] {
			another = "another "
		}
		return usageError("%s needs %s%s", call.name(), another, usage[len(rest)])
	case len(rest) > most && most == 0:
		return usageError("%s takes no arguments, found %q", call.name(), rest[0])
	case len(rest) > most:
		return usageError("%s takes %s and no more, found %q", call.name(), strings.Join(usage, " "), rest[most])
	}
	return nil
}

func listNames(commands []*cli.Command) string {
	var names []string
	for _, c := range commands {
		if !c.Hidden {
			names = append(names, c.Name)
		}
	}
	return strings.Join(names, ", ")
}
