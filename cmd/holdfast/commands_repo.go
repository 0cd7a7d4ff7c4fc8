package main

import "github.com/urfave/cli/v2"

// The commands about the repository and the program: names, flags and what
// --help says of them.

func initCommand(app *env, do actions) *cli.Command {
	return &cli.Command{
		Name:  "init",
		Usage: "write a configuration to begin with, then make the repository",
		Description: describe(`Where there is no holdfast.yaml, writes one with comments into the current directory
and stops: edit it, and run init again. Where there is one, makes the repository
that it names and its first key, from a new password.

Who loses all passwords and tokens of a repository has lost all that is in it:
nobody can open it then. "holdfast repo key add" makes a second one.`,
			`holdfast init
HOLDFAST_PASSWORD_FILE=/etc/holdfast/shop.password holdfast init
holdfast --repo /mnt/disk/shop init`,
			exitDone, exitFailed, exitUsage, exitInterrupted),
		Flags: []cli.Flag{
			text("label", "a name for the first key, for people; else user and host", "TEXT"),
		},
		Action: perform(app, do.Init, func(c *cli.Context) (InitOptions, error) {
			return InitOptions{Label: c.String("label")}, nil
		}),
	}
}

func repoCommand(app *env, do actions) *cli.Command {
	return &cli.Command{
		Name:        "repo",
		Usage:       "look after the repository and its keys",
		Description: describe(`The repository holds the snapshots of one or more projects. "holdfast init" makes it.`, ""),
		Subcommands: []*cli.Command{
			repoStatsCommand(app, do),
			repoCheckCommand(app, do),
			repoRepairCommand(app, do),
			repoCollectCommand(app, do),
			repoRebuildIndexCommand(app, do),
			repoParityCommand(app, do),
			repoKeyCommand(app, do),
		},
	}
}

func repoStatsCommand(app *env, do actions) *cli.Command {
	return &cli.Command{
		Name:  "stats",
		Usage: "show how much the repository holds",
		Description: describe(`Shows the number of snapshots, what they hold and what it takes to store them.`,
			`holdfast repo stats
holdfast repo stats --json`,
			exitDone, exitFailed, exitUsage, exitNoRepository, exitWrongPassword),
		Action: perform(app, do.Stats, nothing[StatsOptions]),
	}
}

func repoCheckCommand(app *env, do actions) *cli.Command {
	return &cli.Command{
		Name:  "check",
		Usage: "look for damage",
		Description: describe(`Checks that all that the snapshots need is there, and names every problem with the
object, the snapshots that it hurts and what to do next; the exit code is 1 then. It
changes nothing. Reading everything can be interrupted, and goes on there the next
time; a part in percent follows upon the part of the run before.`,
			`holdfast repo check
holdfast repo check --read-data --read-rate 50MB
holdfast repo check --read-data-subset 5%
holdfast repo check --verify-restore latest`,
			exitDone, exitFailed, exitUsage, exitNoRepository, exitWrongPassword, exitInterrupted),
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "read-data", Usage: "and read and verify every byte"},
			text("read-data-subset", "and read and verify a part: the next 5%, or the third of twenty, 3/20", "PART"),
			text("read-rate", "read at most so many bytes per second", "SIZE"),
			text("verify-restore", "restore this snapshot into a scratch directory, compare all of it, and remove that", "ID"),
			text("scratch", "where that directory is made; else where temporary files are", "DIR"),
		},
		Action: perform(app, do.Check, checkOptions),
	}
}

func repoRepairCommand(app *env, do actions) *cli.Command {
	return &cli.Command{
		Name:  "repair",
		Usage: "mend what can be mended, and record what is lost",
		Description: describe(`Reads every pack, saves what can be read of damaged ones, makes the index anew, and
records beside each snapshot what it has lost: from then on the rest of it can be
restored, and the next snapshot stores anew what is still there to be saved. What
could not be mended, and files that are none of the repository's, are put beneath
aside/. The exit code is 3 where something is lost.`,
			`holdfast repo repair --dry-run
holdfast repo repair`,
			exitDone, exitFailed, exitUsage, exitIncomplete, exitNoRepository, exitWrongPassword, exitInterrupted),
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "dry-run", Usage: "only say what would be done and what is lost"},
			&cli.BoolFlag{Name: "structure", Usage: "do not read the packs: find only what is missing or has another length"},
			&cli.BoolFlag{Name: "give-up-snapshots", Usage: "set aside the snapshots that cannot be read at all, instead of only naming them"},
		},
		Action: perform(app, do.Repair, func(c *cli.Context) (RepairOptions, error) {
			return RepairOptions{DryRun: c.Bool("dry-run"), Structure: c.Bool("structure"), GiveUp: c.Bool("give-up-snapshots")}, nil
		}),
	}
}

