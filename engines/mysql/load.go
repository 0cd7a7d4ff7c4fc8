package mysql

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
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
)

const (
	// loaders is how many connections fill tables at a time.
	loaders = 2
	// keysLater is from which size of a stream on, in bytes, a table's indexes are
	// built after its rows are in: sorted, and not row by row.
	keysLater = 1 << 20
)

// loading fills a staging database.
type loading struct {
	*target
	parts
	content engines.Content
	keys    map[string]string // ALTER TABLE … ADD KEY, by table
	foreign []string          // ALTER TABLE … ADD CONSTRAINT … FOREIGN KEY

	mu   sync.Mutex
	bare []string // tables whose rows are not in the snapshot, because they were left out
}

// schema creates the tables and sequences, without foreign keys, which may refer
// to keys that do not exist yet.
func (l *loading) schema(ctx context.Context) error {
	file := l.content.Open(ctx, l.parts.schema)
	defer file.Close()
	s := newScript(file)
	for {
		st, err := s.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("%s/%s: %w", l.service, dump.SchemaFile, err)
		}
		if !startsWith(st.text, "SET ", "/*M!", "/*!", "ALTER DATABASE ", "CREATE TABLE ", "CREATE SEQUENCE ") {
			return fmt.Errorf("%s/%s: statement %q: %w", l.service, dump.SchemaFile, st.text[:min(len(st.text), 40)], errScript)
		}
		if skipped(st.text, l.control.server) {
			continue
		}
		text := st.text
		if name, ok := strings.CutPrefix(st.comment, "Table "); ok && startsWith(text, "CREATE TABLE ") {
			text = l.split(name, text)
		}
		if err := l.control.exec(ctx, string(text)); err != nil {
			return fmt.Errorf("%s: %w", st.comment, err)
		}
	}
	return l.control.restoreSettings(ctx)
}

// split takes the foreign keys out of a CREATE TABLE, and where there will be many
// rows the indexes, and notes how they are added. name is quoted.
func (l *loading) split(name string, create []byte) []byte {
	unquoted, _ := parse([]byte(name)).name(0)
	large := l.parts.tables[unquoted].Size >= keysLater
	bare, keys, foreign := splitKeys(create, large)
	if len(keys) > 0 {
		l.keys[unquoted] = "ALTER TABLE " + name + " ADD " + strings.Join(keys, ", ADD ")
	}
	if len(foreign) > 0 {
		l.foreign = append(l.foreign, "ALTER TABLE "+name+" ADD "+strings.Join(foreign, ", ADD "))
	}
	return bare
}

var counterColumn = regexp.MustCompile("(?m)^  (`(?:[^`]|``)*`).* AUTO_INCREMENT\\b")

// splitKeys takes foreign keys, and with keysToo other secondary keys, out of a
// CREATE TABLE as SHOW CREATE TABLE writes it: a line for each. Where taking keys
// out would not work, they stay: the column that counts must have one, and what
// stands in for a missing primary key must be there from the start.
func splitKeys(create []byte, keysToo bool) (bare []byte, keys, foreign []string) {
	lines := strings.Split(string(create), "\n")
	last := slices.IndexFunc(lines, func(line string) bool { return strings.HasPrefix(line, ")") })
	if last < 2 || !strings.HasPrefix(lines[last], ") ENGINE=InnoDB") || strings.Contains(lines[last], "WITH SYSTEM VERSIONING") {
		return create, nil, nil
	}
	primary := slices.IndexFunc(lines, func(line string) bool { return strings.HasPrefix(line, "  PRIMARY KEY (") })
	counter := counterColumn.FindSubmatch(create)
	keysToo = keysToo && primary > 0 && (counter == nil || strings.HasPrefix(lines[primary], "  PRIMARY KEY ("+string(counter[1])))

	var kept []string
	for _, line := range lines[1:last] {
		definition := strings.TrimSuffix(strings.TrimPrefix(line, "  "), ",")
		switch {
		case foreignForm.MatchString(definition):
			foreign = append(foreign, definition)
		case keysToo && (strings.HasPrefix(definition, "KEY `") || strings.HasPrefix(definition, "UNIQUE KEY `")) &&
			!strings.Contains(definition, "USING HASH") && !strings.Contains(definition, "WITHOUT OVERLAPS"):
			keys = append(keys, definition)
		default:
			kept = append(kept, "  "+definition)
		}
	}
	if len(keys)+len(foreign) == 0 {
		return create, nil, nil
	}
	text := lines[0] + "\n" + strings.Join(kept, ",\n") + "\n" + strings.Join(lines[last:], "\n")
	return []byte(text), keys, foreign
}

