package main

import (
	"fmt"

	"github.com/urfave/cli/v2"
)

// The commands about snapshots: names, flags and what --help says of them.

func snapshotCommand(app *env, do actions) *cli.Command {
	return &cli.Command{
		Name:    "snapshot",
		Aliases: []string{"backup"},
		Usage:   "take, look into, restore and delete snapshots",
		Description: describe(`A snapshot is an environment's databases and directories at one instant. Its name
is 20 hex digits; the first six are enough where no other begins with them, and
"latest" is the environment's newest that no restore has made.`, ""),
		Subcommands: []*cli.Command{
			snapshotCreateCommand(app, do),
			snapshotListCommand(app, do),
			snapshotShowCommand(app, do),
			snapshotLsCommand(app, do),
			snapshotCatCommand(app, do),
			snapshotDiffCommand(app, do),
			snapshotFindCommand(app, do),
			snapshotRestoreCommand(app, do),
			snapshotRecoverCommand(app, do),
			snapshotDeleteCommand(app, do),
			snapshotUndeleteCommand(app, do),
			snapshotPruneCommand(app, do),
			snapshotPinCommand(app, do),
			snapshotUnpinCommand(app, do),
		},
	}
}

func snapshotCreateCommand(app *env, do actions) *cli.Command {
	return &cli.Command{
		Name:  "create",
		Usage: "take a snapshot of an environment",
		Description: describe(`Takes a snapshot of all services and mounts of the environment and prints its
name, in one line: "Snapshot name: 2ca4d90639f706283fee". It never asks.

What is unchanged since the snapshot before is not read again where that can be
known, and never stored twice. A file that cannot be read is named, and the exit
code is 3; a database that cannot be read fails the snapshot, and nothing is
published.

Where holdfast.yaml names a gate, it holds the site's requests for the moment in
which all parts are marked: the snapshot is then one instant of the whole site.`,
			`holdfast snapshot create
holdfast snapshot create -e master --description "before the upgrade"
holdfast snapshot create --dry-run
holdfast snapshot create --on-timeout live
holdfast --quiet snapshot create || mail -s "no snapshot" me@example.org </dev/null`,
			exitDone, exitFailed, exitUsage, exitIncomplete, exitNoRepository, exitBusy, exitWrongPassword, exitInterrupted),
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "live", Usage: "do not hold requests: the parts may differ by moments"},
			text("on-timeout", "when requests are held too long: fail, or go on as with --live", "fail|live"),
			text("description", "what the snapshot is for", "TEXT"),
			&cli.BoolFlag{Name: "dry-run", Usage: "check everything; say what would be saved, how consistent, and what is missing"},
			&cli.BoolFlag{Name: "yes", Usage: "accepted and not needed: create never asks"},
			endsWhereBusy(),
		},
		Action: perform(app, do.Create, createOptions),
	}
}

// waitsForNobody is known from other systems, whose commands wait for their turn and
// for somebody else's end. Here no operation waits for another one; those that hold
// an environment end where it is held.
func waitsForNobody(instead string) cli.Flag {
	return &cli.BoolFlag{Name: "no-wait", Aliases: []string{"W"}, Usage: "accepted and not needed: " + instead}
}

func endsWhereBusy() cli.Flag {
	return waitsForNobody(fmt.Sprintf("where another operation is running it ends at once, code %d", exitBusy))
}

func snapshotListCommand(app *env, do actions) *cli.Command {
	return &cli.Command{
		Name:  "list",
		Usage: "list the environment's snapshots",
		Description: describe(`Lists snapshots, newest first, running ones with how far they are. Safety snapshots,
which restores make of what they replace, are only counted. An empty list is no error.`,
			`holdfast snapshots
holdfast snapshot list -e staging
holdfast snapshot list --all --json
holdfast snapshot list --deleted`,
			exitDone, exitFailed, exitUsage, exitNoRepository, exitWrongPassword),
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "all", Usage: "all projects and environments in the repository"},
			&cli.BoolFlag{Name: "deleted", Usage: "deleted ones that undelete can bring back"},
			&cli.BoolFlag{Name: "safety", Usage: "safety snapshots too"},
		},
		Action: perform(app, do.List, func(c *cli.Context) (ListOptions, error) {
			return ListOptions{All: c.Bool("all"), Deleted: c.Bool("deleted"), Safety: c.Bool("safety")}, nil
		}),
	}
}

func snapshotShowCommand(app *env, do actions) *cli.Command {
	return &cli.Command{
		Name:      "show",
		Usage:     "show all that is known about a snapshot",
		ArgsUsage: "ID",
		Description: describe(`Shows when and how the snapshot was taken, what each service and mount holds, how
consistent it is, what is missing, and the environment's definition at the time,
without its secrets.`,
			`holdfast snapshot show latest
holdfast snapshot show 2ca4d9 --json`,
			exitDone, exitFailed, exitUsage, exitNoRepository, exitWrongPassword),
		Action: perform(app, do.Show, func(c *cli.Context) (o ShowOptions, err error) {
			o.Snapshot, err = snapshotArgument(c, 0)
			return o, err
		}),
	}
}

