package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"holdfast/internal/retention"
	"holdfast/repo"
)

// pruned is the result of "snapshot prune".
type pruned struct {
	DryRun    bool     `json:"dry_run"`
	Kept      int      `json:"kept"`
	Deleted   int      `json:"deleted"` // in a dry run: would be
	Snapshots []judged `json:"snapshots"`
}

// judged is one snapshot, and what becomes of it.
type judged struct {
	Created     time.Time `json:"created"`
	Name        repo.Name `json:"name"`
	Project     string    `json:"project"`
	Environment string    `json:"environment"`
	Keep        bool      `json:"keep"`
	Why         string    `json:"why"`
}

// prune is the action of "snapshot prune".
func prune(ctx context.Context, app *env, o PruneOptions) error {
	r, err := app.open(ctx)
	if err != nil {
		return err
	}
	defer r.Close()
	all, vanished, err := app.judge(ctx, r, o.All)
	if err != nil {
		return err
	}
	if going := namesOf(all); len(going) > 0 && !o.DryRun {
		if err := app.confirm(ctx, o.Yes, pruneQuestion(all, len(going))); err != nil {
			return err
		}
		if all, err = app.pruneThem(ctx, r, o.All, going); err != nil {
			return err
		}
	}
	result := pruned{DryRun: o.DryRun, Deleted: len(namesOf(all)), Snapshots: all}
	result.Kept = len(all) - result.Deleted
	err = app.result(result, func(w io.Writer) error { return app.pruneTable(w, result, o.All) })
	return errors.Join(append(vanished, err)...)
}

// judge says of every snapshot of the acting environment, or of all, what its
// policy makes of it; newest first.
func (app *env) judge(ctx context.Context, r *opened, everywhere bool) (verdicts []judged, vanished []error, err error) {
	all, vanished, err := app.snapshots(ctx, r)
	if err != nil {
		return nil, nil, err
	}
	var project, name string
	if !everywhere {
		if project, name, err = r.scope(all); err != nil {
			return nil, nil, err
		}
	}
	type line struct{ project, environment string }
	lines := map[line][]repo.Listed{}
	for _, s := range all {
		if s.Deleted.IsZero() && (everywhere || s.Project == project && s.Environment == name) {
			lines[line{s.Project, s.Environment}] = append(lines[line{s.Project, s.Environment}], s)
		}
	}
	for _, snapshots := range lines {
		verdicts = append(verdicts, app.judgeOne(r, snapshots)...)
	}
	slices.SortFunc(verdicts, func(a, b judged) int { return b.Created.Compare(a.Created) })
	return verdicts, vanished, nil
}

// judgeOne judges the snapshots of one environment.
func (app *env) judgeOne(r *opened, snapshots []repo.Listed) []judged {
	policy, zone := r.config.Retention(snapshots[0].Environment)
	candidates := make([]retention.Candidate, len(snapshots))
	for i, s := range snapshots {
		candidates[i] = retention.Candidate{Name: s.Name.String(), Created: s.Created, Pinned: s.Pinned,
			Safety: !s.Restore.IsZero(), Incomplete: len(s.Losses()) > 0}
	}
	verdicts := make([]judged, len(snapshots))
	for i, v := range policy.Judge(candidates, app.now(), zone) {
		s := snapshots[i]
		verdicts[i] = judged{Created: s.Created, Name: s.Name, Project: s.Project, Environment: s.Environment, Keep: v.Keep, Why: v.Why}
	}
	return verdicts
}

// namesOf returns those that go.
func namesOf(all []judged) map[repo.Name]bool {
	names := map[repo.Name]bool{}
	for _, v := range all {
		if !v.Keep {
			names[v.Name] = true
		}
	}
	return names
}

func pruneQuestion(all []judged, going int) string {
	question := fmt.Sprintf("delete %d of %d snapshots, as the retention policy says", going, len(all))
	if going == len(all) {
		question = fmt.Sprintf("delete all %d snapshots, as the retention policy says", going)
	}
	return question
}

// pruneThem deletes what goes. It judges anew, because while it was asking
// somebody may have pinned one of them, or deleted one that stood for another.
func (app *env) pruneThem(ctx context.Context, r *opened, everywhere bool, agreed map[repo.Name]bool) ([]judged, error) {
	all, _, err := app.judge(ctx, r, everywhere)
	if err != nil {
		return nil, err
	}
	var names []repo.Name
	for i := range all {
		v := &all[i]
		if !v.Keep && !agreed[v.Name] {
			v.Keep, v.Why = true, "this time, because it was not asked about: "+v.Why
		}
		if !v.Keep {
			names = append(names, v.Name)
		}
	}
	if _, err := r.MarkAll(ctx, names, repo.Delete, app.now()); err != nil {
		return nil, err
	}
	app.console.say("\"holdfast snapshot undelete\" brings one back, until \"holdfast repo gc\" has purged it")
	return all, nil
}

func (app *env) pruneTable(w io.Writer, p pruned, everywhere bool) error {
	if len(p.Snapshots) == 0 {
		app.console.say("No snapshots found")
		return nil
	}
	columns := []column{{title: "Created"}, {title: "Snapshot name"}, {title: "Verdict"}, {title: "Why", flexible: true}}
	if everywhere {
		columns = append(columns, column{title: "Environment", flexible: true})
	}
	goes := map[bool]string{false: "deleted", true: "would go"}[p.DryRun]
	var cells [][]string
	for _, s := range p.Snapshots {
		line := []string{app.localTime(s.Created), s.Name.String(), goes, s.Why}
		if s.Keep {
			line[2] = "kept"
		}
		if everywhere {
			line = append(line, s.Project+"/"+s.Environment)
		}
		cells = append(cells, line)
	}
	if err := app.table(w, columns, cells); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "%d kept, %d %s\n", p.Kept, p.Deleted, goes)
	return err
}
