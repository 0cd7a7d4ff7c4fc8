package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"holdfast/internal/snapshot"
	"holdfast/repo"
)

// planText says what would happen to each service and mount.
func planText(r *snapshot.Restoration, plan []snapshot.Replacement) []string {
	undoable := slices.ContainsFunc(plan, func(p snapshot.Replacement) bool { return !p.Stays }) && r.Safety
	lines := []string{fmt.Sprintf("Snapshot %s of %s (%s) goes into the environment %s:", r.Snapshot.Name, r.Snapshot.Environment,
		r.Snapshot.Created.UTC().Format("2006-01-02 15:04 MST"), r.Environment)}
	for _, p := range plan {
		what := "replaces " + p.Replaces
		switch {
		case p.Stays && undoable:
			what = "goes where there is nothing now: undoing will leave it in place"
		case p.Creates && undoable:
			what = "goes where there is nothing now: undoing will leave it empty"
		case p.Creates:
			what = "goes where there is nothing now"
		}
		lines = append(lines, fmt.Sprintf("  %s (%s) %s", path.Join(p.Name, p.Subpath), amount(p.Bytes, p.Entries), what))
		if len(p.Emptied) > 0 {
			lines = append(lines, "    empty from now on, because the snapshot holds none of their rows (schema_only): "+strings.Join(p.Emptied, ", "))
		}
		if len(p.Unsaved) > 0 && r.Safety {
			lines = append(lines, fmt.Sprintf("    the current rows of %s are not saved (schema_only): undoing brings these tables back empty", strings.Join(p.Unsaved, ", ")))
		}
	}
	return lines
}

// missingText says what an incomplete snapshot lacks of what is restored; "" if
// nothing.
func missingText(n repo.Name, missing []repo.Loss) string {
	if len(missing) == 0 {
		return ""
	}
	return fmt.Sprintf("snapshot %s is incomplete: %s missing in what is restored%s", n, severalAre(len(missing), "thing"), lossLines(missing))
}

// removedText is missingText for a restore that replaces.
func removedText(n repo.Name, plan []snapshot.Replacement) string {
	var missing []repo.Loss
	for _, p := range plan {
		missing = append(missing, p.Missing...)
	}
	if len(missing) == 0 {
		return ""
	}
	place := "its place"
	if len(missing) > 1 {
		place = fmt.Sprintf("place of these %s", several(len(missing), "thing"))
	}
	return missingText(n, missing) + "\nwhat the environment has in " + place + " is removed"
}

// warnBefore says what should be known before a restore, besides what it replaces.
func (app *env) warnBefore(r *snapshot.Restoration, plan []snapshot.Replacement) {
	if gone := r.Gone(); len(gone) > 0 {
		app.console.warn("snapshot %s is damaged:%s", r.Snapshot.Name, lossLines(gone))
	}
	for _, p := range plan {
		if p.Empties {
			app.console.warn("%s is empty in this snapshot: all that the environment has in its place is removed", p.Name)
		}
		for _, text := range p.Told {
			app.console.warn("%s, when the snapshot was taken: %s", p.Name, text)
		}
		for _, text := range p.Warnings {
			app.console.warn("%s: %s", p.Name, text)
		}
	}
}

// warnOfRemoved says what is removed because the snapshot lacks it. It comes last, right
// before the question, or with --yes the restore: nothing else is to push it out of sight.
func (app *env) warnOfRemoved(r *snapshot.Restoration, plan []snapshot.Replacement) {
	text := removedText(r.Snapshot.Name, plan)
	if text == "" {
		return
	}
	if r.Snapshot.Damage != nil {
		app.console.warn("a later snapshot may have stored anew what is missing: \"holdfast repo repair\" first looks for it")
	}
	app.console.warn("%s", text)
}

func (app *env) dryRestore(ctx context.Context, r *opened, restoration *snapshot.Restoration) error {
	defer restoration.Close()
	if err := r.Refresh(ctx); err != nil {
		return err
	}
	token, err := repo.NewName(rand.Reader)
	if err != nil {
		return err
	}
	plan, err := restoration.Plan(ctx, token.String())
	if err != nil {
		return app.chooseWith(err, restoration)
	}
	doc := struct {
		Snapshot repo.Name              `json:"snapshot"`
		Target   string                 `json:"target"`
		Plan     []snapshot.Replacement `json:"plan"`
	}{restoration.Snapshot.Name, restoration.Environment, plan}
	return app.result(doc, func(w io.Writer) error {
		if _, err := fmt.Fprintln(w, strings.Join(planText(restoration, plan), "\n")); err != nil {
			return err
		}
		app.warnBefore(restoration, plan)
		app.warnOfRemoved(restoration, plan)
		return nil
	})
}
