package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"holdfast/internal/snapshot"
	"holdfast/repo"
)

// warnOfInterrupted warns of restores that were interrupted: what somebody looks at
// may be half of what is in the environment. It does so once, however often a command
// reads the snapshots, and not of the one that the command is about to finish.
func (app *env) warnOfInterrupted(ctx context.Context, o *opened) {
	if o.config.File == "" || app.toldInterrupted {
		return
	}
	app.toldInterrupted = true
	for _, name := range o.config.Names() {
		if name != app.finishes {
			app.warnOfRestore(ctx, o, name)
		}
	}
}

// warnOfRestore warns of a restore of one environment that was interrupted.
func (app *env) warnOfRestore(ctx context.Context, o *opened, name string) {
	journal, err := o.place(name).Interrupted()
	switch {
	case errors.Is(err, fs.ErrPermission):
		// Whoever may not read the journal cannot finish the restore either.
	case err != nil:
		app.console.warn("%s: %v", name, err)
	case journal != nil:
		app.console.warn("%s", interruptedText(ctx, o.Repository, journal))
	}
}

// interruptedText says how far an interrupted restore has come, and what finishes it.
func interruptedText(ctx context.Context, r *repo.Repository, j *snapshot.Journal) string {
	if j.Mixed() {
		return mixtureText(j)
	}
	text := fmt.Sprintf("the restore of %s into %s ", j.Snapshot, j.Environment)
	finish := fmt.Sprintf("\"holdfast -e %s snapshot recover\"", j.Environment)
	switch {
	case j.State == snapshot.Swapping:
		return text + "was interrupted and is undone, but what it had built is still there: " + finish + " removes that"
	case j.State != snapshot.Committed:
		return text + "was interrupted before it replaced anything: " + finish + " removes what it had built"
	}
	text += "is done, but was interrupted before what it replaced"
	if j.Safety && len(j.Retires) > 0 {
		switch saved, err := j.SavedAs(ctx, r); {
		case err == nil && saved.IsZero():
			return text + " was saved and removed: " + finish + " does that"
		case err == nil:
			text += fmt.Sprintf(", which is snapshot %s,", saved)
		}
	}
	return text + " was removed: " + finish + " does that"
}

// warnOfMixture warns, where a recovery has failed, of what that leaves, unless it was
// warned of already.
func (app *env) warnOfMixture(place snapshot.Place) {
	told := app.toldInterrupted && app.finishes == ""
	if journal, err := place.Load(); err == nil && journal != nil && journal.Mixed() && !told {
		app.console.warn("%s", mixtureText(journal))
	}
}

// mixtureText says what an environment is in which a restore was interrupted between two
// swaps, and what becomes of what is written to it.
func mixtureText(j *snapshot.Journal) string {
	text := fmt.Sprintf("the restore of %s into %s was interrupted while it swapped %s: some of that may be as restored and the rest as before; \"holdfast -e %s snapshot recover\" makes all of it again what it was",
		j.Snapshot, j.Environment, strings.Join(j.Parts, ", "), j.Environment)
	if j.LosesWrites() {
		text += ", and what was written until then to what had been swapped is lost"
	}
	return text
}
