package main

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"holdfast/internal/environment"
)

// answers is an asker whose user types one after the other.
type answers struct {
	lines []string
	asked []string
}

func (a *answers) line(_ context.Context, question string) (string, error) {
	a.asked = append(a.asked, question)
	if len(a.lines) == 0 {
		return "", io.ErrUnexpectedEOF
	}
	next := a.lines[0]
	a.lines = a.lines[1:]
	return next, nil
}

func (a *answers) secret(ctx context.Context, question string) (string, error) {
	return a.line(ctx, question)
}

func TestConfirm(t *testing.T) {
	for _, test := range []struct {
		yes     bool
		answers []string // nil: no terminal
		want    error
		asked   int
	}{
		{true, nil, nil, 0},
		{true, []string{"n"}, nil, 0},
		{false, nil, errUsage, 0},
		{false, []string{"y"}, nil, 1},
		{false, []string{" YES "}, nil, 1},
		{false, []string{""}, errDeclined, 1},
		{false, []string{"no"}, errDeclined, 1},
		{false, []string{"perhaps", "ye", "y"}, nil, 3},
		{false, []string{"perhaps"}, io.ErrUnexpectedEOF, 2},
	} {
		app, _, _ := testEnv()
		user := &answers{lines: test.answers}
		if test.answers != nil {
			app.asker = user
		}
		err := app.confirm(t.Context(), test.yes, "replace the database shop")
		if !errors.Is(err, test.want) || len(user.asked) != test.asked {
			t.Errorf("--yes=%v, answers %q: %v after %q", test.yes, test.answers, err, user.asked)
		}
		if test.asked > 0 && user.asked[0] != "Replace the database shop? [y/N] " {
			t.Errorf("asked %q", user.asked[0])
		}
		if errors.Is(err, errUsage) && !strings.Contains(hintOf(err), "--yes") {
			t.Errorf("%v has the hint %q", err, hintOf(err))
		}
	}
}

func TestANewPasswordIsAskedForTwice(t *testing.T) {
	app, _, stderr := testEnv()
	app.asker = &answers{lines: []string{"one", "two", "three", "three"}}
	got, err := app.newPassword(t.Context(), "")
	if got != "three" || err != nil || stderr.String() != "warning: the two passwords differ: type both again\n" {
		t.Errorf("%q, %v, %s", string(got), err, stderr)
	}
	app.asker = &answers{lines: []string{""}}
	if _, err := app.newPassword(t.Context(), ""); !errors.Is(err, errUsage) {
		t.Errorf("an empty password: %v", err)
	}
	app.asker = nil
	if _, err := app.newPassword(t.Context(), ""); !errors.Is(err, errUsage) {
		t.Errorf("without a terminal: %v", err)
	}
}

func TestTheRepositorysPasswordIsAskedForOnce(t *testing.T) {
	app, _, _ := testEnv()
	app.flags.Repository = "/repo"
	c, err := app.configuration()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := app.credential(t.Context(), c); !errors.Is(err, environment.ErrNoPassword) {
		t.Errorf("without a terminal: %v", err)
	}
	user := &answers{lines: []string{"secret", "secret"}}
	app.asker = user
	if got, err := app.credential(t.Context(), c); err != nil || got.Secret != "secret" || len(user.asked) != 1 {
		t.Errorf("%v, %v after %q", got, err, user.asked)
	}
	if got, err := app.firstPassword(t.Context(), c); err == nil {
		t.Errorf("a first password was asked for once: %v", got)
	}
}
