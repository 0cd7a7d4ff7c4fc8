package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain lets scripts and tests run the test binary as a program: as holdfast,
// as echo, whose actions write what they were called with, and as trial, whose
// actions try out the frame.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"holdfast": main,
		"echo":     func() { runAs(echoing()) },
		"trial":    func() { runAs(trials()) },
	})
}

// runAs is main with other actions.
func runAs(do actions) {
	app := newEnv(os.Stdin, os.Stdout, os.Stderr)
	ctx, stop := interruptible(context.Background(), app.console)
	code := run(ctx, app, do, os.Args[1:])
	stop()
	os.Exit(int(code))
}

// trials are actions that use one part of the frame each.
func trials() actions {
	return actions{
		// Create waits to be interrupted, and then, as it is described, for a while or for ever.
		Create: func(ctx context.Context, _ *env, o CreateOptions) error {
			fmt.Println("waiting")
			<-ctx.Done()
			fmt.Println("cancelled")
			switch o.Description {
			case "stubborn":
				select {}
			case "slow":
				time.Sleep(300 * time.Millisecond)
			}
			return fmt.Errorf("create: %w", ctx.Err())
		},
		// Delete asks.
		Delete: func(ctx context.Context, app *env, o DeleteOptions) error {
			if err := app.confirm(ctx, o.Yes, "Delete the snapshot "+o.Snapshot); err != nil {
				return err
			}
			return app.result("deleted", func(w io.Writer) error {
				_, err := fmt.Fprintln(w, "deleted")
				return err
			})
		},
		// KeyPassword asks for passwords and shows them.
		KeyPassword: func(ctx context.Context, app *env, o KeyPasswordOptions) error {
			config, err := app.configuration()
			if err != nil {
				return err
			}
			old, err := app.credential(ctx, config)
			if err != nil {
				return err
			}
			changed, err := app.newPassword(ctx, o.NewPasswordFile)
			fmt.Printf("old %s new %s\n", string(old.Secret), string(changed))
			return err
		},
		// Check is incomplete.
		Check: func(_ context.Context, app *env, _ CheckOptions) error {
			app.console.say("checking")
			app.console.warn("something is odd")
			return fmt.Errorf("the snapshot 2ca4d9 is %w: uploads/a.jpg: permission denied", errIncomplete)
		},
		// Stats selects an environment.
		Stats: func(_ context.Context, app *env, _ StatsOptions) error {
			config, err := app.configuration()
			if err != nil {
				return err
			}
			e, err := config.Select("")
			fmt.Println(config.Project, config.Repository, e.Name)
			return err
		},
	}
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("TZ", "UTC")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits},
	})
}

// exits runs a command and compares its exit code: exits 2 holdfast snapshot
func exits(ts *testscript.TestScript, negated bool, args []string) {
	want, err := strconv.Atoi(args[0])
	if err != nil || negated || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND [ARGUMENT...]")
	}
	code := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		exit, ok := errors.AsType[*exec.ExitError](err)
		if !ok {
			ts.Fatalf("%v", err)
		}
		code = exit.ExitCode()
	}
	if code != want {
		ts.Fatalf("exit code %d, want %d", code, want)
	}
}

// hangUp lets what is started from here be ended by SIGHUP, also where the tests run beneath
// nohup, which their processes would inherit.
func hangUp(t *testing.T) {
	caught := make(chan os.Signal, 1)
	signal.Notify(caught, syscall.SIGHUP)
	t.Cleanup(func() { signal.Stop(caught) })
}

func TestSignals(t *testing.T) {
	hangUp(t)
	for _, test := range []struct {
		name    string
		args    []string
		signals []os.Signal
		stderr  string
	}{
		{"SIGINT", nil, []os.Signal{syscall.SIGINT},
			"interrupted; cleaning up (once more ends it at once)\nholdfast: interrupted\n"},
		{"SIGTERM, quiet", []string{"--quiet"}, []os.Signal{syscall.SIGTERM}, "holdfast: interrupted\n"},
		{"a second one", []string{"--description", "stubborn"}, []os.Signal{syscall.SIGTERM, syscall.SIGINT},
			"interrupted; cleaning up (once more ends it at once)\n"},
		{"a terminal that goes", []string{"--description", "slow"}, []os.Signal{syscall.SIGHUP, syscall.SIGHUP},
			"interrupted; cleaning up (once more ends it at once)\nholdfast: interrupted\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			cmd := exec.Command("trial", append([]string{"snapshot", "create"}, test.args...)...)
			var stderr strings.Builder
			cmd.Stderr = &stderr
			stdout, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewScanner(stdout)
			for i, s := range test.signals {
				lines.Scan()
				if want := []string{"waiting", "cancelled"}[i]; lines.Text() != want {
					t.Errorf("says %q, want %q", lines.Text(), want)
				}
				if err := cmd.Process.Signal(s); err != nil {
					t.Fatal(err)
				}
			}
			for lines.Scan() { // to the end, before Wait closes the pipe
			}
			_ = cmd.Wait() // the exit code says it all
			if cmd.ProcessState.ExitCode() != int(exitInterrupted) || stderr.String() != test.stderr {
				t.Errorf("%v\n%s", cmd.ProcessState, stderr.String())
			}
		})
	}
}
