package mysql

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"holdfast/engines"
	"holdfast/engines/dump"
	"holdfast/internal/tree"
)

// schemaMode is the sql_mode under which tables are created: as they once were.
const schemaMode = "NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES"

// Send implements engines.Source.
func (s *source) Send(ctx context.Context, sink engines.Sink) (engines.Result, error) {
	if s.point.At.IsZero() {
		return engines.Result{}, errors.New("send before mark")
	}
	result, err := s.send(ctx, sink)
	if errors.Is(err, engines.ErrPointLost) {
		// The next mark may be under the hold, so what it needs is done now.
		if e := s.again(ctx); e != nil {
			return result, e
		}
	}
	return result, err
}

// again makes ready for another mark: the connection that was reading while
// another one found the point lost has ended, and definitions have changed.
func (s *source) again(ctx context.Context) error {
	for i, reader := range s.readers {
		_ = reader.Close() // it may be gone already
		fresh, err := s.openReader(ctx)
		if err != nil {
			return err
		}
		s.readers[i] = fresh
	}
	return s.readCatalog(ctx)
}

func (s *source) send(ctx context.Context, sink engines.Sink) (engines.Result, error) {
	if err := s.sameObjects(ctx); err != nil {
		return engines.Result{}, err
	}
	out, err := dump.NewOutput(ctx, sink, s.service, s.point.At)
	if err != nil {
		return engines.Result{}, err
	}
	tables, err := s.sendTables(ctx, out)
	if err != nil {
		return engines.Result{}, err
	}
	schema, err := out.Put(ctx, dump.SchemaFile, bytes.NewReader(s.schema()))
	if err != nil {
		return engines.Result{}, err
	}
	last, err := out.Put(ctx, dump.AfterFile, bytes.NewReader(s.after()))
	if err != nil {
		return engines.Result{}, err
	}
	apart, err := s.putAccounts(ctx, out)
	if err != nil {
		return engines.Result{}, err
	}
	entries, err := out.Whole(ctx, dump.Script{Before: []tree.Entry{schema}, Tables: tables, After: []tree.Entry{last}, Apart: apart})
	if err != nil {
		return engines.Result{}, err
	}
	result := engines.Result{Entries: entries, Empty: len(s.catalog.tables) == 0, Notes: slices.Clone(s.notes)}
	s.remarks(&result)
	return result, s.longStatements(ctx, &result)
}

// sameObjects looks whether views, routines, triggers and events are still those
// that were read before the mark.
func (s *source) sameObjects(ctx context.Context) error {
	if s.retired != nil {
		return nil
	}
	now, err := s.control.defaults(ctx)
	if err != nil {
		return err
	}
	if now.objects, err = s.control.objects(ctx, now.collation); err != nil {
		if n := number(err); n == errNoSuchTable || n == errNoRoutine || n == errNoView {
			return fmt.Errorf("database %s: definitions changed while they were read: %w", s.database, engines.ErrPointLost)
		}
		return err
	}
	if now.charset != s.catalog.charset || now.collation != s.catalog.collation || !slices.EqualFunc(now.objects, s.catalog.objects, object.equal) {
		return fmt.Errorf("database %s: a view, routine, trigger or event changed: %w", s.database, engines.ErrPointLost)
	}
	return nil
}

// schema is the stream that creates tables and sequences; these come first,
// because defaults of columns name them.
func (s *source) schema() []byte {
	text := []byte("-- Database of service " + dump.OneLine(s.service) + "\n" + header(schemaMode))
	if !s.control.server.mysql {
		text = append(text, "/*M!100508 SET innodb_strict_mode = 0 */;\n"...)
	}
	if s.control.server.restrictsKeys() {
		text = append(text, "/*!80400 "+looseKeys+" */;\n"...)
	}
	text = fmt.Appendf(text, "ALTER DATABASE CHARACTER SET = %s COLLATE = %s;\n", s.catalog.charset, s.catalog.collation)
	for _, t := range s.catalog.tables {
		if t.sequence {
			text = appendStatement(fmt.Appendf(text, "\n-- Sequence %s\n", quote(t.name)), t.create)
		}
	}
	for _, t := range s.catalog.tables {
		if !t.sequence {
			text = appendStatement(fmt.Appendf(text, "\n-- Table %s\n", quote(t.name)), t.create)
		}
	}
	return text
}

// after is the stream that creates everything else.
func (s *source) after() []byte {
	text := []byte("-- Views, routines, triggers and events\n" + header(""))
	for _, o := range s.catalog.objects {
		text = appendObject(text, o, s.catalog.collation)
	}
	return append(text, "\n"+header("")...)
}