func snapshotLsCommand(app *env, do actions) *cli.Command {
	return &cli.Command{
		Name:      "ls",
		Usage:     "list what is in a snapshot",
		ArgsUsage: "ID [PATH]",
		Description: describe(`Lists the snapshot's services and mounts, or what is in one directory of it.`,
			`holdfast snapshot ls latest
holdfast snapshot ls 2ca4d9 uploads/2026
holdfast snapshot ls 2ca4d9 uploads --recursive`,
			exitDone, exitFailed, exitUsage, exitNoRepository, exitWrongPassword),
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "recursive", Usage: "and all that is beneath"},
		},
		Action: perform(app, do.Ls, lsOptions),
	}
}

func snapshotCatCommand(app *env, do actions) *cli.Command {
	return &cli.Command{
		Name:      "cat",
		Usage:     "write one file of a snapshot to stdout",
		ArgsUsage: "ID PATH",
		Description: describe(`Writes the bytes of one file, each verified before it is written.`,
			`holdfast snapshot cat latest uploads/2026/logo.png >logo.png`,
			exitDone, exitFailed, exitUsage, exitNoRepository, exitWrongPassword),
		Action: perform(app, do.Cat, catOptions),
	}
}

func snapshotDiffCommand(app *env, do actions) *cli.Command {
	return &cli.Command{
		Name:      "diff",
		Usage:     "list what differs between two snapshots",
		ArgsUsage: "ID ID",
		Description: describe(`Lists what was added (+), removed (-) and changed (M) from the first snapshot to
the second, and what only has other attributes, such as its time or owner (a).
Equal parts are not read, however large they are.`,
			`holdfast snapshot diff 2ca4d9 latest`,
			exitDone, exitFailed, exitUsage, exitNoRepository, exitWrongPassword),
		Action: perform(app, do.Diff, diffOptions),
	}
}

func snapshotFindCommand(app *env, do actions) *cli.Command {
	return &cli.Command{
		Name:      "find",
		Usage:     "find files in the environment's snapshots",
		ArgsUsage: "PATTERN",
		Description: describe(`Lists the snapshots that hold files of that name, newest first, when they were taken
and where the files are, with size and time. * and ?
stand for any characters; a pattern with a / is compared with the whole path.
Put it in quotes, or the shell expands it.`,
			`holdfast snapshot find logo.png
holdfast snapshot find 'uploads/2026/*.pdf'`,
			exitDone, exitFailed, exitUsage, exitNoRepository, exitWrongPassword),
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "all", Usage: "in all projects and environments of the repository"},
		},
		Action: perform(app, do.Find, func(c *cli.Context) (FindOptions, error) {
			return findOptions(c.Args().First(), c.Bool("all"))
		}),
	}
}

func snapshotRestoreCommand(app *env, do actions) *cli.Command {
	return &cli.Command{
		Name:      "restore",
		Usage:     "put a snapshot into an environment or a directory",
		ArgsUsage: "[ID]",
		Description: describe(`Replaces the environment's data by the snapshot's; where no ID is given by the newest
that no restore has made. It says what it will replace and asks first; --yes answers.

Everything is built and verified beside the current data, then swapped. After a
failure or a crash the environment is as it was, or as restored, once "snapshot recover"
or any command that changes it has run. The data that was replaced becomes a safety snapshot, and the line
that undoes the restore is printed.

Where holdfast.yaml names a gate, it holds the site's requests while the data is
swapped. --live restores without it, such as where the gate is down: visitors may then
see a mixture of old and new data for as long as the swap takes.

With --to nothing is replaced: the snapshot's files and dumps are written into a
directory, new or empty, for which neither a configuration nor the services are
needed. What is in it appears when all is complete, and nothing after a failure.`,
			`holdfast snapshot restore
holdfast snapshot restore 2ca4d9 --target staging
holdfast snapshot restore 2ca4d9 --only database,settings
holdfast snapshot restore 2ca4d9 --path uploads/2026 --dry-run
holdfast snapshot restore 2ca4d9 --to /tmp/old
holdfast snapshot restore 2ca4d9 --path uploads/2026/logo.png --to /tmp/old`,
			exitDone, exitFailed, exitUsage, exitIncomplete, exitNoRepository, exitBusy, exitWrongPassword, exitInterrupted),
		Flags: []cli.Flag{
			text("target", "restore into this environment instead of the acting one", "ENVIRONMENT"),
			text("to", "write into this directory instead of an environment", "DIR"),
			&cli.StringSliceFlag{Name: "only", Usage: "only this service or mount; may be repeated", DefaultText: "NAME"},
			text("path", "only what is beneath this path, as \"snapshot ls\" shows it; with --only it counts from there", "PATH"),
			&cli.BoolFlag{Name: "live", Usage: "do not hold requests: visitors may see a mixture while data is swapped"},
			&cli.BoolFlag{Name: "dry-run", Usage: "check everything and say what would be replaced"},
			&cli.BoolFlag{Name: "yes", Usage: "do not ask"},
			endsWhereBusy(),
			&cli.BoolFlag{Name: "no-safety-snapshot", Usage: "do not keep what is replaced: the restore cannot be undone"},
		},
		Action: perform(app, do.Restore, restoreOptions),
	}
}

