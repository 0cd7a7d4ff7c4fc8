package demosite

import (
	"context"
	"database/sql"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/zeebo/blake3"
)

// Invariants checks what must be true of any state of the site, without knowing
// which: SQLite's own integrity, stock, references, and that every row of uploads
// has its file. Files without a row are counted as Ahead; where rows and files
// are of one instant, that must be 0.
func Invariants(ctx context.Context, p Place) (Report, error) {
	var r Report
	db, err := openCopy(ctx, p.Database)
	if err != nil {
		return r, err
	}
	// Rows first, files second: files can then only be too many.
	listed, err := r.checkRows(ctx, db)
	if err = errors.Join(err, db.Close()); err != nil {
		return r, fmt.Errorf("check %s: %w", p.Database, err)
	}
	files, err := readFiles(p.Uploads)
	if err != nil {
		return r, err
	}
	r.Files = len(files)
	for _, want := range listed {
		switch got, ok := files[want.Path]; {
		case !ok:
			r.problem("file %s is missing, and has a row", want.Path)
		case got != want:
			r.problem("file %s has other bytes than its row says", want.Path)
		}
		r.Bytes += files[want.Path].Size
		delete(files, want.Path)
	}
	r.Ahead = len(files)
	return r, nil
}

// checkRows checks what the database can say by itself and returns the files
// that it lists.
func (r *Report) checkRows(ctx context.Context, db *sql.DB) ([]File, error) {
	tx, err := db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return nil, err
	}
	defer tx.Rollback()
	if err := checkSchema(ctx, tx); err != nil {
		return nil, err
	}
	for _, check := range []struct{ query, problem string }{
		{"SELECT integrity_check FROM pragma_integrity_check WHERE integrity_check != 'ok'", "SQLite finds: %s"},
		{`SELECT "table" || ' row ' || rowid || ' refers to a missing row of ' || parent FROM pragma_foreign_key_check`, "%s"},
		{`SELECT id FROM products WHERE stock < 0 OR supplied != stock +
			(SELECT coalesce(sum(quantity), 0) FROM orders WHERE product = products.id)`, "product %s: stock and orders are not what was supplied"},
	} {
		if err := r.eachText(ctx, tx, check.query, check.problem); err != nil {
			return nil, err
		}
	}
	if err := tx.QueryRowContext(ctx, "SELECT seq FROM state WHERE id = 1").Scan(&r.Seq); err != nil {
		return nil, err
	}
	for _, t := range tables {
		var count int
		if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM "+t.name).Scan(&count); err != nil {
			return nil, err
		}
		r.Rows += count
	}
	return listFiles(ctx, tx)
}

// eachText makes a problem of every row that a query finds.
func (r *Report) eachText(ctx context.Context, tx *sql.Tx, query, problem string) error {
	found, err := tx.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer found.Close()
	for found.Next() {
		var text string
		if err := found.Scan(&text); err != nil {
			return err
		}
		r.problem(problem, text)
	}
	return found.Err()
}

func listFiles(ctx context.Context, tx *sql.Tx) ([]File, error) {
	found, err := tx.QueryContext(ctx, "SELECT path, size, blake3 FROM uploads ORDER BY id")
	if err != nil {
		return nil, err
	}
	defer found.Close()
	var files []File
	for found.Next() {
		var file File
		var digest string
		if err := found.Scan(&file.Path, &file.Size, &digest); err != nil {
			return nil, err
		}
		if err := file.Hash.UnmarshalText([]byte(digest)); err != nil {
			return nil, fmt.Errorf("upload %s: %w", file.Path, err)
		}
		files = append(files, file)
	}
	return files, found.Err()
}

// A Fingerprint stands for all rows and all files of a place: equal where those
// are, byte by byte.
type Fingerprint struct {
	Digest [32]byte
	Rows   int
	Files  int
	Bytes  int64 // of the files
}

// String returns the first digits, enough to see a difference.
func (f Fingerprint) String() string { return hex.EncodeToString(f.Digest[:8]) }

// Take returns the fingerprint of what lies at p. Nothing may change meanwhile.
func Take(ctx context.Context, p Place) (Fingerprint, error) {
	rows, _, err := readRows(ctx, p.Database)
	if err != nil {
		return Fingerprint{}, err
	}
	files, err := readFiles(p.Uploads)
	if err != nil {
		return Fingerprint{}, err
	}
	f := Fingerprint{Rows: len(rows), Files: len(files)}
	sum := blake3.New()
	for _, key := range sortedRows(rows) {
		row := rows[key]
		fmt.Fprintf(sum, "%s\x00%d\x00%x\n", key.Table, key.ID, row[:])
	}
	for _, path := range slices.Sorted(maps.Keys(files)) {
		file := files[path]
		f.Bytes += file.Size
		fmt.Fprintf(sum, "%d\x00%s", len(path), path)
		sum.Write(binary.BigEndian.AppendUint64(file.Hash[:], uint64(file.Size)))
	}
	copy(f.Digest[:], sum.Sum(nil))
	return f, nil
}
