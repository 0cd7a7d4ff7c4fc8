package main

import (
	"context"
	"strings"

	"holdfast/internal/environment"
)

// asker puts questions to somebody at a terminal. Both methods end with the
// context's cause.
type asker interface {
	// line shows the question and returns the line that is typed.
	line(ctx context.Context, question string) (string, error)
	// secret is line without showing what is typed.
	secret(ctx context.Context, question string) (string, error)
}

// confirm asks whether to go on with what overwrites or deletes: question says
// what, beginning with a verb in lower case and without a question mark. yes is --yes. Without a terminal there is nobody
// to ask, and the answer is a usage error; a no is errDeclined.
func (app *env) confirm(ctx context.Context, yes bool, question string) error {
	if yes {
		return nil
	}
	if app.asker == nil {
		return &withHint{
			usageError("this needs --yes, because there is no terminal to ask on: %s", question),
			"add --yes if that is what you want",
		}
	}
	asked := strings.ToUpper(question[:1]) + question[1:]
	for {
		answer, err := app.asker.line(ctx, printable(asked)+"? [y/N] ")
		if err != nil {
			return err
		}
		switch strings.ToLower(strings.TrimSpace(answer)) {
		case "y", "yes":
			return nil
		case "", "n", "no":
			return errDeclined
		}
	}
}

// ask returns how to ask for a password, nil where there is nobody to ask.
func (app *env) ask(ctx context.Context) environment.Ask {
	if app.asker == nil {
		return nil
	}
	return func(question string) (string, error) { return app.asker.secret(ctx, printable(question)) }
}

// askTwice is ask for a new password, which nobody can look up.
func (app *env) askTwice(ctx context.Context) environment.Ask {
	ask := app.ask(ctx)
	if ask == nil {
		return nil
	}
	return func(question string) (string, error) {
		for {
			first, err := ask(question)
			if err != nil || first == "" {
				return first, err
			}
			second, err := ask("The same again: ")
			if err != nil || first == second {
				return second, err
			}
			app.console.warn("the two passwords differ: type both again")
		}
	}
}
