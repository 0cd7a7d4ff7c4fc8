package snapshot

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"holdfast/engines"
	"holdfast/repo"
)

// Recover finishes what a restore that died has begun; it must have the
// environment's lock. It returns nil if there was nothing to do. r.Parts are all
// of the environment's; Snapshot is not needed.
//
// Its error is a *LeftoverError wherever the journal does not say that parts were being
// swapped. Where it does, only a recovery to the end is trusted: whom a service hides
// things from finds nothing to bring back.
//
// Whether the safety snapshot was sent already the journal tells, or else a snapshot of
// the name under which the journal says that it was being sent.
func (r *Restoration) Recover(ctx context.Context, begin func(context.Context) (*repo.Session, error)) (*Recovery, error) {
	journal, err := r.Place.Load()
	if err != nil {
		return nil, err
	}
	if journal == nil {
		return nil, r.Place.clear()
	}
	done, err := r.recover(ctx, journal, begin)
	if err != nil && journal.State != Swapping {
		err = &LeftoverError{err}
	}
	return done, err
}

func (r *Restoration) recover(ctx context.Context, journal *Journal, begin func(context.Context) (*repo.Session, error)) (*Recovery, error) {
	if err := r.reopen(journal); err != nil {
		return nil, err
	}
	defer r.Close()
	done := &Recovery{Journal: *journal}
	if journal.State == Swapping {
		if err := r.find(ctx); err != nil {
			return done, recovering(journal, err)
		}
		if err := revert(context.WithoutCancel(ctx), r.targets, r.at); err != nil {
			return done, recovering(journal, err)
		}
		if err := r.note("journal discarding", func(j *Journal) { j.Discarding = true }); err != nil {
			return done, err
		}
	}
	if journal.State == Committed && journal.Safety && len(journal.Retires) > 0 {
		var err error
		if done.Safety, err = r.recoverSafety(ctx, journal, begin); err != nil {
			return done, recovering(journal, err)
		}
	}
	return done, recovering(journal, discard(context.WithoutCancel(ctx), r.targets, r.Place, r.at))
}

// LeftoverError is a failure after which the environment is whole all the same, as before
// the restore or as restored: something that lies beside its data could not be saved or
// removed, and waits for the next recovery.
type LeftoverError struct{ cause error }

func (e *LeftoverError) Error() string { return e.cause.Error() }
func (e *LeftoverError) Unwrap() error { return e.cause }

// Recovery says what Recover found and did.
type Recovery struct {
	Journal
	Safety repo.Name
}

func recovering(j *Journal, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("finish the interrupted restore of %s into %s: %w", j.Snapshot, j.Environment, err)
}

// reopen makes the targets of the journal's restore.
func (r *Restoration) reopen(j *Journal) error {
	r.journal = j
	for _, name := range j.Parts {
		i := slices.IndexFunc(r.Parts, func(p Part) bool { return p.Name == name })
		if i < 0 {
			return fmt.Errorf("an interrupted restore of %s into %s concerns %q, which holdfast.yaml no longer has; put it back for one command", j.Snapshot, j.Environment, name)
		}
		t := &replacement{part: r.Parts[i]}
		t.part.Subpath = j.Subpath
		var err error
		if t.target, err = t.part.Engine.Target(t.part.Service, j.Token); err != nil {
			return t.wrap("while the restore was looked at", err)
		}
		r.targets = append(r.targets, t)
	}
	return nil
}

// recoverSafety sends the safety snapshot, unless it was sent before the
// restore died, or an earlier recovery.
func (r *Restoration) recoverSafety(ctx context.Context, j *Journal, begin func(context.Context) (*repo.Session, error)) (repo.Name, error) {
	last, err := j.SavedAs(ctx, r.Repository)
	if err != nil || !last.IsZero() {
		return last, err
	}
	session, err := begin(ctx)
	if err != nil {
		return last, err
	}
	err = r.note("journal sending", func(j *Journal) { j.Sending = session.Name })
	if err == nil {
		_, err = r.sendSafety(ctx, session)
	}
	if err != nil {
		return last, errors.Join(err, session.End(context.WithoutCancel(ctx)))
	}
	return session.Name, errors.Join(r.saved(session.Name), session.End(ctx))
}

// SavedAs returns the safety snapshot of what the restore has replaced; a zero name where
// none is committed.
func (j *Journal) SavedAs(ctx context.Context, r *repo.Repository) (name repo.Name, err error) {
	if !j.Saved.IsZero() {
		return j.Saved, nil
	}
	if name = j.Sending; name.IsZero() {
		if name, err = repo.ParseName(j.Token); err != nil {
			return name, err
		}
	}
	_, err = r.Snapshot(ctx, name)
	if errors.Is(err, repo.ErrNoSnapshot) {
		return repo.Name{}, nil
	}
	return name, err
}

// saved notes in the journal that the safety snapshot is committed.
func (r *Restoration) saved(safety repo.Name) error {
	return r.note("journal saved", func(j *Journal) { j.Saved = safety })
}

// note writes into the journal what helps the next recovery. Where there is no room for it
// the work goes on: what is discarded at its end makes some.
func (r *Restoration) note(step string, change func(*Journal)) error {
	if err := r.at(step); err != nil {
		return err
	}
	change(r.journal)
	_ = r.Place.Store(r.journal) // as said
	return nil
}

// find misses parts that were being swapped and of which nothing is there: they may be half
// swapped where the disk is that they are on.
func (r *Restoration) find(ctx context.Context) error {
	for _, t := range r.targets {
		finder, ok := t.target.(engines.Finder)
		if !ok || r.journal.Discarding {
			continue
		}
		found, err := finder.Found(ctx)
		if err == nil && !found {
			err = fmt.Errorf("nothing of the restore is at %s, though it was being swapped: is its disk mounted? If what was there is gone for good, remove %s",
				t.part.URL.Path, r.Place.journal())
		}
		if err != nil {
			return t.wrap("", err)
		}
	}
	return nil
}

// revert makes every target what it was, last swapped first. at is told each step.
func revert(ctx context.Context, targets []*replacement, at func(string) error) error {
	for _, t := range slices.Backward(targets) {
		if err := at("revert " + t.part.Name); err != nil {
			return err
		}
		if err := t.target.Revert(ctx); err != nil {
			return t.wrap("while it was brought back to what it was", err)
		}
	}
	return nil
}

// discard removes what was staged or retired, of all targets as far as it can be, and
// ends the journal.
func discard(ctx context.Context, targets []*replacement, place Place, at func(string) error) error {
	var failed []error
	for _, t := range targets {
		if err := at("discard " + t.part.Name); err != nil {
			return err
		}
		failed = append(failed, t.wrap("while what is left of the restore was removed", t.target.Discard(ctx)))
	}
	if err := errors.Join(failed...); err != nil {
		return err
	}
	if err := at("journal removed"); err != nil {
		return err
	}
	return place.Remove()
}
