package main

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"holdfast/internal/snapshot"
)

// warnOfInterrupted warns of restores that were interrupted: what somebody looks at
// may be half of what is in the environment. It does so once, however often a command
// reads the snapshots.
func (app *env) warnOfInterrupted(o *opened) {
	if o.config.File == "" || app.toldInterrupted {
		return
	}
	app.toldInterrupted = true
	for _, name := range o.config.Names() {
		journal, err := o.place(name).Interrupted()
		switch {
		case errors.Is(err, fs.ErrPermission):
			// Whoever may not read the journal cannot finish the restore either.
		case err != nil:
			app.console.warn("%s: %v", name, err)
		case journal != nil && journal.State == snapshot.Committed:
			app.console.warn("the restore of %s into %s is done, but was interrupted before what it replaced was saved and removed: \"holdfast -e %s snapshot recover\" does that",
				journal.Snapshot, name, name)
		case journal != nil && journal.Mixed():
			app.console.warn("%s", mixtureText(journal))
		case journal != nil:
			app.console.warn("the restore of %s into %s was interrupted: \"holdfast -e %s snapshot recover\" makes the environment again what it was",
				journal.Snapshot, name, name)
		}
	}
}

// warnOfMixture warns, where a recovery has failed, of what that leaves, unless it was
// warned of already.
func (app *env) warnOfMixture(place snapshot.Place) {
	if journal, err := place.Load(); err == nil && journal != nil && journal.Mixed() && !app.toldInterrupted {
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
