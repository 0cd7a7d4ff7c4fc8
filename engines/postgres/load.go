package postgres

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"holdfast/engines"
	"holdfast/engines/dump"
	"holdfast/internal/tree"
)

// loaders is how many connections fill tables at a time.
const loaders = 2

// loading fills a room from a snapshot.
type loading struct {
	*target
	content engines.Content
	room    room
	journal journal

	definitions      scripts
	sequences, large tree.Entry
	accounts         tree.Entry // has no name where the snapshot holds none
	tables           map[tableName]tree.Entry

	mu     sync.Mutex
	counts map[tableName]int64 // of rows that were loaded
	bare   []string            // tables whose rows are not in the snapshot, because they were left out
	// uncounted are tables of rows without columns, in a snapshot that does not know of rows.
	uncounted []string
}

type tableName struct{ schema, name string }

func (n tableName) label() string { return table{schema: n.schema, name: n.name}.label() }

// open finds the streams of a snapshot and reads its definitions.
func (l *loading) open(ctx context.Context, entries []tree.Entry) error {
	top, err := dump.Top(entries)
	if err != nil {
		return err
	}
	files := map[string]tree.Entry{}
	for e, err := range l.content.Children(ctx, top) {
		if err != nil {
			return err
		}
		files[e.Name] = e
	}
	for _, script := range []struct {
		name string
		into *[]statement
	}{{databaseFile, &l.definitions.database}, {dump.SchemaFile, &l.definitions.schema}, {dump.AfterFile, &l.definitions.after}, {privilegesFile, &l.definitions.privileges}} {
		if files[script.name].Type != tree.File {
			return fmt.Errorf("%s/%s is missing: %w", top.Name, script.name, errScript)
		}
		file := l.content.Open(ctx, files[script.name])
		*script.into, err = statementsOf(file)
		if err = errors.Join(err, file.Close()); err != nil {
			return fmt.Errorf("%s/%s: %w", top.Name, script.name, err)
		}
	}
	l.sequences, l.large, l.accounts = files[sequencesFile], files[largeFile], files[dump.AccountsFile]
	if l.sequences.Type != tree.File || l.large.Type != tree.File || files[dump.TablesDir].Type != tree.Directory {
		return fmt.Errorf("%s: %s, %s or %s is missing: %w", top.Name, sequencesFile, largeFile, dump.TablesDir, errScript)
	}
	l.definitions.large = l.large.Size > uint64(len(largeHeader))
	l.tables = map[tableName]tree.Entry{}
	for e, err := range l.content.Children(ctx, files[dump.TablesDir]) {
		if err != nil {
			return err
		}
		schema, name, err := parseFileName(e.Name)
		if err != nil {
			return err
		}
		l.tables[tableName{schema, name}] = e
	}
	return nil
}

// build makes everything: definitions, rows, then what belongs behind the rows.
func (l *loading) build(ctx context.Context) (staged engines.Staged, err error) {
	l.counts = map[tableName]int64{}
	l.journal = journal{Token: l.token, Phase: phaseStaging}
	if err := l.room.create(ctx); err != nil {
		return staged, err
	}
	created, err := l.createRoles(ctx)
	if err != nil {
		return staged, err
	}
	if err := l.room.define(ctx, &l.journal, func(s *session) error { return l.execute(ctx, s, dump.SchemaFile, l.definitions.schema) }); err != nil {
		return staged, err
	}
	if err := l.each(ctx, l.fill); err != nil {
		return staged, err
	}
	err = l.room.define(ctx, &l.journal, func(s *session) (err error) {
		if err = l.stream(ctx, s, sequencesFile, l.sequences); err != nil {
			return err
		}
		if err = l.stream(ctx, s, largeFile, l.large); err != nil {
			return err
		}
		if err = l.execute(ctx, s, dump.AfterFile, l.definitions.after); err != nil {
			return err
		}
		staged.Notes, err = l.privileges(ctx, s, l.definitions.privileges)
		return err
	})
	if err != nil {
		return staged, err
	}
	if err := l.each(ctx, l.verify); err != nil {
		return staged, err
	}
	notes, err := l.room.finish(ctx, l.journal)
	staged.Notes = slices.Concat(created, staged.Notes, notes)
	if len(l.bare) > 0 {
		slices.Sort(l.bare)
		staged.Notes = append(staged.Notes, "empty from now on, because the snapshot holds none of their rows (schema_only): "+strings.Join(l.bare, ", "))
	}
	if len(l.uncounted) > 0 {
		slices.Sort(l.uncounted)
		staged.Notes = append(staged.Notes, "empty from now on, because the snapshot was taken when rows without columns were not counted: "+strings.Join(l.uncounted, ", "))
	}
	return staged, err
}

