package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"holdfast/internal/activity"
	"holdfast/internal/environment"
	"holdfast/internal/snapshot"
	"holdfast/repo"
)

// create is the action of "snapshot create".
func create(ctx context.Context, app *env, o CreateOptions) error {
	r, err := app.open(ctx)
	if err != nil {
		return err
	}
	defer r.Close()
	name, err := r.config.Acting()
	if err != nil {
		return err
	}
	e, parts, err := app.parts(r, name, o.Live)
	if err != nil {
		return err
	}
	app.warnOfRetention(r.config)
	definition, err := json.Marshal(e.Definition())
	if err != nil {
		return err
	}
	progress := newTracker(app.now())
	c := &snapshot.Creation{Repository: r.Repository, Project: r.config.Project, Environment: name, Definition: string(definition),
		Description: o.Description, Parts: parts, Barrier: barrierOf(e), Live: o.Live,
		OrLive: cmp.Or(o.OnTimeout, e.Gate.OnTimeout) == environment.OnTimeoutLive, Program: programName(), Host: hostname(),
		Now: app.now, Progress: progress}
	if !c.Live {
		if err := gateAnswers(ctx, c.Barrier, snapshot.HoldMark); err != nil {
			return err
		}
	}
	if o.DryRun {
		return dryCreate(ctx, app, r, c)
	}
	s, err := app.take(ctx, r, c, progress)
	if err != nil {
		return err
	}
	untold := app.result(s, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "Snapshot name: %s\n", s.Name)
		return err
	})
	app.tellCreated(s)
	app.keepParity(ctx, r)
	if untold != nil {
		return fmt.Errorf("the snapshot %s is published, but its name could not be written: %w", s.Name, untold)
	}
	losses := s.Losses()
	return incomplete(losses, fmt.Sprintf("the snapshot %s is published, but %s missing in it", s.Name, severalAre(len(losses), "thing")))
}

// take runs the creation as an operation on its environment.
func (app *env) take(ctx context.Context, r *opened, c *snapshot.Creation, progress *tracker) (s *repo.Snapshot, err error) {
	progress.Step("starting")
	stop := app.show(progress)
	defer stop()
	operation := snapshot.Operation{Repository: r.Repository, Kind: activity.Create, Project: c.Project, Environment: c.Environment,
		Progress: progress.counts, Now: app.now}
	err = operation.Run(ctx, func(ctx context.Context, session *repo.Session, record *activity.Recorder) error {
		unlock, err := app.ready(ctx, r, c, operation.Kind)
		if err != nil {
			return err
		}
		defer unlock()
		record.SetSnapshot(session.Name.String())
		if session.LostPacks() {
			app.console.warn("packs or parts of the index are missing in the repository, so everything is read and nothing taken over from older snapshots; \"holdfast repo check\" names what is lost")
		}
		s, err = c.Create(ctx, session)
		return err
	})
	return s, app.unlessDone(err)
}

// unlessDone is the error of an operation, unless it is done all the same.
func (app *env) unlessDone(err error) error {
	if done, ok := errors.AsType[*snapshot.DoneError](err); ok {
		app.console.warn("%v", done)
		return nil
	}
	return err
}

// ready locks the environment, finishes an interrupted restore, and reads what
// the repository holds. What that restore has left and cannot be removed is in the way of
// another one, and not of a snapshot: whoever leaves it there must not be without backups.
func (app *env) ready(ctx context.Context, r *opened, c *snapshot.Creation, kind activity.Kind) (unlock func(), err error) {
	place := r.place(c.Environment)
	if unlock, err = place.Lock(); err != nil {
		return nil, err
	}
	done, err := app.recover(ctx, r, c, place)
	if _, whole := errors.AsType[*snapshot.LeftoverError](err); whole && kind == activity.Create && ctx.Err() == nil {
		app.console.warn("%v", err)
		if hint := hintOf(err); hint != "" {
			app.console.warn("hint: %s", hint)
		}
		app.console.warn("the data of %s is whole, and saved all the same", c.Environment)
		err = nil
	}
	if err != nil {
		unlock()
		return nil, err
	}
	if undo := app.undoOf(done); undo != "" {
		app.console.warn("%s", undoLine(undo))
	}
	if err := app.lineage(ctx, r, c); err != nil {
		unlock()
		return nil, err
	}
	return unlock, nil
}

