package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"holdfast/engines"
	"holdfast/internal/tree"
)

// tokenTable holds the token of the swap that put it there. A snapshot that was
// taken between a swap and its Discard contains one; staging replaces it.
const tokenTable = "holdfast_swap"

// Stage implements engines.Target.
func (t *target) Stage(ctx context.Context, entries []tree.Entry, content engines.Content) (staged engines.Staged, err error) {
	defer t.name("stage", &err)
	e, err := t.pick(entries)
	if err != nil {
		return engines.Staged{}, err
	}
	if err := t.begin(); err != nil {
		return engines.Staged{}, err
	}
	if err := t.removeStaged(); err != nil {
		return engines.Staged{}, err
	}
	if staged, err = t.stage(ctx, e, content); err != nil {
		return engines.Staged{}, err
	}
	if err := t.retireAhead(ctx); err != nil {
		return engines.Staged{}, fmt.Errorf("copy the current pages: %w", err)
	}
	t.entry = &e
	return staged, nil
}

// retireAhead copies the current pages before the hold, so that Swap only copies
// what has changed since. In rollback mode that is left out where it would lock
// writers out for long.
func (t *target) retireAhead(ctx context.Context) error {
	return t.look(ctx, func(db *database) error {
		size, err := db.shape(ctx)
		if err != nil || size.pages == 0 {
			return err
		}
		h, _, err := db.header(ctx)
		if err != nil || !h.wal && size.bytes() > copyInside {
			return err
		}
		return db.copyPages(ctx, t.beside.retired)
	})
}

func (t *target) removeStaged() error {
	return remove(append(withCompanions(t.beside.staged), withCompanions(t.beside.convert)...)...)
}

func (t *target) stage(ctx context.Context, e tree.Entry, content engines.Content) (engines.Staged, error) {
	if err := writeContent(ctx, t.beside.staged, e, content); err != nil {
		return engines.Staged{}, err
	}
	mode, err := setJournalMode(t.beside.staged, [2]byte{rollbackMode, rollbackMode})
	if err != nil {
		return engines.Staged{}, err
	}
	staged, err := t.checkStaged(ctx, e)
	if err != nil {
		return engines.Staged{}, err
	}
	notes, pageSize, err := t.fit(ctx)
	if err != nil {
		return engines.Staged{}, err
	}
	staged.Notes = append(staged.Notes, notes...)
	if err := t.addToken(ctx, pageSize); err != nil {
		return engines.Staged{}, err
	}
	if _, err := setJournalMode(t.beside.staged, mode); err != nil {
		return engines.Staged{}, err
	}
	return staged, syncFile(t.beside.staged)
}

// writeContent writes the file that e stands for to path, and checks its length.
func writeContent(ctx context.Context, path string, e tree.Entry, content engines.Content) (err error) {
	from := content.Open(ctx, e)
	defer func() { err = errors.Join(err, from.Close()) }()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	n, err := io.CopyBuffer(struct{ io.Writer }{f}, &obedient{ctx, tree.FillHoles(e, from)}, make([]byte, copyBuffer))
	if err != nil {
		return err
	}
	if uint64(n) != e.Size {
		return fmt.Errorf("the snapshot gives %d bytes for %s, not %d", n, e.Name, e.Size)
	}
	return nil
}

// obedient is a reader that ends with its context.
type obedient struct {
	ctx  context.Context
	from io.Reader
}

// Read implements io.Reader.
func (r *obedient) Read(p []byte) (int, error) {
	if err := context.Cause(r.ctx); err != nil {
		return 0, err
	}
	return r.from.Read(p)
}

// setJournalMode sets the two bytes of a database file of ours that say whether
// it is in WAL mode, and returns what they were. In rollback mode SQLite needs no
// other file to read it. An empty file has no mode.
func setJournalMode(path string, mode [2]byte) (was [2]byte, err error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return was, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	var page [headerSize]byte
	switch n, err := f.ReadAt(page[:], 0); {
	case n == 0 && err == io.EOF:
		return [2]byte{rollbackMode, rollbackMode}, nil
	case err != nil && err != io.EOF:
		return was, err
	}
	h, err := parseHeader(page[:])
	if err != nil {
		return was, fmt.Errorf("the snapshot's copy: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		return was, err
	}
	pages := info.Size() / int64(h.pageSize)
	if pages*int64(h.pageSize) != info.Size() || h.pages != 0 && int64(h.pages) != pages {
		return was, fmt.Errorf("the snapshot's copy has %d bytes, not %d pages of %d", info.Size(), h.pages, h.pageSize)
	}
	_, err = f.WriteAt(mode[:], atJournal)
	return [2]byte(page[atJournal:]), err
}

// openStaged opens a file of our own that nobody else knows of.
func openStaged(ctx context.Context, path string) (*database, error) {
	return open(ctx, path, time.Second, "locking_mode = EXCLUSIVE", "journal_mode = OFF", "synchronous = OFF")
}

// checkStaged runs SQLite's own check, and says what cannot be as it was.
func (t *target) checkStaged(ctx context.Context, e tree.Entry) (staged engines.Staged, err error) {
	db, err := openStaged(ctx, t.beside.staged)
	if err != nil {
		return staged, err
	}
	defer func() { err = errors.Join(err, db.close()) }()
	found, err := db.check(ctx, "integrity_check")
	if err != nil {
		return staged, err
	}
	if found.damage != "" {
		return staged, fmt.Errorf("it was already damaged when the snapshot was taken: %s; restore --to a directory gives the file as it is", found.damage)
	}
	staged.Notes = found.oddness
	if missing, err := exists(t.beside.current); err == nil && !missing && os.Geteuid() != 0 {
		if uid, gid := owner(e); uid != os.Geteuid() || gid != os.Getegid() {
			staged.Losses = append(staged.Losses, engines.Loss{Path: e.Name, Reason: "only root can give it its owner"})
		}
	}
	return staged, nil
}

// addToken puts the token into the staged database, where Swap brings it into the
// current one together with everything else.
func (t *target) addToken(ctx context.Context, pageSize int) (err error) {
	db, err := openStaged(ctx, t.beside.staged)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.close()) }()
	if pageSize != 0 { // counts only for a database that is still empty
		if err := db.do(ctx, fmt.Sprintf("PRAGMA page_size = %d", pageSize)); err != nil {
			return err
		}
	}
	for _, statement := range []string{"BEGIN", "DROP TABLE IF EXISTS " + tokenTable,
		"CREATE TABLE " + tokenTable + " (token TEXT NOT NULL)"} {
		if err := db.do(ctx, statement); err != nil {
			return err
		}
	}
	if err := db.do(ctx, "INSERT INTO "+tokenTable+" VALUES (?)", t.token); err != nil {
		return err
	}
	return db.do(ctx, "COMMIT")
}

func syncFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close(), syncDirectory(filepath.Dir(path)))
}
