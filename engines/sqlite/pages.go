package sqlite

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
)

// pendingByte is where SQLite puts its locks. The page that holds it is never
// written and reads as zeros.
const pendingByte = 1 << 30

// copyBuffer is the size in bytes of what is read and written at once in files.
const copyBuffer = 1 << 20

// pageReader yields all pages of a database, in order, as the bytes of a file.
type pageReader struct {
	d     *database
	shape shape
	rows  *sql.Rows
	rest  []byte // of the page that was read last; valid until the next one is
	read  uint32 // pages
}

// readPages begins to read the database that the current transaction sees. The
// reader must be closed before the transaction ends.
func (d *database) readPages(ctx context.Context) (*pageReader, error) {
	s, err := d.shape(ctx)
	if err != nil {
		return nil, err
	}
	rows, err := d.QueryContext(ctx, "SELECT data FROM sqlite_dbpage ORDER BY pgno")
	if err != nil {
		return nil, explain(d.path, err)
	}
	return &pageReader{d: d, shape: s, rows: rows}, nil
}

// Read implements io.Reader. It gives io.EOF only after as many pages as the
// database has.
func (r *pageReader) Read(p []byte) (int, error) {
	if len(r.rest) == 0 {
		if err := r.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

func (r *pageReader) next() error {
	if !r.rows.Next() {
		if err := r.rows.Err(); err != nil {
			return explain(r.d.path, err)
		}
		if r.read != r.shape.pages {
			return fmt.Errorf("%d of %d pages could be read", r.read, r.shape.pages)
		}
		return io.EOF
	}
	var page sql.RawBytes
	if err := r.rows.Scan(&page); err != nil {
		return explain(r.d.path, err)
	}
	if len(page) != r.shape.pageSize {
		return fmt.Errorf("page %d has %d bytes, not %d", r.read+1, len(page), r.shape.pageSize)
	}
	r.read++
	r.rest = page
	return nil
}

// whole reports whether every page has been handed out.
func (r *pageReader) whole() bool { return r.read == r.shape.pages && len(r.rest) == 0 }

// Close ends the reading; it may be called again.
func (r *pageReader) Close() error { return r.rows.Close() }

// copyPages makes the file at path equal to the pages that the current
// transaction sees, and durable. What is there already is read and only written
// where it differs, so a second copy costs what has changed since the first.
func (d *database) copyPages(ctx context.Context, path string) (err error) {
	pages, err := d.readPages(ctx)
	if err != nil {
		return err
	}
	defer pages.Close()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	old := bufio.NewReaderSize(io.NewSectionReader(f, 0, pages.shape.bytes()), copyBuffer)
	was := make([]byte, pages.shape.pageSize)
	for {
		switch err := pages.next(); {
		case err == io.EOF:
			return errors.Join(f.Truncate(pages.shape.bytes()), f.Sync())
		case err != nil:
			return err
		}
		switch _, err := io.ReadFull(old, was); {
		case err == nil && bytes.Equal(was, pages.rest):
			continue
		case err != nil && err != io.EOF && err != io.ErrUnexpectedEOF:
			return err
		}
		if _, err := f.WriteAt(pages.rest, int64(pages.read-1)*int64(pages.shape.pageSize)); err != nil {
			return err
		}
	}
}

// replace makes the pages of the current write transaction equal to those of the
// file image, writing only what differs. current yields the pages as they are
// now; keepMode is whether the database keeps its journal mode.
//
// It needs a connection of its own: after it, what SQLite's B-tree layer believes
// about the database no longer holds, and the connection is only good for COMMIT
// or ROLLBACK.
func (d *database) replace(ctx context.Context, image *os.File, current io.Reader, keepMode bool) error {
	now, err := d.shape(ctx)
	if err != nil {
		return err
	}
	next, err := imageShape(image, now.pageSize)
	if err != nil {
		return err
	}
	if err := d.stopAutoVacuum(ctx); err != nil {
		return err
	}
	put, err := d.PrepareContext(ctx, "INSERT INTO sqlite_dbpage (pgno, data) VALUES (?, ?)")
	if err != nil {
		return explain(d.path, err)
	}
	defer put.Close()

	from, to := make([]byte, now.pageSize), make([]byte, now.pageSize)
	old := bufio.NewReaderSize(current, copyBuffer)
	src := bufio.NewReaderSize(io.NewSectionReader(image, 0, next.bytes()), copyBuffer)
	pending := uint32(pendingByte/now.pageSize + 1)
	quiet := context.WithoutCancel(ctx) // a goroutine per page would watch ctx
	var cookie uint32
	for n := uint32(1); n <= next.pages; n++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		if _, err := io.ReadFull(src, to); err != nil {
			return fmt.Errorf("read page %d of %s: %w", n, image.Name(), err)
		}
		if n <= now.pages {
			if _, err := io.ReadFull(old, from); err != nil {
				return fmt.Errorf("read current page %d: %w", n, err)
			}
		}
		if n == 1 {
			cookie = fitPage1(to, from, keepMode)
		}
		if n == pending || n <= now.pages && bytes.Equal(from, to) {
			continue
		}
		if _, err := put.ExecContext(quiet, n, to); err != nil {
			return fmt.Errorf("write page %d: %w", n, explain(d.path, err))
		}
	}
	if next.pages < now.pages { // NULL cuts off this page and all after it, if no page is written after that
		if _, err := put.ExecContext(quiet, next.pages+1, nil); err != nil {
			return fmt.Errorf("cut off pages: %w", explain(d.path, err))
		}
	}
	return d.do(ctx, fmt.Sprintf("PRAGMA schema_version = %d", int32(cookie+1)))
}

// stopAutoVacuum keeps the commit from moving pages. With auto_vacuum=FULL the
// B-tree layer would, going by a page count and pointer map that were replaced
// beneath it, and call the database malformed. The setting is this connection's:
// what it writes to page 1 is replaced like the rest.
func (d *database) stopAutoVacuum(ctx context.Context) error {
	var mode int
	if err := d.one(ctx, &mode, "PRAGMA auto_vacuum"); err != nil {
		return err
	}
	if mode != 1 {
		return nil
	}
	return d.do(ctx, "PRAGMA auto_vacuum = INCREMENTAL")
}

// imageShape tells how many pages are in a file of ours, which must have the size
// of pages that it is going to replace.
func imageShape(f *os.File, pageSize int) (shape, error) {
	info, err := f.Stat()
	if err != nil {
		return shape{}, err
	}
	var page [headerSize]byte
	if _, err := f.ReadAt(page[:], 0); err != nil {
		return shape{}, err
	}
	h, err := parseHeader(page[:])
	if err != nil {
		return shape{}, fmt.Errorf("%s: %w", f.Name(), err)
	}
	if h.pageSize != pageSize {
		return shape{}, fmt.Errorf("pages have %d bytes now, not %d: somebody has changed their size", pageSize, h.pageSize)
	}
	pages := info.Size() / int64(pageSize)
	if pages == 0 || pages > 1<<32-2 || pages*int64(pageSize) != info.Size() {
		return shape{}, fmt.Errorf("%s: %d bytes are no whole pages of %d", f.Name(), info.Size(), pageSize)
	}
	return shape{pageSize, uint32(pages)}, nil
}
