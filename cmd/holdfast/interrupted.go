package main

import (
	"errors"
	"io/fs"

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
		case journal != nil:
			app.console.warn("the restore of %s into %s was interrupted: \"holdfast -e %s snapshot recover\" makes the environment again what it was",
				journal.Snapshot, name, name)
		}
	}
}
