package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"holdfast/engines"
	"holdfast/engines/dump"
	"holdfast/internal/tree"
)

// Check implements engines.Checker: whether the user may build the room that the
// snapshot's definitions need, and have it take the current database's place.
func (t *target) Check(ctx context.Context, entries []tree.Entry, content engines.Content, plan *engines.Plan) error {
	l := loading{target: t, content: content}
	if err := l.open(ctx, entries); err != nil {
		return fmt.Errorf("service %s: %w", t.service, err)
	}
	if err := t.open(ctx); err != nil {
		return err
	}
	warnings, err := l.checkRoom(ctx)
	plan.Warnings = append(plan.Warnings, warnings...)
	if err != nil {
		return err
	}
	plan.Emptied, err = dump.Emptied(ctx, content, l.tables, tableName.label)
	if err != nil {
		return fmt.Errorf("service %s: %w", t.service, err)
	}
	return nil
}

// unsaved are the current tables of which a snapshot of what is replaced holds no rows.
func (t *target) unsaved(ctx context.Context) (names []string, err error) {
	if len(t.schemaOnly) == 0 {
		return nil, nil
	}
	tables, err := t.inside.tables(ctx, nil)
	if err != nil {
		return nil, err
	}
	if err := t.inside.leaveOut(ctx, tables, true); err != nil {
		return nil, err
	}
	for _, table := range tables {
		if table.bare {
			names = append(names, table.label())
		}
	}
	return names, nil
}

// unreadable is why a snapshot of what is replaced could not be taken.
func (t *target) unreadable(ctx context.Context) error {
	if _, err := findDump(ctx, t.inside.version); err != nil {
		return err
	}
	return (&source{place: t.place, control: t.inside}).privileges(ctx)
}

// checkRoom says what the room takes in which the snapshot will be built.
func (l *loading) checkRoom(ctx context.Context) ([]string, error) {
	t := l.target
	chosen, why, err := t.choose(ctx, l.definitions)
	if _, whole := chosen.(*database); err != nil || !whole {
		return nil, err
	}
	warnings, err := t.checkExtensions(ctx, extensionsIn(l.definitions.schema))
	if err != nil || t.inside == nil {
		return warnings, err
	}
	count, err := t.endable(ctx, t.server, thenRestore, t.database)
	if err != nil {
		return nil, err
	}
	return append(warnings, fmt.Sprintf("database %s is replaced as a whole (%s), which ends the sessions in it: %d now", t.database, why, count)), nil
}

// checkExtensions refuses what the server does not have, and warns of what the user may
// not create in a database of its own. That is no refusal: who rents servers out may
// have changed what it takes.
func (t *target) checkExtensions(ctx context.Context, wanted []extensionName) (warnings []string, err error) {
	trusted := "false" // before PostgreSQL 13 there was no such thing
	if t.any().version >= 130000 {
		trusted = "v.trusted"
	}
	for _, e := range wanted {
		if e.Name == "plpgsql" {
			continue // it is in every database
		}
		row, err := t.any().row(ctx, `SELECT count(*), coalesce(bool_or(NOT v.superuser OR `+trusted+` OR (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)), false)
			FROM pg_available_extensions e JOIN pg_available_extension_versions v ON v.name = e.name AND v.version = e.default_version WHERE e.name = `+literal(e.Name))
		if err != nil {
			return nil, err
		}
		switch {
		case row[0] == "0":
			return nil, fmt.Errorf("%s has no extension %s, which the snapshot needs: install its package there", t.at(), e.Name)
		case row[1] != "t":
			warnings = append(warnings, fmt.Sprintf("the snapshot is restored as a database of its own, in which %s; else the restore fails before anything is replaced", t.extensionNeeds(e.Name)))
		}
	}
	return warnings, nil
}