// execute executes a script of definitions.
func (l *loading) execute(ctx context.Context, s *session, file string, statements []statement) error {
	for _, st := range statements {
		if strings.HasPrefix(st.text, "SET ") && !strings.HasPrefix(st.text, "SET default_") {
			continue // the session has its own
		}
		text := st.text
		if e, ok := extensionOf(text); ok {
			if e.Name == "plpgsql" {
				continue // it is in every database
			}
			l.journal.Extensions = append(l.journal.Extensions, e)
			text = l.room.extension(e, text)
		}
		if err := s.exec(ctx, text); err != nil {
			if e, ok := extensionOf(text); ok && code(err) == codePrivilege {
				err = fmt.Errorf("%w: %s", err, l.extensionNeeds(e.Name))
			}
			return fmt.Errorf("%s/%s, %s: %w", l.service, file, cmp.Or(st.comment, verb(text)), err)
		}
	}
	return s.exec(ctx, "RESET default_tablespace; RESET default_table_access_method")
}

// streamed matches what stands in scripts that may be long.
var streamed = regexp.MustCompile(`^(?:SELECT pg_catalog\.(?:setval|lo_create|lo_put)\(|COMMENT ON LARGE OBJECT )`)

// stream executes a script that may be long.
func (l *loading) stream(ctx context.Context, s *session, name string, e tree.Entry) error {
	file := l.content.Open(ctx, e)
	defer file.Close()
	script := newScript(file)
	for {
		st, err := script.next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s/%s: %w", l.service, name, err)
		}
		if !streamed.MatchString(st.text) {
			return fmt.Errorf("%s/%s: statement %.40q: %w", l.service, name, st.text, errScript)
		}
		if err := s.exec(ctx, st.text); err != nil {
			return fmt.Errorf("%s/%s: %w", l.service, name, err)
		}
	}
}

// each lets several connections do something to all tables, large ones first.
func (l *loading) each(ctx context.Context, do func(context.Context, *session, tableName) error) error {
	order := slices.SortedFunc(maps.Keys(l.tables), func(a, b tableName) int {
		return cmp.Or(cmp.Compare(l.tables[b].Size, l.tables[a].Size), strings.Compare(a.schema, b.schema), strings.Compare(a.name, b.name))
	})
	queue := make(chan tableName, len(order))
	for _, name := range order {
		queue <- name
	}
	close(queue)
	group, ctx := errgroup.WithContext(ctx)
	for range min(loaders, len(order)) {
		group.Go(func() error {
			s, err := l.room.load(ctx)
			if err != nil {
				return err
			}
			defer s.end()
			// The last statement of the staging makes all of them durable.
			if err := s.exec(ctx, "SET synchronous_commit = off"); err != nil {
				return err
			}
			for name := range queue {
				if ctx.Err() != nil {
					return context.Cause(ctx)
				}
				if err := do(ctx, s, name); err != nil {
					return fmt.Errorf("table %s: %w", name.label(), err)
				}
			}
			return nil
		})
	}
	return group.Wait()
}

// staged is the quoted name of a table in the room.
func (l *loading) staged(name tableName) string {
	return quote(l.room.called(l.journal, name.schema)) + "." + quote(name.name)
}

