package repo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

	"holdfast/internal/seal"
)

// A mark is a numbered object beside a snapshot: "keep for good" or "deleted",
// and its taking back. The highest number counts; whoever creates it first has
// decided.
type mark struct {
	At     time.Time `cbor:"1,keyasint"`
	Action Action    `cbor:"2,keyasint"`
}

// Action is what a mark does.
type Action string

// The actions: pins/ has the first two, trash/ the others.
const (
	Pin      Action = "pin"
	Unpin    Action = "unpin"
	Delete   Action = "delete"
	Undelete Action = "undelete"
	// Purge takes a deleted snapshot for good: no mark can follow it.
	Purge Action = "purge"
)

// ErrPurged: the snapshot was deleted, and a collection has taken it since.
var ErrPurged = errors.New("it was deleted, and its space is being collected; it cannot be brought back")

func (a Action) folder() (string, seal.Type) {
	if a == Pin || a == Unpin {
		return "pins", seal.Pin
	}
	return "trash", seal.Trash
}

// least are the marks by which least is lost, by folder.
var least = map[string]Action{"pins": Pin, "trash": Undelete}

type markKey struct {
	folder string
	name   Name
}

type numberedMark struct {
	number uint64
	mark
}

type marks map[markKey]numberedMark

func (m marks) pinned(n Name) bool { return m[markKey{"pins", n}].Action == Pin }

func (m marks) deleted(n Name) time.Time {
	if t := m[markKey{"trash", n}]; t.Action == Delete {
		return t.At
	}
	return time.Time{}
}

func (m marks) purged(n Name) bool { return m[markKey{"trash", n}].Action == Purge }

// marks reads the newest mark of every snapshot, and fails where one cannot be read.
func (r *Repository) marks(ctx context.Context) (marks, error) {
	newest, bad, err := r.readableMarks(ctx)
	if err == nil && len(bad) > 0 {
		err = bad[0]
	}
	return newest, err
}

// readableMarks reads the newest mark of every snapshot. What cannot be read, which
// bad names, counts as the mark that takes the least: pinned, and not deleted.
func (r *Repository) readableMarks(ctx context.Context) (newest marks, bad []error, err error) {
	newest = marks{}
	for folder, kind := range map[string]seal.Type{"pins": seal.Pin, "trash": seal.Trash} {
		for info, err := range r.store.List(ctx, folder) {
			if err != nil {
				return nil, nil, fmt.Errorf("list %s: %w", folder, err)
			}
			name, number, err := parseNumbered(folder, info.Name)
			if err != nil {
				bad = append(bad, &DamagedError{Object: info.Name, Err: ErrStray})
				continue
			}
			key := markKey{folder, name}
			if number <= newest[key].number {
				continue
			}
			entry := numberedMark{number: number}
			err = r.read(ctx, kind, info.Name, &entry.mark)
			if errors.Is(err, fs.ErrNotExist) {
				continue // collected, with its snapshot, since it was listed
			}
			if _, damaged := errors.AsType[*DamagedError](err); damaged {
				bad = append(bad, err)
				entry.mark = mark{Action: least[folder]}
			} else if err != nil {
				return nil, nil, err
			}
			newest[key] = entry
		}
	}
	return newest, bad, nil
}

func parseNumbered(folder, object string) (Name, uint64, error) {
	rest := strings.TrimPrefix(object, folder+"/")
	first, second, _ := strings.Cut(rest, "/")
	name, err := ParseName(first)
	if err != nil {
		return name, 0, err
	}
	number, err := strconv.ParseUint(second, 10, 32)
	if err != nil || fmt.Sprintf("%08d", number) != second {
		return name, 0, errors.New("its name is not that of a mark")
	}
	return name, number, nil
}

// Mark pins or deletes a snapshot or takes that back. It reports whether
// anything changed: marking twice is no error.
func (r *Repository) Mark(ctx context.Context, n Name, action Action, now time.Time) (changed bool, err error) {
	all, err := r.MarkAll(ctx, []Name{n}, action, now)
	return len(all) > 0, err
}

// MarkAll marks several snapshots and returns those for which that changed
// anything, also where it ends with an error.
func (r *Repository) MarkAll(ctx context.Context, names []Name, action Action, now time.Time) (changed []Name, err error) {
	for len(names) > 0 {
		all, err := r.marks(ctx)
		if err != nil {
			return changed, err
		}
		var again []Name // somebody else marked them meanwhile
		for _, n := range names {
			switch err := r.mark(ctx, all, n, action, now); {
			case err == nil:
				changed = append(changed, n)
			case errors.Is(err, errMarked):
			case errors.Is(err, fs.ErrExist):
				again = append(again, n)
			default:
				return changed, err
			}
		}
		names = again
	}
	return changed, nil
}

// errMarked says that a mark would change nothing.
var errMarked = errors.New("is marked so already")

func (r *Repository) mark(ctx context.Context, all marks, n Name, action Action, now time.Time) error {
	folder, kind := action.folder()
	current := all[markKey{folder, n}]
	before := current.Action
	if before == "" {
		before = map[string]Action{"pins": Unpin, "trash": Undelete}[folder]
	}
	switch {
	case before == action:
		return errMarked
	case before == Purge:
		return fmt.Errorf("snapshot %s: %w", n, ErrPurged)
	case action == Purge && before != Delete:
		return errMarked // undeleted meanwhile
	}
	object := fmt.Sprintf("%s/%s/%08d", folder, n, current.number+1)
	// Where there is no room, what gives some back and what keeps a snapshot from it count alike.
	if err := r.spare(ctx, 1, kind, object, mark{At: now.UTC(), Action: action}); err != nil {
		return err
	}
	return r.outlived(ctx, n, action, object)
}

// outlived takes a mark back that was created too late: its number had been used and
// removed, with the snapshot before it, while this process slept.
func (r *Repository) outlived(ctx context.Context, n Name, action Action, object string) error {
	_, err := r.store.Stat(ctx, snapshotObject(n))
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := r.store.Delete(ctx, object); err != nil {
		return err
	}
	if action == Purge {
		return errMarked
	}
	return fmt.Errorf("snapshot %s: %w", n, ErrPurged)
}

func sortByAge(all []Listed) {
	slices.SortFunc(all, func(a, b Listed) int {
		return cmp.Or(a.Created.Compare(b.Created), strings.Compare(a.Name.String(), b.Name.String()))
	})
}
