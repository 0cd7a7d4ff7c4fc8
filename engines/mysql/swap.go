package mysql

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Swap implements engines.Target.
//
// The order is: journal; triggers out of the way, for a table with triggers
// cannot move to another database; all tables in one RENAME TABLE; then views,
// routines, triggers and events as they are in the snapshot.
func (t *target) Swap(ctx context.Context) error {
	if err := t.lock(ctx); err != nil {
		return err
	}
	j, found, err := t.readJournal(ctx)
	switch {
	case err != nil:
		return err
	case found && j.Phase == phaseSwapped:
		return nil
	case !found || j.Phase != phaseStaged:
		return fmt.Errorf("database %s: restore %s is not staged", t.database, t.token)
	}
	if err := t.recordCurrent(ctx, &j); err != nil {
		return err
	}
	j.Phase = phaseSwapping
	if err := t.writeJournal(ctx, j); err != nil {
		return err
	}
	if err := t.keepJournal(ctx); err != nil {
		return err
	}
	if j.Created {
		if err := t.do(ctx, "CREATE DATABASE IF NOT EXISTS "+quote(t.database)); err != nil {
			return err
		}
	}
	if err := t.do(ctx, "CREATE DATABASE IF NOT EXISTS "+quote(t.retired)); err != nil {
		return err
	}
	if err := t.control.use(ctx, t.database); err != nil {
		return err
	}
	if err := t.clearWay(ctx, j.Tables); err != nil {
		return err
	}
	moves := append(moveAll(j.OldTables, t.database, t.retired), moveAll(j.Tables, t.staging, t.database)...)
	if err := t.rename(ctx, moves); err != nil {
		return err
	}
	if err := t.moved(ctx, j); err != nil {
		return err
	}
	if err := t.do(ctx, j.Defaults...); err != nil {
		return err
	}
	if err := t.defaults(ctx, j.NewCharset, j.NewCollation); err != nil {
		return err
	}
	if err := t.converge(ctx, j.NewCollation, j.Objects, j.staying()); err != nil {
		return err
	}
	if err := t.do(ctx, j.Grants...); err != nil {
		return err
	}
	j.Phase, j.Swapped = phaseSwapped, t.now()
	return t.writeJournal(ctx, j)
}

// recordCurrent notes in j what is current.
func (t *target) recordCurrent(ctx context.Context, j *journal) error {
	exists, err := t.exists(ctx, t.database)
	if err != nil {
		return err
	}
	j.Created, j.OldTables, j.Old = !exists, nil, nil
	j.Charset, j.Collation = j.NewCharset, j.NewCollation
	if !exists {
		return nil
	}
	if err := t.control.use(ctx, t.database); err != nil {
		return err
	}
	if j.OldTables, err = t.tablesOf(ctx, t.database); err != nil {
		return err
	}
	c, err := t.control.defaults(ctx)
	if err != nil {
		return err
	}
	j.Charset, j.Collation = c.charset, c.collation
	j.Old, err = t.control.objects(ctx, c.collation)
	return err
}

// tablesOf lists tables and sequences, without the journal.
func (t *target) tablesOf(ctx context.Context, database string) ([]string, error) {
	list, err := t.control.strings(ctx, `SELECT table_name FROM information_schema.tables
		WHERE table_schema = `+literal(database)+` AND table_type <> 'VIEW' ORDER BY BINARY table_name`)
	return slices.DeleteFunc(list, func(name string) bool { return name == t.journalTable() }), err
}

// move is one table's part of a RENAME.
type move struct{ table, from, to string }

func moveAll(tables []string, from, to string) []move {
	var moves []move
	for _, table := range tables {
		moves = append(moves, move{table, from, to})
	}
	return moves
}

// rename moves all tables at once; foreign keys follow them. A statement that
// deadlocks with visitors has done nothing, and is tried again.
func (t *target) rename(ctx context.Context, moves []move) error {
	if len(moves) == 0 {
		return nil
	}
	var list []string
	for _, m := range moves {
		list = append(list, fmt.Sprintf("%s.%s TO %s.%s", quote(m.from), quote(m.table), quote(m.to), quote(m.table)))
	}
	statement := "RENAME TABLE " + strings.Join(list, ", ")
	for attempt := 1; ; attempt++ {
		err := t.do(ctx, statement)
		if number(err) != errDeadlock || attempt == 5 {
			return t.blameLockers(ctx, err)
		}
	}
}

// moved makes sure that exactly the staged tables are current.
func (t *target) moved(ctx context.Context, j journal) error {
	tables, err := t.tablesOf(ctx, t.database)
	if err != nil {
		return err
	}
	for _, name := range tables {
		if !slices.Contains(j.Tables, name) {
			return fmt.Errorf("database %s: table %s was created during the swap", t.database, name)
		}
	}
	if len(tables) != len(j.Tables) {
		return fmt.Errorf("database %s has %d tables after the swap instead of %d", t.database, len(tables), len(j.Tables))
	}
	return nil
}

