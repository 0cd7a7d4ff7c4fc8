package demosite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/zeebo/blake3"
)

// A Window is what is known of when a copy was taken: Site.Seq before it began and
// Site.Settled after it had ended.
type Window struct{ From, To int64 }

// A Report is what was found in a copy.
type Report struct {
	Seq   int64 // the change that the database ends with
	Rows  int
	Files int
	Bytes int64 // of the files
	// Ahead counts files of changes after Seq: rows and files of the copy are of
	// different instants.
	Ahead int
	// Problems are sentences, each about one row or file.
	Problems []string
}

// Err returns the problems as an error: the first few, and how many there are.
func (r Report) Err() error {
	const shown = 10
	if len(r.Problems) == 0 {
		return nil
	}
	text := strings.Join(r.Problems[:min(shown, len(r.Problems))], "\n")
	if rest := len(r.Problems) - shown; rest > 0 {
		text += fmt.Sprintf("\nand %d more", rest)
	}
	return errors.New(text)
}

func (r *Report) problem(format string, args ...any) {
	r.Problems = append(r.Problems, fmt.Sprintf(format, args...))
}

// Verify compares every row and every byte of a copy with what the history says
// the site was.
//
// The rows must be those after one change of the window. Files that came up to
// the window's beginning must be there, later ones within it may be. A window of
// one change therefore asks for exactly one state, of rows and files alike.
func (h History) Verify(ctx context.Context, p Place, w Window) (Report, error) {
	var r Report
	rows, seq, err := readRows(ctx, p.Database)
	if err != nil {
		return r, err
	}
	files, err := readFiles(p.Uploads)
	if err != nil {
		return r, err
	}
	r.Seq, r.Rows, r.Files = seq, len(rows), len(files)
	if seq < w.From || seq > w.To || seq > int64(len(h)) {
		r.problem("the database ends with change %d, want %d to %d", seq, w.From, w.To)
	} else {
		r.compareRows(rows, h.rowsAt(seq))
	}
	r.compareFiles(files, h.uploads(), w)
	return r, nil
}

func (r *Report) compareRows(got, want map[rowKey]hash) {
	for _, key := range sortedRows(want) {
		if sum, ok := got[key]; !ok {
			r.problem("row %d of %s is missing", key.ID, key.Table)
		} else if sum != want[key] {
			r.problem("row %d of %s differs", key.ID, key.Table)
		}
	}
	for _, key := range sortedRows(got) {
		if _, ok := want[key]; !ok {
			r.problem("row %d of %s should not be there", key.ID, key.Table)
		}
	}
}

func (r *Report) compareFiles(got map[string]File, want map[string]upload, w Window) {
	for _, path := range slices.Sorted(maps.Keys(want)) {
		file, ok := got[path]
		switch expected := want[path]; {
		case !ok && expected.seq <= w.From:
			r.problem("file %s is missing", path)
		case ok && expected.seq > w.To:
			r.problem("file %s came only with change %d, want none after %d", path, expected.seq, w.To)
		case ok && file != expected.File:
			r.problem("file %s has other bytes", path)
		case ok && expected.seq > r.Seq:
			r.Ahead++
		}
	}
	for _, path := range slices.Sorted(maps.Keys(got)) {
		r.Bytes += got[path].Size
		if _, ok := want[path]; !ok {
			r.problem("file %s should not be there", path)
		}
	}
}

func sortedRows(rows map[rowKey]hash) []rowKey {
	return slices.SortedFunc(maps.Keys(rows), func(a, b rowKey) int {
		if order := strings.Compare(a.Table, b.Table); order != 0 {
			return order
		}
		return int(a.ID - b.ID)
	})
}

// readRows returns the hash of every row of every table, and the number of the
// last change. The schema must be the site's.
func readRows(ctx context.Context, path string) (rows map[rowKey]hash, seq int64, err error) {
	db, err := openCopy(ctx, path)
	if err != nil {
		return nil, 0, err
	}
	defer func() {
		if err = errors.Join(err, db.Close()); err != nil {
			err = fmt.Errorf("read %s: %w", path, err)
		}
	}()
	// One transaction: a site that is running must not change between two tables.
	tx, err := db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return nil, 0, err
	}
	defer tx.Rollback()
	if err := checkSchema(ctx, tx); err != nil {
		return nil, 0, err
	}
	if err := tx.QueryRowContext(ctx, "SELECT seq FROM state WHERE id = 1").Scan(&seq); err != nil {
		return nil, 0, err
	}
	rows = map[rowKey]hash{}
	for _, t := range tables {
		if err := hashTable(ctx, tx, t.name, rows); err != nil {
			return nil, 0, err
		}
	}
	return rows, seq, nil
}

// openCopy opens a database as an application would, with the -wal file that may
// lie beside it, and writes nothing.
func openCopy(ctx context.Context, path string) (*sql.DB, error) {
	return openDatabase(ctx, path, "rw", "query_only(1)", "busy_timeout(10000)")
}

func checkSchema(ctx context.Context, tx *sql.Tx) error {
	found, err := tx.QueryContext(ctx, "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY rowid")
	if err != nil {
		return err
	}
	defer found.Close()
	var statements []string
	for found.Next() {
		var statement string
		if err := found.Scan(&statement); err != nil {
			return err
		}
		statements = append(statements, statement)
	}
	if err := found.Err(); err != nil {
		return err
	}
	if want := schema(); !slices.Equal(statements, want) {
		return fmt.Errorf("the schema is %q, want %q", statements, want)
	}
	return nil
}

func hashTable(ctx context.Context, tx *sql.Tx, table string, into map[rowKey]hash) error {
	found, err := tx.QueryContext(ctx, "SELECT * FROM "+table+" ORDER BY id")
	if err != nil {
		return err
	}
	defer found.Close()
	columns, err := found.Columns()
	if err != nil {
		return err
	}
	values, targets := make([]any, len(columns)), make([]any, len(columns))
	for i := range values {
		targets[i] = &values[i]
	}
	for found.Next() {
		if err := found.Scan(targets...); err != nil {
			return err
		}
		id, ok := values[0].(int64)
		if !ok {
			return fmt.Errorf("table %s has the id %v", table, values[0])
		}
		if into[rowKey{table, id}], err = hashRow(table, values); err != nil {
			return err
		}
	}
	return found.Err()
}

// readFiles returns every file below dir by its relative path. What is there and
// is not a regular file has the size -1.
func readFiles(dir string) (map[string]File, error) {
	files := map[string]File{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		relative, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		if !entry.Type().IsRegular() {
			files[relative] = File{Path: relative, Size: -1}
			return nil
		}
		files[relative], err = readFile(path, relative)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read uploads: %w", err)
	}
	return files, nil
}

func readFile(path, name string) (File, error) {
	file, err := os.Open(path)
	if err != nil {
		return File{}, err
	}
	defer file.Close()
	sum := blake3.New()
	size, err := io.Copy(sum, file)
	return File{Path: name, Size: size, Hash: hash(sum.Sum(nil)[:16])}, err
}
