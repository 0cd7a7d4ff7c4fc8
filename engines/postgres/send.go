package postgres

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/sync/errgroup"

	"holdfast/engines"
	"holdfast/internal/tree"
)

// Send implements engines.Source.
func (s *source) Send(ctx context.Context, sink engines.Sink) (engines.Result, error) {
	if s.snapshot == "" {
		return engines.Result{}, errors.New("send before mark")
	}
	result, err := s.send(ctx, sink)
	if errors.Is(err, engines.ErrPointLost) {
		// Connections that were reading have been cut. The next mark may be under the
		// hold, so new ones are opened now.
		tool := s.tool
		if e := errors.Join(s.Close(), s.open(ctx)); e != nil {
			return result, e
		}
		s.tool = tool
	}
	return result, err
}

func (s *source) send(ctx context.Context, sink engines.Sink) (engines.Result, error) {
	b, err := newBases(ctx, sink, s.service)
	if err != nil {
		return engines.Result{}, err
	}
	out := output{source: s, sink: sink, bases: b}
	if err := out.look(ctx); err != nil {
		return engines.Result{}, err
	}
	err = out.watched(ctx, out.read)
	if err != nil {
		return engines.Result{}, err
	}
	if err := out.sameLabels(ctx); err != nil {
		return engines.Result{}, err
	}
	entries, err := out.whole(ctx)
	if err != nil {
		return engines.Result{}, err
	}
	return engines.Result{Entries: entries, Notes: slices.Concat(s.notes, out.remarks())}, nil
}

// output puts streams into a sink.
type output struct {
	*source
	sink  engines.Sink
	bases bases

	encoding    string
	all         []table
	fingerprint string // of all definitions, within the snapshot
	labels      string

	rows    []tree.Entry // of tables, in the order of all
	defined []tree.Entry // schema.sql, after.sql, privileges.sql
}

// look reads what the snapshot says about the database.
func (out *output) look(ctx context.Context) (err error) {
	first := out.readers[0]
	encoding, err := first.value(ctx, "SHOW client_encoding")
	if err != nil {
		return err
	}
	out.encoding = encoding
	if out.all, err = first.tables(ctx, out.schemas()); err != nil {
		return err
	}
	if err := first.referred(ctx, out.all); err != nil {
		return err
	}
	out.rows = make([]tree.Entry, len(out.all))
	if out.labels, err = first.labels(ctx); err != nil {
		return err
	}
	out.fingerprint, err = first.fingerprint(ctx)
	return err
}

