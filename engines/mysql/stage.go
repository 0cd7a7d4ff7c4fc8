package mysql

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"holdfast/engines"
	"holdfast/engines/dump"
	"holdfast/internal/tree"
)

// Stage implements engines.Target.
func (t *target) Stage(ctx context.Context, entries []tree.Entry, content engines.Content) (engines.Staged, error) {
	parts, err := partsOf(ctx, entries, content)
	if err != nil {
		return engines.Staged{}, fmt.Errorf("service %s: %w", t.service, err)
	}
	if err := t.lock(ctx); err != nil {
		return engines.Staged{}, err
	}
	j, found, err := t.readJournal(ctx)
	if err != nil {
		return engines.Staged{}, err
	}
	if found && j.Phase != phaseStaging && j.Phase != phaseStaged {
		return engines.Staged{}, fmt.Errorf("database %s: restore %s has already begun to swap", t.database, t.token)
	}
	if err := t.dropAccounts(ctx, j); err != nil {
		return engines.Staged{}, err
	}
	if err := t.do(ctx, "DROP DATABASE IF EXISTS "+quote(t.staging)); err != nil {
		return engines.Staged{}, err
	}
	if err := t.createStaging(ctx); err != nil {
		return engines.Staged{}, err
	}
	if err := t.control.use(ctx, t.staging); err != nil {
		return engines.Staged{}, err
	}
	j = journal{Phase: phaseStaging}
	notes, err := t.createAccounts(ctx, parts, content, &j)
	if err != nil {
		return engines.Staged{}, err
	}
	j.Phase = phaseStaged
	bare, err := t.build(ctx, parts, content, &j)
	if err != nil {
		return engines.Staged{}, err
	}
	staged, err := t.rehearse(ctx, parts, content, &j)
	if err != nil {
		return staged, err
	}
	staged.Notes = append(staged.Notes, notes...)
	if len(bare) > 0 {
		staged.Notes = append(staged.Notes, "empty from now on, because the snapshot holds none of their rows (schema_only): "+strings.Join(bare, ", "))
	}
	return staged, t.writeJournal(ctx, j)
}

// parts are the streams of a snapshot.
type parts struct {
	schema, after tree.Entry
	accounts      tree.Entry            // has no name where the snapshot holds none
	tables        map[string]tree.Entry // by the table's name
}

func partsOf(ctx context.Context, entries []tree.Entry, content engines.Content) (parts, error) {
	top, err := dump.Top(entries)
	if err != nil {
		return parts{}, err
	}
	p := parts{tables: map[string]tree.Entry{}}
	var tables tree.Entry
	for e, err := range content.Children(ctx, top) {
		if err != nil {
			return p, err
		}
		switch {
		case e.Name == dump.SchemaFile && e.Type == tree.File:
			p.schema = e
		case e.Name == dump.AfterFile && e.Type == tree.File:
			p.after = e
		case e.Name == dump.AccountsFile && e.Type == tree.File:
			p.accounts = e
		case e.Name == dump.TablesDir && e.Type == tree.Directory:
			tables = e
		default:
			return p, fmt.Errorf("%s/%s: %w", top.Name, e.Name, errScript)
		}
	}
	if p.schema.Name == "" || p.after.Name == "" || tables.Name == "" {
		return p, fmt.Errorf("%s: %s, %s or %s is missing: %w", top.Name, dump.SchemaFile, dump.AfterFile, dump.TablesDir, errScript)
	}
	for e, err := range content.Children(ctx, tables) {
		if err != nil {
			return p, err
		}
		name, err := tableName(e.Name)
		if err != nil {
			return p, err
		}
		p.tables[name] = e
	}
	return p, nil
}

// build makes the tables in the staging database and fills them. It returns those
// whose rows the snapshot was not to hold.
func (t *target) build(ctx context.Context, p parts, content engines.Content, j *journal) (bare []string, err error) {
	l := loading{target: t, parts: p, content: content, keys: map[string]string{}}
	if err := l.schema(ctx); err != nil {
		return nil, err
	}
	if err := l.tables(ctx); err != nil {
		return nil, err
	}
	if err := l.foreignKeys(ctx); err != nil {
		return nil, err
	}
	c, err := t.control.defaults(ctx)
	if err != nil {
		return nil, err
	}
	j.NewCharset, j.NewCollation = c.charset, c.collation
	if j.Tables, err = t.tablesOf(ctx, t.staging); err != nil {
		return nil, err
	}
	j.Defaults, err = t.sequenceDefaults(ctx)
	return slices.Sorted(slices.Values(l.bare)), err
}

// sequenceDefaults lets defaults of columns that name a sequence name that of the
// current database: the server keeps the name of the database with them, and that
// was the staging database. Where the current database has no such sequence yet,
// this must be done after the swap, and the statements are returned.
func (t *target) sequenceDefaults(ctx context.Context) ([]string, error) {
	if t.control.server.mysql {
		return nil, nil // it has no sequences
	}
	var tables []string
	columns := map[string][]string{}
	err := t.control.each(ctx, `SELECT table_name, column_name, column_default FROM information_schema.columns
		WHERE table_schema = DATABASE() AND is_generated = 'NEVER' AND INSTR(column_default, `+literal(quote(t.staging)+".")+`) > 0
		ORDER BY BINARY table_name, ordinal_position`, func(rows *sql.Rows) error {
		var table, column string
		var expression []byte
		err := rows.Scan(&table, &column, &expression)
		if columns[table] == nil {
			tables = append(tables, table)
		}
		columns[table] = append(columns[table], fmt.Sprintf("ALTER COLUMN %s SET DEFAULT (%s)",
			quote(column), requalified(expression, t.staging, t.database)))
		return err
	})
	if err != nil {
		return nil, err
	}
	var later []string
	for _, table := range tables {
		statement := "ALTER TABLE " + quote(table) + " " + strings.Join(columns[table], ", ")
		err := t.control.exec(ctx, statement)
		switch number(err) {
		case errNoSuchTable, errUnknownDatabase, errNoSequence:
			later = append(later, statement)
			continue
		}
		if err != nil {
			return nil, err
		}
	}
	return later, nil
}

