package sqlite

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/dustin/go-humanize"
	"golang.org/x/sys/unix"

	"holdfast/engines"
	"holdfast/internal/tree"
)

// target replaces one database.
type target struct {
	configured string
	entryName  string
	token      string
	patience   time.Duration
	now        func() time.Time

	beside files       // set by locate
	entry  *tree.Entry // what is staged
	lock   *lock
}

// files are the paths that a restore works with.
type files struct {
	current string // the database
	staged  string
	retired string
	created string // second name of a database that Swap created
	convert string // staged with another page size, while it is being made
	lock    string
}

// locate finds the database and names what stands beside it. Where there is none
// it returns errMissing, and the files are named all the same.
func (t *target) locate() error {
	path, err := locate(t.configured)
	if err != nil && !errors.Is(err, errMissing) {
		return err
	}
	dir, base := filepath.Split(path)
	if len(base) > 128 { // names of 255 bytes must do for all of them
		sum := sha256.Sum256([]byte(base))
		base = fmt.Sprintf("%s-%x", base[:96], sum[:8])
	}
	ours := dir + ".holdfast-" + t.token + "-" + base
	t.beside = files{
		current: path,
		staged:  ours + ".staged",
		retired: ours + ".retired",
		created: ours + ".created",
		convert: ours + ".convert",
		lock:    dir + ".holdfast-" + base + ".lock",
	}
	return err
}

// begin locates the database and takes the lock, for a step that changes things.
// A database that is not there is no error.
func (t *target) begin() error {
	if err := t.locate(); err != nil && !errors.Is(err, errMissing) {
		return err
	}
	if t.lock != nil {
		return nil
	}
	l, err := acquire(t.beside.lock)
	if err != nil {
		return err
	}
	t.lock = l
	return nil
}

// name makes an error say what was done to which database.
func (t *target) name(operation string, err *error) {
	if *err != nil {
		*err = fmt.Errorf("%s database %s: %w", operation, t.configured, *err)
	}
}

// Plan implements engines.Target.
func (t *target) Plan(ctx context.Context, entries []tree.Entry) (_ engines.Plan, err error) {
	defer t.name("restore", &err)
	e, err := t.pick(entries)
	if err != nil {
		return engines.Plan{}, err
	}
	switch err := t.locate(); {
	case errors.Is(err, errMissing):
		return engines.Plan{Creates: true}, t.room(e.Size, e.Size, e.Size) // staged, new, its journal
	case err != nil:
		return engines.Plan{}, err
	}
	if err := unix.Access(t.beside.current, unix.W_OK); err != nil {
		return engines.Plan{}, fmt.Errorf("this user may not write to it: %w", err)
	}
	plan, size, err := t.describe(ctx)
	if err != nil {
		return engines.Plan{}, err
	}
	// Staged, retired, and what the swap journals: old pages or new ones, by mode.
	return plan, t.room(e.Size, size, max(e.Size, size))
}

// pick finds the service's file among the entries of a snapshot.
func (t *target) pick(entries []tree.Entry) (tree.Entry, error) {
	for _, e := range entries {
		if e.Name == t.entryName && e.Type == tree.File {
			return e, nil
		}
	}
	return tree.Entry{}, fmt.Errorf("the snapshot holds no SQLite database %s", t.entryName)
}

// describe says what is there now, and its size in bytes.
func (t *target) describe(ctx context.Context) (engines.Plan, uint64, error) {
	var size shape
	var empty bool
	what := "damaged"
	err := t.look(ctx, func(db *database) (err error) {
		if size, err = db.shape(ctx); err != nil {
			return err
		}
		empty = db.isEmpty(ctx)
		if names, err := db.tables(ctx); err == nil {
			what = fmt.Sprintf("%d tables", len(names))
			if len(names) == 1 {
				what = "1 table"
			}
		}
		return nil
	})
	if errors.Is(err, errNoDatabase) {
		return engines.Plan{}, 0, fmt.Errorf("%w: move it away, and its -wal and -journal with it, and the restore will create a new one", err)
	}
	if err != nil {
		return engines.Plan{}, 0, err
	}
	bytes := uint64(size.bytes())
	return engines.Plan{Empty: empty, Replaces: fmt.Sprintf("database %s (%s, %s)", t.beside.current, what, humanize.IBytes(bytes))}, bytes, nil
}

// room refuses where the directory cannot take files of all those sizes.
func (t *target) room(sizes ...uint64) error {
	dir := filepath.Dir(t.beside.current)
	if err := unix.Access(dir, unix.W_OK|unix.X_OK); err != nil {
		return fmt.Errorf("this user may not write to %s: %w", dir, err)
	}
	var stat unix.Statfs_t
	if err := unix.Statfs(dir, &stat); err != nil {
		return fmt.Errorf("look for room in %s: %w", dir, err)
	}
	free := stat.Bavail * uint64(stat.Bsize)
	left := free
	for _, size := range sizes {
		if size > left {
			return fmt.Errorf("%s has %s free, too little for what is staged, retired and journalled beside it", dir, humanize.IBytes(uint64(free)))
		}
		left -= size
	}
	return nil
}

// Close implements engines.Target.
func (t *target) Close() error {
	if t.lock == nil {
		return nil
	}
	err := t.lock.release()
	t.lock = nil
	return err
}

// exists reports whether there is something at path.
func exists(path string) (bool, error) {
	_, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// anyExists reports whether there is something at one of paths.
func anyExists(paths ...string) (bool, error) {
	for _, path := range paths {
		if there, err := exists(path); err != nil || there {
			return there, err
		}
	}
	return false, nil
}

// remove removes what is there of paths and makes that durable.
func remove(paths ...string) error {
	gone := false
	for _, path := range paths {
		switch err := os.Remove(path); {
		case err == nil:
			gone = true
		case !errors.Is(err, fs.ErrNotExist):
			return err
		}
	}
	if !gone {
		return nil
	}
	return syncDirectory(filepath.Dir(paths[0]))
}

func syncDirectory(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// withCompanions adds the files that SQLite may keep beside a database.
func withCompanions(path string) []string {
	return []string{path, path + "-journal", path + "-wal", path + "-shm"}
}