// read sends the definitions and all tables, small ones first: what is often
// truncated is small, and is then done with.
func (out *output) read(ctx context.Context) error {
	order := make([]int, len(out.all))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(out.all[a].size, out.all[b].size) })
	queue := make(chan int, len(order))
	for _, i := range order {
		queue <- i
	}
	close(queue)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return out.definitions(ctx) })
	for _, reader := range out.readers {
		group.Go(func() error {
			for i := range queue {
				if ctx.Err() != nil {
					return context.Cause(ctx)
				}
				var err error
				if out.rows[i], err = out.table(ctx, reader, out.all[i]); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return group.Wait()
}

// remarks tells what is not there.
func (out *output) remarks() []string {
	var bare []string
	for _, t := range out.all {
		if t.bare {
			bare = append(bare, t.label())
		}
	}
	if len(bare) == 0 {
		return nil
	}
	return []string{"without rows, as configured (schema_only): " + strings.Join(bare, ", ")}
}

// watched runs work while a watcher looks who waits for it.
func (out *output) watched(ctx context.Context, work func(context.Context) error) error {
	w := watcher{guard: out.guard, now: out.now, since: map[string]time.Time{}}
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
	err := work(working)
	close(ended)
	if watched := group.Wait(); err == nil {
		err = watched
	}
	return err
}

// definitions lets pg_dump read the definitions, and looks whether they are still
// those of the snapshot: much of what the server tells pg_dump is of now.
func (out *output) definitions(ctx context.Context) error {
	exclude, err := out.excluded(ctx)
	if err != nil {
		return err
	}
	d := definitions{encoding: out.encoding, rename: out.names()}
	var scripts [2][]byte
	for i, section := range []string{"pre-data", "post-data"} {
		err := out.dump(ctx, section, exclude, func(r io.Reader) (err error) {
			scripts[i], err = d.section(r)
			return err
		})
		if err != nil {
			return errors.Join(out.sameDefinitions(ctx), err)
		}
	}
	large, err := out.largePrivileges(ctx)
	if err != nil {
		return err
	}
	d.privileges = append(d.privileges, large...)
	if err := out.sameDefinitions(ctx); err != nil {
		return err
	}
	out.defined = nil
	for i, name := range []string{schemaFile, afterFile, privilegesFile} {
		text := d.appendPrivileges()
		if i < len(scripts) {
			text = scripts[i]
		}
		e, err := out.put(ctx, name, bytes.NewReader(text))
		if err != nil {
			return err
		}
		out.defined = append(out.defined, e)
	}
	return nil
}

func (out *output) sameDefinitions(ctx context.Context) error {
	if out.retired != nil {
		return nil
	}
	now, err := out.control.fingerprint(ctx)
	if err == nil && now != out.fingerprint {
		err = fmt.Errorf("database %s: definitions changed while they were read: %w", out.database, engines.ErrPointLost)
	}
	return err
}

// sameLabels looks whether labels of enumerations are still those of the snapshot:
// values are written with those of now.
func (out *output) sameLabels(ctx context.Context) error {
	if out.retired != nil {
		return nil
	}
	now, err := out.control.labels(ctx)
	if err == nil && now != out.labels {
		err = fmt.Errorf("database %s: an enumeration changed: %w", out.database, engines.ErrPointLost)
	}
	return err
}

// table sends one table. It is locked, which keeps others from changing its
// definition, only while it is read.
func (out *output) table(ctx context.Context, reader *session, t table) (e tree.Entry, err error) {
	shown := t
	shown.schema = out.shown(t.schema)
	path := tablesDir + "/" + fileName(shown.schema, shown.name)
	if text, rowless := shown.rowless(); rowless {
		return out.put(ctx, path, strings.NewReader(text))
	}
	if err := reader.lock(ctx, t); err != nil {
		return e, err
	}
	err = reader.copyOut(ctx, t, shown, out.encoding, func(r io.Reader) error {
		e, err = out.put(ctx, path, r)
		return err
	})
	if err != nil {
		return e, lost(t, err)
	}
	return e, reader.exec(ctx, "ROLLBACK TO SAVEPOINT holdfast; RELEASE SAVEPOINT holdfast")
}

// lock locks a table and makes sure that it still is the one that the snapshot
// knows: one that was truncated or rewritten since then would be read as empty, or
// as something else, and nothing would fail.
func (s *session) lock(ctx context.Context, t table) error {
	name := literal(t.quoted()) + "::regclass"
	results := s.Exec(ctx, "SAVEPOINT holdfast; LOCK TABLE ONLY "+t.quoted()+" IN ACCESS SHARE MODE; SELECT "+name+"::oid, pg_relation_filenode("+name+
		"); SELECT * FROM ONLY "+t.quoted()+" LIMIT 0")
	var now []string
	var columns []pgconn.FieldDescription
	for results.NextResult() {
		result := results.ResultReader()
		columns = slices.Clone(result.FieldDescriptions())
		for result.NextRow() {
			now = []string{string(result.Values()[0]), string(result.Values()[1])}
		}
	}
	if err := results.Close(); err != nil {
		return lost(t, fmt.Errorf("table %s: %w", t.label(), s.place.explain(ctx, "lock", err)))
	}
	if !slices.Equal(now, []string{t.oid, t.filenode}) {
		return fmt.Errorf("table %s was truncated, rewritten or replaced after the mark: %w", t.label(), engines.ErrPointLost)
	}
	if !slices.EqualFunc(columns, t.columns, func(now pgconn.FieldDescription, then column) bool {
		return now.Name == then.name && (now.DataTypeOID == then.kind || then.kind == 0)
	}) {
		return fmt.Errorf("table %s: its columns changed after the mark: %w", t.label(), engines.ErrPointLost)
	}
	return nil
}

// lost makes ErrPointLost of the server's errors that mean it.
func lost(t table, err error) error {
	switch code(err) {
	case codeNoTable, codeNoColumn, codeNoSchema:
		return fmt.Errorf("table %s was changed or dropped after the mark: %w: %w", t.label(), engines.ErrPointLost, err)
	}
	return err
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

// whole puts the directory together, and the one file of all streams.
func (out *output) whole(ctx context.Context) ([]tree.Entry, error) {
	database, err := out.createDatabase(ctx)
	if err != nil {
		return nil, err
	}
	created, err := out.put(ctx, databaseFile, strings.NewReader(database))
	if err != nil {
		return nil, err
	}
	moved, err := out.put(ctx, sequencesFile, strings.NewReader(out.setSequences()))
	if err != nil {
		return nil, err
	}
	large, err := out.largeObjects(ctx)
	if err != nil {
		return nil, err
	}
	apart, err := out.putAccounts(ctx)
	if err != nil {
		return nil, err
	}
	schema, after, privileges := out.defined[0], out.defined[1], out.defined[2]
	parts := []tree.Stream{schema.Content}
	for _, e := range out.rows {
		parts = append(parts, e.Content)
	}
	parts = append(parts, moved.Content, large.Content, after.Content)

	byName := func(a, b tree.Entry) int { return strings.Compare(a.Name, b.Name) }
	dir, err := out.directory(ctx, tablesDir, tablesDir, slices.SortedFunc(slices.Values(out.rows), byName))
	if err != nil {
		return nil, err
	}
	children := append(apart, created, schema, dir, moved, large, after, privileges)
	slices.SortFunc(children, byName)
	top, err := out.directory(ctx, "", out.service, children)
	if err != nil {
		return nil, err
	}
	joined, err := out.sink.Join(ctx, out.entry(out.service+extension, tree.File), parts...)
	if err != nil {
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

func oneLine(s string) string { return strings.Map(func(r rune) rune { return max(r, ' ') }, s) }
