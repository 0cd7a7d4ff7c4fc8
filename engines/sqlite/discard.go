package sqlite

import (
	"context"
	"errors"
)

// Found implements engines.Finder.
func (t *target) Found(context.Context) (found bool, err error) {
	defer t.name("look beside", &err)
	if err := t.locate(); err != nil && !errors.Is(err, errMissing) {
		return false, err
	}
	return anyExists(t.beside.staged, t.beside.retired, t.beside.created)
}

// Discard implements engines.Target.
func (t *target) Discard(ctx context.Context) (err error) {
	defer t.name("discard what was restored beside", &err)
	created, retired, err := t.traces()
	if err != nil {
		return err
	}
	staged, err := anyExists(t.beside.staged, t.beside.convert)
	if err != nil {
		return err
	}
	if !created && !retired && !staged {
		return t.removeStaleLock()
	}
	if err := t.begin(); err != nil {
		return err
	}
	if created || retired { // the token goes first: without a trace nobody asks for it
		if err := t.dropToken(ctx); err != nil {
			return err
		}
	}
	t.entry = nil
	return errors.Join(remove(t.beside.retired), remove(t.beside.created), t.removeStaged())
}

// removeStaleLock sees to it that Close removes the lock of a process that was
// killed when it had discarded all else. One that is held is another restore's.
func (t *target) removeStaleLock() error {
	if there, err := exists(t.beside.lock); err != nil || !there {
		return err
	}
	if err := t.begin(); !errors.Is(err, errLocked) {
		return err
	}
	return nil
}

// dropToken removes the table with the token from the current database.
func (t *target) dropToken(ctx context.Context) error {
	if ours, err := t.swapped(ctx); err != nil || !ours {
		return err
	}
	db, err := open(ctx, t.beside.current, t.patience, "synchronous = EXTRA")
	if err != nil {
		return err
	}
	defer db.close()
	return db.transact(ctx, func() error { return db.do(ctx, "DROP TABLE IF EXISTS "+tokenTable) })
}
