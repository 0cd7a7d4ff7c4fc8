package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"holdfast/quiesce"
)

// What "gate" does.
const (
	gateServe   = ""
	gateStatus  = "status"
	gateRelease = "release"
)

// gate is the action of "gate".
func gate(ctx context.Context, app *env, o GateOptions) error {
	switch o.Action {
	case gateStatus:
		return showGate(ctx, app, o)
	case gateRelease:
		return releaseGate(ctx, app, o)
	}
	return serveGate(ctx, app, o)
}

// controlOf finds the gate that status and release are about: the one that was
// named, else the acting environment's.
func (app *env) controlOf(o GateOptions) (quiesce.Client, error) {
	if o.Control != "" {
		return quiesce.Client(o.Control), nil
	}
	config, err := app.configuration()
	if err != nil {
		return "", err
	}
	e, err := config.Select("")
	if err != nil {
		return "", err
	}
	if e.Gate.Control == "" {
		return "", usageError("the environment %s has no gate; expected --control unix:/path, or gate: in holdfast.yaml", e.Name)
	}
	return quiesce.Client(e.Gate.Control), nil
}

// recovery is the command that finishes what was interrupted behind the gate of o.
func (app *env) recovery(o GateOptions) string {
	name := "ENVIRONMENT"
	if o.Control == "" { // else any environment's
		if acting, err := app.config.Acting(); err == nil {
			name = acting
		}
	}
	return "holdfast -e " + name + " snapshot recover"
}

func showGate(ctx context.Context, app *env, o GateOptions) error {
	client, err := app.controlOf(o)
	if err != nil {
		return err
	}
	s, err := client.Status(ctx)
	if err != nil {
		return err
	}
	return app.result(s, func(w io.Writer) error {
		text := fmt.Sprintf("The gate is %s", s.State)
		if s.Holder != "" {
			text += fmt.Sprintf(", held by %s for %.1fs", printable(s.Holder), s.Held)
		}
		if s.Orphan {
			text += fmt.Sprintf(", which is gone; requests go on when \"%s\" has succeeded", app.recovery(o))
		}
		if len(s.Frozen) > 0 {
			text += fmt.Sprintf("\nFrozen: %s", printable(strings.Join(s.Frozen, ", ")))
		}
		t := s.Totals
		_, err := fmt.Fprintf(w, "%s\n%s running, %d waiting, %d passing\n"+
			"Since it was started: %s, %s, %s waited (the longest %s), %s passed, %s refused, %s hung up\n",
			text, severalAre(s.Running, "request"), s.Waiting, s.Passing, several(t.Requests, "request"), several(t.Holds, "hold"), count(uint64(t.Waited)),
			brief(s.LongestWait), count(uint64(t.Passed)), count(uint64(t.Refused)), count(uint64(t.Left)))
		return err
	})
}

func releaseGate(ctx context.Context, app *env, o GateOptions) error {
	client, err := app.controlOf(o)
	if err != nil {
		return err
	}
	before, err := client.Status(ctx)
	if err != nil {
		return err
	}
	if err := client.Force(ctx); err != nil {
		return err
	}
	if before.Mode == quiesce.Swap {
		app.console.warn("a restore was about to swap, or in the middle of it: visitors may see half of it until it has ended; if it does not end well, \"%s\" makes the environment whole, and what was written until then to what had been swapped is lost",
			app.recovery(o))
	}
	doc := struct {
		Released string `json:"released,omitempty"` // whose lease it was
	}{before.Holder}
	return app.result(doc, func(w io.Writer) error {
		text := "Nothing was held\n"
		if before.Holder != "" {
			text = fmt.Sprintf("Released what %s held\n", printable(before.Holder))
		}
		_, err := io.WriteString(w, text)
		return err
	})
}

// serveGate is the gate itself.
func serveGate(ctx context.Context, app *env, o GateOptions) error {
	if o.Upstream == "" {
		return usageError("gate needs --upstream, such as http://127.0.0.1:9000")
	}
	if o.Control == "" {
		if err := app.configured(&o); err != nil {
			return err
		}
	}
	logger := log.New(app.console, "gate: ", 0)
	keeper, err := app.keeper(o, logger)
	if err != nil {
		return err
	}
	group, err := groupNumber(o.ControlGroup)
	if err != nil {
		return err
	}
	control, unlock, err := quiesce.ListenControl(o.Control, group)
	if errors.Is(err, fs.ErrNotExist) {
		return &withHint{err, "make its directory first; beneath /run it is gone after a restart, and RuntimeDirectory= in a unit of systemd's makes it"}
	}
	if err != nil {
		return err
	}
	defer unlock()
	defer control.Close()
	listeners, err := app.listeners(o)
	if err != nil {
		return err
	}
	if err := keeper.TakeOver(); err != nil {
		return err
	}
	for _, l := range listeners {
		app.console.say("listening on %s, for %s", l.Addr(), o.Upstream)
	}
	return serve(ctx, keeper, listeners, control, group)
}

