package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"holdfast/internal/activity"
	"holdfast/internal/environment"
	"holdfast/internal/seal"
	"holdfast/internal/snapshot"
	"holdfast/internal/storage"
	"holdfast/quiesce"
	"holdfast/repo"
	"holdfast/repo/gc"
)

// exitCode tells a script how a command ended.
type exitCode int

const (
	exitDone          exitCode = 0
	exitFailed        exitCode = 1
	exitUsage         exitCode = 2
	exitIncomplete    exitCode = 3
	exitNoRepository  exitCode = 10
	exitBusy          exitCode = 11
	exitWrongPassword exitCode = 12
	exitInterrupted   exitCode = 130
)

// exitMeanings is what --help says of them, in order.
var exitMeanings = []struct {
	code    exitCode
	meaning string
}{
	{exitDone, "done"},
	{exitFailed, "failed"},
	{exitUsage, "mistake in the command line or the configuration; nothing was tried"},
	{exitIncomplete, "done, but incomplete: what is missing is named"},
	{exitNoRepository, "there is no repository at that place"},
	{exitBusy, "another operation is running there; it is named"},
	{exitWrongPassword, "wrong password or token, or one from before \"repo key rotate\""},
	{exitInterrupted, "interrupted by SIGINT, SIGTERM or SIGHUP"},
}

var (
	// errUsage is wrapped by mistakes in the command line.
	errUsage = errors.New("usage")
	// errIncomplete is wrapped when a snapshot was published, or data restored,
	// and something of it is missing.
	errIncomplete = errors.New("incomplete")
	// errDeclined is returned when the user said no.
	errDeclined = errors.New("nothing was changed")
	// errInterrupted is the cause of the context's end after a signal.
	errInterrupted = errors.New("interrupted")
)

// codeRule gives the errors that wrap one sentinel their exit code.
type codeRule struct {
	wraps error
	code  exitCode
}

// codeRules is the one table of exit codes; the first rule that fits counts, and
// what fits none is exitFailed.
var codeRules = []codeRule{
	{errInterrupted, exitInterrupted},
	{errUsage, exitUsage},
	{environment.ErrInvalid, exitUsage},
	{environment.ErrNoConfig, exitUsage},
	{environment.ErrNoEnvironment, exitUsage},
	{environment.ErrNoPassword, exitUsage},
	{errIncomplete, exitIncomplete},
	{repo.ErrNoRepository, exitNoRepository},
	{snapshot.ErrLocked, exitBusy},
	{gc.ErrBusy, exitBusy},
	{quiesce.ErrBusy, exitBusy},
	{repo.ErrWrongSecret, exitWrongPassword},
	{repo.ErrStaleKey, exitWrongPassword},
	{seal.ErrNotToken, exitWrongPassword},
}

func codeOf(err error) exitCode {
	if err == nil {
		return exitDone
	}
	for _, r := range codeRules {
		if errors.Is(err, r.wraps) {
			return r.code
		}
	}
	if _, busy := errors.AsType[*activity.BusyError](err); busy {
		return exitBusy
	}
	if _, stale := errors.AsType[*seal.EpochError](err); stale {
		return exitWrongPassword // it opens only what was written before the keys were rotated
	}
	return exitFailed
}

// fail says what went wrong, if anything did, and returns the exit code. An
// action that was cancelled by a signal was interrupted, whatever it calls that.
func (app *env) fail(ctx context.Context, err error) exitCode {
	if err == nil {
		return exitDone
	}
	undone, isUndone := errors.AsType[*snapshot.UndoneError](err)
	if cause := context.Cause(ctx); errors.Is(cause, errInterrupted) {
		err = interrupted(err)
	}
	code := codeOf(err)
	app.console.clear()
	if app.flags.JSON {
		app.failJSON(err, code, isUndone)
		return code
	}
	for line := range strings.SplitSeq(err.Error(), "\n") {
		fmt.Fprintf(app.console, "holdfast: %s\n", printable(line))
	}
	if isUndone {
		fmt.Fprintf(app.console, "holdfast: nothing was replaced: the environment %s is as it was\n", undone.Environment)
	}
	if hint := hintOf(err); hint != "" {
		fmt.Fprintf(app.console, "hint: %s\n", printable(hint))
	}
	return code
}

// interrupted returns errInterrupted, with what err says beyond it.
func interrupted(err error) error {
	if err = beyond(err); err == nil {
		return errInterrupted
	}
	return fmt.Errorf("%w: %w", errInterrupted, err)
}

// beyond is what of err is not about the interruption itself: of several errors, such as that a
// restore was interrupted and could not be taken back, those that are not.
func beyond(err error) error {
	if several, ok := err.(interface{ Unwrap() []error }); ok {
		all := several.Unwrap()
		if joined := errors.Join(all...); joined != nil && err.Error() == joined.Error() {
			var left []error
			for _, one := range all {
				left = append(left, beyond(one))
			}
			return errors.Join(left...)
		}
	}
	if errors.Is(err, errInterrupted) || errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// failJSON writes the error as one JSON document in one line, to stderr. undone says that
// it is of a restore which has left everything as it was.
func (app *env) failJSON(err error, code exitCode, undone bool) {
	encoder := json.NewEncoder(app.console)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(struct { // there is nobody left to tell
		Error  string   `json:"error"`
		Hint   string   `json:"hint,omitempty"`
		Code   exitCode `json:"code"`
		Undone bool     `json:"undone,omitempty"`
	}{err.Error(), hintOf(err), code, undone})
}

// hinter is an error that knows what to do next.
type hinter interface {
	error
	// Hint returns a sentence for a line of its own, or "".
	Hint() string
}

func hintOf(err error) string {
	if h, ok := errors.AsType[hinter](err); ok {
		return h.Hint()
	}
	if errors.Is(err, storage.ErrObstacle) {
		return repo.NextOfObstacle
	}
	if errors.Is(err, repo.ErrStray) {
		return "move what it names out of the repository, or give it its name back; or let \"holdfast repo repair\" set it aside"
	}
	if errors.Is(err, storage.ErrForbidden) {
		return "the repository, or some of it, belongs to another user: run this as that one, or \"chown -R\" it to the one who is to work with it"
	}
	if errors.Is(err, storage.ErrFull) {
		return "delete snapshots that are not needed; then, as after a create that failed, \"holdfast repo gc --grace 0\" frees at once what nobody needs; \"restore --to DIR\" needs no room in the repository"
	}
	_, damaged := errors.AsType[*repo.DamagedError](err)
	_, missing := errors.AsType[*repo.MissingError](err)
	if (damaged || missing) && !repo.Foreign(err) {
		return "\"holdfast repo check --read-data\" says what it hurts, and \"holdfast repo repair\" mends what can be mended"
	}
	return ""
}

// withHint is an error with a hint.
type withHint struct {
	error
	hint string
}

func (e *withHint) Hint() string  { return e.hint }
func (e *withHint) Unwrap() error { return e.error }

// mistake is an error in the command line. Its text does not show the sentinel.
type mistake struct{ text string }

func (e *mistake) Error() string        { return e.text }
func (e *mistake) Is(target error) bool { return target == errUsage }

// usageError returns a mistake; run adds the hint where to read more.
func usageError(format string, args ...any) error {
	return &mistake{text: fmt.Sprintf(format, args...)}
}

// pointToHelp adds a hint to a mistake that has none.
func pointToHelp(err error, command string) error {
	if !errors.Is(err, errUsage) || hintOf(err) != "" {
		return err
	}
	return &withHint{err, fmt.Sprintf("%q shows how", strings.TrimSpace("holdfast "+command)+" --help")}
}
