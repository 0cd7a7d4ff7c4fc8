package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// Swap implements engines.Target.
func (t *target) Swap(ctx context.Context) (err error) {
	defer t.name("swap", &err)
	if t.entry == nil {
		return errors.New("nothing is staged")
	}
	if err := t.begin(); err != nil {
		return err
	}
	there, err := exists(t.beside.current)
	if err != nil {
		return err
	}
	if !there {
		if err := t.create(); err != nil {
			return err
		}
	}
	return t.swap(ctx, !there)
}

// create makes an empty database of the recorded owner and mode. It gets its own
// name last, so that Revert can tell by the inode which file was created.
func (t *target) create() error {
	if err := remove(t.beside.created); err != nil {
		return err
	}
	f, err := os.OpenFile(t.beside.created, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	uid, gid := owner(*t.entry)
	if os.Geteuid() == 0 {
		err = f.Chown(uid, gid)
	}
	if err == nil {
		err = f.Chmod(os.FileMode(t.entry.Mode & 0o777))
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Link(t.beside.created, t.beside.current); err != nil {
		return err
	}
	return syncDirectory(filepath.Dir(t.beside.current))
}

// swap does it all in one transaction on the current database. fresh is whether
// that was created for it: then there is nothing to retire, and the journal mode
// is the snapshot's.
func (t *target) swap(ctx context.Context, fresh bool) error {
	if ours, err := t.swapped(ctx); err != nil || ours {
		return err
	}
	image, err := os.Open(t.beside.staged)
	if err != nil {
		return err
	}
	defer image.Close()
	db, err := openWriter(ctx, t.beside.current, t.patience)
	if err != nil {
		return err
	}
	defer db.close()
	if err := db.takePageSize(ctx, image); err != nil {
		return err
	}
	return db.transact(ctx, func() error {
		if fresh {
			return db.replaceFrom(ctx, image, false)
		}
		if err := db.copyPages(ctx, t.beside.retired); err != nil {
			return err
		}
		if err := os.Chtimes(t.beside.retired, time.Time{}, t.now()); err != nil { // the point of Retired
			return err
		}
		if err := syncDirectory(filepath.Dir(t.beside.retired)); err != nil {
			return err
		}
		old, err := os.Open(t.beside.retired)
		if err != nil {
			return err
		}
		defer old.Close()
		return db.replace(ctx, image, old, true)
	})
}

// takePageSize gives a database that has no pages yet those of image; on any
// other it has no effect.
func (d *database) takePageSize(ctx context.Context, image io.ReaderAt) error {
	var page [headerSize]byte
	if _, err := image.ReadAt(page[:], 0); err != nil {
		return err
	}
	h, err := parseHeader(page[:])
	if err != nil {
		return err
	}
	return d.do(ctx, fmt.Sprintf("PRAGMA page_size = %d", h.pageSize))
}

// transact runs change in a write transaction, and commits it, or leaves nothing.
func (d *database) transact(ctx context.Context, change func() error) error {
	if err := d.do(ctx, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	err := change()
	if err == nil {
		err = d.do(ctx, "COMMIT")
	}
	if err != nil {
		d.rollback(ctx) // and if the commit did go through, there is nothing to roll back
	}
	return err
}

// replaceFrom is replace with the current pages read from the database itself.
func (d *database) replaceFrom(ctx context.Context, image *os.File, keepMode bool) error {
	pages, err := d.readPages(ctx)
	if err != nil {
		return err
	}
	defer pages.Close()
	return d.replace(ctx, image, pages, keepMode)
}
