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

// Run calls f under a session, the environment's lease and a recorded activity,
// which all have one name. A *activity.BusyError says that another operation is
// running. The context given to f ends when the lease is lost.
func (o Operation) Run(ctx context.Context, f func(context.Context, *repo.Session, *activity.Recorder) error) (err error) {
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
			func(ctx context.Context, r *activity.Recorder) error { return f(ctx, session, r) })
	})
}
