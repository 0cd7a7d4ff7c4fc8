package postgres

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// schemas is a room in the database itself. What is built is called by its own name
// only within a transaction, in which what is current is called otherwise: nobody
// else ever sees that, and the swap does the same once more, for good. Sessions
// survive it.
type schemas struct{ *target }

// marker is the schema whose comment is the journal.
func (r *schemas) marker() string { return "holdfast_hf_" + r.token[:10] }

func (r *schemas) staging(i int) string { return fmt.Sprintf("holdfast_hf_%s_%d", r.token[:10], i) }
func (r *schemas) aside(i int) string   { return fmt.Sprintf("holdfast_hr_%s_%d", r.token[:10], i) }

// read returns the journal, if there is one.
func (r *schemas) read(ctx context.Context) (journal, bool, error) {
	if r.inside == nil {
		return journal{}, false, nil
	}
	rows, err := r.inside.rows(ctx, "SELECT obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE nspname = "+literal(r.marker()))
	if err != nil || len(rows) == 0 {
		return journal{}, false, err
	}
	j, ok := parseJournal(rows[0][0])
	if !ok {
		return j, false, fmt.Errorf("database %s: the comment on schema %s is no journal of a restore", r.database, r.marker())
	}
	return j, true, nil
}

func (r *schemas) write(ctx context.Context, j journal) error {
	text, err := j.text()
	if err != nil {
		return err
	}
	return r.do(ctx, r.inside, "COMMENT ON SCHEMA "+r.marker()+" IS "+literal(text))
}

func (r *schemas) create(ctx context.Context) error {
	return r.inside.transaction(ctx, func() error {
		if err := r.do(ctx, r.inside, "CREATE SCHEMA "+r.marker()); err != nil {
			return err
		}
		return r.write(ctx, journal{Token: r.token, Phase: phaseStaging})
	})
}

// current lists the schemas of the database.
func (s *session) current(ctx context.Context) ([]string, error) {
	rows, err := s.rows(ctx, `SELECT nspname FROM pg_namespace WHERE oid IN (`+mine+`) ORDER BY nspname COLLATE "C"`)
	var names []string
	for _, row := range rows {
		names = append(names, row[0])
	}
	return names, err
}

// rename gives schemas other names: their own, or those for the time being.
func (r *schemas) rename(ctx context.Context, list []schemaName, own bool) error {
	for _, schema := range list {
		from, to := schema.Name, schema.Now
		if own {
			from, to = to, from
		}
		if err := r.do(ctx, r.inside, fmt.Sprintf("ALTER SCHEMA %s RENAME TO %s", quote(from), quote(to))); err != nil {
			return err
		}
	}
	return nil
}

// setAside renames all current schemas.
func (r *schemas) setAside(ctx context.Context) ([]schemaName, error) {
	names, err := r.inside.current(ctx)
	if err != nil {
		return nil, err
	}
	var aside []schemaName
	for i, name := range names {
		aside = append(aside, schemaName{name, r.aside(i)})
	}
	return aside, r.rename(ctx, aside, false)
}

// move moves extensions to the schemas that have the names they belong in, or to
// those that are called so for the time being.
func (r *schemas) move(ctx context.Context, extensions []extensionName, called []schemaName) error {
	for _, e := range extensions {
		to := e.Schema
		for _, schema := range called {
			if schema.Name == e.Schema {
				to = schema.Now
			}
		}
		if err := r.do(ctx, r.inside, r.extension(extensionName{e.Name, to}, "")); err != nil {
			return err
		}
	}
	return nil
}

func (r *schemas) extension(e extensionName, _ string) string {
	return fmt.Sprintf("ALTER EXTENSION %s SET SCHEMA %s", quote(e.Name), quote(e.Schema))
}

func (r *schemas) define(ctx context.Context, j *journal, work func(*session) error) error {
	return r.inside.transaction(ctx, func() error {
		aside, err := r.setAside(ctx)
		if err != nil {
			return err
		}
		if j.Staged == nil {
			err = r.createPublic(ctx)
		} else if err = r.rename(ctx, j.Staged, true); err == nil {
			err = r.move(ctx, j.Extensions, nil)
		}
		if err != nil {
			return err
		}
		if err := work(r.inside); err != nil {
			return err
		}
		names, err := r.inside.current(ctx)
		if err != nil {
			return err
		}
		j.Staged = nil
		for i, name := range names {
			j.Staged = append(j.Staged, schemaName{name, r.staging(i)})
		}
		if err := r.move(ctx, j.Extensions, aside); err != nil {
			return err
		}
		if err := r.rename(ctx, j.Staged, false); err != nil {
			return err
		}
		if err := r.rename(ctx, aside, true); err != nil {
			return err
		}
		return r.write(ctx, *j)
	})
}

// createPublic makes the schema that every new database has, as it is there: a
// snapshot holds only how its own differs from that.
func (r *schemas) createPublic(ctx context.Context) error {
	statements := []string{"CREATE SCHEMA public", "COMMENT ON SCHEMA public IS 'standard public schema'", "GRANT USAGE ON SCHEMA public TO PUBLIC"}
	if r.inside.version < 150000 {
		statements = append(statements, "GRANT CREATE ON SCHEMA public TO PUBLIC")
	}
	if err := r.do(ctx, r.inside, statements...); err != nil || r.inside.version < 150000 {
		return err
	}
	err := r.inside.attempt(ctx, "ALTER SCHEMA public OWNER TO pg_database_owner")
	if code(err) == codePrivilege {
		return nil // who does not own the database keeps it
	}
	return err
}

