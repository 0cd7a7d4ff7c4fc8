package postgres

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"holdfast/engines"
	"holdfast/internal/tree"
)

// Stage implements engines.Target.
func (t *target) Stage(ctx context.Context, entries []tree.Entry, content engines.Content) (engines.Staged, error) {
	l := loading{target: t, content: content}
	if err := l.open(ctx, entries); err != nil {
		return engines.Staged{}, fmt.Errorf("service %s: %w", t.service, err)
	}
	earlier, j, err := t.begun(ctx)
	if err != nil {
		return engines.Staged{}, err
	}
	if j.Phase == phaseSwapped || j.Phase == phaseDiscarding {
		return engines.Staged{}, fmt.Errorf("database %s: restore %s has already swapped", t.database, t.token)
	}
	if earlier != nil {
		if err := earlier.discard(ctx, j); err != nil {
			return engines.Staged{}, err
		}
	}
	if err := t.dropRoles(ctx); err != nil {
		return engines.Staged{}, err
	}
	if err := t.clear(ctx); err != nil {
		return engines.Staged{}, err
	}
	if l.room, _, err = t.choose(ctx, l.definitions); err != nil {
		return engines.Staged{}, err
	}
	return l.build(ctx)
}

// clear removes what restores that were killed while they staged have left. What a
// swap put aside stays: nobody but its own restore may decide about that.
func (t *target) clear(ctx context.Context) error {
	if t.inside != nil {
		rows, err := t.inside.rows(ctx, `SELECT nspname, obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE nspname ~ '^holdfast_hf_[0-9a-f]{10}$'`)
		if err != nil {
			return err
		}
		for _, row := range rows {
			if j, ok := parseJournal(row[1]); ok && (j.Phase == phaseStaging || j.Phase == phaseStaged) {
				other := *t
				other.token = j.Token
				if err := (&schemas{&other}).discard(ctx, j); err != nil {
					return err
				}
			}
		}
	}
	if t.server == nil {
		return nil
	}
	rows, err := t.server.rows(ctx, `SELECT datname, shobj_description(oid, 'pg_database') FROM pg_database WHERE pg_has_role(datdba, 'USAGE')`)
	if err != nil {
		return err
	}
	for _, row := range rows {
		j, ok := parseJournal(row[1])
		if !ok || j.Phase != phaseStaging && j.Phase != phaseStaged || row[0] != beside(t.database, "_hf_", j.Token) {
			continue
		}
		if err := (&database{target: t}).drop(ctx, thenRestore, row[0]); err != nil {
			return err
		}
	}
	return nil
}

// scripts are the definitions of a snapshot.
type scripts struct {
	database, schema, after, privileges []statement
	large                               bool // there are large objects
}

// unswappable matches statements about what belongs to a database as a whole.
var unswappable = regexp.MustCompile(`^(?:CREATE|ALTER) (?:OR REPLACE )?(EVENT TRIGGER|PUBLICATION|SUBSCRIPTION|SERVER|FOREIGN|USER MAPPING|CAST|(?:TRUSTED )?(?:PROCEDURAL )?LANGUAGE|ACCESS METHOD|TRANSFORM) `)

// choose returns the room in which the snapshot is built, and why it is a database
// of its own, if it is.
func (t *target) choose(ctx context.Context, d scripts) (chosen room, why string, err error) {
	r, err := t.rights(ctx)
	if err != nil {
		return nil, "", err
	}
	why = "the database does not exist yet"
	if t.inside != nil {
		if why, err = t.unfit(ctx, d); err != nil {
			return nil, "", err
		}
	}
	if why == "" && r.rename {
		return &schemas{t}, "", nil
	}
	if why == "" {
		why = fmt.Sprintf("user %s may not rename all schemas of database %s", t.user, t.database)
	}
	if !r.create {
		cures, err := t.creating(ctx)
		if err != nil {
			return nil, why, err
		}
		return nil, why, fmt.Errorf("database %s at PostgreSQL %s: the snapshot can only be restored as a database of its own (%s), and user %s may not create one that takes its place: %s",
			t.database, t.address, why, t.user, cures)
	}
	saved, err := parseDatabase(d.database)
	return &database{target: t, saved: saved}, why, err
}

// unfit says why the snapshot, or what it replaces, cannot be swapped by renaming
// schemas; "" if it can.
func (t *target) unfit(ctx context.Context, d scripts) (string, error) {
	for _, st := range slices.Concat(d.schema, d.after) {
		if m := unswappable.FindStringSubmatch(st.text); m != nil {
			return strings.ToLower("the snapshot has a " + m[1]), nil
		}
	}
	if d.large {
		return "the snapshot has large objects", nil
	}
	has, err := t.inside.value(ctx, `SELECT string_agg(what, ', ') FROM (
		SELECT 'event triggers' WHERE EXISTS (SELECT FROM pg_event_trigger)
		UNION ALL SELECT 'publications' WHERE EXISTS (SELECT FROM pg_publication)
		UNION ALL SELECT 'foreign servers' WHERE EXISTS (SELECT FROM pg_foreign_data_wrapper)
		UNION ALL SELECT 'casts' WHERE EXISTS (SELECT FROM pg_cast c WHERE oid >= 16384 AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_cast'::regclass AND objid = c.oid AND deptype = 'e'))
		UNION ALL SELECT 'large objects' WHERE EXISTS (SELECT FROM pg_largeobject_metadata)
		UNION ALL SELECT 'schemas with a quote in their name' WHERE EXISTS (SELECT FROM pg_namespace WHERE strpos(nspname, '''') > 0)) AS things (what)`)
	if err != nil || has != "" {
		return "the database has " + has, err
	}
	return t.unfitExtensions(ctx, d)
}