func repoCollectCommand(app *env, do actions) *cli.Command {
	return &cli.Command{
		Name:  "gc",
		Usage: "give the space of deleted snapshots back",
		Description: describe(`Purges snapshots whose deletion is older than the grace period, condemns what nobody
needs any more, and deletes what an earlier run has condemned, once that is older than
the grace period too. Others go on working meanwhile; two runs at once do no harm.
Packs of which only a part is needed, and small ones, are put together anew.
Run it from cron, once a day. It can be interrupted at any time.

When the disk is full: "snapshot delete" or "snapshot prune", then "repo gc --grace 0".
Both have room set aside.`,
			`holdfast repo gc --dry-run
holdfast repo gc
holdfast repo gc --grace 0 --wait 10m`,
			exitDone, exitFailed, exitUsage, exitNoRepository, exitBusy, exitWrongPassword, exitInterrupted),
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "dry-run", Usage: "only say what would be freed and condemned; writes nothing"},
			&cli.StringFlag{Name: "grace", Value: "24h", DefaultText: "AGE", Usage: "how long deleted snapshots, and then their data, are kept; 0 frees at once (24h)"},
			text("max-repack", "copy no more than that out of packs that are needed in part; else what pays", "SIZE"),
			&cli.StringFlag{Name: "wait", Value: "1m", DefaultText: "TIME", Usage: "how long to wait for others who have begun before something was condemned (1m)"},
			&cli.StringFlag{Name: "settle", Value: "0", DefaultText: "TIME", Usage: "how long others may not see what is created: 150s on NFS and SMB (0)"},
			&cli.StringFlag{Name: "base-retention", Value: "14d", DefaultText: "AGE", Usage: "how often what only lives on as the base of a difference is erased; 0: never (14d)"},
			&cli.BoolFlag{Name: "erase", Usage: "erase that now, and leave nothing of purged snapshots in any pack"},
			&cli.BoolFlag{Name: "accept-loss", Usage: "go on although snapshots have vanished that nobody deleted"},
			waitsForNobody("it waits for no other operation, but as --wait says"),
		},
		Action: perform(app, do.Collect, collectOptions),
	}
}

func repoRebuildIndexCommand(app *env, do actions) *cli.Command {
	return &cli.Command{
		Name:  "rebuild-index",
		Usage: "make the index anew from the data",
		Description: describe(`Reads what every pack holds and writes a new index. Needed only where "repo check"
says so.`,
			`holdfast repo rebuild-index`,
			exitDone, exitFailed, exitUsage, exitNoRepository, exitWrongPassword, exitInterrupted),
		Action: perform(app, do.RebuildIndex, nothing[RebuildIndexOptions]),
	}
}

func repoParityCommand(app *env, do actions) *cli.Command {
	return &cli.Command{
		Name:  "parity",
		Usage: "keep what mends damaged objects",
		Description: describe(`Parity is computed from what is stored, data and records alike, and takes some percent
of its space. From it "repo repair" computes again what a disk has damaged or lost, as
long as that is not more than there is parity. It is no copy of the repository: keep
one elsewhere all the same.`, ""),
		Subcommands: []*cli.Command{
			{
				Name:  "on",
				Usage: "compute parity of what is there, and from now on of what comes",
				Description: describe(`Reads all that is stored and not covered yet, and stores parity of it. Each snapshot
covers what it has stored. Can be switched on at any time, and run again
with another strength.`,
					`holdfast repo parity on
holdfast repo parity on --percent 10`,
					exitDone, exitFailed, exitUsage, exitNoRepository, exitWrongPassword, exitInterrupted),
				Flags: []cli.Flag{
					&cli.IntFlag{Name: "percent", Usage: "how much, of what is stored (5)", Value: 5, DefaultText: "N"},
				},
				Action: perform(app, do.ParityOn, parityOnOptions),
			},
			{
				Name:        "off",
				Usage:       "remove all parity",
				Description: describe(`Removes all parity, and computes none from now on.`, `holdfast repo parity off`, exitDone, exitFailed, exitUsage, exitNoRepository, exitWrongPassword),
				Action:      perform(app, do.ParityOff, nothing[ParityOffOptions]),
			},
			{
				Name:        "status",
				Usage:       "show how much parity there is, and what it covers",
				Description: describe(`Shows how much there is, of how many objects, and what is not covered yet.`, `holdfast repo parity status`, exitDone, exitFailed, exitUsage, exitNoRepository, exitWrongPassword),
				Action:      perform(app, do.ParityStatus, nothing[ParityStatusOptions]),
			},
		},
	}
}

