package main

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"holdfast/internal/environment"
	"holdfast/repo"
)

func TestExitCodes(t *testing.T) {
	for _, test := range []struct {
		err  error
		want exitCode
	}{
		{nil, exitDone},
		{errors.New("disk on fire"), exitFailed},
		{errDeclined, exitFailed},
		{usageError("no"), exitUsage},
		{&withHint{usageError("no"), "yes"}, exitUsage},
		{environment.ErrNoConfig, exitUsage},
		{environment.ErrNoEnvironment, exitUsage},
		{environment.ErrNoPassword, exitUsage},
		{&environment.InvalidError{}, exitUsage},
		{fmt.Errorf("snapshot 2ca4d9: %w: 3 files", errIncomplete), exitIncomplete},
		{fmt.Errorf("create: %w", errInterrupted), exitInterrupted},
	} {
		if got := codeOf(test.err); got != test.want {
			t.Errorf("%v: exit code %d, want %d", test.err, got, test.want)
		}
	}
}

func TestAnErrorTakesThePlaceOfTheLiveLine(t *testing.T) {
	app, _, stderr := testEnv()
	app.console.draw("50%")
	app.fail(t.Context(), errors.New("disk on fire"))
	if got, want := stderr.String(), "50%\r\x1b[Kholdfast: disk on fire\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestEveryExitCodeIsExplained(t *testing.T) {
	explained := map[exitCode]bool{}
	for _, m := range exitMeanings {
		explained[m.code] = true
	}
	for _, r := range codeRules {
		if !explained[r.code] {
			t.Errorf("--help does not explain exit code %d", r.code)
		}
	}
}

func TestLossesAreNamed(t *testing.T) {
	losses := []repo.Loss{{Reason: "owner not kept: 2 times, first at a"}, {Path: "uploads/b", Reason: "permission denied"}}
	err := incomplete(losses, "it is restored, but not all is as it was")
	want := "it is restored, but not all is as it was\nowner not kept: 2 times, first at a\nuploads/b: permission denied"
	if err.Error() != want || codeOf(err) != exitIncomplete {
		t.Errorf("%q, want %q", err, want)
	}
	if err := incomplete(nil, "all is well"); err != nil {
		t.Errorf("without losses: %v", err)
	}
}

func TestErrorsAreOneSentenceAndAHint(t *testing.T) {
	stopped, cancel := context.WithCancelCause(t.Context())
	cancel(errInterrupted)
	for _, test := range []struct {
		name string
		ctx  context.Context
		json bool
		err  error
		code exitCode
		want string
	}{
		{"plain", t.Context(), false, fmt.Errorf("open packs/3f: %w", errors.New("no such file")), exitFailed,
			"holdfast: open packs/3f: no such file\n"},
		{"hint", t.Context(), false, fmt.Errorf("restore: %w", &withHint{errors.New("busy"), "wait\a"}), exitFailed,
			"holdfast: restore: busy\nhint: wait\\a\n"},
		{"several lines", t.Context(), false, errors.New("holdfast.yaml:1: a\nholdfast.yaml:2: b"), exitFailed,
			"holdfast: holdfast.yaml:1: a\nholdfast: holdfast.yaml:2: b\n"},
		{"control characters", t.Context(), false, errors.New("read \x1b[31mred\xff"), exitFailed,
			"holdfast: read \\x1b[31mred\\xff\n"},
		{"json", t.Context(), true, &withHint{errors.New(`a "b" <c>`), "wait"}, exitFailed,
			`{"error":"a \"b\" <c>","hint":"wait","code":1}` + "\n"},
		{"interrupted", stopped, false, fmt.Errorf("send: %w", context.Canceled), exitInterrupted, "holdfast: interrupted\n"},
		{"interrupted, with its cause", stopped, false, fmt.Errorf("send: %w", errInterrupted), exitInterrupted, "holdfast: interrupted\n"},
		{"interrupted, and more went wrong", stopped, false, errors.New("connection lost"), exitInterrupted, "holdfast: interrupted: connection lost\n"},
		{"interrupted, and not taken back", stopped, false, errors.Join(errors.Join(fmt.Errorf("swap: %w", errInterrupted), errors.New("and undoing it failed")), nil),
			exitInterrupted, "holdfast: interrupted: and undoing it failed\n"},
		{"interrupted too late", stopped, false, nil, exitDone, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			app, stdout, stderr := testEnv()
			app.flags.JSON = test.json
			code := app.fail(test.ctx, test.err)
			if code != test.code || stderr.String() != test.want || stdout.Len() > 0 {
				t.Errorf("exit code %d\n%s\nwant %d\n%s", code, stderr, test.code, test.want)
			}
		})
	}
}
