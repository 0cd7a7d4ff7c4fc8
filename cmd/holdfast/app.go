package main

import (
	"github.com/urfave/cli/v2"

	"holdfast/internal/environment"
)

const description = `Holdfast takes snapshots of a whole running environment, its databases and
directories, into an encrypted repository that stores only what changed, and
restores any of them into any environment.

It reads holdfast.yaml in the current directory or the nearest one above it.
Flags may stand anywhere. "snapshot:create" and "backup create" are "snapshot
create"; "snapshots" is "snapshot list".`

const examples = `holdfast init                                      write a holdfast.yaml; then make the repository
holdfast snapshot create                           take a snapshot
holdfast snapshots                                 list them
holdfast snapshot restore                          go back to the newest
holdfast snapshot restore 2ca4d9 --target staging  put one into another environment
holdfast snapshot restore 2ca4d9 --only uploads --path 2026/logo.png --to /tmp/old
                                                   get a single file back, beside the current one
HOLDFAST_PASSWORD_FILE=/root/pw holdfast --repo /mnt/shop snapshot list --all
                                                   after a total loss, without a configuration`

// newApp returns the definition of the whole command line. It is used once.
func newApp(app *env, do actions) *cli.App {
	program := &cli.App{
		Name:        "holdfast",
		Usage:       "snapshots of whole environments",
		Description: describe(description, examples),
		Flags:       globalFlags(),
		Commands: []*cli.Command{
			initCommand(app, do),
			snapshotCommand(app, do),
			repoCommand(app, do),
			gateCommand(app, do),
			versionCommand(app, do),
			hidden(snapshotListCommand(app, do), "snapshots", "backups"),
			{
				Name:   "environment",
				Hidden: true,
				Usage:  "other names for snapshot create and snapshot restore",
				Subcommands: []*cli.Command{
					hidden(snapshotCreateCommand(app, do), "backup"),
					hidden(snapshotRestoreCommand(app, do), "restore"),
				},
			},
		},
		HideHelp:       true, // help is reorder's and writeHelp's work
		HideVersion:    true,
		Writer:         app.stdout,
		ErrWriter:      app.console,
		ExitErrHandler: func(*cli.Context, error) {}, // only main ends the process
		OnUsageError:   onUsageError,
		Before: func(c *cli.Context) error {
			app.flags = readGlobals(c)
			app.console.setQuiet(app.flags.Quiet)
			return nil
		},
	}
	walk(program.Commands, nil, func(path []*cli.Command) {
		last := path[len(path)-1]
		last.HideHelp = true
		last.OnUsageError = onUsageError
	})
	return program
}

// hidden returns c under other names, which help does not list.
func hidden(c *cli.Command, name string, aliases ...string) *cli.Command {
	c.Name, c.Aliases, c.Hidden = name, aliases, true
	return c
}

func onUsageError(_ *cli.Context, err error, _ bool) error { return usageError("%s", err) }

func globalFlags() []cli.Flag {
	return []cli.Flag{
		text("environment", "the environment to act on; needed where there are several", "NAME", "e"),
		text("project", "the project, instead of the configuration's", "NAME", "p"),
		text("config", "the configuration, instead of a holdfast.yaml here or above", "FILE"),
		text("repo", "the repository, instead of the configuration's", "PATH"),
		text("password-file", "a file that holds the repository's password", "FILE"),
		&cli.BoolFlag{Name: "json", Usage: "write the result as one JSON document"},
		&cli.BoolFlag{Name: "quiet", Usage: "no progress and no remarks; results, warnings and errors remain"},
		&cli.BoolFlag{Name: "no-color", Usage: "no colours; NO_COLOR does the same"},
		&cli.BoolFlag{Name: "version", Usage: "say which version this is"},
		&cli.BoolFlag{Name: "help", Aliases: []string{"h"}, Usage: "explain the command"},
	}
}

// text returns a flag that takes a value, which must not be empty: an unset
// variable in a script must not turn --target "$TARGET" into no --target.
func text(name, usage, placeholder string, aliases ...string) cli.Flag {
	return &cli.StringFlag{
		Name: name, Aliases: aliases, Usage: usage, DefaultText: placeholder,
		Action: func(_ *cli.Context, value string) error {
			if value == "" {
				return usageError("--%s needs a value, found none", name)
			}
			return nil
		},
	}
}

// globals are the values of the global flags.
type globals struct {
	environment.Flags
	JSON    bool
	Quiet   bool
	NoColor bool
}

func readGlobals(c *cli.Context) globals {
	return globals{
		Flags: environment.Flags{
			Config:       c.String("config"),
			Repository:   c.String("repo"),
			PasswordFile: c.String("password-file"),
			Project:      c.String("project"),
			Environment:  c.String("environment"),
		},
		JSON:    c.Bool("json"),
		Quiet:   c.Bool("quiet"),
		NoColor: c.Bool("no-color"),
	}
}
