package snapshot

import (
	"context"
	"errors"
	"time"

	"holdfast/internal/activity"
	"holdfast/repo"
)

// Operation is something done to an environment that excludes others.
type Operation struct {
	Repository  *repo.Repository
	Kind        activity.Kind
	Project     string
	Environment string
	Progress    *activity.Progress
	Now         func() time.Time
}

// DoneError says that an operation is done, and that something of what announces it to
// others, its session, lease or record, could not be ended: they wait for it, or take it
// for interrupted, until they notice that its process is gone.
type DoneError struct{ cause error }

func (e *DoneError) Error() string { return e.cause.Error() }
func (e *DoneError) Unwrap() error { return e.cause }

// Run calls f under a session, the environment's lease and a recorded activity,
// which all have one name. A *activity.BusyError says that another operation is
// running, a *DoneError that f has returned nil. The context given to f ends when the
// lease is lost.
func (o Operation) Run(ctx context.Context, f func(context.Context, *repo.Session, *activity.Recorder) error) (err error) {
	done := false
	defer func() {
		if done && err != nil {
			err = &DoneError{err}
		}
	}()
	session, err := o.Repository.Begin(ctx, string(o.Kind), o.Now)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, session.End(context.WithoutCancel(ctx))) }()
	holder, err := activity.NewHolder(session.Name.String(), o.Kind)
	if err != nil {
		return err
	}
	place := o.Repository.Place(o.Project, o.Environment)
	return activity.Hold(ctx, o.Repository.Leases(), place, holder, o.Now, func(ctx context.Context) error {
		record := activity.Record{Holder: holder, Project: o.Project, Environment: o.Environment}
		return activity.Run(ctx, o.Repository.Activities(), record, o.Progress, o.Now,
			func(ctx context.Context, r *activity.Recorder) error {
				err := f(ctx, session, r)
				done = err == nil
				return err
			})
	})
}