// fill loads the rows of one table.
func (l *loading) fill(ctx context.Context, s *session, name tableName) error {
	file := l.content.Open(ctx, l.tables[name])
	defer file.Close()
	script := newScript(file)
	for {
		st, err := script.next()
		if err == io.EOF {
			return l.without(name, script.comment)
		}
		if err != nil {
			return err
		}
		if strings.HasPrefix(st.text, "SET ") {
			continue
		}
		columns, err := columnsIn(st.text, quote(name.schema)+"."+quote(name.name))
		if err != nil {
			return err
		}
		if c, err := script.from.ReadByte(); err != nil || c != '\n' {
			return errors.Join(errScript, err)
		}
		return l.rows(ctx, s, name, columns, script.from)
	}
}

// columnsIn undoes copyFrom.
func columnsIn(statement, table string) (string, error) {
	if statement == copyFrom(table, "") {
		return "", nil
	}
	columns, ok := strings.CutPrefix(statement, "COPY "+table+" (")
	columns, stdin := strings.CutSuffix(columns, ") FROM stdin")
	if !ok || !stdin {
		return "", fmt.Errorf("statement %.40q: %w", statement, errScript)
	}
	return columns, nil
}

// without takes note of a table whose stream has no rows, and says why.
func (l *loading) without(name tableName, said string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counts[name] = 0
	switch said {
	case dump.SaidLeftOut:
		l.bare = append(l.bare, name.label())
	case saidNoColumns:
		l.uncounted = append(l.uncounted, name.label())
	default:
		return fmt.Errorf("it has no rows and does not say why: %w", errScript)
	}
	return nil
}

// rows loads them and compares their number with what the stream says at its end.
// The table is emptied in the same transaction, so that its rows are seen by
// everybody from the start and nobody has to look after them later.
func (l *loading) rows(ctx context.Context, s *session, name tableName, columns string, from *bufio.Reader) error {
	var got int64
	err := s.transaction(ctx, func() (err error) {
		freeze := ""
		extended, err := s.yes(ctx, "SELECT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND deptype = 'e' AND objid = "+
			literal(l.staged(name))+"::regclass)")
		if err != nil {
			return err
		}
		if !extended { // else it has rows of the extension's own
			if err = s.exec(ctx, "TRUNCATE ONLY "+l.staged(name)); err != nil {
				return err
			}
			freeze = " WITH (FREEZE)"
		}
		got, err = s.copyIn(ctx, copyFrom(l.staged(name), columns)+freeze, newRowReader(from))
		return err
	})
	if err != nil {
		return err
	}
	want, err := countIn(from)
	if err == nil && got != want {
		err = fmt.Errorf("%d rows were loaded instead of %d", got, want)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counts[name] = want
	return err
}

// countIn reads the last line of a table's stream.
func countIn(from *bufio.Reader) (int64, error) {
	line, err := from.ReadString('\n')
	if err != nil {
		return 0, fmt.Errorf("it does not end with a number of rows: %w", errors.Join(errScript, err))
	}
	count, isCount := strings.CutSuffix(strings.TrimPrefix(line, "-- "), " rows\n")
	want, err := strconv.ParseInt(count, 10, 64)
	if !isCount || err != nil {
		return 0, fmt.Errorf("it does not end with a number of rows: %w", errScript)
	}
	return want, nil
}

// verify counts a table's rows once more, with all keys in place, and lets the
// server look at how its values are spread.
func (l *loading) verify(ctx context.Context, s *session, name tableName) error {
	want := l.counts[name]
	count, err := s.value(ctx, "SELECT count(*) FROM ONLY "+l.staged(name))
	if err != nil {
		return err
	}
	if got, err := strconv.ParseInt(count, 10, 64); err != nil || got < want {
		return fmt.Errorf("%s rows after the load instead of %d", count, want)
	}
	return s.exec(ctx, "ANALYZE "+l.staged(name))
}
