package main

import (
	"context"
	"fmt"
	"io"

	"holdfast/internal/activity"
	"holdfast/internal/environment"
	"holdfast/internal/snapshot"
	"holdfast/repo"
)

// recovered is the result of "snapshot recover".
type recovered struct {
	Environment string         `json:"environment"`
	Found       snapshot.State `json:"found,omitempty"` // how far the restore had come; "" if there was none
}

// recoverEnvironment is the action of "snapshot recover". Where there is nothing to
// do it needs neither repository nor password.
func recoverEnvironment(ctx context.Context, app *env, _ RecoverOptions) error {
	config, err := app.configuration()
	if err != nil {
		return err
	}
	if config.File == "" {
		return noEnvironments()
	}
	name, err := config.Acting()
	if err != nil {
		return err
	}
	e, err := config.Select(name)
	if err != nil {
		return err
	}
	result := recovered{Environment: name}
	if result.Found, err = app.unfinished(config, name); err != nil {
		return err
	}
	if result.Found == "" {
		app.settled(ctx, barrierOf(e))
	} else if err := app.finishRestore(ctx, name); err != nil {
		return err
	}
	return app.result(result, func(w io.Writer) error {
		text := "There is no interrupted restore of %s\n"
		if result.Found != "" {
			text = "The environment %s is whole again\n"
		}
		_, err := fmt.Fprintf(w, text, name)
		return err
	})
}

// unfinished returns how far a restore has come that is not done, and that nobody is
// about to finish; "" where there is none.
func (app *env) unfinished(config *environment.Config, name string) (snapshot.State, error) {
	place := (&opened{config: config}).place(name)
	unlock, err := place.Lock()
	if err != nil {
		return "", err
	}
	defer unlock()
	journal, err := place.Load()
	if journal == nil || err != nil {
		return "", err
	}
	return journal.State, nil
}

// finishRestore runs the recovery as an operation on its environment.
func (app *env) finishRestore(ctx context.Context, name string) error {
	r, err := app.open(ctx)
	if err != nil {
		return err
	}
	defer r.Close()
	e, parts, err := app.parts(r, name, false)
	if err != nil {
		return err
	}
	progress := newTracker(app.now(), true)
	c := &snapshot.Creation{Repository: r.Repository, Project: r.config.Project, Environment: name, Parts: parts, Barrier: barrierOf(e),
		Program: programName(), Host: hostname(), Now: app.now, Progress: progress}
	operation := snapshot.Operation{Repository: r.Repository, Kind: activity.Restore, Project: c.Project, Environment: name,
		Progress: progress.counts, Now: app.now}
	return operation.Run(ctx, func(ctx context.Context, _ *repo.Session, _ *activity.Recorder) error {
		unlock, err := app.ready(ctx, r, c)
		if err == nil {
			unlock()
		}
		return err
	})
}