// configured completes the options from the acting environment: its control socket,
// and how to recover it.
func (app *env) configured(o *GateOptions) error {
	client, err := app.controlOf(*o)
	if err != nil {
		return err
	}
	o.Control = string(client)
	if o.Recover != "" {
		return nil
	}
	name, err := app.config.Acting()
	if err != nil {
		return err
	}
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program, to recover with: %w", err)
	}
	o.Recover = fmt.Sprintf("%s --config %s -e %s snapshot recover", quoted(program), quoted(app.config.File), name)
	return nil
}

// serve runs until ctx ends, which is how a gate is meant to end. The control socket
// is there first, for a recovery to use; leases end first, then requests, then it.
func serve(ctx context.Context, keeper *quiesce.Keeper, listeners []net.Listener, control *net.UnixListener, group int) error {
	controlling, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	all, ctx := errgroup.WithContext(ctx)
	stopped := make(chan struct{})
	all.Go(func() error {
		defer close(stopped)
		<-ctx.Done()
		keeper.Stop()
		return nil
	})
	all.Go(func() error {
		defer func() {
			<-stopped
			end()
		}()
		keeper.Start(ctx)
		return quiesce.Serve(ctx, listeners, keeper.Gate, patience)
	})
	all.Go(func() error {
		return (&quiesce.Control{Keeper: keeper, Group: group}).Serve(controlling, control)
	})
	return all.Wait()
}

// patience is how long a gate that ends waits for running requests.
const patience = time.Minute

func (app *env) keeper(o GateOptions, logger *log.Logger) (*quiesce.Keeper, error) {
	site, err := url.Parse(o.Upstream)
	if err != nil {
		return nil, usageError("--upstream %q is no URL", o.Upstream)
	}
	proxy, err := quiesce.NewProxy(site, logger)
	if err != nil {
		return nil, usageError("--upstream %q: %v", o.Upstream, err)
	}
	k := &quiesce.Keeper{
		Gate:    &quiesce.Gate{Site: proxy, Queue: o.Queue, Pass: o.Pass},
		Drain:   o.Drain,
		MaxHold: o.MaxHold,
		Freeze:  o.Freeze,
		Hooks:   quiesce.Hooks{Time: o.HookTime},
		Record:  quiesce.Record(o.Control + ".state"),
		Log:     logger,
	}
	if o.Before != "" {
		k.Hooks.Before = []string{o.Before}
	}
	if o.After != "" {
		k.Hooks.After = []string{o.After}
	}
	if o.Recover != "" {
		k.Recover = func(ctx context.Context) error { return runRecovery(ctx, o.Recover, logger) }
	}
	return k, nil
}

// runRecovery runs --recover, and writes down what it says: what became of the
// restore. Its exit code for a busy environment is ours.
func runRecovery(ctx context.Context, command string, logger *log.Logger) error {
	said, err := quiesce.RunCommand(ctx, command)
	if err == nil && said != "" {
		logger.Printf("recovery: %s", strings.ReplaceAll(said, "\n", "; "))
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() == int(exitBusy) {
		return fmt.Errorf("%w: %w", quiesce.ErrRecoveryBusy, err)
	}
	return err
}

// listeners returns the sockets that systemd hands on, and those of --listen.
func (app *env) listeners(o GateOptions) ([]net.Listener, error) {
	listeners, err := quiesce.Inherited(app.lookup)
	if err != nil {
		return nil, err
	}
	for _, address := range o.Listen {
		l, err := net.Listen("tcp", address)
		if err != nil {
			return nil, fmt.Errorf("--listen: %w", err)
		}
		listeners = append(listeners, l)
	}
	if len(listeners) == 0 {
		return nil, usageError("gate needs --listen, such as 127.0.0.1:8080, or a socket from systemd")
	}
	return listeners, nil
}

// groupNumber returns the number of a group's name; -1 for none.
func groupNumber(name string) (int, error) {
	if name == "" {
		return -1, nil
	}
	if n, err := strconv.Atoi(name); err == nil && n >= 0 {
		return n, nil
	}
	g, err := user.LookupGroup(name)
	if err != nil {
		return -1, usageError("--control-group: %s", strings.TrimPrefix(err.Error(), "group: "))
	}
	return strconv.Atoi(g.Gid)
}
