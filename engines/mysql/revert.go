package mysql

import (
	"context"
	"fmt"
	"slices"
)

// Revert implements engines.Target.
func (t *target) Revert(ctx context.Context) error {
	if err := t.lock(ctx); err != nil {
		return err
	}
	j, found, err := t.readJournal(ctx)
	if err != nil || !found {
		return err
	}
	switch j.Phase {
	case phaseSwapping, phaseSwapped:
	case phaseDiscarding:
		return fmt.Errorf("database %s: restore %s cannot be reverted, its retired data are being removed", t.database, t.token)
	default:
		return nil
	}
	exists, err := t.exists(ctx, t.database)
	if err != nil {
		return err
	}
	if !exists && !j.Created {
		if err := t.do(ctx, "CREATE DATABASE "+quote(t.database)); err != nil {
			return err
		}
	}
	if exists || !j.Created {
		if err := t.putBack(ctx, j); err != nil {
			return err
		}
	}
	left, err := t.tablesOf(ctx, t.retired)
	if err != nil {
		return err
	}
	if len(left) > 0 {
		return fmt.Errorf("database %s still holds %v of database %s: move them back by hand", t.retired, left, t.database)
	}
	if err := t.do(ctx, "DROP DATABASE IF EXISTS "+quote(t.retired)); err != nil {
		return err
	}
	j.Phase = phaseStaged
	return t.writeJournal(ctx, j)
}

// putBack makes the current database what it was, or drops it if there was none.
func (t *target) putBack(ctx context.Context, j journal) error {
	if err := t.control.use(ctx, t.database); err != nil {
		return err
	}
	moves, err := t.movesBack(ctx, j)
	if err != nil {
		return err
	}
	if len(moves) > 0 {
		if err := t.clearWay(ctx, j.OldTables); err != nil {
			return err
		}
		if err := t.rename(ctx, moves); err != nil {
			return err
		}
	}
	if err := t.defaults(ctx, j.Charset, j.Collation); err != nil {
		return err
	}
	if err := t.converge(ctx, j.Collation, j.Old, nil); err != nil {
		return err
	}
	if !j.Created {
		return nil
	}
	left, err := t.control.names(ctx)
	if err != nil {
		return err
	}
	if len(left) > 0 {
		return fmt.Errorf("database %s: %v was created after the swap", t.database, left)
	}
	return t.do(ctx, "DROP DATABASE IF EXISTS "+quote(t.database))
}

// movesBack asks the server which tables are where, and returns what undoes the
// swap. A table of the snapshot is current if it is not in staging any more and
// if it is not an old one of the same name, which is so as long as that is not
// among the retired.
func (t *target) movesBack(ctx context.Context, j journal) ([]move, error) {
	where := map[string][]string{}
	for _, database := range []string{t.staging, t.retired, t.database} {
		list, err := t.tablesOf(ctx, database)
		if err != nil {
			return nil, err
		}
		where[database] = list
	}
	var moves []move
	for _, name := range j.Tables {
		if slices.Contains(where[t.staging], name) || !slices.Contains(where[t.database], name) {
			continue
		}
		if !slices.Contains(j.OldTables, name) || slices.Contains(where[t.retired], name) {
			moves = append(moves, move{name, t.database, t.staging})
		}
	}
	for _, name := range j.OldTables {
		if slices.Contains(where[t.retired], name) {
			moves = append(moves, move{name, t.retired, t.database})
		}
	}
	return moves, nil
}

// Discard implements engines.Target.
func (t *target) Discard(ctx context.Context) error {
	if err := t.lock(ctx); err != nil {
		return err
	}
	j, found, err := t.readJournal(ctx)
	if err != nil {
		return err
	}
	if found && j.Phase == phaseSwapping {
		if j, err = t.swapped(ctx, j); err != nil {
			return err
		}
	}
	if found && j.Phase == phaseSwapped {
		if err := t.dropSurplus(ctx, j); err != nil {
			return err
		}
		j.Phase = phaseDiscarding
		if err := t.writeJournal(ctx, j); err != nil {
			return err
		}
	}
	if j.Phase == phaseStaging || j.Phase == phaseStaged {
		if err := t.dropAccounts(ctx, j); err != nil {
			return err
		}
	}
	// The journal is in the staging database, so that goes last.
	return t.do(ctx, "DROP DATABASE IF EXISTS "+quote(t.retired), "DROP DATABASE IF EXISTS "+quote(t.staging))
}

// swapped is the journal of a swap that came to its end, of which the last word may have been
// lost with the server.
func (t *target) swapped(ctx context.Context, j journal) (journal, error) {
	whole, err := t.complete(ctx, j)
	if err != nil {
		return j, err
	}
	if !whole {
		return j, fmt.Errorf("database %s: the swap of restore %s stopped half way: revert it first", t.database, t.token)
	}
	if err := t.do(ctx, j.Grants...); err != nil { // complete has not asked for these
		return j, err
	}
	j.Phase, j.Swapped = phaseSwapped, t.now()
	return j, nil
}

// complete asks the server whether a swap came to its end.
func (t *target) complete(ctx context.Context, j journal) (bool, error) {
	exists, err := t.exists(ctx, t.database)
	if err != nil || !exists {
		return false, err
	}
	moves, err := t.movesBack(ctx, j)
	if err != nil || len(moves) != len(j.Tables)+len(j.OldTables) {
		return false, err
	}
	if err := t.control.use(ctx, t.database); err != nil {
		return false, err
	}
	c, err := t.control.defaults(ctx)
	if err != nil || c.charset != j.NewCharset || c.collation != j.NewCollation {
		return false, err
	}
	have, err := t.control.objects(ctx, j.NewCollation)
	if err != nil {
		return false, err
	}
	for _, o := range j.Objects {
		if !o.Broken && !slices.ContainsFunc(have, o.equal) {
			return false, nil
		}
	}
	return slices.EqualFunc(triggers(have), triggers(j.Objects), object.equal), nil
}

// dropSurplus drops the routines that Swap left because the snapshot does not
// have them.
func (t *target) dropSurplus(ctx context.Context, j journal) error {
	if err := t.control.use(ctx, t.database); err != nil {
		return err
	}
	for _, o := range j.Old {
		if !o.routine() || slices.ContainsFunc(j.Objects, func(n object) bool { return n.key() == o.key() }) {
			continue
		}
		if err := t.do(ctx, "DROP "+o.Kind+" IF EXISTS "+quote(o.Name)); err != nil {
			return err
		}
	}
	return nil
}
