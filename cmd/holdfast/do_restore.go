package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"holdfast/internal/activity"
	"holdfast/internal/snapshot"
	"holdfast/repo"
)

// restore is the action of "snapshot restore".
func restore(ctx context.Context, app *env, o RestoreOptions) (err error) {
	r, err := app.open(ctx)
	if err != nil {
		return err
	}
	defer r.Close()
	if o.To == "" && !o.DryRun {
		app.finishes = o.into(r)
		defer func() {
			if err != nil && app.finishes != "" { // it has not come to that
				app.warnOfRestore(ctx, r, app.finishes)
			}
		}()
	}
	s, err := app.resolve(ctx, r, o.Snapshot)
	if err != nil {
		return err
	}
	if o.To != "" {
		return app.extract(ctx, r, s, o)
	}
	if err := o.keepTo(s); err != nil {
		return err
	}
	if o.Subpath != "" {
		if err := hasSubpath(ctx, r, s, o); err != nil {
			return err
		}
	}
	restoration, progress, err := app.restoration(r, s, o)
	if err != nil {
		return err
	}
	if err := gateAnswers(ctx, restoration.Barrier, snapshot.HoldSwap); err != nil {
		return err
	}
	if o.DryRun {
		return app.dryRestore(ctx, r, restoration)
	}
	return app.replace(ctx, r, restoration, progress, o)
}

// into returns the environment that is to be replaced; "" where that cannot be told.
func (o *RestoreOptions) into(r *opened) string {
	if r.config.File == "" || o.Target != "" {
		return o.Target
	}
	acting, _ := r.config.Acting() // its error is told later
	return acting
}

// keepTo narrows the restore of a snapshot that holds one path of a mount, as a
// safety snapshot may, to that path: more of the mount is not its to replace.
func (o *RestoreOptions) keepTo(s repo.Listed) error {
	part := s.Partial()
	if part == nil || len(o.Only) > 0 && !slices.Equal(o.Only, []string{part.Name}) {
		return nil // other names are none of this snapshot's; that is found out with the others
	}
	switch {
	case o.Subpath == "":
		o.Only, o.Subpath = []string{part.Name}, part.Subpath
	case o.Subpath != part.Subpath && !strings.HasPrefix(o.Subpath, part.Subpath+"/"):
		return &withHint{fmt.Errorf("snapshot %s holds %s and nothing else, so it cannot restore %s", s.Name,
			partialPath(s), path.Join(part.Name, o.Subpath)), "without --path, all that it holds is restored"}
	}
	return nil
}

// hasSubpath finds out before anybody is asked whether there is such a path.
func hasSubpath(ctx context.Context, r *opened, s repo.Listed, o RestoreOptions) error {
	_, err := snapshot.Lookup(ctx, r, s.Root, path.Join(o.Only[0], o.Subpath))
	if err == nil {
		return nil
	}
	if beneath, doubled := strings.CutPrefix(o.Subpath, o.Only[0]+"/"); doubled {
		return &withHint{err, fmt.Sprintf("with --only, --path counts from there: --path %s", quoted(beneath))}
	}
	return notInSnapshot(err, s, path.Join(o.Only[0], o.Subpath))
}

// restoration describes the restore into an environment, and refuses what is
// likely to be a mistake.
func (app *env) restoration(r *opened, s repo.Listed, o RestoreOptions) (*snapshot.Restoration, *tracker, error) {
	if r.config.File == "" {
		return nil, nil, noEnvironments()
	}
	acting, err := r.config.Acting()
	if err != nil {
		return nil, nil, err
	}
	target := o.Target
	if target == "" {
		target = acting
	}
	if s.Environment != acting || s.Project != r.config.Project {
		return nil, nil, app.otherEnvironment(r, s, target)
	}
	if err := refuseOverlap(r, s, target, o.Only); err != nil {
		return nil, nil, err
	}
	e, parts, err := app.parts(r, target, false)
	if err != nil {
		return nil, nil, err
	}
	if parts, err = snapshot.Only(parts, o.Only); err != nil {
		return nil, nil, err
	}
	barrier := barrierOf(e)
	if o.Live {
		barrier = snapshot.NoBarrier{}
	}
	progress := newTracker(app.now())
	return &snapshot.Restoration{
		Creation: snapshot.Creation{Repository: r.Repository, Project: r.config.Project, Environment: target, Parts: parts,
			Barrier: barrier, Program: programName(), Host: hostname(), Now: app.now, Progress: progress},
		Snapshot: s.Snapshot, Place: r.place(target), Config: r.config.File, Named: len(o.Only) > 0, Subpath: o.Subpath, Safety: !o.NoSafetySnapshot,
	}, progress, nil
}