func snapshotRecoverCommand(app *env, do actions) *cli.Command {
	return &cli.Command{
		Name:  "recover",
		Usage: "finish a restore that was interrupted",
		Description: describe(`Brings the environment to where it was before an interrupted restore or, if all was in
place already, after it, and tells its gate that requests may go on. Where nothing was
interrupted it changes nothing. Commands that change the environment do so first; a gate
runs this one by itself: holdfast gate --recover.`,
			`holdfast snapshot recover -e master`,
			exitDone, exitFailed, exitUsage, exitNoRepository, exitBusy, exitWrongPassword, exitInterrupted),
		Action: perform(app, do.Recover, nothing[RecoverOptions]),
	}
}

func snapshotDeleteCommand(app *env, do actions) *cli.Command {
	return &cli.Command{
		Name:      "delete",
		Usage:     "delete a snapshot",
		ArgsUsage: "ID",
		Description: describe(`Takes the snapshot out of the list. "snapshot undelete" brings it back until a "repo gc",
by default one a day later, purges it. A pinned snapshot is refused.`,
			`holdfast snapshot delete 2ca4d9
holdfast snapshot delete 2ca4d90639f706283fee --yes`,
			exitDone, exitFailed, exitUsage, exitNoRepository, exitWrongPassword),
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "yes", Usage: "do not ask"},
			waitsForNobody("it waits for no other operation"),
		},
		Action: perform(app, do.Delete, func(c *cli.Context) (o DeleteOptions, err error) {
			o.Yes = c.Bool("yes")
			o.Snapshot, err = namedSnapshot(c.Args().First(), "")
			return o, err
		}),
	}
}

func snapshotUndeleteCommand(app *env, do actions) *cli.Command {
	return &cli.Command{
		Name:      "undelete",
		Usage:     "bring a deleted snapshot back",
		ArgsUsage: "ID",
		Description: describe(`Brings back a snapshot that "snapshot list --deleted" shows.`,
			`holdfast snapshot undelete 2ca4d9`,
			exitDone, exitFailed, exitUsage, exitNoRepository, exitWrongPassword),
		Action: perform(app, do.Undelete, func(c *cli.Context) (o UndeleteOptions, err error) {
			o.Snapshot, err = namedSnapshot(c.Args().First(), "")
			return o, err
		}),
	}
}

func snapshotPruneCommand(app *env, do actions) *cli.Command {
	return &cli.Command{
		Name:  "prune",
		Usage: "delete the snapshots that the retention policy no longer keeps",
		Description: describe(`Judges the environment's snapshots by "retention" in holdfast.yaml, says of each why
it is kept or goes, and deletes what goes. As with "snapshot delete", one that is
gone can be brought back until a "repo gc", by default one a day later, purges it.

Without a policy of your own everything is kept for a week, one a week to six
weeks, one per two weeks to twelve, and one a month to twenty-two. Nothing younger
than "min" (7 days) goes, by no rule; the newest stays up to "max", unless "last: 0"
is written; nothing older than "max" (6 months) stays, unless it is pinned.`,
			`holdfast snapshot prune --dry-run
holdfast snapshot prune -e master --yes
holdfast snapshot prune --all --yes --quiet`,
			exitDone, exitFailed, exitUsage, exitNoRepository, exitWrongPassword),
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "all", Usage: "all projects and environments in the repository"},
			&cli.BoolFlag{Name: "dry-run", Usage: "say what would go and why"},
			&cli.BoolFlag{Name: "yes", Usage: "do not ask"},
			waitsForNobody("it waits for no other operation"),
		},
		Action: perform(app, do.Prune, func(c *cli.Context) (PruneOptions, error) {
			return PruneOptions{All: c.Bool("all"), DryRun: c.Bool("dry-run"), Yes: c.Bool("yes")}, nil
		}),
	}
}

func snapshotPinCommand(app *env, do actions) *cli.Command {
	return &cli.Command{
		Name:      "pin",
		Usage:     "keep a snapshot for good",
		ArgsUsage: "ID",
		Description: describe(`A pinned snapshot cannot be deleted until it is unpinned.`,
			`holdfast snapshot pin latest`,
			exitDone, exitFailed, exitUsage, exitNoRepository, exitWrongPassword),
		Action: perform(app, do.Pin, func(c *cli.Context) (o PinOptions, err error) {
			o.Snapshot, err = snapshotArgument(c, 0)
			return o, err
		}),
	}
}

func snapshotUnpinCommand(app *env, do actions) *cli.Command {
	return &cli.Command{
		Name:      "unpin",
		Usage:     "keep a snapshot no longer for good",
		ArgsUsage: "ID",
		Description: describe(`Takes back "snapshot pin".`,
			`holdfast snapshot unpin 2ca4d9`,
			exitDone, exitFailed, exitUsage, exitNoRepository, exitWrongPassword),
		Action: perform(app, do.Unpin, func(c *cli.Context) (o UnpinOptions, err error) {
			o.Snapshot, err = snapshotArgument(c, 0)
			return o, err
		}),
	}
}
