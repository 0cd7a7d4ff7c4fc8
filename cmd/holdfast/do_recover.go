package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"holdfast/internal/activity"
	"holdfast/internal/environment"
	"holdfast/internal/snapshot"
	"holdfast/repo"
)

// recovered is the result of "snapshot recover".
type recovered struct {
	Environment string         `json:"environment"`
	Found       snapshot.State `json:"found,omitempty"`  // how far the restore had come; "" if there was none
	Undone      bool           `json:"undone,omitempty"` // it was taken back: everything is as before it
	Safety      *repo.Name     `json:"safety_snapshot,omitempty"`
	Undo        string         `json:"undo,omitempty"` // the line that takes a restore back which was completed
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
	err = onceFree(ctx, func() error {
		if result.Found, err = app.unfinished(config, name); err != nil {
			return err
		}
		if result.Found == "" {
			app.settled(ctx, barrierOf(e))
			return nil
		}
		done, err := app.finishRestore(ctx, name)
		result.Undone = err == nil && done != nil && done.State != snapshot.Committed
		if result.Undo = app.undoOf(done); result.Undo != "" {
			result.Safety = &done.Safety
		}
		return err
	})
	if err != nil {
		return err
	}
	return app.result(result, func(w io.Writer) error {
		text := "There is no interrupted restore of %s\n"
		if result.Found != "" {
			text = "The environment %s is whole again\n"
		}
		if _, err := fmt.Fprintf(w, text, name); err != nil || result.Undo == "" {
			return err
		}
		_, err := fmt.Fprintf(w, "Safety snapshot: %s\n%s\n", result.Safety, undoLine(result.Undo))
		return err
	})
}

// How long a recovery waits for somebody who works on the environment, and how often
// it looks. A process that was killed keeps its locks until the kernel is done with it,
// which it is not while the process waits for a disk.
const (
	dying    = 5 * time.Second
	lookEach = 100 * time.Millisecond
)

// onceFree calls f again and again for as long as somebody works on the environment,
// at most for the time that dying takes.
func onceFree(ctx context.Context, f func() error) error {
	for end := time.Now().Add(dying); ; {
		err := f()
		_, busy := errors.AsType[*activity.BusyError](err)
		if !busy && !errors.Is(err, snapshot.ErrLocked) || !time.Now().Before(end) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(lookEach):
		}
	}
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
	switch {
	case err != nil:
		return "", err
	case journal == nil:
		return "", place.Remove() // one that was killed while it was written
	}
	return journal.State, nil
}

// finishRestore runs the recovery as an operation on its environment.
func (app *env) finishRestore(ctx context.Context, name string) (done *snapshot.Recovery, err error) {
	r, err := app.open(ctx)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	e, parts, err := app.parts(r, name, false)
	if err != nil {
		return nil, err
	}
	progress := newTracker(app.now())
	c := &snapshot.Creation{Repository: r.Repository, Project: r.config.Project, Environment: name, Parts: parts, Barrier: barrierOf(e),
		Program: programName(), Host: hostname(), Now: app.now, Progress: progress}
	operation := snapshot.Operation{Repository: r.Repository, Kind: activity.Restore, Project: c.Project, Environment: name,
		Progress: progress.counts, Now: app.now}
	err = operation.Run(ctx, func(ctx context.Context, _ *repo.Session, _ *activity.Recorder) error {
		place := r.place(name)
		unlock, err := place.Lock()
		if err != nil {
			return err
		}
		defer unlock()
		done, err = app.recover(ctx, r, c, place)
		return err
	})
	return done, app.unlessDone(err)
}