// otherEnvironment: a snapshot of another environment than the acting one is not
// what somebody meant, unless they say so.
func (app *env) otherEnvironment(r *opened, s repo.Listed, target string) error {
	err := isOf(s)
	if s.Project != r.config.Project {
		return &withHint{err, fmt.Sprintf("this configuration is of %s; \"--to DIR\" restores any snapshot into a directory", r.config.Project)}
	}
	return &withHint{err, fmt.Sprintf("to restore it into %s: %s --target %s", target, app.restoreLine(s.Environment, s.Name), target)}
}

// refuseOverlap: restoring into an environment that shares a place with the
// snapshot's own would replace the other's data too.
func refuseOverlap(r *opened, s repo.Listed, target string, only []string) error {
	if target == s.Environment {
		return nil
	}
	for _, o := range r.config.Overlaps(target) {
		if len(only) == 0 || slices.Contains(only, o.Name) {
			return fmt.Errorf("%s, so restoring into %s would replace data of %s; give each its own place", o, target, o.OtherEnvironment)
		}
	}
	return nil
}

// chooseWith adds to an error that the target lacks something the line that restores
// the rest.
func (app *env) chooseWith(err error, r *snapshot.Restoration) error {
	lacks, ok := errors.AsType[*snapshot.LackingError](err)
	if !ok {
		return err
	}
	hint := "add what is missing to holdfast.yaml"
	if len(lacks.Common) > 0 {
		line := app.restoreLine(r.Snapshot.Environment, r.Snapshot.Name)
		if r.Environment != r.Snapshot.Environment {
			line += " --target " + r.Environment
		}
		hint += "; or leave it out: " + line + " --only " + strings.Join(lacks.Common, ",")
	}
	return &withHint{err, hint}
}

// replace runs the restore as an operation on its environment.
func (app *env) replace(ctx context.Context, r *opened, restoration *snapshot.Restoration, progress *tracker, o RestoreOptions) error {
	var outcome *snapshot.Outcome
	operation := snapshot.Operation{Repository: r.Repository, Kind: activity.Restore, Project: restoration.Project,
		Environment: restoration.Environment, Progress: progress.counts, Now: app.now}
	err := app.unlessDone(operation.Run(ctx, func(ctx context.Context, session *repo.Session, record *activity.Recorder) error {
		everything := restoration.Creation
		e, parts, err := app.parts(r, restoration.Environment, false)
		if err != nil {
			return err
		}
		everything.Parts, everything.Barrier = parts, barrierOf(e) // what was interrupted before, its gate waits for
		unlock, err := app.ready(ctx, r, &everything, operation.Kind)
		if err != nil {
			return err
		}
		defer unlock()
		defer restoration.Close()
		restoration.Lineage = everything.Lineage
		restoration.CopyJournal = record.WriteJournal
		record.SetSnapshot(restoration.Snapshot.Name.String())
		if err := app.agree(ctx, restoration, session.Name.String(), o); err != nil {
			return err
		}
		stop := app.show(progress)
		defer stop()
		outcome, err = restoration.Restore(ctx, session)
		return err
	}))
	if outcome == nil {
		return err
	}
	untold := app.tellRestored(outcome)
	if err == nil {
		app.keepParity(ctx, r)
	}
	if untold != nil {
		err = errors.Join(err, untoldError(outcome, untold))
	}
	if err != nil {
		return err
	}
	return incomplete(slices.Concat(outcome.Missing, outcome.Losses),
		fmt.Sprintf("%s is restored into %s, but not all is as it was", outcome.Snapshot, outcome.Target))
}

// untoldError says what was done where the result could not be written.
func untoldError(o *snapshot.Outcome, err error) error {
	kept := ""
	if o.Safety != nil {
		kept = fmt.Sprintf("; what it replaced is snapshot %s", o.Safety)
	}
	return fmt.Errorf("%s is restored into %s%s, but that could not be written: %w", o.Snapshot, o.Target, kept, err)
}

