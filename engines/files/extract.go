package files

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"holdfast/engines"
	"holdfast/internal/tree"
)

// lostAndFound is what a fresh disk holds.
const lostAndFound = "lost+found"

// Unfinished reports whether an Extract into dir is at work or was killed. What else may be
// called .holdfast, such as the place of restore journals beside a holdfast.yaml, is none.
func Unfinished(dir string) bool {
	if _, err := os.Lstat(filepath.Join(dir, hidden, dirBuilding)); err == nil {
		return true
	}
	names, err := os.ReadDir(filepath.Join(dir, hidden))
	return err == nil && len(names) == 0
}

// Extract writes entries, files and directories of any engine, into dir, which
// must exist and be empty but for a disk's lost+found, as exactly as a restore of a
// mount does, and makes them durable. They are built in dir/.holdfast and appear
// in dir when all are complete; .holdfast goes last. After an error what was
// written is removed. Nothing is written if there is too little room.
func Extract(ctx context.Context, content engines.Content, entries []tree.Entry, dir string) (engines.Staged, error) {
	root, err := openRoot(dir)
	if err != nil {
		return engines.Staged{}, err
	}
	defer unix.Close(root)
	if empty, err := isEmpty(root, lostAndFound); err != nil || !empty {
		return engines.Staged{}, errors.Join(err, fmt.Errorf("%s is not empty; restore into a directory that is", dir))
	}
	if err := checkRoom(ctx, dir, entries, content); err != nil {
		return engines.Staged{}, err
	}
	staged, err := extract(ctx, &disk{}, root, content, entries)
	if err != nil {
		return engines.Staged{}, fmt.Errorf("restore into %s: %w", dir, err)
	}
	return staged, nil
}

// HasRoom refuses what Extract would, for lack of room, in a dir that need not be there yet.
func HasRoom(ctx context.Context, content engines.Content, entries []tree.Entry, dir string) error {
	return checkRoom(ctx, dir, entries, content)
}

func extract(ctx context.Context, d *disk, root int, content engines.Content, entries []tree.Entry) (staged engines.Staged, err error) {
	if err := d.mkdir(root, hidden); err != nil { // not makeDirectory: another restore's is not ours to remove
		return engines.Staged{}, fmt.Errorf("make %s: %w", hidden, err)
	}
	made := []string{hidden}
	defer func() {
		if err == nil {
			return
		}
		for _, name := range slices.Backward(made) { // .holdfast last
			err = errors.Join(err, d.removeTree(root, name))
		}
	}()
	home, err := openDirectory(root, hidden)
	if err != nil {
		return engines.Staged{}, err
	}
	defer unix.Close(home)
	if err := secure(d, home); err != nil {
		return engines.Staged{}, err
	}
	building, err := d.makeDirectory(home, dirBuilding)
	if err != nil {
		return engines.Staged{}, err
	}
	defer unix.Close(building)
	staged, err = build(d, home, -1, content, &rules{}, "", func(w *writer) error {
		_, err := w.run(ctx, building, &place{}, each(entries))
		return err
	})
	if err != nil {
		return engines.Staged{}, err
	}
	names, err := readNames(building)
	if err != nil {
		return engines.Staged{}, err
	}
	for _, name := range names {
		if err := d.rename(building, name, root, name); err != nil {
			return engines.Staged{}, fmt.Errorf("%s: %w", name, err)
		}
		made = append(made, name)
	}
	return staged, errors.Join(d.rmdir(home, dirBuilding), d.rmdir(root, hidden), d.sync(root))
}

func each(entries []tree.Entry) iter.Seq2[tree.Entry, error] {
	return func(yield func(tree.Entry, error) bool) {
		for _, e := range entries {
			if !yield(e, nil) {
				return
			}
		}
	}
}
