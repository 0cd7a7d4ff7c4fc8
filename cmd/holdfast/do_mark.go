package main

import (
	"context"
	"fmt"
	"io"

	"holdfast/repo"
)

// marked is the result of pin, unpin, delete and undelete.
type marked struct {
	Name    repo.Name   `json:"name"`
	Action  repo.Action `json:"action"`
	Changed bool        `json:"changed"` // false: it was so already
}

func (app *env) mark(ctx context.Context, r *opened, n repo.Name, action repo.Action, done, already string) error {
	changed, err := r.Mark(ctx, n, action, app.now())
	if err != nil {
		return err
	}
	text := done
	if !changed {
		text = already
	}
	return app.result(marked{n, action, changed}, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "Snapshot %s %s\n", n, text)
		return err
	})
}

// onOne opens the repository and finds the snapshot that is meant.
func (app *env) onOne(ctx context.Context, name string, f func(*opened, repo.Listed) error) error {
	r, err := app.open(ctx)
	if err != nil {
		return err
	}
	defer r.Close()
	s, err := app.resolve(ctx, r, name)
	if err != nil {
		return err
	}
	if err := app.refuseOther(s); err != nil {
		return err
	}
	return f(r, s)
}

// refuseOther refuses a snapshot of another project or environment than those that
// were named on the command line: one of the two is a mistake.
func (app *env) refuseOther(s repo.Listed) error {
	named, project := app.flags.Environment, app.flags.Project
	if (named == "" || named == s.Environment) && (project == "" || project == s.Project) {
		return nil
	}
	return &withHint{isOf(s),
		fmt.Sprintf("if you mean it: -p %s -e %s", s.Project, s.Environment)}
}

// isOf says whose a snapshot is that was named as another's.
func isOf(s repo.Listed) error {
	return fmt.Errorf("snapshot %s is of the environment %s of %s", s.Name, s.Environment, s.Project)
}

// pin is the action of "snapshot pin".
func pin(ctx context.Context, app *env, o PinOptions) error {
	return app.onOne(ctx, o.Snapshot, func(r *opened, s repo.Listed) error {
		return app.mark(ctx, r, s.Name, repo.Pin, "is pinned", "was pinned already")
	})
}

// unpin is the action of "snapshot unpin".
func unpin(ctx context.Context, app *env, o UnpinOptions) error {
	return app.onOne(ctx, o.Snapshot, func(r *opened, s repo.Listed) error {
		return app.mark(ctx, r, s.Name, repo.Unpin, "is no longer pinned", "was not pinned")
	})
}

// remove is the action of "snapshot delete".
func remove(ctx context.Context, app *env, o DeleteOptions) error {
	return app.onOne(ctx, o.Snapshot, func(r *opened, s repo.Listed) error {
		if s.Pinned {
			return &withHint{fmt.Errorf("snapshot %s is pinned, so it is not deleted", s.Name),
				fmt.Sprintf("\"holdfast snapshot unpin %s\" allows it", s.Name)}
		}
		question := fmt.Sprintf("delete snapshot %s of %s/%s, taken %s", s.Name, s.Project, s.Environment, app.localTime(s.Created))
		if err := app.confirm(ctx, o.Yes, question); err != nil {
			return err
		}
		err := app.mark(ctx, r, s.Name, repo.Delete, "is deleted", "was deleted already")
		if err == nil {
			app.console.say("\"holdfast snapshot undelete %s\" brings it back", s.Name)
		}
		return err
	})
}

// undelete is the action of "snapshot undelete". A prefix stands for deleted
// snapshots here.
func undelete(ctx context.Context, app *env, o UndeleteOptions) error {
	r, err := app.open(ctx)
	if err != nil {
		return err
	}
	defer r.Close()
	all, _, err := app.snapshots(ctx, r)
	if err != nil {
		return err
	}
	for i := range all {
		if all[i].Deleted.IsZero() {
			continue
		}
		if n := all[i].Name.String(); len(o.Snapshot) <= len(n) && n[:len(o.Snapshot)] == o.Snapshot {
			if err := app.refuseOther(all[i]); err != nil {
				return err
			}
			return app.mark(ctx, r, all[i].Name, repo.Undelete, "is back", "was not deleted")
		}
	}
	return &withHint{fmt.Errorf("%s: %w among the deleted ones", o.Snapshot, repo.ErrNoSnapshot), "\"holdfast snapshot list --all --deleted\" shows them"}
}