// extensionNeeds says what it takes to create an extension that is not trusted. Nothing
// that is in the current database helps a new one.
func (p place) extensionNeeds(name string) string {
	return fmt.Sprintf("only a superuser may create extension %s: ALTER ROLE %s SUPERUSER, for the time of the restore", name, quote(p.user))
}

// maySignal says of a row of pg_stat_activity whether the user may end that session.
const maySignal = `(pg_has_role(usesysid, 'USAGE') OR pg_has_role('pg_signal_backend', 'USAGE'))
	AND ((SELECT rolsuper FROM pg_roles WHERE rolname = current_user) OR NOT (SELECT rolsuper FROM pg_roles WHERE oid = usesysid))`

// passing bounds how long somebody who only looks in is waited for.
const passing = 2 * time.Second

// What a restore is at when it needs databases without sessions: how it goes on once those
// that it may not end have ended.
const (
	thenRestore = "and restore then"
	thenRecover = `"holdfast snapshot recover" goes on then`
)

// endable counts the sessions of others in databases, and refuses where the user may
// not end one of them and it does not end by itself. then says how it goes on.
func (p place) endable(ctx context.Context, s *session, then string, databases ...string) (int, error) {
	const step = 100 * time.Millisecond
	for waited := time.Duration(0); ; waited += step {
		count, err := p.sessions(ctx, s, then, databases)
		var kept *keptError
		if !errors.As(err, &kept) || waited >= passing {
			return count, err
		}
		select {
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		case <-time.After(step):
		}
	}
}

func (p place) sessions(ctx context.Context, s *session, then string, databases []string) (int, error) {
	rows, err := s.rows(ctx, `SELECT `+maySignal+`, datname, usename, coalesce(rolsuper, false), pid FROM pg_stat_activity LEFT JOIN pg_roles r ON r.oid = usesysid
		WHERE datname = ANY (`+list(databases)+`) AND usesysid IS NOT NULL AND pid <> pg_backend_pid() AND application_name <> `+literal(application)+` ORDER BY datname, pid`)
	if err != nil {
		return 0, err
	}
	kept := &keptError{place: p, then: then}
	for _, row := range rows {
		if row[0] != "t" {
			kept.sessions = append(kept.sessions, othersSession{database: row[1], role: row[2], super: row[3] == "t", pid: row[4]})
		}
	}
	if kept.sessions != nil {
		return 0, kept
	}
	return len(rows), nil
}

// keptError says that the user may not end sessions in databases that are to be
// replaced, or dropped, as a whole.
type keptError struct {
	place
	sessions []othersSession
	then     string
}

type othersSession struct {
	database, role, pid string
	super               bool
}

// Error says what it takes. Whoever comes back under the same role is ended by the same
// line.
func (e *keptError) Error() string {
	const shown = 5
	var pids, databases, roles []string
	super := false
	for i, other := range e.sessions {
		if i < shown {
			pids = append(pids, fmt.Sprintf("pid %s of role %s in database %s", other.pid, other.role, other.database))
		}
		if name := literal(other.database); !slices.Contains(databases, name) {
			databases = append(databases, name)
		}
		if name := literal(other.role); !slices.Contains(roles, name) {
			roles = append(roles, name)
		}
		super = super || other.super
	}
	if more := len(e.sessions) - shown; more > 0 {
		pids = append(pids, fmt.Sprintf("and %d more", more))
	}
	line := fmt.Sprintf("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname IN (%s) AND usename IN (%s)",
		strings.Join(databases, ", "), strings.Join(roles, ", "))
	cure := fmt.Sprintf("GRANT pg_signal_backend TO %s, or end them as an administrator: %s", quote(e.user), line)
	if super {
		cure = "only a superuser may end a superuser's: " + line
	}
	noun := "a session is"
	if len(e.sessions) > 1 {
		noun = "sessions are"
	}
	return fmt.Sprintf("%s: %s in the way that user %s may not end, %s: %s; %s", e.at(), noun, e.user, strings.Join(pids, ", "), cure, e.then)
}
