package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"io"
	"os"
	"slices"

	sqlite3 "modernc.org/sqlite/lib"
)

// Revert implements engines.Target.
func (t *target) Revert(ctx context.Context) (err error) {
	defer t.name("revert", &err)
	created, retired, err := t.traces()
	if err != nil || !created && !retired {
		return err
	}
	if err := t.begin(); err != nil {
		return err
	}
	if created {
		return t.removeCreated()
	}
	return t.bringBack(ctx)
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

// removeCreated removes the database that Swap created, if it is still that one,
// and itself last: by it what else there is would be found again.
func (t *target) removeCreated() error {
	ours, err := os.Stat(t.beside.created)
	if err != nil {
		return err
	}
	if now, err := os.Stat(t.beside.current); err == nil && os.SameFile(ours, now) {
		files := withCompanions(t.beside.current)
		slices.Reverse(files)
		if err := remove(files...); err != nil {
			return err
		}
	}
	return remove(t.beside.created)
}

// bringBack makes the retired pages current, if the swap took place.
func (t *target) bringBack(ctx context.Context) error {
	if ours, err := t.swapped(ctx); err != nil || !ours {
		return err
	}
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
	return db.transact(ctx, func() error { return db.replaceFrom(ctx, image, true) })
}

// swapped asks the database whether this restore's swap has happened. Nobody but
// us changes the answer: the lock is ours.
func (t *target) swapped(ctx context.Context) (ours bool, err error) {
	token, err := t.currentToken(ctx)
	if is(err, sqlite3.SQLITE_CORRUPT) {
		err = t.look(ctx, func(db *database) error {
			ours, err = db.contains(ctx, t.token)
			return err
		})
		return ours, err
	}
	return token == t.token, err
}

// currentToken reads the token, "" where there is none. It opens the database as
// strictly as everybody does, since damage to the schema must not pass for the
// lack of a table.
func (t *target) currentToken(ctx context.Context) (token string, err error) {
	if there, err := exists(t.beside.current); err != nil || !there {
		return "", err
	}
	db, err := openReader(ctx, t.beside.current, t.patience)
	if err != nil {
		return "", err
	}
	defer db.close()
	err = db.one(ctx, &token, "SELECT token FROM "+tokenTable)
	if errors.Is(err, sql.ErrNoRows) || is(err, sqlite3.SQLITE_ERROR) { // no such row, no such table
		return "", nil
	}
	return token, err
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
