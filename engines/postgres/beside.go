package postgres

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
)

// database is a room of its own: a database beside the current one, for what does
// not fit into schemas, and where there is no database yet. The swap renames both
// in one transaction, for which their sessions have to end.
type database struct {
	*target
	saved databaseScript
}

func (r *database) staging() string { return beside(r.target.database, "_hf_", r.token) }
func (r *database) aside() string   { return beside(r.target.database, "_hr_", r.token) }

// read returns the journal: the comment on the room, or after the swap on the
// database that it became. A room without one has only just been created. It can be
// seen from any database, also where nothing can be done about it from there.
func (r *database) read(ctx context.Context) (journal, bool, error) {
	for _, name := range []string{r.staging(), r.target.database} {
		comment, exists, err := r.any().databaseComment(ctx, name)
		if err != nil {
			return journal{}, false, err
		}
		j, ok := parseJournal(comment)
		switch {
		case !exists:
		case ok && (name == r.staging() || j.Token == r.token):
			return j, true, nil
		case name == r.staging():
			return journal{Token: r.token, Phase: phaseStaging}, true, nil
		}
	}
	return journal{}, false, nil
}

// write makes the comment on a database the journal.
func (r *database) write(ctx context.Context, name string, j journal) error {
	text, err := j.text()
	if err != nil {
		return err
	}
	return r.do(ctx, r.server, commentOn(name, text))
}

// create creates the database with the snapshot's encoding and locale, in the current
// one's tablespace.
func (r *database) create(ctx context.Context) error {
	tablespace, err := r.server.value(ctx, `SELECT ' TABLESPACE ' || quote_ident(spcname) FROM pg_database JOIN pg_tablespace t ON t.oid = dattablespace
		WHERE datname = `+literal(r.target.database)+` AND spcname <> 'pg_default' AND has_tablespace_privilege(t.oid, 'CREATE')`)
	if err != nil {
		return err
	}
	if err := r.do(ctx, r.server, "CREATE DATABASE "+quote(r.staging())+r.saved.locale+tablespace); err != nil {
		return err
	}
	if err := r.write(ctx, r.staging(), journal{Token: r.token, Phase: phaseStaging}); err != nil {
		return err
	}
	owner, err := r.server.value(ctx, "SELECT quote_ident(pg_get_userbyid(datdba)) FROM pg_database WHERE datname = "+literal(r.target.database))
	if err != nil || owner == "" {
		return err
	}
	// From the start: who owns the database may own what is in schema public. If it cannot
	// be, finish tells.
	_, err = r.give(ctx, fmt.Sprintf("ALTER DATABASE %s OWNER TO %s", quote(r.staging()), owner), currentHas, nil)
	return err
}

func (r *database) define(ctx context.Context, _ *journal, work func(*session) error) error {
	s, err := r.load(ctx)
	if err != nil {
		return err
	}
	defer s.end()
	return s.transaction(ctx, func() error { return work(s) })
}

func (r *database) extension(_ extensionName, statement string) string { return statement }

func (r *database) load(ctx context.Context) (*session, error) {
	return r.connect(ctx, r.staging(), swapWait)
}

func (r *database) called(_ journal, schema string) string { return schema }

func (r *database) finish(ctx context.Context, j journal) (notes []string, err error) {
	comment, exists, err := r.server.databaseComment(ctx, r.target.database)
	if err != nil {
		return nil, err
	}
	if j.Phase, j.Created, j.Comment = phaseStaged, !exists, comment; exists {
		notes, err = r.inherit(ctx)
	} else {
		j.Comment = r.saved.comment
		notes, err = r.set(ctx, r.saved.settings, "the snapshot's has")
	}
	if err != nil {
		return notes, err
	}
	return notes, r.write(ctx, r.staging(), j)
}

