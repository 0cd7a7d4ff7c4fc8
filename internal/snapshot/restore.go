package snapshot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"holdfast/repo"
)

// Restoration is a snapshot to be brought back into an environment.
type Restoration struct {
	// Creation describes the safety snapshot, and with Parts the target.
	Creation
	Snapshot *repo.Snapshot
	Place    Place
	Config   string // see Journal
	// Named is set when the caller chose the parts: then all of them must be in
	// the snapshot.
	Named   bool
	Subpath string // beneath the only part
	Safety  bool   // keep what is replaced as a safety snapshot

	targets []*replacement
	gone    []repo.Loss // services of which the snapshot has nothing left
	journal *Journal
	reads   repo.PackReads // until all was staged
	// released says what the hold of the swap amounted to.
	released Released
	// CopyJournal, if set, is given the journal once everything is staged, to be
	// kept elsewhere too: should the journal's own place be lost, the copy tells
	// which parts are concerned and what carries which token.
	CopyJournal func(context.Context, []byte) error
	// step, if set, is called before each step; tests stop there.
	step func(string) error
}

// Close releases the targets.
func (r *Restoration) Close() {
	for _, t := range r.targets {
		_ = t.target.Close() // what was done is durable or in the journal
	}
}

// Outcome is what a restore came to.
type Outcome struct {
	Snapshot repo.Name   `json:"snapshot"`
	Target   string      `json:"target"`
	Replaced []string    `json:"replaced"`
	Subpath  string      `json:"subpath,omitempty"` // beneath the only one of these, if that is all
	Created  []string    `json:"created,omitempty"` // of these, what was not there: undoing leaves it
	Missing  []repo.Loss `json:"missing,omitempty"` // what the snapshot lacks of that
	Losses   []repo.Loss `json:"losses,omitempty"`  // what could not be made as it was
	Notes    []string    `json:"notes,omitempty"`
	Safety   *repo.Name  `json:"safety_snapshot,omitempty"`
	// Lost is what of the replaced data could not be read for the safety snapshot.
	Lost []repo.Loss `json:"safety_missing,omitempty"`
	// Read is what was read from the repository's packs to stage all that.
	Read   uint64 `json:"read_bytes"`
	Needed uint64 `json:"needed_bytes"` // of it the first time
	// Present is how much was right already, so that it was not read.
	Present uint64 `json:"present_bytes"`
	// Held is how long requests were held for the swap, and Gate what became of them;
	// nil where there was no gate.
	Held time.Duration `json:"held_ns,omitempty"`
	Gate *repo.Hold    `json:"gate,omitempty"`
}

// Restore carries out what Plan planned, under the session whose name was the
// token. If its error is an *UndoneError, the target is as it was.
func (r *Restoration) Restore(ctx context.Context, session *repo.Session) (*Outcome, error) {
	r.journal = &Journal{State: Staging, Token: session.Name.String(), Snapshot: r.Snapshot.Name, Project: r.Project,
		Environment: r.Environment, Started: r.Now().UTC(), Parts: partNames(r.Parts), Subpath: r.Subpath, Safety: r.Safety, Config: r.Config}
	if err := r.enter(Staging); err != nil {
		return nil, err
	}
	if err := r.prepare(ctx); err != nil {
		return nil, r.undo(context.WithoutCancel(ctx), err)
	}
	if err := r.swap(ctx); err != nil {
		return nil, err
	}
	outcome := r.outcome()
	// From here on nothing is taken back: what is left to do is done, or waits in
	// the journal for the next command.
	return outcome, r.finish(ctx, session, outcome)
}

func (r *Restoration) enter(s State) error {
	if err := r.at("journal " + string(s)); err != nil {
		return err
	}
	next := *r.journal
	next.State = s
	if err := r.Place.Store(&next); err != nil {
		return err
	}
	r.journal = &next
	return nil
}

func (r *Restoration) at(step string) error {
	if r.step == nil {
		return nil
	}
	return r.step(step)
}

// prepare stages all parts: nothing is left that can be known to fail.
func (r *Restoration) prepare(ctx context.Context) error {
	r.Progress.Phase("building", false) // "staging" is what many call an environment
	for _, t := range r.targets {
		r.Progress.Expect(t.bytes)
	}
	if err := r.stage(ctx); err != nil {
		return err
	}
	r.reads = r.Repository.PackReads()
	if err := r.enter(Prepared); err != nil || r.CopyJournal == nil {
		return err
	}
	data, err := json.Marshal(r.journal)
	if err != nil {
		return err
	}
	return r.CopyJournal(ctx, data)
}

// swap holds the requests until the target is as restored, or again as it was. If
// it is neither, they wait until a recovery has made it so.
func (r *Restoration) swap(ctx context.Context) error {
	r.Progress.Phase("swapping", false)
	held, err := r.Barrier.Hold(ctx, HoldSwap, "restore "+r.journal.Token)
	if err != nil {
		return r.undo(context.WithoutCancel(ctx), fmt.Errorf("hold the requests: %w", err))
	}
	r.journal.Held = held != notHeld{}
	if err := r.swapAll(ctx); err != nil {
		err = r.undo(context.WithoutCancel(ctx), err)
		if whole(err) {
			held.Release()
		} else {
			held.Abandon()
		}
		return err
	}
	r.released = held.Release()
	return nil
}