var foreignForm = regexp.MustCompile("^CONSTRAINT `(?:[^`]|``)*` FOREIGN KEY ")

// tables fills all tables, large ones first, and compares them with what the
// streams say they hold.
func (l *loading) tables(ctx context.Context) error {
	kinds := map[string]string{}
	err := l.control.each(ctx, `SELECT table_name, table_type FROM information_schema.tables WHERE table_schema = DATABASE()`,
		func(rows *sql.Rows) error {
			var name, kind string
			err := rows.Scan(&name, &kind)
			kinds[name] = kind
			return err
		})
	if err != nil {
		return err
	}
	delete(kinds, l.journalTable())
	for name := range kinds {
		if _, ok := l.parts.tables[name]; !ok {
			return fmt.Errorf("%s/%s: %s is missing: %w", l.service, dump.TablesDir, fileName(name), errScript)
		}
	}
	order := slices.SortedFunc(maps.Keys(l.parts.tables), func(a, b string) int {
		return cmp.Or(cmp.Compare(l.parts.tables[b].Size, l.parts.tables[a].Size), strings.Compare(a, b))
	})
	queue := make(chan string, len(order))
	for _, name := range order {
		queue <- name
	}
	close(queue)
	group, ctx := errgroup.WithContext(ctx)
	for range min(loaders, len(order)) {
		group.Go(func() error { return l.work(ctx, queue, kinds) })
	}
	return group.Wait()
}

// work fills tables on a connection of its own.
func (l *loading) work(ctx context.Context, queue <-chan string, kinds map[string]string) error {
	s, err := l.connect(ctx, l.db, l.staging, swapWait)
	if err != nil {
		return err
	}
	defer s.Close()
	for name := range queue {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := l.table(ctx, s, name, kinds[name]); err != nil {
			return fmt.Errorf("table %s: %w", name, err)
		}
	}
	return nil
}

func (l *loading) table(ctx context.Context, s *session, name, kind string) error {
	file := l.content.Open(ctx, l.parts.tables[name])
	defer file.Close()
	script := newScript(file)
	for {
		st, err := script.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if !startsWith(st.text, "INSERT ", "SET ", "/*M!", "ALTER TABLE ", "START TRANSACTION", "COMMIT", "DO SETVAL(") {
			return fmt.Errorf("statement %q: %w", st.text[:min(len(st.text), 40)], errScript)
		}
		if skipped(st.text, s.server) {
			continue
		}
		if err := s.exec(ctx, string(st.text)); err != nil {
			return err
		}
	}
	if keys := l.keys[name]; keys != "" {
		if err := s.exec(ctx, keys); err != nil {
			return err
		}
	}
	if script.comment == saidSchemaOnly {
		l.mu.Lock()
		l.bare = append(l.bare, name)
		l.mu.Unlock()
	}
	return s.verify(ctx, name, kind, script.comment)
}

// verify counts a table's rows and lets the server check its indexes. said is the
// last line of the stream.
func (s *session) verify(ctx context.Context, name, kind, said string) error {
	switch said {
	case saidRemote:
		return nil
	case saidSchemaOnly:
		said = "0 rows"
	}
	count, ok := strings.CutSuffix(said, " rows")
	want, err := strconv.ParseUint(count, 10, 64)
	if !ok || err != nil {
		return fmt.Errorf("the stream does not end with a number of rows: %w", errScript)
	}
	all := ""
	if kind == "SYSTEM VERSIONED" {
		all = " FOR SYSTEM_TIME ALL"
	}
	var got uint64
	if err := s.one(ctx, "SELECT COUNT(*) FROM "+quote(name)+all, &got); err != nil {
		return err
	}
	if got != want {
		return fmt.Errorf("%d rows after the load instead of %d", got, want)
	}
	return s.each(ctx, "CHECK TABLE "+quote(name), func(rows *sql.Rows) error {
		var table, op, kind, text string
		err := rows.Scan(&table, &op, &kind, &text)
		if err == nil && strings.EqualFold(kind, "error") {
			err = fmt.Errorf("the server finds it damaged after the load: %s", text)
		}
		return err
	})
}

// foreignKeys adds what schema left out, when all keys are there.
func (l *loading) foreignKeys(ctx context.Context) error {
	for _, statement := range l.foreign {
		if err := l.control.exec(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

// skipped reports whether a statement is one product's own, which to the other is a
// comment and no statement.
func skipped(text []byte, on server) bool {
	if on.mysql {
		return startsWith(text, "/*M!")
	}
	return startsWith(text, "/*!")
}

func startsWith(text []byte, words ...string) bool {
	return slices.ContainsFunc(words, func(word string) bool { return bytes.HasPrefix(text, []byte(word)) })
}
