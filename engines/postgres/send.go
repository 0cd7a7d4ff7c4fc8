package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/sync/errgroup"

	"holdfast/engines"
	"holdfast/engines/dump"
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
	put, err := dump.NewOutput(ctx, sink, s.service, s.point.At)
	if err != nil {
		return engines.Result{}, err
	}
	out := output{source: s, Output: put}
	if err := out.look(ctx); err != nil {
		return engines.Result{}, err
	}
	w := watcher{guard: s.guard, now: s.now}
	if err := dump.GivingWay(ctx, w.blocked, out.read); err != nil {
		return engines.Result{}, err
	}
	if err := out.sameLabels(ctx); err != nil {
		return engines.Result{}, err
	}
	entries, err := out.whole(ctx)
	if err != nil {
		return engines.Result{}, err
	}
	return engines.Result{Entries: entries, Empty: len(out.all) == 0, Notes: slices.Concat(s.notes, out.remarks())}, nil
}

// output puts streams into a sink.
type output struct {
	*source
	*dump.Output

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
	if err := first.leaveOut(ctx, out.all, out.retired != nil); err != nil {
		return err
	}
	out.rows = make([]tree.Entry, len(out.all))
	if out.labels, err = first.labels(ctx); err != nil {
		return err
	}
	out.fingerprint, err = first.fingerprint(ctx)
	return err
}

// read sends the definitions and all tables.
func (out *output) read(ctx context.Context) error {
	list := make([]dump.Table, len(out.all))
	for i, t := range out.all {
		list[i] = dump.Table{Size: t.size, Parts: t.key != nil}
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return out.definitions(ctx) })
	group.Go(func() error {
		return dump.EachTable(ctx, out.readers, list, func(ctx context.Context, readers []*session, i int) (err error) {
			out.rows[i], err = out.table(ctx, readers, out.all[i])
			return err
		})
	})
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
	for i, name := range []string{dump.SchemaFile, dump.AfterFile, privilegesFile} {
		text := d.appendPrivileges()
		if i < len(scripts) {
			text = scripts[i]
		}
		e, err := out.Put(ctx, name, bytes.NewReader(text))
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
func (out *output) table(ctx context.Context, readers []*session, t table) (e tree.Entry, err error) {
	shown := t
	shown.schema = out.shown(t.schema)
	path := dump.TablesDir + "/" + fileName(shown.schema, shown.name)
	if t.bare {
		return out.Put(ctx, path, strings.NewReader(shown.rowless()))
	}
	if readers, err = lockAll(ctx, t, readers); err != nil {
		return e, err
	}
	rows := readAhead(ctx, t, readers)
	e, err = out.Put(ctx, path, io.MultiReader(strings.NewReader(shown.begin(out.encoding)), &stream{from: rows}))
	if reading := rows.Close(); reading != nil && (err == nil || !errors.Is(reading, dump.ErrAbandoned)) {
		err = reading
	}
	return e, err
}

// lockAll locks a table in the sessions that are to read it, and returns them: only one
// where the server would sort.
func lockAll(ctx context.Context, t table, readers []*session) ([]*session, error) {
	for i, reader := range readers {
		if err := reader.lock(ctx, t); err != nil {
			return nil, err
		}
		if len(readers) == 1 {
			break
		}
		if i == 0 {
			if sorts, err := reader.sorts(ctx, t); err != nil || sorts {
				return readers[:1], err
			}
		}
		if err := reader.exec(ctx, indexed); err != nil {
			return nil, err
		}
	}
	return readers, nil
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
		return lost(t, s.place.explain(ctx, "lock it", err))
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

// lost names the table in the error that reading it has ended with, and makes ErrPointLost
// of the server's errors that mean it. What is one already names the table that it is about.
func lost(t table, err error) error {
	if errors.Is(err, engines.ErrPointLost) {
		return err
	}
	switch code(err) {
	case codeNoTable, codeNoColumn, codeNoSchema:
		return fmt.Errorf("table %s was changed or dropped after the mark: %w: %w", t.label(), engines.ErrPointLost, err)
	}
	return fmt.Errorf("table %s: %w", t.label(), err)
}

// whole puts the directory together, and the one file of all streams.
func (out *output) whole(ctx context.Context) ([]tree.Entry, error) {
	database, err := out.createDatabase(ctx)
	if err != nil {
		return nil, err
	}
	created, err := out.Put(ctx, databaseFile, strings.NewReader(database))
	if err != nil {
		return nil, err
	}
	moved, err := out.Put(ctx, sequencesFile, strings.NewReader(out.setSequences()))
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
	return out.Whole(ctx, dump.Script{
		Before: []tree.Entry{schema}, Tables: out.rows, After: []tree.Entry{moved, large, after},
		Apart: append(apart, created, privileges),
	})
}