// clearWay drops what would stop a RENAME in the control session's database:
// triggers, which cannot leave it, and views of the names of arriving tables.
func (t *target) clearWay(ctx context.Context, arriving []string) error {
	// The last first: if one cannot be dropped, those that are left are the first ones,
	// and converge has to touch none of them to put the others back.
	triggers, err := t.control.strings(ctx, `SELECT trigger_name FROM information_schema.triggers WHERE trigger_schema = DATABASE()
		ORDER BY BINARY event_object_table DESC, event_manipulation DESC, action_timing DESC, action_order DESC`)
	if err != nil {
		return err
	}
	for _, name := range triggers {
		if err := t.do(ctx, "DROP TRIGGER IF EXISTS "+quote(name)); err != nil {
			return err
		}
	}
	views, err := t.control.strings(ctx, `SELECT table_name FROM information_schema.tables
		WHERE table_schema = DATABASE() AND table_type = 'VIEW' ORDER BY BINARY table_name`)
	if err != nil {
		return err
	}
	for _, name := range views {
		if !slices.Contains(arriving, name) {
			continue
		}
		if err := t.do(ctx, "DROP VIEW IF EXISTS "+quote(name)); err != nil {
			return err
		}
	}
	return nil
}

// defaults sets the current database's character set and collation.
func (t *target) defaults(ctx context.Context, charset, collation string) error {
	c, err := t.control.defaults(ctx)
	if err != nil || c.charset == charset && c.collation == collation {
		return err
	}
	return t.do(ctx, fmt.Sprintf("ALTER DATABASE %s CHARACTER SET = %s COLLATE = %s", quote(t.database), charset, collation))
}

// staying are old objects that a swap leaves although the snapshot does not have
// them, because a revert could not bring them back: routines, on which other
// users' privileges end when they are dropped (Discard does so), and broken views.
func (j journal) staying() map[string]bool {
	stay := map[string]bool{}
	for _, o := range j.Old {
		stay[o.key()] = o.routine() || o.Broken
	}
	return stay
}

// converge makes the current database's views, routines, triggers and events
// those of want. What is there already is left alone, and so is what stay names.
func (t *target) converge(ctx context.Context, collation string, want []object, stay map[string]bool) error {
	have, err := t.control.objects(ctx, collation)
	if err != nil {
		return err
	}
	wanted, present := map[string]bool{}, map[string]object{}
	for _, o := range want {
		wanted[o.key()] = true
	}
	// Triggers fire in the order in which they were created: all are, unless the first of
	// them are there.
	again := !begins(triggers(want), triggers(have))
	for _, o := range have {
		if o.Kind == "TRIGGER" && again || !wanted[o.key()] && !stay[o.key()] {
			if err := t.do(ctx, "DROP "+o.Kind+" IF EXISTS "+quote(o.Name)); err != nil {
				return err
			}
			continue
		}
		present[o.key()] = o
	}
	for _, o := range want {
		if h, ok := present[o.key()]; ok && h.equal(o) || o.Broken {
			continue
		}
		if err := t.create(ctx, o, collation); err != nil {
			return err
		}
	}
	return t.control.restoreSettings(ctx)
}

func triggers(objects []object) []object {
	return slices.DeleteFunc(slices.Clone(objects), func(o object) bool { return o.Kind != "TRIGGER" })
}

// begins reports whether list begins with these.
func begins(list, these []object) bool {
	return len(these) <= len(list) && slices.EqualFunc(list[:len(these)], these, object.equal)
}

func (o object) routine() bool {
	return o.Kind != "VIEW" && o.Kind != "TRIGGER" && o.Kind != "EVENT"
}

// create creates an object in the control session's database, under the settings
// that it once had.
func (t *target) create(ctx context.Context, o object, collation string) error {
	for _, statement := range o.settings() {
		if err := t.control.exec(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", o.label(), err)
		}
	}
	err := t.do(ctx, o.replacing(t.control.server)...)
	if o.Collation != "" {
		err = errors.Join(err, t.control.exec(ctx, "ALTER DATABASE COLLATE = "+collation))
	}
	if err != nil {
		return fmt.Errorf("%s: %w", o.label(), err)
	}
	return nil
}

// restoreSettings sets what objects were created under back to the session's own.
func (s *session) restoreSettings(ctx context.Context) error {
	if err := s.exec(ctx, "SET NAMES utf8mb4"); err != nil {
		return err
	}
	return s.exec(ctx, "SET SESSION sql_mode = '', time_zone = '+00:00', character_set_results = NULL")
}