// lineage gives c what the repository holds.
func (app *env) lineage(ctx context.Context, r *opened, c *snapshot.Creation) error {
	all, vanished, err := app.snapshots(ctx, r)
	if err != nil {
		return err
	}
	for _, v := range vanished {
		app.console.warn("%v", v)
	}
	c.Lineage = all
	return nil
}

// recover finishes what an interrupted restore of the environment has left, and says
// so. It returns nil where there was nothing.
func (app *env) recover(ctx context.Context, r *opened, c *snapshot.Creation, place snapshot.Place) (*snapshot.Recovery, error) {
	defer func() { app.finishes = "" }()
	all, err := r.Snapshots(ctx)
	if err != nil && len(all) == 0 {
		return nil, err
	}
	if journal, err := place.Load(); err == nil && (journal == nil || journal.State == snapshot.Committed) {
		app.settled(ctx, c.Barrier) // what is left to do, requests need not wait for
	}
	safety := *c
	safety.Lineage = all
	restoration := &snapshot.Restoration{Creation: safety, Place: place}
	done, err := restoration.Recover(ctx, func(ctx context.Context) (*repo.Session, error) {
		return r.Begin(ctx, repo.Restore, app.now)
	})
	if _, whole := errors.AsType[*snapshot.LeftoverError](err); whole {
		app.settled(ctx, c.Barrier) // for what lies beside the data, requests need not wait either
	}
	if err != nil {
		app.warnOfMixture(place)
		return nil, elsewhere(err, r, c.Environment)
	}
	if done == nil {
		return nil, nil
	}
	app.settled(ctx, c.Barrier)
	switch {
	case done.LosesWrites():
		app.console.warn("an interrupted restore of %s was undone: the environment %s is as it was before; no gate held the requests, so what was written meanwhile to any of %s that had been swapped already is lost",
			done.Journal.Snapshot, done.Environment, strings.Join(done.Parts, ", "))
	case done.State != snapshot.Committed:
		app.console.warn("an interrupted restore of %s was undone: the environment %s is as it was before", done.Journal.Snapshot, done.Environment)
	case done.Safety.IsZero():
		app.console.warn("an interrupted restore of %s into %s was completed", done.Journal.Snapshot, done.Environment)
	default:
		app.console.warn("an interrupted restore of %s into %s was completed; what it replaced is snapshot %s", done.Journal.Snapshot, done.Environment, done.Safety)
	}
	return done, nil
}

// elsewhere adds to the failure of a recovery with which configuration it would go better:
// the one that the restore was begun with, if this is another.
func elsewhere(err error, r *opened, environment string) error {
	journal, _ := r.place(environment).Load() // else err tells of it
	if journal == nil || journal.Config == "" || journal.Config == r.config.File || hintOf(err) != "" {
		return err
	}
	return &withHint{err, fmt.Sprintf("the restore was begun with another configuration, whose users may do more: holdfast --config %s -e %s snapshot recover",
		quoted(journal.Config), environment)}
}

// undoOf is the line that takes a restore back which a recovery has completed; ""
// where it has not, or cannot be taken back.
func (app *env) undoOf(done *snapshot.Recovery) string {
	if done == nil || done.Safety.IsZero() {
		return ""
	}
	return app.restoreLine(done.Environment, done.Safety)
}

