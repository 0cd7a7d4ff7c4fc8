package sqlite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"strconv"

	"holdfast/internal/tree"
)

// fit makes the staged database fit to replace the current one, whose page size
// it returns, 0 where there are no pages yet.
func (t *target) fit(ctx context.Context) (notes []string, pageSize int, err error) {
	now, err := t.currentHeader(ctx)
	if err != nil || now.pageSize == 0 {
		return nil, 0, err
	}
	db, err := openStaged(ctx, t.beside.staged)
	if err != nil {
		return nil, 0, err
	}
	next, ok, err := db.header(ctx)
	if err == nil && ok && next.pageSize != now.pageSize {
		err = db.convert(ctx, t.beside.convert, next.pageSize, now.pageSize)
	}
	if err := errors.Join(err, db.close()); err != nil || !ok {
		return nil, now.pageSize, err
	}
	if next.encoding != now.encoding && next.encoding != 0 && now.encoding != 0 {
		notes = append(notes, "the text encoding becomes another one: applications that have the database open have to open it anew")
	}
	if next.pageSize != now.pageSize {
		notes = append(notes, fmt.Sprintf("pages of %d bytes become %d bytes large, as in the current database", next.pageSize, now.pageSize))
		err = os.Rename(t.beside.convert, t.beside.staged)
	}
	return notes, now.pageSize, err
}

// convert writes the database with pages of another size to the file at path.
// Pages are replaced one by one, and while applications have a database open in
// WAL mode their size cannot change at all. Unlike VACUUM, VACUUM INTO keeps the
// rowids of all tables.
func (d *database) convert(ctx context.Context, path string, from, to int) error {
	err := d.do(ctx, fmt.Sprintf("PRAGMA page_size = %d", to))
	if err == nil {
		err = d.do(ctx, "VACUUM INTO ?", path)
	}
	if err != nil {
		return fmt.Errorf("its pages of %d bytes cannot be made %d bytes large like those of the current database; "+
			"move that away, and its -wal with it, and the restore will create a new one: %w", from, to, err)
	}
	return nil
}

// currentHeader returns the header of the current database, or a zero one where
// there is no database, or an empty one.
func (t *target) currentHeader(ctx context.Context) (h header, err error) {
	err = t.look(ctx, func(db *database) error {
		h, _, err = db.header(ctx)
		return err
	})
	return h, err
}

// look calls f in a read transaction on the current database, if there is one,
// which may be damaged.
func (t *target) look(ctx context.Context, f func(db *database) error) error {
	if there, err := exists(t.beside.current); err != nil || !there {
		return err
	}
	db, err := openReader(ctx, t.beside.current, t.patience)
	if err != nil {
		return err
	}
	defer db.close()
	if err := db.do(ctx, "PRAGMA writable_schema = 1"); err != nil {
		return err
	}
	return db.read(ctx, func() error { return f(db) })
}

// owner returns the user and group that e belongs to here: by name, where the
// name is known.
func owner(e tree.Entry) (uid, gid int) {
	uid, gid = int(e.UID), int(e.GID)
	if u, err := user.Lookup(e.User); err == nil {
		if n, err := strconv.Atoi(u.Uid); err == nil {
			uid = n
		}
	}
	if g, err := user.LookupGroup(e.Group); err == nil {
		if n, err := strconv.Atoi(g.Gid); err == nil {
			gid = n
		}
	}
	return uid, gid
}
