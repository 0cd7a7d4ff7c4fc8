package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"holdfast/internal/retention"
	"holdfast/repo"
	"holdfast/repo/gc"
)

// pruned is the result of "snapshot prune".
type pruned struct {
	DryRun    bool     `json:"dry_run"`
	Kept      int      `json:"kept"`
	Deleted   int      `json:"deleted"` // in a dry run: would be
	Frees     uint64   `json:"frees"`   // bytes, once what is deleted has been purged and collected
	Policies  []policy `json:"policies"`
	Snapshots []judged `json:"snapshots"`
}

// policy is what the snapshots of an environment are judged by.
type policy struct {
	Project     string `json:"project"`
	Environment string `json:"environment"`
	Keeps       string `json:"keeps"` // for people
}

// judged is one snapshot, and what becomes of it.
type judged struct {
	Created     time.Time `json:"created"`
	Name        repo.Name `json:"name"`
	Project     string    `json:"project"`
	Environment string    `json:"environment"`
	Keep        bool      `json:"keep"`
	Why         string    `json:"why"`

	snapshot *repo.Snapshot
}

// prune is the action of "snapshot prune".
func prune(ctx context.Context, app *env, o PruneOptions) error {
	r, err := app.open(ctx)
	if err != nil {
		return err
	}
	defer r.Close()
	if _, _, err := r.config.Retention(""); err != nil { // also where there is nothing to judge
		return err
	}
	found, err := app.judge(ctx, r, o.All)
	if err != nil {
		return err
	}
	all := found.snapshots
	frees, err := app.saving(ctx, r, all, found.others)
	if err != nil {
		return err
	}
	app.sayPolicies(found.policies)
	app.warnOfNewest(all)
	if going := namesOf(all); len(going) > 0 && !o.DryRun {
		if !o.Yes {
			app.sayGoing(all)
		}
		if err := app.confirm(ctx, o.Yes, pruneQuestion(all, len(going))); err != nil {
			return err
		}
		if all, err = app.pruneThem(ctx, r, o.All, going); err != nil {
			return err
		}
	}
	result := pruned{DryRun: o.DryRun, Deleted: len(namesOf(all)), Frees: frees, Policies: found.policies, Snapshots: all}
	result.Kept = len(all) - result.Deleted
	err = app.result(result, func(w io.Writer) error { return app.pruneTable(w, result, o.All) })
	return errors.Join(append(found.vanished, err)...)
}

// judgement is what the policies make of snapshots.
type judgement struct {
	snapshots []judged // newest first
	policies  []policy // by which they are judged
	others    []*repo.Snapshot
	vanished  []error
}

// line is an environment, whose snapshots are judged together.
type line struct{ project, environment string }

// judge judges every snapshot of the acting environment, or of all.
func (app *env) judge(ctx context.Context, r *opened, everywhere bool) (j judgement, err error) {
	all, vanished, err := app.snapshots(ctx, r)
	if err != nil {
		return j, err
	}
	j.vanished = vanished
	var project, name string
	if !everywhere {
		if project, name, err = r.scope(all); err != nil {
			return j, err
		}
	}
	lines := map[line][]repo.Listed{}
	for _, s := range all {
		if s.Deleted.IsZero() && (everywhere || s.Project == project && s.Environment == name) {
			lines[line{s.Project, s.Environment}] = append(lines[line{s.Project, s.Environment}], s)
		} else {
			j.others = append(j.others, s.Snapshot)
		}
	}
	for l, snapshots := range lines {
		if err := app.judgeOne(r, l, snapshots, &j); err != nil {
			return j, err
		}
	}
	slices.SortFunc(j.snapshots, func(a, b judged) int { return b.Created.Compare(a.Created) })
	slices.SortFunc(j.policies, func(a, b policy) int {
		return cmp.Or(cmp.Compare(a.Project, b.Project), cmp.Compare(a.Environment, b.Environment))
	})
	return j, nil
}

// sayPolicies says by what snapshots are judged, whether that was configured or not.
func (app *env) sayPolicies(policies []policy) {
	for _, p := range policies {
		app.console.say("Of %s/%s are kept: %s", p.Project, p.Environment, p.Keeps)
	}
}

// warnOfNewest warns where the newest snapshot of an environment, safety snapshots
// left out, is to go. all come newest first.
func (app *env) warnOfNewest(all []judged) {
	seen := map[line]bool{}
	for _, v := range all {
		l := line{v.Project, v.Environment}
		if seen[l] || !v.snapshot.Restore.IsZero() {
			continue
		}
		if seen[l] = true; !v.Keep {
			app.console.warn("the newest snapshot of %s/%s is among those that go (%s, taken %s): %s", v.Project, v.Environment,
				v.Name, app.localTime(v.Created), v.Why)
		}
	}
}

// saving is what the repository becomes smaller by without those that go.
func (app *env) saving(ctx context.Context, r *opened, all []judged, staying []*repo.Snapshot) (uint64, error) {
	var going []*repo.Snapshot
	for _, v := range all {
		if v.Keep {
			staying = append(staying, v.snapshot)
		} else {
			going = append(going, v.snapshot)
		}
	}
	if len(going) == 0 {
		return 0, nil
	}
	return gc.Saving(ctx, r.Repository, staying, going)
}

// judgeOne adds what is made of the snapshots of one environment.
func (app *env) judgeOne(r *opened, of line, snapshots []repo.Listed, j *judgement) error {
	rules, zone, err := r.config.Retention(of.environment)
	if err != nil {
		return err
	}
	j.policies = append(j.policies, policy{of.project, of.environment, rules.String()})
	candidates := make([]retention.Candidate, len(snapshots))
	for i, s := range snapshots {
		candidates[i] = retention.Candidate{Name: s.Name.String(), Created: s.Created, Pinned: s.Pinned,
			Safety: !s.Restore.IsZero(), Incomplete: len(s.Losses()) > 0}
	}
	for i, v := range rules.Judge(candidates, app.now(), zone) {
		s := snapshots[i]
		j.snapshots = append(j.snapshots, judged{Created: s.Created, Name: s.Name, Project: s.Project, Environment: s.Environment,
			Keep: v.Keep, Why: v.Why, snapshot: s.Snapshot})
	}
	return nil
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

// sayGoing names those that go, before somebody is asked.
func (app *env) sayGoing(all []judged) {
	for _, v := range all {
		if !v.Keep {
			app.console.say("  %s of %s/%s, taken %s: %s", v.Name, v.Project, v.Environment, app.localTime(v.Created), v.Why)
		}
	}
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
	again, err := app.judge(ctx, r, everywhere)
	if err != nil {
		return nil, err
	}
	all := again.snapshots
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
	text := fmt.Sprintf("%d kept, %d %s", p.Kept, p.Deleted, goes)
	if p.Deleted > 0 {
		text += fmt.Sprintf("; that frees nothing now, and %s once \"holdfast repo gc\" has purged and collected it", size(p.Frees))
	}
	_, err := fmt.Fprintln(w, text)
	return err
}
