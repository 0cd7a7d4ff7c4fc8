package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	sqlite3 "modernc.org/sqlite/lib"
)

// Swap implements engines.Target.
func (t *target) Swap(ctx context.Context) error {
	if t.entry == nil {
		return fmt.Errorf("swap database %s: nothing is staged", t.configured)
	}
	if err := t.begin(); err != nil {
		return err
	}
	fresh := false
	if there, err := exists(t.beside.current); err != nil {
		return err
	} else if !there {
		if err := t.create(); err != nil {
			return fmt.Errorf("create database %s: %w", t.beside.current, err)
		}
		fresh = true
	}
	if err := t.swap(ctx, fresh); err != nil {
		return fmt.Errorf("swap database %s: %w", t.beside.current, err)
	}
	return nil
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
		if ours, err := t.swapped(ctx, db); err != nil || ours {
			return err
		}
		if fresh {
			return db.replaceFrom(ctx, image, false)
		}
		if err := db.copyPages(ctx, t.beside.retired); err != nil {
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

// swapped asks the database whether this restore's swap has happened.
func (t *target) swapped(ctx context.Context, db *database) (bool, error) {
	var token string
	err := db.one(ctx, &token, "SELECT token FROM "+tokenTable)
	switch {
	case errors.Is(err, sql.ErrNoRows), is(err, sqlite3.SQLITE_ERROR): // no such row, no such table
		return false, nil
	case is(err, sqlite3.SQLITE_CORRUPT):
		return db.contains(ctx, t.token)
	}
	return token == t.token, err
}

// contains looks for a token in the pages of a database that is too damaged to
// answer a query. Nothing but a swap brings those random digits there.
func (d *database) contains(ctx context.Context, token string) (bool, error) {
	pages, err := d.readPages(ctx)
	if err != nil {
		return false, err
	}
	defer pages.Close()
	for {
		switch err := pages.next(); {
		case err == io.EOF:
			return false, nil
		case err != nil:
			return false, err
		case bytes.Contains(pages.rest, []byte(token)):
			return true, nil
		}
	}
}

// Revert implements engines.Target.
func (t *target) Revert(ctx context.Context) error {
	created, retired, err := t.traces()
	if err != nil || !created && !retired {
		return err
	}
	if err := t.begin(); err != nil {
		return err
	}
	if created {
		err = t.removeCreated()
	} else {
		err = t.bringBack(ctx)
	}
	if err != nil {
		return fmt.Errorf("revert database %s: %w", t.beside.current, err)
	}
	return nil
}

// traces tells what a swap under this token has left, complete or not: without a
// trace none began.
func (t *target) traces() (created, retired bool, err error) {
	if err := t.locate(); err != nil && !errors.Is(err, errMissing) {
		return false, false, err
	}
	created, err = exists(t.beside.created)
	if err != nil {
		return false, false, err
	}
	retired, err = exists(t.beside.retired)
	return created, retired, err
}

// removeCreated removes the database that Swap created, if it is still that one.
func (t *target) removeCreated() error {
	ours, err := os.Stat(t.beside.created)
	if err != nil {
		return err
	}
	if now, err := os.Stat(t.beside.current); err == nil && os.SameFile(ours, now) {
		if err := remove(withCompanions(t.beside.current)...); err != nil {
			return err
		}
	}
	return remove(t.beside.created)
}

// bringBack makes the retired pages current, if the swap took place.
func (t *target) bringBack(ctx context.Context) error {
	image, err := os.Open(t.beside.retired)
	if err != nil {
		return err
	}
	defer image.Close()
	db, err := openWriter(ctx, t.beside.current, t.patience)
	if err != nil {
		return err
	}
	defer db.close()
	if ours, err := t.asked(ctx, db); err != nil || !ours {
		return err
	}
	return db.transact(ctx, func() error {
		if ours, err := t.swapped(ctx, db); err != nil || !ours {
			return err
		}
		return db.replaceFrom(ctx, image, true)
	})
}

// asked is swapped in a transaction of its own, which waits for no writer.
func (t *target) asked(ctx context.Context, db *database) (ours bool, err error) {
	err = db.read(ctx, func() (err error) {
		ours, err = t.swapped(ctx, db)
		return err
	})
	return ours, err
}

// Discard implements engines.Target.
func (t *target) Discard(ctx context.Context) error {
	created, retired, err := t.traces()
	if err != nil {
		return err
	}
	staged, err := exists(t.beside.staged)
	if err != nil {
		return err
	}
	converting, err := exists(t.beside.convert)
	if err != nil || !created && !retired && !staged && !converting {
		return err
	}
	if err := t.begin(); err != nil {
		return err
	}
	if created || retired { // the token goes first: without a trace nobody asks for it
		if err := t.dropToken(ctx); err != nil {
			return fmt.Errorf("discard what was restored beside %s: %w", t.beside.current, err)
		}
	}
	t.entry = nil
	return errors.Join(remove(t.beside.retired), remove(t.beside.created), t.removeStaged())
}

// dropToken removes the table with the token from the current database.
func (t *target) dropToken(ctx context.Context) error {
	if there, err := exists(t.beside.current); err != nil || !there {
		return err
	}
	db, err := open(ctx, t.beside.current, t.patience)
	if err != nil {
		return err
	}
	defer db.close()
	if ours, err := t.asked(ctx, db); err != nil || !ours {
		return err
	}
	return db.transact(ctx, func() error {
		if ours, err := t.swapped(ctx, db); err != nil || !ours {
			return err
		}
		return db.do(ctx, "DROP TABLE "+tokenTable)
	})
}
