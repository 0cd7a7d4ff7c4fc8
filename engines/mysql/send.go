package mysql

import (
	"bytes"
	"cmp"
	"context"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"holdfast/engines"
	"holdfast/internal/tree"
)

// Names of what stands in a snapshot.
const (
	schemaFile = "schema.sql"
	tablesDir  = "tables"
	afterFile  = "after.sql"
	// accountsFile is there only on request.
	accountsFile = "accounts.sql"
	extension    = ".sql"
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
		fresh, err := s.connect(ctx, s.db, s.from(), patience)
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
	b, err := newBases(ctx, sink, s.service)
	if err != nil {
		return engines.Result{}, err
	}
	out := output{source: s, sink: sink, bases: b}
	tables, err := out.tables(ctx)
	if err != nil {
		return engines.Result{}, err
	}
	schema, err := out.put(ctx, schemaFile, bytes.NewReader(s.schema()))
	if err != nil {
		return engines.Result{}, err
	}
	last, err := out.put(ctx, afterFile, bytes.NewReader(s.after()))
	if err != nil {
		return engines.Result{}, err
	}
	apart, err := out.putAccounts(ctx)
	if err != nil {
		return engines.Result{}, err
	}
	entries, err := out.whole(ctx, schema, tables, last, apart)
	if err != nil {
		return engines.Result{}, err
	}
	result := engines.Result{Entries: entries, Notes: slices.Clone(s.notes)}
	s.remarks(&result)
	return result, nil
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
	text := []byte("-- Database of service " + oneLine(s.service) + "\n" + header(schemaMode))
	if !s.control.server.mysql {
		text = append(text, "/*M!100508 SET innodb_strict_mode = 0 */;\n"...)
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

func oneLine(s string) string { return strings.Map(func(r rune) rune { return max(r, ' ') }, s) }

// remarks tells what is not at the mark's instant, or not there at all.
func (s *source) remarks(result *engines.Result) {
	var bare []string
	for _, t := range s.catalog.tables {
		path := s.service + "/" + tablesDir + "/" + fileName(t.name)
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
	for _, o := range s.catalog.objects {
		if o.Broken {
			result.Notes = append(result.Notes, o.label()+" names what does not exist; a restore cannot create it")
		}
		if parse(o.Text).qualifies(s.database) {
			result.Notes = append(result.Notes, fmt.Sprintf("%s names database %s itself; restored elsewhere, it still works on that one", o.label(), s.database))
		}
	}
}

// output puts streams into a sink.
type output struct {
	*source
	sink  engines.Sink
	bases bases
}

// put stores a stream, with the same in the parent snapshot as its base.
func (out *output) put(ctx context.Context, path string, content io.Reader) (tree.Entry, error) {
	e, err := out.sink.Put(ctx, out.entry(path, tree.File), out.bases[path].Content, content)
	return out.dated(e, path), err
}

func (out *output) entry(path string, kind tree.Type) tree.Entry {
	name := path[strings.LastIndexByte(path, '/')+1:]
	if kind == tree.Directory {
		return tree.Entry{Name: name, Type: kind, Mode: 0o750}
	}
	return tree.Entry{Name: name, Type: kind, Mode: 0o640}
}

// dated gives e the time when its content was first seen.
func (out *output) dated(e tree.Entry, path string) tree.Entry {
	e.MTime = tree.TimeOf(out.point.At)
	if before, ok := out.bases[path]; ok && before.Content.Equal(e.Content) {
		e.MTime = before.MTime
	}
	return e
}

// tables sends all tables, small ones first: what is often truncated is small,
// and is then done with. The entries come in the order of the catalog.
func (out *output) tables(ctx context.Context) ([]tree.Entry, error) {
	order := make([]int, len(out.catalog.tables))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return cmp.Compare(out.catalog.tables[a].size, out.catalog.tables[b].size)
	})
	queue := make(chan int, len(order))
	for _, i := range order {
		queue <- i
	}
	close(queue)

	entries := make([]tree.Entry, len(order))
	err := out.watched(ctx, func(ctx context.Context, w *watcher) error {
		group, ctx := errgroup.WithContext(ctx)
		for i, reader := range out.readers {
			if i > 0 && out.point.Rung == rungSchema {
				break // it has no transaction
			}
			group.Go(func() error {
				for i := range queue {
					if ctx.Err() != nil {
						return context.Cause(ctx)
					}
					var err error
					done := w.reads(out.catalog.tables[i].name)
					entries[i], err = out.table(ctx, reader, out.catalog.tables[i])
					done()
					if err != nil {
						return err
					}
				}
				return nil
			})
		}
		return group.Wait()
	})
	return entries, err
}

// watched runs work while a watcher looks who waits for it.
func (out *output) watched(ctx context.Context, work func(context.Context, *watcher) error) error {
	w := newWatcher(out.source)
	working, giveWay := context.WithCancelCause(ctx)
	defer giveWay(nil)
	ended := make(chan struct{})
	var group errgroup.Group
	group.Go(func() error {
		err := w.watch(ctx, ended, giveWay)
		if err != nil {
			giveWay(err)
		}
		return err
	})
	err := work(working, w)
	close(ended)
	if watched := group.Wait(); err == nil {
		err = watched
	}
	return err
}

func (out *output) table(ctx context.Context, reader *session, t table) (e tree.Entry, err error) {
	path := tablesDir + "/" + fileName(t.name)
	switch text := out.pinned[t.name]; {
	case text != nil:
		return out.put(ctx, path, bytes.NewReader(text))
	case t.rowless():
		if _, err := reader.unchanged(ctx, t); err != nil {
			return e, err
		}
		return out.put(ctx, path, bytes.NewReader(t.withoutRows()))
	}
	err = reader.read(ctx, t, func(r *rowReader) error {
		e, err = out.put(ctx, path, r)
		return err
	})
	return e, err
}

// sequence is the stream that sets a sequence to where it stands.
func (s *session) sequence(ctx context.Context, t table) ([]byte, error) {
	var next, cycles string
	if err := s.one(ctx, "SELECT next_not_cached_value, cycle_count FROM "+quote(t.name), &next, &cycles); err != nil {
		return nil, lost(t, err)
	}
	return fmt.Appendf(nil, "-- Sequence %s\n%sDO SETVAL(%s, %s, 0, %s);\n-- %s\n",
		quote(t.name), header(dataMode), quote(t.name), next, cycles, saidRemote), nil
}

// read reads a table within the session's transaction. The table's definition is
// compared with the one that was read before the mark, last when its rows were
// read and nobody could change it; then it is let go, so that nobody who wants to
// change it has to wait for the rest.
func (s *session) read(ctx context.Context, t table, use func(*rowReader) error) error {
	counter, err := s.unchanged(ctx, t)
	if err != nil {
		return err
	}
	if err := s.exec(ctx, "SAVEPOINT holdfast"); err != nil {
		return err
	}
	if counter, err = s.counterAt(ctx, t, counter); err != nil {
		return lost(t, err)
	}
	if err := s.rows(ctx, t, counter, use); err != nil {
		return lost(t, err)
	}
	same, err := s.same(ctx, t)
	if err != nil {
		return lost(t, err)
	}
	if !same {
		return fmt.Errorf("table %s was changed, renamed or truncated after the mark: %w", t.name, engines.ErrPointLost)
	}
	return s.exec(ctx, "ROLLBACK TO SAVEPOINT holdfast")
}

// unchanged returns ErrPointLost unless the table's definition is the one that was
// read before, and the AUTO_INCREMENT counter as it is now.
func (s *session) unchanged(ctx context.Context, t table) (counter string, err error) {
	create, counter, err := s.definition(ctx, t)
	if err != nil {
		return "", lost(t, err)
	}
	if !bytes.Equal(create, t.create) {
		return "", fmt.Errorf("table %s: its definition changed: %w", t.name, engines.ErrPointLost)
	}
	return counter, nil
}

// rows lets use read a table's rows, without the detour that database/sql takes
// for every value.
func (s *session) rows(ctx context.Context, t table, counter string, use func(*rowReader) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	return s.Raw(func(conn any) error {
		rows, err := conn.(sqldriver.QueryerContext).QueryContext(ctx, t.query(), nil)
		if err != nil {
			return fmt.Errorf("table %s: %w", t.name, s.place.explain(ctx, "read", err))
		}
		r := newRowReader(t, counter, rows)
		if err = use(r); err != nil {
			if r.err != nil {
				err = fmt.Errorf("table %s: %w", t.name, s.place.explain(ctx, "read", r.err))
			}
			cancel() // or Close would read the rest of the table
		}
		_ = rows.Close() // the rows are all read, or an error is returned
		return err
	})
}

// lost makes ErrPointLost of the server's errors that mean it.
func lost(t table, err error) error {
	switch number(err) {
	case errTableChanged, errNoSuchTable, errUnknownColumn:
		return fmt.Errorf("table %s was changed or dropped after the mark: %w: %w", t.name, engines.ErrPointLost, err)
	}
	return err
}

// whole puts the directory together, and the one file of all streams but those apart.
func (out *output) whole(ctx context.Context, schema tree.Entry, tables []tree.Entry, last tree.Entry, apart []tree.Entry) ([]tree.Entry, error) {
	var parts []tree.Stream
	for _, e := range slices.Concat([]tree.Entry{schema}, tables, []tree.Entry{last}) {
		parts = append(parts, e.Content)
	}
	sorted := slices.Clone(tables)
	slices.SortFunc(sorted, func(a, b tree.Entry) int { return strings.Compare(a.Name, b.Name) })
	dir, err := out.directory(ctx, tablesDir, tablesDir, sorted)
	if err != nil {
		return nil, err
	}
	top, err := out.directory(ctx, "", out.service, append(apart, last, schema, dir))
	if err != nil {
		return nil, err
	}
	joined := out.entry(out.service+extension, tree.File)
	if joined, err = out.sink.Join(ctx, joined, parts...); err != nil {
		return nil, err
	}
	return []tree.Entry{top, out.dated(joined, extension)}, nil
}

func (out *output) directory(ctx context.Context, path, name string, children []tree.Entry) (tree.Entry, error) {
	e := out.entry(path, tree.Directory)
	e.Name = name
	e, err := out.sink.PutDirectory(ctx, e, out.bases[path].Content, listing(children))
	return out.dated(e, path), err
}

func listing(children []tree.Entry) iter.Seq2[tree.Entry, error] {
	return func(yield func(tree.Entry, error) bool) {
		for _, e := range children {
			if !yield(e, nil) {
				return
			}
		}
	}
}