// unfitExtensions does the same for extensions: an extension exists once in a
// database, so both must have the same, outside of what is swapped or movable. What
// is in an extension belongs to a superuser, whoever created it.
func (t *target) unfitExtensions(ctx context.Context, d scripts) (string, error) {
	wanted := extensionsIn(d.schema)
	rows, err := t.inside.rows(ctx, `SELECT e.extname, n.nspname, n.nspname ~ '^pg_', e.extrelocatable AND (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)
		AND NOT EXISTS (SELECT FROM pg_class c JOIN pg_depend p ON p.classid = 'pg_class'::regclass AND p.objid = c.oid
			WHERE p.deptype = 'e' AND p.refobjid = e.oid AND c.relkind IN ('r', 'S'))
		FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace`)
	if err != nil {
		return "", err
	}
	for _, row := range rows {
		inSnapshot := slices.Contains(wanted, extensionName{row[0], row[1]})
		wanted = slices.DeleteFunc(wanted, func(e extensionName) bool { return e.Name == row[0] })
		switch system := row[2] == "t"; {
		case system && (inSnapshot || row[0] == "plpgsql"):
		case !inSnapshot:
			return "extension " + row[0] + " is not in the snapshot, or in another schema", nil
		case row[3] != "t":
			return "extension " + row[0] + " cannot be moved to another schema", nil
		}
	}
	for _, e := range wanted {
		if e.Name != "plpgsql" {
			return "extension " + e.Name + " is not in the database", nil
		}
	}
	return "", nil
}

var extensionForm = regexp.MustCompile(`^CREATE EXTENSION (?:IF NOT EXISTS )?("(?:[^"]|"")+"|\S+) WITH SCHEMA ("(?:[^"]|"")+"|\S+)$`)

// extensionOf reads a CREATE EXTENSION as pg_dump writes it.
func extensionOf(text string) (extensionName, bool) {
	m := extensionForm.FindStringSubmatch(text)
	if m == nil {
		return extensionName{}, false
	}
	return extensionName{unquote(m[1]), unquote(m[2])}, true
}

func unquote(name string) string {
	if inner, ok := strings.CutPrefix(name, `"`); ok {
		return strings.ReplaceAll(strings.TrimSuffix(inner, `"`), `""`, `"`)
	}
	return name
}

func extensionsIn(statements []statement) []extensionName {
	var list []extensionName
	for _, st := range statements {
		if e, ok := extensionOf(st.text); ok {
			list = append(list, e)
		}
	}
	return list
}

// ofCatalogs matches privileges in what every database has by itself, such as that of
// reading the hashes of passwords.
var ofCatalogs = regexp.MustCompile(`^(?:GRANT|REVOKE) .* ON (?:[A-Z]+ )+pg_catalog\.`)

// privileges executes what says whose things are and who may use them. Roles that
// are missing here, or that the user may not give things to, are told. What every
// database has by itself is as it was, unless the database is a new one.
func (l *loading) privileges(ctx context.Context, s *session, statements []statement) ([]string, error) {
	missing := map[string]int{}
	var complaints, byHand []string
	_, replaced := l.room.(*database)
	heir, err := s.value(ctx, "SELECT quote_ident(pg_get_userbyid(datdba)) FROM pg_database WHERE datname = "+literal(l.database))
	if err != nil {
		return nil, err
	}
	for _, st := range statements {
		general := ofCatalogs.MatchString(st.text)
		if general && !replaced {
			continue
		}
		err := s.attempt(ctx, st.text)
		if general && code(err) == codePrivilege {
			byHand = append(byHand, st.text)
			continue
		}
		if m := owner.FindStringSubmatch(st.text); m != nil && code(err) == codeNoObject && heir != "" {
			// Else it would be the restoring user's, and perhaps closed to the site.
			_ = s.attempt(ctx, m[1]+heir) // as far as that can be done
		}
		switch {
		case err == nil:
		case code(err) == "":
			return nil, err
		default:
			said := brief(err).Error()
			if missing[said]++; missing[said] == 1 {
				complaints = append(complaints, said)
			}
		}
	}
	if err := s.exec(ctx, "RESET SESSION AUTHORIZATION"); err != nil {
		return nil, err
	}
	var notes []string
	if len(complaints) > 0 {
		total, noun := 0, "owners or privileges"
		for _, n := range missing {
			total += n
		}
		if total == 1 {
			noun = "owner or privilege"
		}
		shown := complaints[:min(len(complaints), 5)]
		notes = append(notes, fmt.Sprintf("%d %s could not be restored: %s", total, noun, strings.Join(shown, "; ")))
	}
	if len(byHand) > 0 {
		notes = append(notes, fmt.Sprintf("in the restored database only a superuser can say again: %s", strings.Join(byHand, "; ")))
	}
	return notes, nil
}

// attempt executes a statement within a transaction that goes on if it fails.
func (s *session) attempt(ctx context.Context, statement string) error {
	if err := s.exec(ctx, "SAVEPOINT attempt"); err != nil {
		return err
	}
	err := s.exec(ctx, statement)
	if err == nil {
		return s.exec(ctx, "RELEASE SAVEPOINT attempt")
	}
	if code(err) == "" {
		return err
	}
	return errors.Join(err, s.exec(ctx, "ROLLBACK TO SAVEPOINT attempt; RELEASE SAVEPOINT attempt"))
}
