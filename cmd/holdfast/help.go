package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"
)

// describe composes what --help says of a command beneath its usage line: text,
// examples, one a line, and its exit codes.
func describe(text, examples string, codes ...exitCode) string {
	var b strings.Builder
	b.WriteString(text + "\n")
	if examples != "" {
		b.WriteString("\nExamples:\n")
		for line := range strings.SplitSeq(examples, "\n") {
			b.WriteString("  " + line + "\n")
		}
	}
	if len(codes) > 0 {
		b.WriteString("\nExit codes:\n")
		for _, m := range exitMeanings {
			if slices.Contains(codes, m.code) {
				fmt.Fprintf(&b, "  %3d  %s\n", m.code, m.meaning)
			}
		}
	}
	return b.String()
}

// writeHelp explains a command, a group of commands, or for no path the program.
func writeHelp(w io.Writer, app *cli.App, path []*cli.Command) error {
	var b strings.Builder
	name := strings.TrimSpace(app.Name + " " + invocation{path: path}.name())
	usage, description, arguments := app.Usage, app.Description, "COMMAND"
	commands, flags := app.Commands, []cli.Flag(nil)
	if len(path) > 0 {
		last := path[len(path)-1]
		usage, description, arguments = last.Usage, last.Description, last.ArgsUsage
		commands, flags = last.Subcommands, last.Flags
		if len(commands) > 0 {
			arguments = "COMMAND"
		}
	}
	fmt.Fprintf(&b, "%s: %s\n\nUsage: %s\n\n", name, usage, strings.TrimSpace(name+" [flags] "+arguments))

	text, more, _ := strings.Cut(description, "\nExamples:\n")
	b.WriteString(text)
	listCommands(&b, commands)
	listFlags(&b, "Flags", flags)
	if len(path) == 0 {
		listFlags(&b, "Flags of every command", app.Flags)
	}
	if more != "" {
		b.WriteString("\nExamples:\n" + more)
	}
	if len(path) == 0 {
		fmt.Fprintf(&b, "\nExit codes:\n")
		for _, m := range exitMeanings {
			fmt.Fprintf(&b, "  %3d  %s\n", m.code, m.meaning)
		}
		b.WriteString(variables)
	} else {
		fmt.Fprintf(&b, "\nSee also the flags of every command: %s --help\n", app.Name)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

const variables = `
Variables, which flags win over, and which win over the file:
  HOLDFAST_CONFIG         the configuration
  HOLDFAST_REPO           the repository
  HOLDFAST_PROJECT        the project
  HOLDFAST_ENVIRONMENT    the environment
  HOLDFAST_PASSWORD       the repository's password, or in HOLDFAST_PASSWORD_FILE the file that holds it
  HOLDFAST_TOKEN          a machine's token, or in HOLDFAST_TOKEN_FILE the file that holds it
`

// listCommands lists commands with their arguments, those in groups too.
func listCommands(w io.Writer, commands []*cli.Command) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if len(commands) > 0 {
		fmt.Fprint(t, "\nCommands:\n")
	}
	walk(commands, nil, func(path []*cli.Command) {
		last := path[len(path)-1]
		if slices.ContainsFunc(path, func(c *cli.Command) bool { return c.Hidden }) || len(last.Subcommands) > 0 {
			return
		}
		fmt.Fprintf(t, "  %s\t%s\n", strings.TrimSpace(invocation{path: path}.name()+" "+last.ArgsUsage), last.Usage)
	})
	t.Flush()
}

// listFlags lists flags with their short forms and the kinds of their values.
func listFlags(w io.Writer, title string, flags []cli.Flag) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if len(flags) > 0 {
		fmt.Fprintf(t, "\n%s:\n", title)
	}
	for _, f := range flags {
		documented, ok := f.(cli.DocGenerationFlag)
		if !ok {
			continue
		}
		left := "    --" + f.Names()[0]
		if short := f.Names()[1:]; len(short) > 0 {
			left = "-" + short[0] + ", --" + f.Names()[0]
		}
		if documented.TakesValue() {
			left += " " + documented.GetDefaultText()
		}
		fmt.Fprintf(t, "  %s\t%s\n", left, documented.GetUsage())
	}
	t.Flush()
}