func (r *schemas) load(ctx context.Context) (*session, error) {
	return r.connect(ctx, r.database, swapWait)
}

func (r *schemas) called(j journal, schema string) string {
	for _, s := range j.Staged {
		if s.Name == schema {
			return s.Now
		}
	}
	return schema
}

func (r *schemas) finish(ctx context.Context, j journal) ([]string, error) {
	j.Phase = phaseStaged
	return nil, r.write(ctx, j)
}

const (
	// swapTry bounds how long a swap keeps visitors waiting at a time while it waits
	// for others: below the second after which the server looks for deadlocks, because
	// it might end a visitor's transaction and not ours.
	swapTry = 800 * time.Millisecond
	// swapPush, in every fifth try, is above it: the server then ends an autovacuum
	// that is in the way.
	swapPush = 1500 * time.Millisecond
)

// exclusively executes work in a transaction while nobody uses the current tables.
// Who comes meanwhile waits, and finds the tables by their names again.
func (r *schemas) exclusively(ctx context.Context, work func() error) error {
	var first []string // tables to lock before others
	deadline := r.now().Add(swapWait)
	for try := 1; ; try++ {
		patience := swapTry
		if try%5 == 0 {
			patience = swapPush
		}
		busy := ""
		err := r.inside.transaction(ctx, func() (err error) {
			if busy, err = r.lockTables(ctx, first, patience); err != nil {
				return err
			}
			return work()
		})
		again := []string{codeLocked, codeDeadlock, codeNoTable}
		if !slices.Contains(again, code(err)) || r.now().After(deadline) {
			return err
		}
		// Whoever used that table may have waited for one that we had locked before it.
		first = slices.DeleteFunc(first, func(name string) bool { return name == busy })
		if busy != "" && code(err) != codeNoTable {
			first = append([]string{busy}, first...)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// lockTables locks all current tables, first those that are named. If that is not
// done in time it says at which one it was.
func (r *schemas) lockTables(ctx context.Context, first []string, patience time.Duration) (busy string, err error) {
	rows, err := r.inside.rows(ctx, `SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relkind IN ('r', 'p') AND n.oid IN (`+mine+`) ORDER BY c.oid`)
	if err != nil {
		return "", err
	}
	names := slices.Clone(first)
	for _, row := range rows {
		if !slices.Contains(first, row[0]) {
			names = append(names, row[0])
		}
	}
	deadline := r.now().Add(patience)
	for _, name := range names {
		left := max(deadline.Sub(r.now()).Milliseconds(), 1)
		err := r.inside.exec(ctx, fmt.Sprintf("SET LOCAL lock_timeout = %d; LOCK TABLE ONLY %s IN ACCESS EXCLUSIVE MODE", left, name))
		if err != nil {
			return name, err
		}
	}
	return "", r.inside.exec(ctx, fmt.Sprintf("SET LOCAL lock_timeout = %d", swapWait.Milliseconds()))
}

func (r *schemas) swap(ctx context.Context, j journal) error {
	return r.exclusively(ctx, func() (err error) {
		if j.Retired, err = r.setAside(ctx); err != nil {
			return err
		}
		if err := r.rename(ctx, j.Staged, true); err != nil {
			return err
		}
		if err := r.move(ctx, j.Extensions, nil); err != nil {
			return err
		}
		j.Phase, j.Swapped = phaseSwapped, r.now()
		return r.write(ctx, j)
	})
}

func (r *schemas) revert(ctx context.Context, j journal) error {
	return r.exclusively(ctx, func() error {
		if err := r.rename(ctx, j.Staged, false); err != nil {
			return err
		}
		if err := r.rename(ctx, j.Retired, true); err != nil {
			return err
		}
		if err := r.move(ctx, j.Extensions, nil); err != nil {
			return err
		}
		j.Phase, j.Retired = phaseStaged, nil
		return r.write(ctx, j)
	})
}

// discard drops what was built, or what a swap put aside: whichever does not have
// its own name. The journal goes last.
func (r *schemas) discard(ctx context.Context, j journal) error {
	if j.Phase == phaseSwapped {
		j.Phase = phaseDiscarding
		if err := r.write(ctx, j); err != nil {
			return err
		}
	}
	rows, err := r.inside.rows(ctx, `SELECT nspname FROM pg_namespace WHERE nspname ~ '^holdfast_h[fr]_`+r.token[:10]+`_[0-9]+$'`)
	if err != nil {
		return err
	}
	for _, row := range rows {
		if err := r.do(ctx, r.inside, "DROP SCHEMA "+quote(row[0])+" CASCADE"); err != nil {
			return err
		}
	}
	return r.do(ctx, r.inside, "DROP SCHEMA "+r.marker()+" CASCADE")
}

func (r *schemas) retired(j journal) *retiredData {
	return &retiredData{database: r.database, schemas: j.Retired, at: j.Swapped}
}