// remarks tells what is not at the mark's instant, or not there at all.
func (s *source) remarks(result *engines.Result) {
	var bare []string
	for _, t := range s.catalog.tables {
		path := s.service + "/" + dump.TablesDir + "/" + fileName(t.name)
		switch {
		case t.schemaOnly:
			bare = append(bare, t.name)
		case t.remote:
			result.Notes = append(result.Notes, fmt.Sprintf("table %s: engine %s keeps its rows elsewhere; only its definition was saved", t.name, t.engine))
		case t.versioned && !t.history:
			result.Losses = append(result.Losses, engines.Loss{Path: path, Reason: "the history of this system-versioned table was not saved, only its current rows"})
		case !t.snapshots && !t.sequence && s.pinned[t.name] == nil && s.retired == nil:
			result.Apart = append(result.Apart, fmt.Sprintf("%s (%s has no snapshots)", path, t.engine))
		}
	}
	if len(bare) > 0 {
		result.Notes = append(result.Notes, "without rows, as configured (schema_only): "+strings.Join(bare, ", "))
	}
	for _, name := range s.catalog.libraries {
		result.Losses = append(result.Losses, engines.Loss{Path: s.service + "/" + dump.AfterFile, Reason: "library " + quote(name) + " was not saved: this version of holdfast does not know libraries"})
	}
	for _, o := range s.catalog.objects {
		if o.Broken {
			result.Notes = append(result.Notes, o.label()+" names what does not exist; a restore cannot create it")
		}
		// Views have lost the name, wherever it was the database's.
		if o.Kind != "VIEW" && parse(o.Text).qualifies(s.database, slices.Contains(s.names, s.database)) {
			result.Notes = append(result.Notes, fmt.Sprintf("%s names database %s itself; restored elsewhere, it still works on that one", o.label(), s.database))
		}
	}
}

// longStatements tells of tables that this server would not take back as it is set up:
// the text of a row is longer than the row.
func (s *source) longStatements(ctx context.Context, result *engines.Result) error {
	var limit int
	if err := s.control.one(ctx, "SELECT @@GLOBAL.max_allowed_packet", &limit); err != nil {
		return err
	}
	for i, t := range s.catalog.tables {
		// The server takes a byte less than it says; one more tells it what follows.
		if need := s.longest[i] + 2; need > limit {
			result.Notes = append(result.Notes, fmt.Sprintf("table %s: a row takes a statement of %d bytes; a restore needs a max_allowed_packet of at least %d, and this server's is %d",
				t.name, s.longest[i], need, limit))
		}
	}
	return nil
}

// sendTables sends all tables. The entries come in the order of the catalog.
func (s *source) sendTables(ctx context.Context, out *dump.Output) ([]tree.Entry, error) {
	tables := s.catalog.tables
	list := make([]dump.Table, len(tables))
	for i, t := range tables {
		list[i] = dump.Table{Size: t.size, Parts: t.key != nil}
	}
	readers := s.readers
	if s.point.Rung == rungSchema {
		readers = readers[:1] // the others have no transaction
	}
	entries := make([]tree.Entry, len(tables))
	s.longest = make([]int, len(tables))
	huge := dump.NewTurn()
	w := newWatcher(s)
	err := dump.GivingWay(ctx, w.blocked, func(ctx context.Context) error {
		return dump.EachTable(ctx, readers, list, func(ctx context.Context, readers []*session, i int) (err error) {
			defer w.reads(tables[i].name, readers)()
			entries[i], s.longest[i], err = s.sendTable(ctx, out, readers, tables[i], huge)
			return s.lockedError(ctx, tables[i], err)
		})
	})
	return entries, err
}

// sendTable sends one, and returns the length of its longest statement.
func (s *source) sendTable(ctx context.Context, out *dump.Output, readers []*session, t table, huge dump.Turn) (e tree.Entry, longest int, err error) {
	path := dump.TablesDir + "/" + fileName(t.name)
	switch text := s.pinned[t.name]; {
	case text != nil: // which is short
		e, err = out.Put(ctx, path, bytes.NewReader(text))
		return e, 0, err
	case t.rowless():
		if _, err = readers[0].unchanged(ctx, t); err == nil {
			e, err = out.Put(ctx, path, bytes.NewReader(t.withoutRows()))
		}
		return e, 0, err
	}
	err = read(ctx, t, readers, huge, func(rows *inserts) error {
		e, err = out.Put(ctx, path, rows)
		longest = rows.longest
		return err
	})
	return e, longest, err
}
