package redis

import (
	"context"
	"errors"
	"fmt"
)

var errNotStaged = errors.New("it is not staged")

// Swap implements engines.Target.
func (t *target) Swap(ctx context.Context) error {
	if err := t.lock(ctx); err != nil {
		return err
	}
	mine, err := t.mine(ctx)
	if err != nil {
		return err
	}
	if len(mine) > 0 && mine[0].phase == phaseSwapped {
		return nil
	}
	if err := t.staged(ctx, mine); err != nil {
		return fmt.Errorf("%v: restore %s: %w", t.place, t.token, err)
	}
	if mine, err = t.surplus(ctx, mine); err != nil {
		return err
	}
	now := t.now()
	var commands [][]any
	for _, r := range mine {
		r.phase, r.swapped, r.of = phaseSwapped, now, len(mine)
		if r.hasFunctions {
			old, err := t.control.do(ctx, "FUNCTION", "DUMP")
			if err != nil {
				return err
			}
			r.oldFunctions, _ = old.(string)
			commands = append(commands, []any{"FUNCTION", "RESTORE", r.functions, "FLUSH"})
		}
		commands = append(commands, r.exchange()...)
	}
	return t.atomically(ctx, commands...)
}

// exchange returns the commands that swap r with the database that it is for. The
// mark stays at r's number, where the other data is then.
func (r restored) exchange() [][]any {
	return [][]any{{"SELECT", r.at}, {"DEL", markKey}, {"SWAPDB", r.current, r.at}, r.put()}
}

// staged refuses what is not staged, or not as it was any more.
func (t *target) staged(ctx context.Context, mine []restored) error {
	i, err := t.control.info(ctx, "keyspace")
	if err != nil {
		return err
	}
	if len(mine) == 0 {
		return errNotStaged
	}
	for _, r := range mine {
		if r.phase != phaseStaged || r.of != len(mine) {
			return errNotStaged
		}
		if k := i.keyspaces()[r.at]; k.keys-k.expires-1 != r.lasting {
			return fmt.Errorf("database %d holds %d lasting keys instead of the %d that were staged: somebody else writes there, or keys were evicted",
				r.at, k.keys-k.expires-1, r.lasting)
		}
	}
	return nil
}

// surplus adds to a restore of all databases those that hold something now and
// nothing in the snapshot: each is swapped with an empty one.
func (t *target) surplus(ctx context.Context, mine []restored) ([]restored, error) {
	if t.database != allDatabases {
		return mine, nil
	}
	current, err := t.current(ctx)
	if err != nil {
		return nil, err
	}
	for _, r := range mine {
		delete(current, r.current)
	}
	for n := range current {
		var taken []int
		for _, r := range mine {
			taken = append(taken, r.current)
		}
		r := restored{token: t.token, current: n, scope: scopeAll, phase: phaseStaged}
		if r.at, err = t.occupy(ctx, r, taken); err != nil {
			return nil, err
		}
		mine = append(mine, r)
	}
	return mine, nil
}

// begun locks and returns the databases of this restore. A user who may not lock
// could not begin one: where there are none and it may look, nothing is to be undone.
func (t *target) begun(ctx context.Context) ([]restored, error) {
	locked := t.lock(ctx)
	if locked != nil && (code(locked) != "NOPERM" || t.control == nil) {
		return nil, locked
	}
	if locked != nil {
		if err := t.in(ctx, 0, []any{"HGETALL", markKey}); err != nil {
			return nil, locked
		}
	}
	mine, err := t.mine(ctx)
	if err == nil && len(mine) > 0 {
		err = locked
	}
	return mine, err
}

// Revert implements engines.Target.
func (t *target) Revert(ctx context.Context) error {
	mine, err := t.begun(ctx)
	if err != nil || len(mine) == 0 || mine[0].phase != phaseSwapped {
		return err
	}
	if mine[0].of != len(mine) {
		return fmt.Errorf("%v: restore %s cannot be reverted, its retired data are being removed", t.place, t.token)
	}
	var commands [][]any
	for _, r := range mine {
		r.phase = phaseReverted
		commands = append(commands, r.exchange()...)
		if r.hasFunctions {
			commands = append(commands, []any{"FUNCTION", "RESTORE", r.oldFunctions, "FLUSH"})
		}
	}
	return t.atomically(ctx, commands...)
}

// Discard implements engines.Target.
func (t *target) Discard(ctx context.Context) error {
	mine, err := t.begun(ctx)
	if err != nil {
		return err
	}
	for _, r := range mine {
		if err := t.remove(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

// remove empties a database of a restore, if it still is that.
func (t *target) remove(ctx context.Context, r restored) error {
	if err := t.in(ctx, r.at, []any{"WATCH", markKey}); err != nil {
		return err
	}
	token, err := t.control.do(ctx, "HGET", markKey, "token")
	if err != nil {
		return err
	}
	if token != r.token {
		return fmt.Errorf("database %d of the Redis server at %s does not belong to restore %s any more", r.at, t.address, r.token)
	}
	return t.atomically(ctx, []any{"FLUSHDB", "ASYNC"})
}
