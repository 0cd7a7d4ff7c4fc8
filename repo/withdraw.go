package repo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"

	"holdfast/internal/storage"
	"holdfast/repo/parity"
)

// withdrawing is the storage as a Repository uses it: it removes no object that
// parity covers before the groups that the object is in, and what waits in mended/ to
// take its place. So a member that is not
// there has been damaged, always, and what was removed on purpose is never brought
// back. What else was in such a group is covered anew by the next UpdateParity.
type withdrawing struct {
	storage.Storage

	mu      sync.Mutex
	members map[string][]string // of the groups that were read, by their object
	removed map[string]bool     // since the last UpdateParity
}

// coveredFolders are the folders whose objects parity covers, beside config.
// Sessions, leases and activities pass by themselves, and are worth nothing later.
var coveredFolders = []string{"condemned", "damaged", "epochs", "index", "keys", "packs", "parity/settings", "pins", "snapshots", "trash"}

// covered reports whether parity covers objects of this name.
func covered(object string) bool {
	return object == "config" || slices.ContainsFunc(coveredFolders, func(folder string) bool { return strings.HasPrefix(object, folder+"/") })
}

// Delete implements storage.Storage.
func (w *withdrawing) Delete(ctx context.Context, object string) error {
	if covered(object) {
		if err := w.withdraw(ctx, object); err != nil {
			return fmt.Errorf("remove %s: %w", object, err)
		}
		if err := parity.Forget(ctx, w.Storage, object); err != nil {
			return fmt.Errorf("remove %s: %w", object, err)
		}
	}
	return w.Storage.Delete(ctx, object)
}

// mendBeside mends by a group that is to be removed what has been damaged of the others
// in it: afterwards nothing could. What cannot be put in place is lost with the group.
func (w *withdrawing) mendBeside(ctx context.Context, info storage.Info) error {
	group, err := parity.Read(storage.At(ctx, w.Storage, info.Name), info.Size)
	if err != nil {
		return ctx.Err()
	}
	_, _ = group.Examine(ctx, w.Storage, info.Name, func(d parity.Damaged) error {
		if _, err := w.Storage.Stat(ctx, info.Name); err != nil {
			return err // somebody else has removed it, and perhaps this object
		}
		if d.Whole && !w.removed[d.Name] {
			return parity.Replace(ctx, w.Storage, d.Name, d.Data)
		}
		return nil
	})
	return ctx.Err()
}

// move gives an object that cannot be read another name; where that is taken, by one
// that was moved before, it is removed.
func (w *withdrawing) move(ctx context.Context, object, to string) error {
	mover, ok := w.Storage.(storage.Mover)
	if !ok {
		return fmt.Errorf("move %s: %w: the storage cannot move objects", object, errors.ErrUnsupported)
	}
	if covered(object) {
		if err := w.withdraw(ctx, object); err != nil {
			return fmt.Errorf("move %s: %w", object, err)
		}
	}
	err := mover.Move(ctx, object, to)
	if errors.Is(err, fs.ErrExist) {
		return w.Storage.Delete(ctx, object)
	}
	return err
}

// withdraw removes the groups that hold the object.
func (w *withdrawing) withdraw(ctx context.Context, object string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.removed == nil {
		w.removed, w.members = map[string]bool{}, map[string][]string{}
	}
	w.removed[object] = true
	return w.drop(ctx, func(member string) bool { return member == object })
}

// withdrawAgain removes the groups that somebody made meanwhile of objects that
// are removed.
func (w *withdrawing) withdrawAgain(ctx context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.removed) == 0 {
		return nil
	}
	err := w.drop(ctx, func(member string) bool { return w.removed[member] })
	if err == nil {
		w.removed = map[string]bool{}
	}
	return err
}

// drop needs mu.
func (w *withdrawing) drop(ctx context.Context, gone func(member string) bool) error {
	for info, err := range w.Storage.List(ctx, parity.Folder) {
		if err != nil {
			return err
		}
		members, known := w.members[info.Name]
		if !known {
			group, err := parity.Read(storage.At(ctx, w.Storage, info.Name), info.Size)
			if err != nil {
				continue // it brings back nothing
			}
			for _, m := range group.Members {
				members = append(members, m.Name)
			}
			w.members[info.Name] = members
		}
		if slices.ContainsFunc(members, gone) {
			if err := w.mendBeside(ctx, info); err != nil {
				return err
			}
			if err := w.Storage.Delete(ctx, info.Name); err != nil {
				return err
			}
			delete(w.members, info.Name)
		}
	}
	return nil
}
