package main

import (
	"context"
	"io"
	"os"
	"time"

	"golang.org/x/term"

	"holdfast/internal/environment"
)

// env is what an action works with, beside its options: the configuration, the
// ways to the user, and what of the machine a test replaces.
type env struct {
	flags   globals
	stdout  io.Writer // results only; see env.result
	console *console  // stderr
	asker   asker     // nil where there is nobody to ask
	// width of the terminal that stdout is; 0 where it is none.
	width  func() int
	color  bool // the terminal and the user like it
	lookup environment.Lookup
	// schemes are those of the engines, for the configuration's check.
	schemes []string
	// pace sets up the runtime, for a gate or for anything else; nil in tests.
	pace func(gate bool)
	now  func() time.Time
	zone *time.Location // of times in tables

	config          *environment.Config // once loaded
	toldInterrupted bool                // see warnOfInterrupted
	finishes        string              // the environment whose interrupted restore the command is to finish; "" once it has tried
}

// newEnv returns the env of a process.
func newEnv(stdin, stdout, stderr *os.File) *env {
	app := &env{
		stdout:  stdout,
		console: &console{w: stderr, width: func() int { return terminalWidth(stderr) }},
		width:   func() int { return terminalWidth(stdout) },
		lookup:  os.LookupEnv,
		now:     time.Now,
		zone:    time.Local,
	}
	app.console.terminal = term.IsTerminal(int(stderr.Fd()))
	app.color = term.IsTerminal(int(stdout.Fd())) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	if term.IsTerminal(int(stdin.Fd())) {
		app.asker = terminal{}
	}
	return app
}

// terminalWidth returns the columns of the terminal that f is, or 0.
func terminalWidth(f *os.File) int {
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return width
}

// configuration returns what the file, variables and flags say, and prints its
// warnings once. With --repo it needs no file.
func (app *env) configuration() (*environment.Config, error) {
	if app.config != nil {
		return app.config, nil
	}
	directory, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	app.config, err = environment.Load(environment.Input{
		Flags:     app.flags.Flags,
		Lookup:    app.lookup,
		Directory: directory,
		Schemes:   app.schemes,
	})
	if err != nil {
		return nil, err
	}
	for _, w := range app.config.Warnings {
		app.console.warn("%s", w)
	}
	return app.config, nil
}

// warnOfRetention warns whoever takes snapshots of a policy by which nothing can be
// pruned. Without that, only the cron that prunes would notice.
func (app *env) warnOfRetention(c *environment.Config) {
	if _, _, err := c.Retention(""); err != nil {
		app.console.warn("%v\n\"snapshot prune\" deletes nothing until that is mended", err)
	}
}

// credential returns what opens the configuration's repository; it asks where
// nothing gives it and there is somebody to ask.
func (app *env) credential(ctx context.Context, c *environment.Config) (environment.Credential, error) {
	return app.warnOf(c.Credential(app.ask(ctx)))
}

// firstPassword returns the password of a repository that is to be made; where
// it must ask, it asks twice.
func (app *env) firstPassword(ctx context.Context, c *environment.Config) (environment.Credential, error) {
	return app.warnOf(c.Password(app.askTwice(ctx)))
}

// newPassword returns a further password of a repository, from a file or, for
// "", from the terminal.
func (app *env) newPassword(ctx context.Context, file string) (environment.Secret, error) {
	if file != "" {
		secret, warning, err := environment.ReadPasswordFile(file)
		if warning != "" {
			app.console.warn("%s", warning)
		}
		return secret, err
	}
	ask := app.askTwice(ctx)
	if ask == nil {
		return "", usageError("there is no terminal to ask for the new password on; expected --new-password-file")
	}
	answer, err := ask("New password: ")
	if err == nil && answer == "" {
		err = usageError("the new password was empty")
	}
	return environment.Secret(answer), err
}

func (app *env) warnOf(c environment.Credential, err error) (environment.Credential, error) {
	if c.Warning != "" {
		app.console.warn("%s", c.Warning)
	}
	return c, err
}