// agree says what is about to be replaced and asks.
func (app *env) agree(ctx context.Context, r *snapshot.Restoration, token string, o RestoreOptions) error {
	plan, err := r.Plan(ctx, token)
	if err != nil {
		return app.chooseWith(err, r)
	}
	for _, line := range planText(r, plan) {
		app.console.say("%s", line)
	}
	app.warnBefore(r, plan)
	if why := o.unheld(r); why != "" {
		app.console.say("%s", why)
	}
	if !r.Safety {
		app.console.say("What is replaced will not be kept: this cannot be undone")
	}
	app.warnOfRemoved(r, plan)
	return app.confirm(ctx, o.Yes, fmt.Sprintf("replace this in the environment %s", r.Environment))
}

// unheld says what visitors may see where no requests are held; "" where they are.
func (o RestoreOptions) unheld(r *snapshot.Restoration) string {
	switch {
	case o.Live:
		return "Requests are not held (--live): visitors may see a mixture while data is swapped"
	case r.Barrier == snapshot.NoBarrier{}:
		return "There is no gate, so requests are not held: visitors may see a mixture while data is swapped"
	}
	return ""
}

func (app *env) tellRestored(o *snapshot.Outcome) error {
	undo := ""
	if o.Safety != nil {
		undo = app.restoreLine(o.Target, *o.Safety)
	}
	if len(o.Lost) > 0 {
		app.console.warn("the safety snapshot lacks %s that could not be read when replaced%s", several(len(o.Lost), "thing"), lossLines(o.Lost))
	}
	doc := struct {
		*snapshot.Outcome
		Undo string `json:"undo,omitempty"`
	}{o, undo}
	return app.result(doc, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "Restored %s into %s: %s\n%s\n", o.Snapshot, o.Target, strings.Join(places(o), ", "),
			readText(repo.PackReads{Read: o.Read, Needed: o.Needed, Present: o.Present}))
		if err != nil {
			return err
		}
		for _, n := range o.Notes {
			app.console.say("%s", n)
		}
		if o.Gate != nil {
			app.console.say("Requests were held for %s: %s", brief(o.Held), holdText(o.Gate))
			if unheld := unheldText(o.Gate); unheld != "" {
				app.console.warn("%s", unheld)
			}
		}
		if o.Safety == nil {
			if len(o.Created) == len(o.Replaced) {
				app.console.say("Nothing was there before, so there is no safety snapshot: to undo, remove what was restored: %s", strings.Join(o.Created, ", "))
			}
			return nil
		}
		if _, err := fmt.Fprintf(w, "Safety snapshot: %s\n%s\n", o.Safety, undoLine(undo)); err != nil {
			return err
		}
		if len(o.Created) > 0 {
			app.console.say("Undoing leaves in place what had nothing to replace: %s", strings.Join(o.Created, ", "))
		}
		return nil
	})
}

// places are what was replaced, as --path names it.
func places(o *snapshot.Outcome) []string {
	var all []string
	for _, name := range o.Replaced {
		all = append(all, path.Join(name, o.Subpath))
	}
	return all
}

// readText says what a restore has read from packs.
func readText(reads repo.PackReads) string {
	text := "Read from the repository: " + size(reads.Read)
	if reads.Present > 0 {
		text += fmt.Sprintf("; %s were in place already", size(reads.Present))
	}
	return text
}

// undoLine says which command takes a restore back.
func undoLine(undo string) string { return "To undo: " + undo }

// restoreLine writes a restore for a shell, with the flags that lead it to the
// same configuration and repository as this one.
func (app *env) restoreLine(environment string, n repo.Name) string {
	line := fmt.Sprintf("holdfast -e %s snapshot restore %s", environment, n)
	for _, flag := range []struct{ name, value string }{{"config", app.flags.Config}, {"repo", app.flags.Repository},
		{"password-file", app.flags.PasswordFile}, {"project", app.flags.Project}} {
		if flag.value != "" {
			line += " --" + flag.name + " " + quoted(flag.value)
		}
	}
	return line
}

// quoted writes a word for a shell.
func quoted(word string) string { return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'" }

// amount is a size, and in how many entries where there are several.
func amount(bytes, entries uint64) string {
	if entries < 2 {
		return size(bytes)
	}
	return fmt.Sprintf("%s in %s entries", size(bytes), count(entries))
}