// alone executes statements that need databases without sessions, in one
// transaction. Whoever connects meanwhile waits for it.
// then says how it goes on where a session may not be ended.
func (r *database) alone(ctx context.Context, then string, databases []string, statements ...string) error {
	r.inside.end()
	r.inside = nil
	killer, err := r.connect(ctx, r.server.place.database, swapWait)
	if err != nil {
		return err
	}
	defer killer.end()
	if _, err := r.endable(ctx, killer, then, databases...); err != nil {
		return err // before a single one is ended
	}
	done := make(chan struct{})
	var group errgroup.Group
	group.Go(func() error { return endSessions(ctx, killer, databases, done) })
	err = r.server.transaction(ctx, func() error { return r.do(ctx, r.server, statements...) })
	close(done)
	if ending := group.Wait(); err == nil {
		err = ending
	}
	if held := r.held(ctx, databases, err); held != err {
		return held
	}
	if code(err) == codeInUse {
		if _, kept := r.endable(ctx, killer, then, databases...); kept != nil {
			return kept
		}
		return fmt.Errorf("sessions in the database did not end, or others came again and again: %w", err)
	}
	return err
}

// endSessions ends all sessions in databases again and again until done is closed.
// No query of it may outlive that: it would end sessions that come afterwards. So
// the end of ctx does not cut one off, which the server might still go on with.
func endSessions(ctx context.Context, s *session, databases []string, done <-chan struct{}) error {
	ctx = context.WithoutCancel(ctx)
	for {
		_, err := s.rows(ctx, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = ANY (`+list(databases)+`)
			AND usesysid IS NOT NULL AND `+maySignal)
		if err != nil {
			return err
		}
		select {
		case <-done:
			return nil
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func renameDatabase(from, to string) string {
	return fmt.Sprintf("ALTER DATABASE %s RENAME TO %s", quote(from), quote(to))
}

func (r *database) swap(ctx context.Context, j journal) error {
	j.Phase, j.Swapped = phaseSwapped, r.now()
	text, err := j.text()
	if err != nil {
		return err
	}
	current := r.target.database
	statements := []string{renameDatabase(r.staging(), current), commentOn(current, text)}
	if !j.Created {
		statements = append([]string{renameDatabase(current, r.aside())}, statements...)
	}
	return r.alone(ctx, thenRestore, []string{current, r.staging()}, statements...)
}

func (r *database) revert(ctx context.Context, j journal) error {
	j.Phase = phaseStaged
	text, err := j.text()
	if err != nil {
		return err
	}
	current := r.target.database
	statements := []string{renameDatabase(current, r.staging()), commentOn(r.staging(), text)}
	if !j.Created {
		statements = append(statements, renameDatabase(r.aside(), current))
	}
	return r.alone(ctx, thenRecover, []string{current, r.aside()}, statements...)
}

func (r *database) discard(ctx context.Context, j journal) error {
	if j.Phase == phaseStaging || j.Phase == phaseStaged {
		return r.drop(ctx, thenRecover, r.staging())
	}
	if j.Phase == phaseSwapped {
		j.Phase = phaseDiscarding
		if err := r.write(ctx, r.target.database, j); err != nil {
			return err
		}
	}
	if err := r.drop(ctx, thenRecover, r.aside()); err != nil {
		return err
	}
	return r.do(ctx, r.server, commentOn(r.target.database, j.Comment))
}

// drop drops a database of this restore, and ends the sessions in it. then says how it
// goes on where one of them may not be ended.
func (r *database) drop(ctx context.Context, then, name string) error {
	// Of these the server would only say that a privilege is lacking.
	if _, err := r.endable(ctx, r.server, then, name); err != nil {
		return err
	}
	statement := "DROP DATABASE IF EXISTS " + quote(name)
	if r.server.version >= 130000 {
		statement += " WITH (FORCE)"
	}
	return r.held(ctx, []string{name}, r.do(ctx, r.server, statement))
}

func (r *database) retired(j journal) *retiredData {
	if j.Created {
		return &retiredData{database: r.target.database, schemas: []schemaName{}, at: j.Swapped}
	}
	return &retiredData{database: r.aside(), at: j.Swapped}
}