func (r *Restoration) swapAll(ctx context.Context) error {
	if err := r.enter(Swapping); err != nil {
		return err
	}
	for _, t := range r.targets {
		if err := r.at("swap " + t.part.Name); err != nil {
			return err
		}
		if err := t.target.Swap(ctx); err != nil {
			return t.wrap("while it was put in place", err)
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return r.enter(Committed)
}

// stage builds all parts at the same time.
func (r *Restoration) stage(ctx context.Context) error {
	content := countedContent{r.Repository, r.Progress}
	group, ctx := errgroup.WithContext(ctx)
	for _, t := range r.targets {
		if !t.Plan.Creates || t.Plan.Empties {
			r.journal.Retires = append(r.journal.Retires, t.part.Name)
		}
		group.Go(func() (err error) {
			if err := r.at("stage " + t.part.Name); err != nil {
				return err
			}
			t.staged, err = t.target.Stage(ctx, t.entries, content)
			return t.wrap("while it was built beside the current data", err)
		})
	}
	return group.Wait()
}

// UndoneError is the failure of a restore that left nothing: all that it had done is
// taken back, and its journal is gone.
type UndoneError struct {
	Environment string
	cause       error
}

func (e *UndoneError) Error() string { return e.cause.Error() }
func (e *UndoneError) Unwrap() error { return e.cause }

// undo brings the target back to what it was and returns cause, as an *UndoneError, or
// with what went wrong on the way.
func (r *Restoration) undo(ctx context.Context, cause error) error {
	if errors.Is(cause, errStopped) {
		return cause
	}
	r.Progress.Phase("undoing", false)
	none := func(string) error { return nil } // what fails here a recovery meets too
	// The last journal may have reached the disk although storing it failed: what
	// stands there must say again how far we are before data follows.
	err := r.Place.Store(r.journal)
	if err == nil && r.journal.State == Swapping {
		err = revert(ctx, r.targets, none)
		if err == nil {
			r.journal.Discarding = true
			_ = r.Place.Store(r.journal) // as note does
		}
	}
	if err == nil {
		if err = discard(ctx, r.targets, r.Place, none); err != nil {
			err = &LeftoverError{err}
		}
	}
	if err != nil {
		return errors.Join(cause, fmt.Errorf("and undoing it failed; the next command on this environment tries again: %w", err))
	}
	return &UndoneError{r.Environment, cause}
}

// whole reports whether undo, which returned that error, made the target what it was.
func whole(err error) bool {
	_, undone := errors.AsType[*UndoneError](err)
	_, leftover := errors.AsType[*LeftoverError](err)
	return undone || leftover
}

// errStopped stands for the death of the process, in tests.
var errStopped = errors.New("stopped")

func (r *Restoration) outcome() *Outcome {
	o := &Outcome{Snapshot: r.Snapshot.Name, Target: r.Environment, Replaced: partNames(r.Parts), Subpath: r.Subpath, Missing: r.gone,
		Read: r.reads.Read, Needed: r.reads.Needed, Present: r.reads.Present, Held: r.released.Held, Gate: r.released.Hold}
	for _, t := range r.targets {
		if t.Plan.Creates && !t.Plan.Empties {
			o.Created = append(o.Created, path.Join(t.part.Name, t.part.Subpath))
		}
		o.Missing = append(o.Missing, Missing(r.Snapshot, t.part.Name, t.part.Subpath)...)
		for _, l := range t.staged.Losses {
			o.Losses = append(o.Losses, repo.Loss{Path: l.Path, Reason: l.Reason})
		}
		for _, note := range t.staged.Notes {
			o.Notes = append(o.Notes, t.part.Name+": "+note)
		}
	}
	return o
}

// finish sends the safety snapshot from the retired data and removes that.
func (r *Restoration) finish(ctx context.Context, session *repo.Session, o *Outcome) error {
	if r.Safety && len(r.journal.Retires) > 0 {
		if err := r.at("safety snapshot"); err != nil {
			return err
		}
		s, err := r.sendSafety(ctx, session)
		if err != nil {
			return fmt.Errorf("the restore is done, but what it replaced could not be saved yet; it is kept, and the next command on this environment tries again: %w", err)
		}
		o.Safety, o.Lost = &s.Name, s.Losses()
		if err := r.saved(s.Name); err != nil {
			return err
		}
	}
	return discard(context.WithoutCancel(ctx), r.targets, r.Place, r.at)
}

// saving is the progress of a safety snapshot, whose own steps are of no interest: nothing
// is copied beforehand or held for it.
type saving struct{ Progress }

func (s saving) Phase(string, bool) { s.Progress.Phase("saving what was replaced", true) }
func (saving) Step(string)          {}

// sendSafety takes the safety snapshot of what was retired.
func (r *Restoration) sendSafety(ctx context.Context, session *repo.Session) (*repo.Snapshot, error) {
	c := r.Creation
	c.Parts, c.sources = nil, nil
	c.Barrier, c.Live = heldBefore{r.released}, false
	c.Restore = r.journal.Snapshot
	c.Progress = saving{c.Progress}
	c.Description = "before restoring " + r.journal.Snapshot.String()
	for _, t := range r.targets {
		if !slices.Contains(r.journal.Retires, t.part.Name) {
			continue
		}
		source, err := t.target.Retired(ctx)
		if err != nil {
			for _, opened := range c.sources {
				_ = opened.Close()
			}
			return nil, t.wrap("while what was replaced was read", err)
		}
		c.Parts = append(c.Parts, t.part)
		c.sources = append(c.sources, source)
	}
	return c.Create(ctx, session)
}