func repoKeyCommand(app *env, do actions) *cli.Command {
	return &cli.Command{
		Name:  "key",
		Usage: "add, list, change and remove passwords and tokens",
		Description: describe(`Each password or token is a key slot; any one of them opens the whole repository.
Without the last one nobody can.`, ""),
		Subcommands: []*cli.Command{
			repoKeyAddCommand(app, do),
			repoKeyListCommand(app, do),
			repoKeyRemoveCommand(app, do),
			repoKeyPasswordCommand(app, do),
			repoKeyRotateCommand(app, do),
		},
	}
}

func repoKeyAddCommand(app *env, do actions) *cli.Command {
	return &cli.Command{
		Name:  "add",
		Usage: "add a password, or a token for a machine",
		Description: describe(`Asks for a new password, twice. With --token it makes a token for HOLDFAST_TOKEN and
prints it, once: it is not kept anywhere.`,
			`holdfast repo key add --label "the safe"
holdfast repo key add --token --label web1 >/etc/holdfast/token`,
			exitDone, exitFailed, exitUsage, exitNoRepository, exitWrongPassword),
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "token", Usage: "make a token and print it"},
			text("label", "a name for the key, for people; else user and host", "TEXT"),
			text("new-password-file", "a file that holds the new password", "FILE"),
		},
		Action: perform(app, do.KeyAdd, keyAddOptions),
	}
}

func repoKeyListCommand(app *env, do actions) *cli.Command {
	return &cli.Command{
		Name:  "list",
		Usage: "list the key slots",
		Description: describe(`Lists the slots with their labels, marks the one that is in use now, and those that
were written before the keys were rotated.`,
			`holdfast repo key list`,
			exitDone, exitFailed, exitUsage, exitNoRepository, exitWrongPassword),
		Action: perform(app, do.KeyList, nothing[KeyListOptions]),
	}
}

func repoKeyRemoveCommand(app *env, do actions) *cli.Command {
	return &cli.Command{
		Name:      "remove",
		Usage:     "remove a key slot",
		ArgsUsage: "SLOT",
		Description: describe(`After that its password or token opens the repository no longer. Who had it may have
kept what it opened, and goes on reading what was written so far; "repo key rotate"
protects what is written from then on, and only a new repository protects all. The
last slot is refused, and so is the one in use: remove it with what is to stay.`,
			`holdfast repo key remove 5f3a91`,
			exitDone, exitFailed, exitUsage, exitNoRepository, exitWrongPassword),
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "yes", Usage: "do not ask"},
		},
		Action: perform(app, do.KeyRemove, keyRemoveOptions),
	}
}

func repoKeyPasswordCommand(app *env, do actions) *cli.Command {
	return &cli.Command{
		Name:  "password",
		Usage: "change the password in use",
		Description: describe(`Replaces the slot of the password that opened the repository by one for a new
password, which it asks for, twice.`,
			`holdfast repo key password
holdfast repo key password --new-password-file /etc/holdfast/new`,
			exitDone, exitFailed, exitUsage, exitNoRepository, exitWrongPassword),
		Flags: []cli.Flag{
			text("new-password-file", "a file that holds the new password", "FILE"),
		},
		Action: perform(app, do.KeyPassword, func(c *cli.Context) (KeyPasswordOptions, error) {
			return KeyPasswordOptions{NewPasswordFile: c.String("new-password-file")}, nil
		}),
	}
}

func repoKeyRotateCommand(app *env, do actions) *cli.Command {
	return &cli.Command{
		Name:  "rotate",
		Usage: "seal what is written from now on under new keys",
		Description: describe(`Draws new sealing keys. Nothing is rewritten: what was written before stays readable for
whoever could read it, what is written from now on only for slots that know the new
keys. That is the slot in use; all others, passwords and tokens, have to be added
anew and removed.`,
			`holdfast repo key rotate
holdfast repo key list`,
			exitDone, exitFailed, exitUsage, exitNoRepository, exitWrongPassword),
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "yes", Usage: "do not ask"},
		},
		Action: perform(app, do.KeyRotate, func(c *cli.Context) (KeyRotateOptions, error) {
			return KeyRotateOptions{Yes: c.Bool("yes")}, nil
		}),
	}
}

func versionCommand(app *env, do actions) *cli.Command {
	return &cli.Command{
		Name:        "version",
		Usage:       "say which version this is",
		Description: describe(`Says which version this is and what it was built with.`, `holdfast version --json`, exitDone),
		Action:      perform(app, do.Version, nothing[VersionOptions]),
	}
}
