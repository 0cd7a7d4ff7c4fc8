package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"time"

	"holdfast/internal/activity"
	"holdfast/repo"
)

// listed is a line of "snapshot list": a snapshot, or one that is being taken.
type listed struct {
	Created     time.Time        `json:"created"`
	Percent     int              `json:"percent_complete"`
	Name        string           `json:"name"`
	Project     string           `json:"project"`
	Environment string           `json:"environment"`
	Bytes       uint64           `json:"bytes"`
	Stored      uint64           `json:"stored"`
	Consistency repo.Consistency `json:"consistency,omitempty"`
	Complete    bool             `json:"complete"`          // nothing is missing in it
	Damaged     bool             `json:"damaged,omitempty"` // it lost something afterwards
	Partial     string           `json:"partial,omitempty"` // the one path that a safety snapshot holds, as ls shows it
	Pinned      bool             `json:"pinned"`
	Deleted     time.Time        `json:"deleted,omitzero"`
	Restore     *repo.Name       `json:"restore,omitempty"` // whose restore has made this safety snapshot
	Description string           `json:"description,omitempty"`
}

// list is the action of "snapshot list".
func list(ctx context.Context, app *env, o ListOptions) error {
	r, err := app.open(ctx)
	if err != nil {
		return err
	}
	defer r.Close()
	all, vanished, err := app.snapshots(ctx, r)
	if err != nil {
		return err
	}
	project, name := "", ""
	if !o.All {
		if project, name, err = r.scope(all); err != nil && !errors.Is(err, repo.ErrNoSnapshot) {
			return err
		}
		app.console.say("Finding snapshots for the environment %s", cmp.Or(name, "of this repository"))
	}
	rows, hidden := app.collect(ctx, r, all, o, project, name)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err := app.result(rows, func(w io.Writer) error { return app.listTable(w, rows, o) }); err != nil {
		return err
	}
	if hidden > 0 {
		app.console.say("Not shown without --safety: %s of what restores have replaced", several(hidden, "safety snapshot"))
	}
	if len(vanished) > 0 {
		return &withHint{errors.Join(vanished...), afterVanished}
	}
	return nil
}

// collect returns the lines, newest first, and how many safety snapshots are left out.
func (app *env) collect(ctx context.Context, r *opened, all []repo.Listed, o ListOptions, project, name string) (rows []listed, hidden int) {
	rows = []listed{}
	done := map[string]bool{}
	for _, s := range all {
		done[s.Name.String()] = true
		if !o.All && (s.Project != project || s.Environment != name) || s.Deleted.IsZero() == o.Deleted {
			continue
		}
		row := listed{Created: s.Created, Percent: 100, Name: s.Name.String(), Project: s.Project,
			Environment: s.Environment, Bytes: s.Stats.Bytes, Stored: s.Stats.Stored, Consistency: s.Consistency,
			Complete: len(s.Losses()) == 0, Damaged: s.Damage != nil, Partial: partialPath(s), Pinned: s.Pinned, Deleted: s.Deleted, Description: s.Description}
		if !s.Restore.IsZero() {
			if !o.Safety && !o.Deleted {
				hidden++
				continue
			}
			row.Restore = &s.Restore
		}
		rows = append(rows, row)
	}
	for a, err := range activity.All(ctx, r.Activities(), app.now()) {
		if ctx.Err() != nil {
			break // the caller tells
		}
		if err != nil {
			app.console.warn("an activity cannot be read: %v", err)
			continue
		}
		if a.State == activity.InProgress && a.Kind == activity.Create && !o.Deleted && !done[a.Activity] &&
			(o.All || a.Project == project && a.Environment == name) {
			rows = append(rows, listed{Created: a.Started, Percent: a.Percent, Name: a.Activity, Project: a.Project, Environment: a.Environment})
		}
	}
	slices.SortStableFunc(rows, func(a, b listed) int { return b.Created.Compare(a.Created) })
	return rows, hidden
}

// partialPath is the one path that a safety snapshot of a part holds, or "".
func partialPath(s repo.Listed) string {
	if part := s.Partial(); part != nil {
		return path.Join(part.Name, part.Subpath)
	}
	return ""
}

func (app *env) listTable(w io.Writer, rows []listed, o ListOptions) error {
	if len(rows) == 0 {
		app.console.say("No snapshots found")
		return nil
	}
	columns := []column{{title: "Created"}, {title: "% Complete", right: true}, {title: "Snapshot name"}, {title: "Size", right: true},
		{title: "Stored anew", right: true}, {title: "Consistency"}, {title: "Pinned"}}
	if o.All {
		columns = append(columns, column{title: "Environment", flexible: true})
	}
	columns = append(columns, column{title: "Description", flexible: true})
	var cells [][]string
	for _, r := range rows {
		line := []string{app.localTime(r.Created), fmt.Sprint(r.Percent), r.Name, "", "", string(r.Consistency), ""}
		if r.Percent == 100 {
			line[3], line[4] = size(r.Bytes), size(r.Stored)
			if r.Damaged {
				line[5] += ", damaged"
			} else if !r.Complete {
				line[5] += ", incomplete"
			}
			if r.Partial != "" {
				line[5] += ", partial"
			}
		}
		if r.Pinned {
			line[6] = "yes"
		}
		if o.All {
			line = append(line, r.Project+"/"+r.Environment)
		}
		cells = append(cells, append(line, r.Description))
	}
	return app.table(w, columns, cells)
}