func (app *env) tellCreated(s *repo.Snapshot) {
	app.console.say("%s, %s read, %s stored anew, in %s; consistency: %s",
		amount(s.Stats.Bytes, s.Stats.Files), size(s.Stats.Read), size(s.Stats.Stored), span(s.Took), s.Consistency)
	app.console.say("%s", instantText(s))
	if s.Gate != nil {
		for _, t := range s.Gate.Trouble {
			app.console.warn("%s", t)
		}
	}
	for _, service := range s.Services {
		if service.Unheld != "" {
			app.console.say("%s: not one instant: %s", service.Name, pastGateText(service))
		}
		for _, warning := range service.Warnings {
			app.console.warn("%s: %s", service.Name, warning)
		}
		for _, note := range service.Notes {
			app.console.say("%s: %s", service.Name, note)
		}
	}
}

// instantText says what of a snapshot is one instant, and what that cost visitors.
func instantText(s *repo.Snapshot) string {
	apart := fmt.Sprintf("the first and the last mark lie %s apart", brief(s.Skew))
	if len(s.Services) == 1 {
		apart = "it has one part only"
	}
	switch {
	case s.Gate == nil:
		return "No requests were held: each part is at an instant of its own; " + apart
	case s.Gate.Broken != "":
		return fmt.Sprintf("Not one instant: %s; %s", s.Gate.Broken, apart)
	}
	text := fmt.Sprintf("Requests were held for %s: %s", brief(s.Held), holdText(s.Gate))
	if unheld := unheldText(s.Gate); unheld != "" {
		text += "\nNot one instant: " + unheld
	}
	return text
}

// incomplete is the error for losses: text says what was done all the same, and
// the first losses are named.
func incomplete(losses []repo.Loss, text string) error {
	if len(losses) == 0 {
		return nil
	}
	return &incompleteError{text + lossLines(losses)}
}

// lossLines names the first losses, each after a line's end. One that concerns no
// single path has none.
func lossLines(losses []repo.Loss) string {
	const shown = 20
	text := ""
	for i, l := range losses {
		if i == shown {
			text += fmt.Sprintf("\nand %d more", len(losses)-shown)
			break
		}
		text += "\n"
		if l.Path != "" {
			text += l.Path + ": "
		}
		text += l.Reason
	}
	return text
}

type incompleteError struct{ text string }

func (e *incompleteError) Error() string        { return e.text }
func (e *incompleteError) Is(target error) bool { return target == errIncomplete }

// dryCreate tries what can be known to fail, and stores nothing.
func dryCreate(ctx context.Context, app *env, r *opened, c *snapshot.Creation) error {
	if err := app.lineage(ctx, r, c); err != nil {
		return err
	}
	planned, err := c.Try(ctx)
	if err != nil {
		return err
	}
	consistency, why := foreseen(c, len(planned))
	doc := struct {
		Consistency repo.Consistency `json:"consistency"`
		Parts       []snapshot.Trial `json:"parts"`
	}{consistency, planned}
	return app.result(doc, func(w io.Writer) error {
		var b strings.Builder
		for _, p := range planned {
			fmt.Fprintf(&b, "would save %s (%s) from %s\n", p.Name, p.Engine, p.From)
			for _, n := range p.Notes {
				fmt.Fprintf(&b, "  %s\n", printable(n))
			}
		}
		fmt.Fprintf(&b, "consistency: %s: %s\n", consistency, why)
		_, err := io.WriteString(w, b.String())
		return err
	})
}

// foreseen says what of a snapshot will be one instant, and why no more.
func foreseen(c *snapshot.Creation, parts int) (repo.Consistency, string) {
	gate, gated := c.Barrier.(gateBarrier)
	switch {
	case c.Live:
		return repo.Live, "requests are not held, and parts may differ by moments"
	case gated:
		return repo.OneInstant, "requests are held at the gate " + gate.gate.Control
	case parts == 1:
		return repo.PerService, "requests are not held; it has one part only"
	}
	return repo.PerService, "there is no gate to hold requests, so each part is at an instant of its own"
}
