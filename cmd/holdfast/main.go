// Command holdfast takes snapshots of whole environments into an encrypted
// repository and restores them.
//
//	arguments ─> reorder ─> cli.App ─> options ─> one action ─> result on stdout
//	                 └── a mistake ─────────────────────┴────> fail: stderr, exit code
//
// What holds:
//
//  1. stdout carries the result only: text, or one JSON document under --json.
//     Chatter, progress and errors go to stderr.
//  2. The cli.App is the only list of commands and flags: reordering, help and
//     the check of arguments read it.
//  3. An action is a field of actions; it gets its options as a struct and
//     everything else through env. Only main ends the process, but for a second
//     signal.
package main

import (
	"context"
	"os"
)

func main() {
	app := newEnv(os.Stdin, os.Stdout, lasting(os.Stderr))
	app.schemes = serviceSchemes()
	app.pace = pace
	ctx, stop := interruptible(context.Background(), app.console)
	stopProfile, err := profile(os.Getenv(profileVariable))
	if err != nil {
		os.Exit(int(app.fail(ctx, err)))
	}
	code := run(ctx, app, allActions(), os.Args[1:])
	stop()
	if err := stopProfile(); err != nil && code == exitDone {
		code = app.fail(ctx, err)
	}
	os.Exit(int(code))
}

// run is the whole program but for the process around it.
func run(ctx context.Context, app *env, do actions, args []string) exitCode {
	program := newApp(app, do)
	call, err := reorder(program, args)
	app.flags.JSON = call.json
	switch {
	case err != nil:
		return app.fail(ctx, pointToHelp(err, call.name()))
	case call.help:
		return app.fail(ctx, writeHelp(app.stdout, program, call.path))
	case len(call.path) == 0:
		return app.fail(ctx, pointToHelp(usageError("no command was given"), ""))
	}
	if app.pace != nil {
		app.pace(call.name() == "gate")
	}
	return app.fail(ctx, pointToHelp(program.RunContext(ctx, call.args), call.name()))
}