// rehearse creates in the staging database what a swap will create in the current
// one, so that what cannot work is known before anybody is held: all but events,
// which would begin to run.
func (t *target) rehearse(ctx context.Context, p parts, content engines.Content, j *journal) (staged engines.Staged, err error) {
	objects, err := t.objectsOf(ctx, p, content)
	if err != nil {
		return staged, err
	}
	mine, err := t.definers(ctx)
	if err != nil {
		return staged, err
	}
	var changed []object
	for _, o := range objects {
		if !mine(o) {
			changed = append(changed, o)
			o = o.undefined()
		}
		if o.Kind != "EVENT" {
			err := t.create(ctx, o, j.NewCollation)
			if o.Kind == "VIEW" && slices.Contains([]uint16{errNoSuchTable, errViewInvalid, errUnknownColumn, errNoRoutine, errNoView}, number(err)) {
				o.Broken = true
				staged.Losses = append(staged.Losses, engines.Loss{Path: t.service + "/" + dump.AfterFile,
					Reason: o.label() + " cannot be created: it names what does not exist"})
				err = nil
			}
			if err != nil {
				return staged, err
			}
		}
		j.Objects = append(j.Objects, o)
	}
	if len(changed) > 0 {
		staged.Notes = append(staged.Notes, t.redefined(changed))
	}
	if err := t.control.restoreSettings(ctx); err != nil {
		return staged, err
	}
	return staged, t.clearWay(ctx, nil)
}

// redefined says of objects of a snapshot that they get another definer.
func (t *target) redefined(objects []object) string {
	var were []string
	for _, o := range objects {
		were = append(were, fmt.Sprintf("%s (was %s)", o.label(), o.definer()))
	}
	return fmt.Sprintf("user %s may not create what others define (%s), so after the restore these are defined by %s: %s",
		t.user, strings.Join(t.control.server.asAnybody(), ", "), t.user, strings.Join(were, ", "))
}

// objectsOf are the snapshot's views, routines, triggers and events.
func (t *target) objectsOf(ctx context.Context, p parts, content engines.Content) ([]object, error) {
	file := content.Open(ctx, p.after)
	defer file.Close()
	objects, err := readObjects(newScript(file))
	if err != nil {
		return nil, fmt.Errorf("%s/%s: %w", t.service, dump.AfterFile, err)
	}
	return objects, nil
}

// readObjects reads the stream of views, routines, triggers and events.
func readObjects(s *script) ([]object, error) {
	var list []object
	var o *object
	for {
		st, err := s.next()
		if err != nil {
			if !errors.Is(err, io.EOF) {
				return nil, err
			}
			if o != nil {
				return nil, fmt.Errorf("%s has settings and no more: %w", o.label(), errScript)
			}
			return list, nil
		}
		switch text := st.text; {
		case bytes.HasPrefix(text, []byte("SET sql_mode = ")) && o == nil:
			o = &object{}
			if err := o.parseLabel(st.comment); err != nil {
				return nil, err
			}
			if err := o.parseSettings(text); err != nil {
				return nil, err
			}
		case bytes.HasPrefix(text, []byte("ALTER DATABASE COLLATE = ")):
			if o != nil {
				o.Collation = string(text[len("ALTER DATABASE COLLATE = "):])
			}
		case bytes.HasPrefix(text, []byte("CREATE ")) && o != nil:
			o.Text = bytes.Clone(text)
			list, o = append(list, *o), nil
		case bytes.HasPrefix(text, []byte("SET NAMES ")) || bytes.HasPrefix(text, []byte("SET time_zone = ")):
		default:
			return nil, fmt.Errorf("statement %q: %w", text[:min(len(text), 40)], errScript)
		}
	}
}

// parseLabel undoes label.
func (o *object) parseLabel(label string) error {
	for _, kind := range kinds {
		if rest, ok := strings.CutPrefix(label, strings.ToLower(kind)+" `"); ok && strings.HasSuffix(rest, "`") {
			o.Kind, o.Name = kind, strings.ReplaceAll(rest[:len(rest)-1], "``", "`")
			return nil
		}
	}
	return fmt.Errorf("%q is no view, routine, trigger or event: %w", label, errScript)
}

// parseSettings undoes the first of settings.
func (o *object) parseSettings(text []byte) error {
	q := parse(text)
	for i := 1; i+2 < len(q.tokens); i += 4 {
		name, _ := q.name(i)
		value := string(q.text[q.tokens[i+2].start:q.tokens[i+2].end])
		if !q.is(i+1, "=") || i+3 < len(q.tokens) && !q.is(i+3, ",") {
			return fmt.Errorf("settings %q: %w", text, errScript)
		}
		switch name {
		case "sql_mode":
			o.SQLMode = strings.Trim(value, "'")
		case "time_zone":
			o.TimeZone = strings.Trim(value, "'")
		case "character_set_client":
			o.Client = value
		case "collation_connection":
			o.Connection = value
		default:
			return fmt.Errorf("settings %q: %w", text, errScript)
		}
	}
	return nil
}
